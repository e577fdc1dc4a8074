-- The catalogue: kinds of products, the events they are made of, and how they are searched.

-- `goods` are counted in pieces, `stay` is booked by the night. A product is what it is: its kind is set when it is
-- created, since orders, stock and nights refer to it as such.
ALTER TABLE products
    ADD COLUMN kind       text NOT NULL DEFAULT 'goods' CHECK (kind IN ('goods', 'stay')),
    ADD COLUMN version    integer NOT NULL DEFAULT 1 CHECK (version > 0),  -- the number of its last event
    ADD COLUMN retired_at timestamptz,
    -- The words of name and description, and those of the name once more, marked (store/src/products/search.rs). NULL:
    -- not indexed yet, as rows are that this migration finds; `holdfast migrate` does it right after, since what a word
    -- is stands in domain/src/search.rs.
    ADD COLUMN search     tsvector,
    ADD CONSTRAINT retired_is_not_active CHECK (retired_at IS NULL OR NOT active);

-- Each change of a product. This table is the truth, and `products` what it adds up to (domain/src/product.rs), so a
-- row may be written anew from it at any time: hence no reference to `products`. Its key decides who creates a product.
CREATE TABLE product_events (
    sku     text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    type    text NOT NULL,
    at      timestamptz NOT NULL,
    by      text NOT NULL,                             -- who asked for it: `api`, `seed`, `migration`
    changes jsonb NOT NULL,                            -- {field: {from, to}}
    PRIMARY KEY (sku, version)
);

CREATE FUNCTION refuse_product_event_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'product_events is append-only';
END $$;
CREATE TRIGGER product_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON product_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_product_event_change();

-- What there is begins its history here. A row that was changed before gets a second event, without a word on what
-- was changed: nobody knows any more.
INSERT INTO product_events (sku, version, type, at, by, changes)
SELECT sku, 1, 'product.created', created_at, 'migration',
       jsonb_build_object(
           'kind', jsonb_build_object('from', NULL, 'to', kind),
           'name', jsonb_build_object('from', NULL, 'to', name),
           'description', jsonb_build_object('from', NULL, 'to', description),
           'unit_price', jsonb_build_object('from', NULL, 'to', unit_price),
           'currency', jsonb_build_object('from', NULL, 'to', currency),
           'active', jsonb_build_object('from', NULL, 'to', active),
           'retired', jsonb_build_object('from', NULL, 'to', false))
FROM products;
INSERT INTO product_events (sku, version, type, at, by, changes)
SELECT sku, 2, 'product.changed', updated_at, 'migration', '{}' FROM products WHERE updated_at > created_at;
UPDATE products SET version = 2 WHERE updated_at > created_at;

-- Lists show what is not retired, in SKU order.
CREATE INDEX products_listed ON products (sku) WHERE retired_at IS NULL;
CREATE INDEX products_by_word ON products USING gin (search);
-- SKUs by their beginning, in small letters; "C" so that the beginning is a range.
CREATE INDEX products_by_sku ON products (lower(sku) COLLATE "C", sku);

-- Every word of the catalogue under each of its trigrams: a misspelt word finds those most like it. Words stay when
-- the last product that has them goes; they find nothing then.
CREATE TABLE catalogue_words (
    trigram text COLLATE "C" NOT NULL,
    word    text COLLATE "C" NOT NULL,
    PRIMARY KEY (trigram, word)
);
