-- The first schema: catalogue, stock, orders, payments, mails, and the two message tables.
--
-- Rules for migrations: forward only. A change that running code cannot live with is made in two
-- releases: expand (add, both versions work), then contract (remove what nothing reads any more).
--
-- No column defaults to now(): domain times come from the request or from the workflow, so that a
-- test that skips 24 hours on the Temporal server sees one consistent clock.

CREATE TABLE products (
    sku         text PRIMARY KEY,
    name        text NOT NULL,
    description text NOT NULL,
    unit_price  bigint NOT NULL CHECK (unit_price > 0),
    currency    char(3) NOT NULL,
    active      boolean NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);

-- What there is of each SKU. `available` is derived, so available + held = on_hand cannot be broken;
-- the CHECK keeps all three from going below zero whatever the code does.
CREATE TABLE stock_levels (
    sku       text PRIMARY KEY REFERENCES products,
    on_hand   bigint NOT NULL,
    held      bigint NOT NULL,
    available bigint NOT NULL GENERATED ALWAYS AS (on_hand - held) STORED,
    CONSTRAINT stock_never_negative CHECK (on_hand >= 0 AND held >= 0 AND held <= on_hand)
);

CREATE TABLE orders (
    id                  uuid PRIMARY KEY,              -- UUIDv7: sorts by time of placement
    status              text NOT NULL CHECK (status IN
                            ('awaiting_payment', 'paid', 'completed', 'cancelled', 'expired')),
    payment_status      text NOT NULL CHECK (payment_status IN
                            ('unpaid', 'paid', 'refund_pending', 'refunded', 'partially_refunded')),
    version             integer NOT NULL,              -- +1 with every change of status
    currency            char(3) NOT NULL,
    total               bigint NOT NULL CHECK (total > 0),
    customer_id         text NOT NULL,
    customer            jsonb NOT NULL,                -- personal data: here and nowhere else
    policy              jsonb NOT NULL,                -- snapshot, see domain::policy
    metadata            jsonb NOT NULL,
    placed_at           timestamptz NOT NULL,
    payment_due_at      timestamptz NOT NULL,
    paid_at             timestamptz,
    closed_at           timestamptz,
    close_reason        text,
    idempotency_key     text NOT NULL UNIQUE,
    request_hash        bytea NOT NULL,
    workflow_started_at timestamptz,
    CHECK ((closed_at IS NOT NULL) = (status IN ('completed', 'cancelled', 'expired')))
);
CREATE INDEX orders_by_status   ON orders (status, id DESC);
CREATE INDEX orders_by_customer ON orders (customer_id, id DESC);
CREATE INDEX orders_by_placed   ON orders (placed_at);
-- For the sweeper: orders whose workflow a crash or an engine outage left unstarted, and orders that
-- are overdue because somebody terminated their workflow.
CREATE INDEX orders_unstarted   ON orders (placed_at) WHERE workflow_started_at IS NULL;
CREATE INDEX orders_open_by_due ON orders (payment_due_at) WHERE status = 'awaiting_payment';

-- Prices and names are snapshots of the catalogue at the time of placement.
CREATE TABLE order_lines (
    order_id   uuid NOT NULL REFERENCES orders,
    sku        text NOT NULL REFERENCES products,
    name       text NOT NULL,
    quantity   bigint NOT NULL CHECK (quantity BETWEEN 1 AND 10000),
    unit_price bigint NOT NULL CHECK (unit_price > 0),
    PRIMARY KEY (order_id, sku)
);

-- At most one hold per order and SKU, and it moves once: held -> committed or held -> released.
CREATE TABLE holds (
    order_id uuid NOT NULL REFERENCES orders,
    sku      text NOT NULL REFERENCES stock_levels,
    quantity bigint NOT NULL CHECK (quantity > 0),
    state    text NOT NULL CHECK (state IN ('held', 'committed', 'released')),
    PRIMARY KEY (order_id, sku)
);

-- The ledger. Append-only; stock_levels is its sum, written in the same transaction. The balances
-- after each movement are kept with it, so the books can be read without adding them up.
CREATE TABLE stock_movements (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku             text NOT NULL REFERENCES stock_levels,
    kind            text NOT NULL CHECK (kind IN ('adjusted', 'held', 'committed', 'released')),
    on_hand_delta   bigint NOT NULL,
    held_delta      bigint NOT NULL,
    on_hand_after   bigint NOT NULL,
    held_after      bigint NOT NULL,
    order_id        uuid REFERENCES orders,
    reason          text,
    idempotency_key text UNIQUE,                       -- adjustments only
    request_hash    bytea,
    at              timestamptz NOT NULL,
    UNIQUE (order_id, sku, kind)
);
CREATE INDEX stock_movements_by_sku ON stock_movements (sku, id);

CREATE TABLE timeline (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES orders,
    at       timestamptz NOT NULL,
    type     text NOT NULL,
    data     jsonb NOT NULL
);
CREATE INDEX timeline_by_order ON timeline (order_id, id);

-- What we tell others, stored with the change it tells of.
CREATE TABLE outbox (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id     uuid NOT NULL REFERENCES orders,
    type         text NOT NULL,
    data         jsonb NOT NULL,
    at           timestamptz NOT NULL,
    published_at timestamptz
);
CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL;

-- What providers told us, stored before it is answered. The raw body is kept for disputes.
CREATE TABLE inbox (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider      text NOT NULL,
    event_id      text NOT NULL,
    type          text NOT NULL,
    body          bytea NOT NULL,
    received_at   timestamptz NOT NULL,
    -- Read from the body; NULL for event types that concern no order.
    order_id      uuid,
    payment_id    text,
    outcome       text CHECK (outcome IN ('succeeded', 'failed')),
    amount        bigint,
    currency      char(3),
    dispatched_at timestamptz,                         -- last handed to the engine
    settled_at    timestamptz,                         -- what it says was acted on, or asks for nothing
    UNIQUE (provider, event_id)
);
CREATE INDEX inbox_unsettled    ON inbox (id) WHERE settled_at IS NULL;
CREATE INDEX inbox_by_order     ON inbox (order_id) WHERE order_id IS NOT NULL;

-- One row per try to collect money.
CREATE TABLE payments (
    id                  uuid PRIMARY KEY,
    order_id            uuid NOT NULL REFERENCES orders,
    provider            text NOT NULL,
    provider_payment_id text NOT NULL,
    state               text NOT NULL CHECK (state IN ('succeeded', 'failed')),
    amount              bigint NOT NULL,
    currency            char(3) NOT NULL,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    UNIQUE (order_id, provider, provider_payment_id)
);

-- Money or stock that no rule could settle. A person must look.
CREATE TABLE exceptions (
    id        uuid PRIMARY KEY,
    order_id  uuid REFERENCES orders,                  -- NULL: the provider named an unknown order
    kind      text NOT NULL,
    source    text NOT NULL,                           -- what it is about, e.g. a provider's payment
    data      jsonb NOT NULL,
    state     text NOT NULL CHECK (state IN ('open', 'resolved')),
    raised_at timestamptz NOT NULL,
    UNIQUE (kind, source)                              -- raised once, however often a step is repeated
);
CREATE INDEX exceptions_by_order ON exceptions (order_id);

-- One row per mail that was accepted by the mail server: keeps a kind from being sent twice.
CREATE TABLE mails (
    order_id   uuid NOT NULL REFERENCES orders,
    kind       text NOT NULL,
    message_id text NOT NULL,
    sent_at    timestamptz,                            -- NULL only within the sender's own transaction
    PRIMARY KEY (order_id, kind)
);
