-- The catalogue: kinds of products.

-- `goods` are counted in pieces, `stay` is booked by the night. A product is what it is: its kind is set when it is
-- created, since orders, stock and nights refer to it as such.
ALTER TABLE products
    ADD COLUMN kind text NOT NULL DEFAULT 'goods' CHECK (kind IN ('goods', 'stay'));
