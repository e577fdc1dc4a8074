-- What was asked of an order: a cancellation, more time to pay, its fulfilment, a check-in. Like money, it is stored
-- before its workflow is told, so that nothing that was asked for is forgotten, and the answer is written in the
-- transaction of what it did (docs/adr/0025).
CREATE TABLE order_changes (
    id              uuid PRIMARY KEY,                  -- UUIDv7
    order_id        uuid NOT NULL REFERENCES orders,
    kind            text NOT NULL CHECK (kind IN ('cancel', 'extend', 'fulfil', 'check_in', 'end_refunded')),
    request         jsonb NOT NULL,                    -- domain::change::Request
    request_hash    bytea NOT NULL,                    -- equal changes that wait at the same time share one answer
    idempotency_key text,
    requested_at    timestamptz NOT NULL,
    dispatch_after  timestamptz NOT NULL,              -- the sweeper tells the workflow then, if it is not decided yet
    answer          jsonb,                             -- domain::change::Answer
    decided_at      timestamptz,
    UNIQUE (order_id, idempotency_key),
    CHECK ((answer IS NULL) = (decided_at IS NULL))
);
CREATE INDEX order_changes_of_order  ON order_changes (order_id, id);
CREATE INDEX order_changes_undecided ON order_changes (dispatch_after) WHERE decided_at IS NULL;
CREATE INDEX order_changes_waiting   ON order_changes (order_id, request_hash) WHERE decided_at IS NULL;
