-- What we tell others, stored with the change it tells of (docs/adr/0039). It takes the place of `outbox`, which nobody read; what
-- a version before this one still writes there comes here.

-- Who has the number of an event has a transaction id first: so whoever sees that all transactions up to a later id have ended
-- knows that no event with this number or a lower one can still appear. The CASE keeps the two in this order.
CREATE SEQUENCE events_position AS bigint;

CREATE TABLE events (
    position bigint PRIMARY KEY DEFAULT CASE WHEN pg_current_xact_id() IS NOT NULL THEN nextval('events_position') END,
    -- The other half of the event's id: a database that is restored gives a number again, but not the same id.
    salt     bigint NOT NULL DEFAULT ('x' || left(md5(gen_random_uuid()::text), 16))::bit(64)::bigint,
    -- What it is about: an order, or something else by its subject.
    order_id uuid,
    subject  text,
    -- The how-manieth public event of its subject. NULL: written by a version that did not count.
    sequence integer,
    type     text NOT NULL,
    -- Of the shape of `data`.
    version  smallint NOT NULL DEFAULT 1,
    at       timestamptz NOT NULL,
    data     jsonb NOT NULL,
    -- The request that caused it: `traceparent`, and its `x-*` headers.
    cause    jsonb,
    CHECK ((order_id IS NULL) <> (subject IS NULL))
);
CREATE INDEX events_of_order ON events (order_id, position) WHERE order_id IS NOT NULL;
CREATE INDEX events_of_subject ON events (subject, position) WHERE subject IS NOT NULL;

-- How many public events of its order there are up to an entry, this one included. NULL: as above.
ALTER TABLE timeline ADD COLUMN told integer;
-- The request that placed the order: what happens later by nobody's request carries its headers on.
ALTER TABLE orders ADD COLUMN cause jsonb;
-- The request that asked for it, until the order's workflow does it.
ALTER TABLE order_changes ADD COLUMN cause jsonb;

-- How far each of those who carry events away has come, and who of them has it in hand (docs/adr/0039).
CREATE TABLE event_cursors (
    name         text PRIMARY KEY,
    position     bigint NOT NULL,
    holder       uuid,
    leased_until timestamptz
);

CREATE FUNCTION outbox_becomes_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (order_id, type, data, at) VALUES (NEW.order_id, NEW.type, NEW.data, NEW.at);
    RETURN NULL;
END $$;
CREATE TRIGGER outbox_becomes_events BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION outbox_becomes_events();

-- `timeline_at` with what the order has been told of so far. The same reasons: each statement in here sees what was committed
-- before it began, so after the lock was had.
CREATE FUNCTION timeline_end(of_order uuid, wanted timestamptz, OUT at timestamptz, OUT told integer) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM FROM orders WHERE id = of_order FOR NO KEY UPDATE;
    SELECT greatest(wanted, max(t.at)), coalesce(max(t.told), 0) INTO at, told FROM timeline t WHERE t.order_id = of_order;
END $$;

-- The same for exceptions of no order, and for levels.
ALTER TABLE exceptions ADD COLUMN told integer NOT NULL DEFAULT 0;
ALTER TABLE stock_levels
    ADD COLUMN told integer NOT NULL DEFAULT 0,
    -- What is available may fall to this much without anybody being told.
    ADD COLUMN low_stock_threshold bigint CHECK (low_stock_threshold BETWEEN 1 AND 1000000000000);

-- Whatever moves a level, others are told when the last piece goes, when there is some again, and when the SKU's threshold is
-- crossed. When the transaction ends: the movement that did it is in the ledger then, and says when it was and for which order.
CREATE FUNCTION tell_of_level() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was bigint := OLD.on_hand - OLD.held;
    is_now bigint := NEW.on_hand - NEW.held;
    low bigint := NEW.low_stock_threshold;
    moved record;
    word text;
    count integer;
BEGIN
    SELECT m.at, o.cause INTO moved FROM stock_movements m LEFT JOIN orders o ON o.id = m.order_id
    WHERE m.sku = NEW.sku ORDER BY m.id DESC LIMIT 1;
    FOREACH word IN ARRAY ARRAY[
        CASE WHEN was > low AND is_now <= low THEN 'stock.low' END,
        CASE WHEN was > 0 AND is_now = 0 THEN 'stock.depleted' END,
        CASE WHEN was = 0 AND is_now > 0 THEN 'stock.restocked' END,
        CASE WHEN was <= low AND is_now > low THEN 'stock.recovered' END]
    LOOP
        CONTINUE WHEN word IS NULL;
        UPDATE stock_levels SET told = told + 1 WHERE sku = NEW.sku RETURNING told INTO count;
        INSERT INTO events (subject, sequence, type, at, data, cause) VALUES (
            'inventory:' || NEW.sku, count, word, moved.at,
            jsonb_build_object('sku', NEW.sku, 'on_hand', NEW.on_hand, 'held', NEW.held, 'available', is_now,
                               'low_stock_threshold', low),
            moved.cause);
    END LOOP;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER tell_of_level AFTER UPDATE ON stock_levels DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.on_hand = OLD.held) <> (NEW.on_hand = NEW.held)
          OR (OLD.on_hand - OLD.held > NEW.low_stock_threshold) <> (NEW.on_hand - NEW.held > NEW.low_stock_threshold))
    EXECUTE FUNCTION tell_of_level();

-- A change of the catalogue by a version that does not tell of it yet, which may run beside this one: the row is as the change left
-- it when the transaction ends. What is told already is not told again.
CREATE FUNCTION tell_of_product() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (subject, sequence, type, at, data)
    SELECT p.sku, NEW.version, NEW.type, NEW.at,
           jsonb_build_object('sku', p.sku, 'name', p.name, 'unit_price', p.unit_price, 'currency', p.currency,
                              'active', p.active, 'changed', (SELECT jsonb_agg(field) FROM jsonb_object_keys(NEW.changes) AS field))
    FROM products p
    WHERE p.sku = NEW.sku AND NOT EXISTS (SELECT FROM events WHERE subject = NEW.sku AND sequence = NEW.version);
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER tell_of_product AFTER INSERT ON product_events DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION tell_of_product();
