-- What goes back of a payment is the order's own money, or money that an exception holds, in whatever parts it goes and
-- whoever sent it: `domain::attribution` says whose it is, from all that is known of the payment, and writes the answer
-- here. So it does not matter in which order that became known.
ALTER TABLE refunds
    ADD COLUMN own     bigint NOT NULL DEFAULT 0,          -- how much of it is the order's own money,
    ADD COLUMN held    bigint NOT NULL DEFAULT 0,          -- and how much is held by exceptions; none of it if it failed
    ADD COLUMN told_at timestamptz,                        -- the provider's time of what it last said of it
    ADD CONSTRAINT refunds_are_of_money CHECK (own >= 0 AND held >= 0 AND own + held <= amount);
CREATE INDEX refunds_by_provider_payment ON refunds (provider_payment_id);
-- What went back lately is held against the provider's books.
CREATE INDEX refunds_back ON refunds (provider, updated_at) WHERE state = 'succeeded';

-- A dispute takes money out of a payment as a refund does, until it is won.
CREATE TABLE disputes (
    id                  uuid PRIMARY KEY,
    order_id            uuid REFERENCES orders,            -- NULL: money for no order of ours, or not known yet
    payment_id          uuid REFERENCES payments,
    provider            text NOT NULL,
    provider_payment_id text NOT NULL,
    provider_dispute_id text NOT NULL,
    amount              bigint NOT NULL CHECK (amount >= 0),
    currency            char(3) NOT NULL,
    state               text NOT NULL CHECK (state IN ('open', 'won', 'lost')),
    state_text          text NOT NULL DEFAULT '',
    told_at             timestamptz,
    own                 bigint NOT NULL DEFAULT 0,
    held                bigint NOT NULL DEFAULT 0,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    UNIQUE (provider, provider_dispute_id),
    CONSTRAINT disputes_are_of_money CHECK (own >= 0 AND held >= 0 AND own + held <= amount)
);
CREATE INDEX disputes_by_provider_payment ON disputes (provider_payment_id);
CREATE INDEX disputes_by_payment ON disputes (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX disputes_by_order ON disputes (order_id) WHERE order_id IS NOT NULL;

ALTER TABLE exceptions
    ADD COLUMN back       bigint NOT NULL DEFAULT 0,       -- what of the money that it holds went back, or is on its way
    ADD COLUMN refund_id  uuid REFERENCES refunds,         -- the refund that failed, or that nobody can explain
    ADD COLUMN dispute_id uuid REFERENCES disputes;
CREATE INDEX exceptions_by_refund ON exceptions (refund_id) WHERE refund_id IS NOT NULL;
CREATE INDEX exceptions_by_dispute ON exceptions (dispute_id) WHERE dispute_id IS NOT NULL;
CREATE INDEX exceptions_by_provider_payment ON exceptions (provider_payment_id);

UPDATE exceptions SET refund_id = substring(source from '/re_([0-9a-f]{32})$')::uuid
WHERE kind = 'refund_failed' AND source ~ '/re_[0-9a-f]{32}$';
UPDATE exceptions e SET refund_id = r.id FROM refunds r
WHERE r.exception_id = e.id AND e.kind = 'refund_unexplained';

-- Up to here a refund was of the order's own money or of one exception's, and so was one made instead of one that failed.
WITH RECURSIVE base (refund, held_by) AS (
    SELECT r.id, e.id FROM refunds r LEFT JOIN exceptions e ON e.id = r.exception_id
    WHERE e.kind IS NULL OR e.kind NOT IN ('refund_failed', 'refund_unexplained')
    UNION
    SELECT again.id, base.held_by FROM base
    JOIN exceptions e ON e.refund_id = base.refund AND e.kind = 'refund_failed'
    JOIN refunds again ON again.exception_id = e.id
)
UPDATE refunds r SET own = CASE WHEN held_by IS NULL THEN amount ELSE 0 END,
                     held = CASE WHEN held_by IS NULL THEN 0 ELSE amount END
FROM base WHERE base.refund = r.id AND r.state <> 'failed';
WITH RECURSIVE base (refund, held_by) AS (
    SELECT r.id, e.id FROM refunds r JOIN exceptions e ON e.id = r.exception_id
    WHERE e.kind NOT IN ('refund_failed', 'refund_unexplained')
    UNION
    SELECT again.id, base.held_by FROM base
    JOIN exceptions e ON e.refund_id = base.refund AND e.kind = 'refund_failed'
    JOIN refunds again ON again.exception_id = e.id
)
UPDATE exceptions e SET back = b.back
FROM (SELECT held_by, sum(held) AS back FROM base JOIN refunds ON id = refund GROUP BY held_by) AS b
WHERE b.held_by = e.id;

-- Events about disputes, and when the provider says that what an event tells came about.
ALTER TABLE inbox
    DROP CONSTRAINT inbox_outcome_check,
    ADD CONSTRAINT inbox_outcome_check CHECK (outcome IN
        ('succeeded', 'failed', 'refund_pending', 'refund_succeeded', 'refund_failed',
         'dispute_open', 'dispute_won', 'dispute_lost')),
    ADD COLUMN provider_dispute_id text,
    ADD COLUMN told_at             timestamptz;

ALTER TABLE provider_movements
    DROP CONSTRAINT provider_movements_kind_check,
    ADD CONSTRAINT provider_movements_kind_check CHECK (kind IN
        ('captured', 'refunded', 'disputed', 'dispute_reversed')),
    ADD COLUMN state text;                                 -- of a dispute, as the provider has it by now
