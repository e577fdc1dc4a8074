-- The console (docs/adr/0043): who is signed in, and what its pages look for.

-- Of the token in the browser's cookie there is only its hash here, and of the key that was shown only what knows it again:
-- of an issued key the hash that `api_keys` has, too; of a key of the environment, which may be short, a MAC under the token,
-- so that this table alone helps nobody to guess it.
CREATE TABLE console_sessions (
    token_hash     bytea PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    key_hash       bytea NOT NULL CHECK (octet_length(key_hash) = 32),
    of_environment boolean NOT NULL,
    created_at     timestamptz NOT NULL,
    seen_at        timestamptz NOT NULL,                -- to the minute
    ends_at        timestamptz NOT NULL                 -- at the latest
);
CREATE INDEX console_sessions_by_end ON console_sessions (ends_at);

-- Orders that have a SKU, newest first.
CREATE INDEX order_lines_by_sku ON order_lines (sku, order_id DESC);

-- What happened in the last hours. Entries stand in the table in the order of their times, nearly: a summary of each run of pages
-- is enough, and costs an entry nothing.
CREATE INDEX timeline_by_time ON timeline USING brin (at) WITH (pages_per_range = 32, autosummarize = on);

-- Money that went back in the last hours.
CREATE INDEX refunds_by_end ON refunds (updated_at) WHERE state = 'succeeded';

-- What a provider has told of a payment, for who looks at an exception: lines of its statement, and events that name no order.
CREATE INDEX provider_movements_by_payment ON provider_movements (payment);
CREATE INDEX inbox_of_no_order ON inbox (payment_id) WHERE order_id IS NULL;
