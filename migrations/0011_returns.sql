-- What was sold comes back line by line and piece by piece, in as many steps as it takes, and never more than was sold.

-- What each refund is to bring back, by stock unit (of a stay, its nights). `claimed` when the refund is asked for: from
-- then on it is no longer owed to the customer, and no other refund can claim it. `returned` when the money is back.
-- `freed` if the refund fails for good: it is owed again, and waits for the refund that is made in place of the failed
-- one. `void` once that has claimed it, or once the order was handed over as a whole.
CREATE TABLE refund_lines (
    refund_id uuid NOT NULL REFERENCES refunds,
    order_id  uuid NOT NULL,
    sku       text NOT NULL,
    quantity  bigint NOT NULL CHECK (quantity > 0),
    state     text NOT NULL CHECK (state IN ('claimed', 'returned', 'freed', 'void')),
    PRIMARY KEY (refund_id, sku),
    FOREIGN KEY (order_id, sku) REFERENCES holds (order_id, sku)
);
CREATE INDEX refund_lines_by_order ON refund_lines (order_id, sku);

-- A movement that returns names its refund, which returns each unit once. Those from before this know none.
-- The other kinds still move the whole hold, once: a movement that returns is exempt from that key, because the key's
-- column is empty there.
ALTER TABLE stock_movements
    DROP CONSTRAINT moves_the_whole_hold,
    DROP CONSTRAINT stock_movements_order_id_sku_kind_key,
    ADD COLUMN refund_id uuid,
    ADD COLUMN whole bigint GENERATED ALWAYS AS (
        CASE WHEN kind = 'held' THEN held_delta
             WHEN kind IN ('committed', 'released') THEN -held_delta END) STORED,
    ADD CONSTRAINT moves_the_whole_hold FOREIGN KEY (order_id, sku, whole)
        REFERENCES holds (order_id, sku, quantity),
    ADD CONSTRAINT returns_what_a_refund_claimed FOREIGN KEY (refund_id, sku)
        REFERENCES refund_lines (refund_id, sku),
    ADD CONSTRAINT refund_only_of_what_returns CHECK (refund_id IS NULL OR kind = 'returned');
CREATE UNIQUE INDEX stock_movements_order_id_sku_kind_refund
    ON stock_movements (order_id, sku, kind, coalesce(refund_id, order_id));
-- Looked at after that one, as before, so that the one that was broken is the one that is named.
DROP INDEX a_hold_ends_once;
CREATE UNIQUE INDEX a_hold_ends_once ON stock_movements (order_id, sku) WHERE kind IN ('committed', 'released');

-- How much of a hold came back, as its ledger says. Whatever code writes: no more than was sold.
ALTER TABLE holds ADD COLUMN returned bigint NOT NULL DEFAULT 0;
UPDATE holds h SET returned = m.quantity
FROM stock_movements m WHERE m.order_id = h.order_id AND m.sku = h.sku AND m.kind = 'returned';
ALTER TABLE holds ADD CONSTRAINT no_more_comes_back_than_was_sold
    CHECK (returned BETWEEN 0 AND CASE state WHEN 'committed' THEN quantity ELSE 0 END);

-- The ledger writes it: a movement that returns is added to its hold. The hold's row is locked by that, so two at once
-- are added one after the other.
CREATE FUNCTION hold_counts_what_returns() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE holds SET returned = returned + NEW.quantity WHERE order_id = NEW.order_id AND sku = NEW.sku;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a return of % to no hold', NEW.sku USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER hold_counts_what_returns AFTER INSERT ON stock_movements
    FOR EACH ROW WHEN (NEW.kind = 'returned') EXECUTE FUNCTION hold_counts_what_returns();

-- And nobody else does. Looked at when the transaction ends.
CREATE FUNCTION returned_is_what_the_ledger_says() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM holds h
               WHERE h.order_id = NEW.order_id AND h.sku = NEW.sku
                 AND h.returned <> (SELECT coalesce(sum(m.quantity), 0) FROM stock_movements m
                                    WHERE m.order_id = h.order_id AND m.sku = h.sku AND m.kind = 'returned')) THEN
        RAISE EXCEPTION 'what came back of % is not what its ledger says', NEW.sku
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER returned_is_what_the_ledger_says AFTER UPDATE ON holds
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.returned <> OLD.returned)
    EXECUTE FUNCTION returned_is_what_the_ledger_says();

-- Until now a refund brought back all of its order or nothing, and one refund of an order did so.
INSERT INTO refund_lines (refund_id, order_id, sku, quantity, state)
SELECT r.id, h.order_id, h.sku, h.returned, 'returned'
FROM holds h CROSS JOIN LATERAL (
    SELECT id FROM refunds WHERE order_id = h.order_id AND restock AND state IN ('succeeded', 'failed')
    ORDER BY state DESC, updated_at, id LIMIT 1) AS r
WHERE h.returned > 0;
INSERT INTO refund_lines (refund_id, order_id, sku, quantity, state)
SELECT r.id, h.order_id, h.sku, h.quantity, 'claimed'
FROM holds h CROSS JOIN LATERAL (
    SELECT id FROM refunds WHERE order_id = h.order_id AND restock AND state IN ('requested', 'pending')
    ORDER BY id LIMIT 1) AS r
WHERE h.state = 'committed' AND h.returned = 0;
INSERT INTO refund_lines (refund_id, order_id, sku, quantity, state)
SELECT r.id, h.order_id, h.sku, h.quantity, 'freed'
FROM refunds r JOIN holds h USING (order_id)
WHERE r.restock AND r.state = 'failed' AND h.state = 'committed' AND h.returned = 0;

-- Nights that are on sale again are not the guests' any more.
UPDATE check_ins c SET code = NULL, closed_at = (
    SELECT max(at) FROM stock_movements m WHERE m.order_id = c.order_id AND m.kind = 'returned')
WHERE closed_at IS NULL
  AND EXISTS (SELECT 1 FROM holds h WHERE h.order_id = c.order_id AND h.returned > 0)
  AND NOT EXISTS (SELECT 1 FROM holds h WHERE h.order_id = c.order_id AND h.returned < h.quantity
                    AND position('@' IN h.sku) > 0);
