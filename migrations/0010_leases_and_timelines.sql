-- What waits to be handed to the engine is leased, not locked: a sweeper commits a time before which nobody else hands the
-- row over, and holds neither lock nor transaction while the engine is asked (docs/adr/0026). NULL: nobody has had it yet.
-- Workers of the version before do not look at it; what they hand over once more does no harm.
ALTER TABLE orders  ADD COLUMN dispatch_after timestamptz;
ALTER TABLE inbox   ADD COLUMN dispatch_after timestamptz;
ALTER TABLE refunds ADD COLUMN dispatch_after timestamptz;

-- Who was tried goes to the end of the line, so rows that fail again and again do not keep the others from their turn. As
-- small as the indexes they replace, and of use to the statements of the version before, too.
CREATE INDEX orders_undispatched  ON orders  (coalesce(dispatch_after, placed_at))   WHERE workflow_started_at IS NULL;
CREATE INDEX inbox_undispatched   ON inbox   (coalesce(dispatch_after, received_at)) WHERE settled_at IS NULL;
CREATE INDEX refunds_undispatched ON refunds (coalesce(dispatch_after, created_at))  WHERE workflow_started_at IS NULL;
DROP INDEX orders_unstarted;
DROP INDEX inbox_unsettled;
DROP INDEX refunds_unstarted;

-- When an entry of a timeline is dated that is appended now: not before the one it follows. The order's row is locked
-- first, and each statement in here sees what was committed before it began. An INSERT that did both by itself would look
-- for the last entry as of its own beginning, before it waited for the lock, and the timeline would go back.
CREATE FUNCTION timeline_at(of_order uuid, wanted timestamptz) RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM FROM orders WHERE id = of_order FOR NO KEY UPDATE;
    RETURN greatest(wanted, (SELECT max(at) FROM timeline WHERE order_id = of_order));
END $$;
