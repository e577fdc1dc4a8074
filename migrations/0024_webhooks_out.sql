-- Where shops want our events sent, and what became of each (docs/adr/0040).

CREATE TABLE webhook_endpoints (
    id                    uuid PRIMARY KEY,
    url                   text NOT NULL,
    -- Empty: all.
    types                 text[] NOT NULL,
    description           text NOT NULL,
    -- In clear, since it signs. Who reads this database reads all that is signed with it. The keys of payloads do not fit:
    -- they are taken away when the last history that has them is gone, and this is not.
    secret                text NOT NULL,
    previous_secret       text,
    previous_secret_until timestamptz,
    status                text NOT NULL DEFAULT 'enabled' CHECK (status IN ('enabled', 'disabled')),
    disabled_reason       text,
    disabled_at           timestamptz,
    -- The first failure since something was delivered.
    failing_since         timestamptz,
    -- Whoever mails the owner that it was disabled. NULL: it is to be told, or there is nothing to tell.
    owner_told_at         timestamptz,
    owner_told_by         timestamptz,
    -- The last event from before it was made.
    begins_after          bigint NOT NULL,
    created_at            timestamptz NOT NULL,
    created_by            text NOT NULL,
    updated_at            timestamptz NOT NULL,
    -- From then on it is shown to nobody; the row goes once its deliveries are gone.
    deleted_at            timestamptz,
    CHECK ((status = 'disabled') = (disabled_reason IS NOT NULL)),
    CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL))
);

-- No reference to the endpoint: a million deliveries are not deleted in one transaction.
CREATE TABLE webhook_deliveries (
    endpoint_id  uuid NOT NULL,
    event        bigint NOT NULL,
    -- Of the event's id, which is known here longer than the event.
    salt         bigint NOT NULL,
    order_id     uuid,
    subject      text NOT NULL,
    type         text NOT NULL,
    at           timestamptz NOT NULL,
    state        text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts     integer NOT NULL DEFAULT 0,
    -- When it may be tried. NULL while an earlier one of its endpoint and subject is pending: so what waits behind
    -- another costs nothing, however much it is.
    due_at       timestamptz,
    -- Until then it is in somebody's hands. In no index, so that taking it moves nothing.
    leased_until timestamptz,
    answer_code  smallint,
    answer       text,
    error        text,
    created_at   timestamptz NOT NULL,
    -- Of the last try.
    tried_at     timestamptz,
    delivered_at timestamptz,
    PRIMARY KEY (endpoint_id, event)
) WITH (fillfactor = 85);

-- What is to be tried: of each subject the first that is pending.
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at) WHERE state = 'pending' AND due_at IS NOT NULL;
-- Which is the first of its subject.
CREATE INDEX webhook_deliveries_of_subject ON webhook_deliveries (endpoint_id, subject, event) WHERE state = 'pending';
-- Lists by state, the oldest that waits, and what is old enough to be forgotten.
CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (endpoint_id, state, event);
-- Lists since a time.
CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (endpoint_id, at, event);
CREATE INDEX webhook_deliveries_of_order ON webhook_deliveries (order_id, event, endpoint_id) WHERE order_id IS NOT NULL;
-- Events that must be kept for somebody.
CREATE INDEX webhook_deliveries_undelivered ON webhook_deliveries (event) WHERE state <> 'delivered';

-- Nobody is told what happened before there were endpoints.
INSERT INTO event_cursors (name, position)
SELECT 'webhooks', CASE WHEN is_called THEN last_value ELSE 0 END FROM events_position
ON CONFLICT DO NOTHING;
