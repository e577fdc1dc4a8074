-- Orders are paid by one payment or by several, and money that was not what was due can be counted towards an order.

-- What came towards an order while it waits for the rest: the sum of `applied` of its payments. It stands in the order's
-- own row because every decision locks that: a statement that waited for the lock sees what the one before it wrote
-- there, and not what it wrote to other tables. A paid order was paid its total, and an order that ended unpaid has given
-- its parts back, so the column is of an order that awaits payment alone. Versions before it leave it 0; one of them that
-- would pay or end an order with parts is refused by the constraint, and a newer worker does it right.
ALTER TABLE orders
    ADD COLUMN parts_paid bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT parts_are_of_an_unpaid_order CHECK
        (parts_paid = 0 OR (status = 'awaiting_payment' AND parts_paid > 0 AND parts_paid < total));

ALTER TABLE exceptions
    DROP CONSTRAINT exceptions_action_check,
    ADD CONSTRAINT exceptions_action_check CHECK (action IN ('refund', 'accept', 'dismiss', 'apply'));

-- A refund that is larger than what one payment has left is several, one for each payment. The first answers the request
-- and has its key; the others name it.
ALTER TABLE refunds ADD COLUMN also_of uuid REFERENCES refunds;
CREATE INDEX refunds_by_first ON refunds (also_of) WHERE also_of IS NOT NULL;
