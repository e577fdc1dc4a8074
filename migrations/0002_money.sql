-- Money always ends matched: attempts at providers, refunds, exceptions that are resolved, and the
-- providers' books.
--
-- For each captured payment:  amount = applied + sum of the exceptions about it
-- For each exception that is resolved by refund: one refund of its amount. Refunds without an exception draw
-- on what was applied. `holdfast audit` proves it.

ALTER TABLE orders ADD COLUMN payment_method text;     -- a provider's name; NULL: the shop collects by itself

-- A payment is a try to collect money. Those that we open ourselves begin as `opening`, before the provider is
-- asked; those a provider tells us of begin as it says.
ALTER TABLE payments
    DROP CONSTRAINT payments_state_check,
    ADD CONSTRAINT payments_state_check CHECK (state IN
        ('opening', 'open', 'closing', 'succeeded', 'failed', 'cancelled')),
    ALTER COLUMN provider_payment_id DROP NOT NULL,     -- not known while `opening`
    ADD COLUMN state_text      text NOT NULL DEFAULT '',  -- the provider's own word
    ADD COLUMN expires_at      timestamptz,
    ADD COLUMN captured_at     timestamptz,
    ADD COLUMN applied         bigint NOT NULL DEFAULT 0, -- what of it pays the order
    ADD COLUMN pays_order      uuid REFERENCES orders,    -- if not `order_id`: the order that took its place
    ADD COLUMN client          jsonb,                     -- what the payer's client needs; only while open
    ADD COLUMN idempotency_key text UNIQUE,
    ADD CONSTRAINT applied_is_captured CHECK (applied = 0 OR (state = 'succeeded' AND applied BETWEEN 0 AND amount));
-- At most one attempt that a customer could pay; superseded ones are `closing` until the provider has closed them.
CREATE UNIQUE INDEX payments_one_open ON payments (order_id) WHERE state IN ('opening', 'open');
CREATE INDEX payments_unfinished ON payments (order_id) WHERE state IN ('opening', 'open', 'closing');
CREATE INDEX payments_by_provider ON payments (provider, provider_payment_id);
CREATE INDEX payments_by_pays_order ON payments (pays_order) WHERE pays_order IS NOT NULL;
CREATE INDEX payments_captured ON payments (captured_at) WHERE state = 'succeeded';

ALTER TABLE stock_movements
    DROP CONSTRAINT stock_movements_kind_check,
    ADD CONSTRAINT stock_movements_kind_check CHECK (kind IN
        ('adjusted', 'held', 'committed', 'released', 'returned'));

ALTER TABLE exceptions
    ADD COLUMN provider            text,
    ADD COLUMN provider_payment_id text,
    ADD COLUMN payment_id          uuid REFERENCES payments, -- NULL: money for no order of ours
    ADD COLUMN amount              bigint NOT NULL DEFAULT 0,
    ADD COLUMN currency            char(3),
    ADD COLUMN action              text CHECK (action IN ('refund', 'accept', 'dismiss')),
    ADD COLUMN note                text,
    ADD COLUMN resolved_by         text,                   -- `rule`, or `api`
    ADD COLUMN resolved_at         timestamptz,
    ADD CONSTRAINT resolved_with_reason CHECK ((state = 'resolved') = (action IS NOT NULL AND resolved_at IS NOT NULL));
CREATE INDEX exceptions_by_state ON exceptions (state, id DESC);
CREATE INDEX exceptions_by_payment ON exceptions (payment_id);

CREATE TABLE refunds (
    id                  uuid PRIMARY KEY,
    order_id            uuid REFERENCES orders,            -- NULL: money for no order of ours
    payment_id          uuid REFERENCES payments,
    exception_id        uuid REFERENCES exceptions,        -- whose money it is; NULL: the order's
    provider            text NOT NULL,
    provider_payment_id text NOT NULL,
    provider_refund_id  text,                              -- known once the provider has it
    amount              bigint NOT NULL CHECK (amount > 0),
    currency            char(3) NOT NULL,
    captured            bigint NOT NULL,                   -- of the payment, in all: some providers ask
    reason              text NOT NULL,
    restock             boolean NOT NULL,
    source              text NOT NULL CHECK (source IN ('api', 'rule', 'provider')),
    state               text NOT NULL CHECK (state IN ('requested', 'pending', 'succeeded', 'failed')),
    state_text          text NOT NULL DEFAULT '',
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    idempotency_key     text UNIQUE,
    request_hash        bytea,
    workflow_started_at timestamptz,
    UNIQUE (provider, provider_refund_id)
);
CREATE INDEX refunds_by_order   ON refunds (order_id, id);
CREATE INDEX refunds_by_payment ON refunds (payment_id);
CREATE INDEX refunds_unstarted  ON refunds (created_at) WHERE workflow_started_at IS NULL;

-- Events about refunds, and what they say.
ALTER TABLE inbox
    DROP CONSTRAINT inbox_outcome_check,
    ADD CONSTRAINT inbox_outcome_check CHECK (outcome IN
        ('succeeded', 'failed', 'refund_pending', 'refund_succeeded', 'refund_failed')),
    ADD COLUMN refund_id          uuid,                    -- ours, if we made it
    ADD COLUMN provider_refund_id text,
    ADD COLUMN state_text         text;

-- The providers' books, line by line, as far as they were read. A settlement is their sum per day and currency.
CREATE TABLE provider_movements (
    provider    text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('captured', 'refunded')),
    reference   text NOT NULL,                             -- the provider's id of the payment or refund
    payment     text NOT NULL,                             -- the provider's id of the payment
    order_id    uuid,
    amount      bigint NOT NULL,
    currency    char(3) NOT NULL,
    fee         bigint,
    at          timestamptz NOT NULL,
    matched     boolean NOT NULL,                          -- our books say the same
    PRIMARY KEY (provider, kind, reference)
);
CREATE INDEX provider_movements_by_day ON provider_movements (at, provider, currency);

CREATE TABLE reconciliations (
    provider text PRIMARY KEY,
    until    timestamptz NOT NULL                          -- its books were read up to here
);
