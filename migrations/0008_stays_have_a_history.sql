-- What a stay offers is of its product's history like everything else: its terms, and each offer of nights. The row has
-- the terms and the last offer, as its events make them (`domain::product::Details`).
ALTER TABLE products
    ADD COLUMN stay   jsonb,
    ADD COLUMN nights jsonb;

INSERT INTO product_events (sku, version, type, at, by, changes)
SELECT sku, p.version + 1, 'product.changed', greatest(p.updated_at, s.updated_at), 'migration',
       jsonb_build_object('stay', jsonb_build_object('from', NULL, 'to', jsonb_build_object(
           'max_guests', max_guests, 'time_zone', time_zone, 'extras', extras)))
FROM stays s JOIN products p USING (sku);
UPDATE products p
SET version = p.version + 1, updated_at = greatest(p.updated_at, s.updated_at),
    stay = jsonb_build_object('max_guests', max_guests, 'time_zone', time_zone, 'extras', extras)
FROM stays s WHERE s.sku = p.sku;
DROP TABLE stays;
