-- Keys that are issued to callers (docs/adr/0036). The key itself is shown once, to whoever makes it, and kept nowhere:
-- it has 190 random bits, so that a plain hash of it cannot be undone, and can be looked up.
CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,                      -- UUIDv7
    name         text NOT NULL,                         -- what histories call its holder; several may have it
    hash         bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),    -- SHA-256
    prefix       text NOT NULL,                         -- its beginning, to tell it from others
    -- domain::api_key::Scope. No CHECK: a program that does not know a word leaves it out, and goes on with the others.
    scopes       text[] NOT NULL CHECK (cardinality(scopes) > 0),
    created_at   timestamptz NOT NULL,
    created_by   text NOT NULL,                         -- the maker's name; `api` or `cli`
    expires_at   timestamptz CHECK (expires_at > created_at),
    last_used_at timestamptz,                           -- to the minute
    revoked_at   timestamptz
);

-- Each API keeps those in memory that are good, or were of late, and reads them by this.
CREATE INDEX api_keys_by_end ON api_keys ((coalesce(least(expires_at, revoked_at), 'infinity')));
