-- References that hold by themselves, and were looked up again for every row that an order writes: a tenth of the
-- door's time. What an order's transaction writes for it refers to the order it wrote first, and orders stay on record. A line's
-- product is that of its hold's stock unit, or of its nights. `holdfast audit` proves both.
ALTER TABLE timeline DROP CONSTRAINT timeline_order_id_fkey;
ALTER TABLE outbox DROP CONSTRAINT outbox_order_id_fkey;
ALTER TABLE order_lines DROP CONSTRAINT order_lines_sku_fkey;

CREATE TRIGGER orders_stay BEFORE DELETE OR TRUNCATE ON orders
    EXECUTE FUNCTION refuse('an order stays on record');
