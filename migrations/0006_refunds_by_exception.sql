-- An order's payment status is added up whenever money moves, and asks for the refunds of exceptions.
CREATE INDEX refunds_by_exception ON refunds (exception_id) WHERE exception_id IS NOT NULL;
