-- Who asked: the name of an API key (`api`: one of the environment), or `customer` with a token of their own. NULL: nobody did
-- (a workflow, a rule, a provider), or a version that did not note it.
ALTER TABLE order_changes   ADD COLUMN asked_by text;
ALTER TABLE stock_movements ADD COLUMN asked_by text;
ALTER TABLE refunds         ADD COLUMN asked_by text;
ALTER TABLE exceptions      ADD COLUMN asked_by text;
