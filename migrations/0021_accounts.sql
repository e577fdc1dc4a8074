-- Accounts of customers. Personal data: all of it is erased with the account, but for what orders keep (docs/adr/0038).

-- Who has registered, and not shown yet that the address is theirs. Several may stand side by side for one address, with
-- other passwords: one of them may be somebody else's.
CREATE TABLE registrations (
    id            uuid PRIMARY KEY, -- becomes the account's
    email_key     text NOT NULL,
    customer      jsonb NOT NULL,
    password_hash text NOT NULL,
    registered_at timestamptz NOT NULL
);
CREATE INDEX registrations_of ON registrations (email_key, id);
CREATE INDEX registrations_age ON registrations (registered_at);

CREATE TABLE accounts (
    id                  uuid PRIMARY KEY,
    email_key           text NOT NULL UNIQUE,
    customer            jsonb NOT NULL, -- as orders have it: id, email, name, locale, time zone
    password_hash       text, -- NULL: registrations of several passwords stood side by side; one is chosen by a code
    verified_at         timestamptz NOT NULL,
    password_changed_at timestamptz NOT NULL
);

-- Codes by mail. The code itself is in the mail alone; what stands here is an HMAC under a key of the environment.
CREATE TABLE account_codes (
    id                  uuid PRIMARY KEY,
    purpose             text NOT NULL CHECK (purpose IN ('verify_email', 'reset_password', 'already_registered')),
    registration_id     uuid REFERENCES registrations ON DELETE CASCADE,
    account_id          uuid REFERENCES accounts ON DELETE CASCADE,
    seed                bytea NOT NULL, -- of the operating system's; with a key of the environment the code follows from it
    code_hash           bytea,       -- NULL: it is not mailed yet, or dead
    expires_at          timestamptz, -- NULL: as above
    wrong_attempts      integer NOT NULL DEFAULT 0,
    requested_at        timestamptz NOT NULL,
    used_at             timestamptz,
    workflow_started_at timestamptz,
    dispatch_after      timestamptz
);
CREATE INDEX account_codes_undispatched ON account_codes (coalesce(dispatch_after, requested_at))
    WHERE workflow_started_at IS NULL;
CREATE INDEX account_codes_age ON account_codes (requested_at);
CREATE INDEX account_codes_of_registration ON account_codes (registration_id) WHERE registration_id IS NOT NULL;
CREATE INDEX account_codes_of_account ON account_codes (account_id) WHERE account_id IS NOT NULL;

-- A session is a family of refresh tokens, of which the one of the last generation is good. Nothing of a token is stored.
CREATE TABLE sessions (
    id           uuid PRIMARY KEY,
    account_id   uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    generation   integer NOT NULL DEFAULT 0,
    started_at   timestamptz NOT NULL,
    refreshed_at timestamptz NOT NULL,
    ended_at     timestamptz
);
CREATE INDEX sessions_of ON sessions (account_id);
CREATE INDEX sessions_age ON sessions (refreshed_at);

-- What may happen only so often, whichever process is asked: a hash of what it is, and how often it happened since.
CREATE TABLE rate_limits (
    key     bytea PRIMARY KEY,
    used    integer NOT NULL,
    ends_at timestamptz NOT NULL
);
CREATE INDEX rate_limits_end ON rate_limits (ends_at);

-- Accounts that were erased while an order of theirs was open. Who they were is erased there, too, when it ends unpaid.
CREATE TABLE erasures (
    account_id uuid PRIMARY KEY,
    erased_at  timestamptz NOT NULL
);
