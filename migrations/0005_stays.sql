-- Stays: products that are sold by the night.

-- A night is a stock unit of its own, so that holds, ledger and audit need not know about nights: its key is
-- `{sku}@{date}`, which no client's SKU can be. What is on hand of it is its capacity minus what was sold. A night
-- without a price costs what the product costs.
ALTER TABLE stock_levels
    DROP CONSTRAINT stock_levels_sku_fkey,
    ADD COLUMN product    text NOT NULL GENERATED ALWAYS AS (split_part(sku, '@', 1)) STORED REFERENCES products,
    ADD COLUMN night      date,
    ADD COLUMN capacity   bigint,
    ADD COLUMN unit_price bigint CHECK (unit_price > 0),
    ADD CONSTRAINT a_night_has_its_key CHECK ((night IS NULL) = (position('@' IN sku) = 0)),
    ADD CONSTRAINT a_night_has_a_capacity CHECK ((night IS NULL) = (capacity IS NULL)),
    ADD CONSTRAINT no_more_on_hand_than_capacity CHECK (on_hand <= capacity);
CREATE UNIQUE INDEX stock_levels_nights ON stock_levels (product, night) WHERE night IS NOT NULL;

-- What a product offers with its nights. Products without a row offer what `domain::stay::Terms::default` says.
CREATE TABLE stays (
    sku        text PRIMARY KEY REFERENCES products,
    max_guests bigint NOT NULL CHECK (max_guests > 0),
    time_zone  text NOT NULL,
    extras     jsonb NOT NULL,
    updated_at timestamptz NOT NULL
);

-- The stay of a line as it was booked: dates, guests, the price of each night and extra. NULL for goods.
ALTER TABLE order_lines ADD COLUMN stay jsonb;

-- One per paid order with a stay. The code itself is kept only until the mail server has it, so that a mail that is
-- sent again says the same; from then on there is a salted hash.
CREATE TABLE check_ins (
    order_id       uuid PRIMARY KEY REFERENCES orders,
    opens_at       timestamptz NOT NULL,                 -- the first stay begins
    closes_at      timestamptz NOT NULL,                 -- the last one is over
    code           text,
    salt           bytea NOT NULL,
    code_hash      bytea NOT NULL,
    wrong_attempts integer NOT NULL CHECK (wrong_attempts >= 0),
    used_at        timestamptz,
    closed_at      timestamptz,                          -- the order is completed: used or not
    CHECK (used_at IS NULL OR closed_at IS NOT NULL),
    CHECK (closed_at IS NULL OR code IS NULL)
);
-- For the sweeper: stays that are over, and whose order somebody's termination of its workflow left waiting.
CREATE INDEX check_ins_open_by_end ON check_ins (closes_at) WHERE closed_at IS NULL;
