-- Gifts, and what is 100 % off: a product, a night and an order may cost nothing. An order of total 0 is paid in the
-- transaction that places it, without a payment. Each new rule is wider than the one before, so no row can break it.
ALTER TABLE products
    DROP CONSTRAINT products_unit_price_check,
    ADD CONSTRAINT products_unit_price_check CHECK (unit_price >= 0) NOT VALID;
ALTER TABLE stock_levels
    DROP CONSTRAINT stock_levels_unit_price_check,
    ADD CONSTRAINT stock_levels_unit_price_check CHECK (unit_price >= 0) NOT VALID;
ALTER TABLE order_lines
    DROP CONSTRAINT order_lines_unit_price_check,
    ADD CONSTRAINT order_lines_unit_price_check CHECK (unit_price >= 0) NOT VALID;
ALTER TABLE orders
    DROP CONSTRAINT orders_total_check,
    ADD CONSTRAINT orders_total_check CHECK (total >= 0) NOT VALID;
