-- Plans that need no good statistics (docs/adr/0031).
--
-- The entry that another one follows is the last one: PostgreSQL finds it at the end of an order's part of the index, also
-- when it believes that all entries are of one order. (The latest of all, as it was asked for before, made it walk through the
-- table then.)
CREATE OR REPLACE FUNCTION timeline_at(of_order uuid, wanted timestamptz) RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM FROM orders WHERE id = of_order FOR NO KEY UPDATE;
    RETURN greatest(wanted, (SELECT at FROM timeline WHERE order_id = of_order ORDER BY id DESC LIMIT 1));
END $$;
