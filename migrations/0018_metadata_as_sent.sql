-- What a shop put on an order, as it wrote it. jsonb knows numbers, not their text: 1e308 becomes 308 digits, and -0 and
-- 1.0 come back as others. `metadata` stays for the version before this one, which reads and writes it alone; a row that
-- has no `metadata_sent` is one of its. No default and no check, so no row is rewritten or read.
ALTER TABLE orders ADD COLUMN metadata_sent json;
