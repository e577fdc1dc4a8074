-- Makes 3,000 of each order and each product that there is, with all that belongs to it, so that the planner has something to plan
-- for. A copy differs in what must be unique; columns that number themselves do so again.
-- (Copies of movements are no ledger: its guards are off in this session.)
SET session_replication_role = replica;
CREATE TEMP TABLE orders_map AS
    SELECT id AS old, gen_random_uuid() AS new, n FROM orders, generate_series(1, 3000) AS n;
CREATE TEMP TABLE products_map AS
    SELECT sku AS old, sku || '-' || n AS new, n FROM products, generate_series(1, 3000) AS n;

CREATE FUNCTION pg_temp.copy_rows(map text, which text, key text, changes text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    columns text := (SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
                     WHERE table_name = which AND is_identity = 'NO' AND is_generated = 'NEVER');
    values  text := (SELECT string_agg('r.' || quote_ident(column_name), ', ') FROM information_schema.columns
                     WHERE table_name = which AND is_identity = 'NO' AND is_generated = 'NEVER');
BEGIN
    EXECUTE format(
        'INSERT INTO %1$I (%2$s)
         SELECT %3$s FROM %1$I t JOIN %6$I c ON t.%4$I = c.old,
                LATERAL jsonb_populate_record(t, jsonb_build_object(%4$L, c.new) || %5$s) r',
        which, columns, values, key, changes, map);
END $$;

SELECT pg_temp.copy_rows('products_map', 'products', 'sku', '''{}''');
SELECT pg_temp.copy_rows('products_map', 'product_events', 'sku', '''{}''');
INSERT INTO catalogue_words SELECT substr(md5(n::text), 1, 3), md5(n::text) FROM generate_series(1, 20000) AS n;
SELECT pg_temp.copy_rows('products_map', 'stock_levels', 'sku', '''{}''');
INSERT INTO stock_levels (sku, night, on_hand, held, capacity, unit_price)
SELECT c.new || '@' || s.night, s.night, s.on_hand, s.held, s.capacity, s.unit_price
FROM stock_levels s JOIN products_map c ON c.old = s.product WHERE s.night IS NOT NULL AND c.n <= 300;
INSERT INTO stock_movements (sku, kind, on_hand_delta, held_delta, on_hand_after, held_after, at)
SELECT s.sku, 'adjusted', s.on_hand, 0, s.on_hand, 0, p.created_at
FROM stock_levels s JOIN products p ON p.sku = s.product WHERE s.night IS NOT NULL AND s.product LIKE '%-%';
SELECT pg_temp.copy_rows('orders_map', 'orders', 'id', $$jsonb_build_object('idempotency_key', 'copy-' || c.new,
                         'customer_id', 'cust-' || c.n)$$);
SELECT pg_temp.copy_rows('orders_map', which, 'order_id', '''{}''')
FROM unnest(ARRAY['order_lines', 'holds', 'stock_movements', 'timeline', 'mails', 'check_ins']) AS which;
SELECT pg_temp.copy_rows('orders_map', 'events', 'order_id', $$jsonb_build_object('position', nextval('events_position'))$$);
SELECT pg_temp.copy_rows('orders_map', 'inbox', 'order_id',
    $$jsonb_build_object('event_id', t.event_id || c.new)$$);
SELECT pg_temp.copy_rows('orders_map', 'payments', 'order_id',
    $$jsonb_build_object('id', gen_random_uuid(), 'provider_payment_id', 'copy-' || gen_random_uuid(),
                         'idempotency_key', NULL)$$);
SELECT pg_temp.copy_rows('orders_map', 'exceptions', 'order_id',
    $$jsonb_build_object('id', gen_random_uuid(), 'source', 'copy-' || gen_random_uuid(),
                         'provider_payment_id', 'copy-' || gen_random_uuid(),
                         'payment_id', (SELECT p.id FROM payments p WHERE p.order_id = c.new LIMIT 1))$$);
SELECT pg_temp.copy_rows('orders_map', 'refunds', 'order_id',
    $$jsonb_build_object('id', gen_random_uuid(), 'provider_refund_id', 'copy-' || gen_random_uuid(),
                         'provider_payment_id', 'copy-' || gen_random_uuid(),
                         'idempotency_key', NULL, 'exception_id', NULL,
                         'payment_id', (SELECT p.id FROM payments p WHERE p.order_id = c.new LIMIT 1))$$);
SELECT pg_temp.copy_rows('orders_map', 'order_changes', 'order_id',
    $$jsonb_build_object('id', gen_random_uuid())$$);
SELECT pg_temp.copy_rows('orders_map', 'refund_lines', 'order_id', $$jsonb_build_object('refund_id', gen_random_uuid())$$);
SELECT pg_temp.copy_rows('orders_map', 'provider_movements', 'order_id',
    $$jsonb_build_object('reference', 'copy-' || gen_random_uuid())$$);
INSERT INTO disputes (id, order_id, payment_id, provider, provider_payment_id, provider_dispute_id, amount, currency, state,
                      created_at, updated_at)
SELECT gen_random_uuid(), order_id, id, provider, provider_payment_id, 'dp-' || id, 1, currency, 'won', created_at, updated_at
FROM payments WHERE provider_payment_id IS NOT NULL;
INSERT INTO api_keys (id, name, hash, prefix, scopes, created_at, created_by, revoked_at)
SELECT gen_random_uuid(), 'old', sha256(n::text::bytea), 'hf_0000', '{operations}', now() - interval '1 year', 'api',
       now() - interval '1 month'
FROM generate_series(1, 3000) AS n;
INSERT INTO console_sessions (token_hash, key_hash, of_environment, created_at, seen_at, ends_at)
SELECT sha256(n::text::bytea), sha256(n::text::bytea), false, now(), now(), now() + n * interval '1 second' FROM generate_series(1, 3000) AS n;
INSERT INTO registrations (id, email_key, customer, password_hash, registered_at)
SELECT gen_random_uuid(), 'r' || n, '{}', '', now() - interval '1 day' FROM generate_series(1, 3000) AS n;
INSERT INTO accounts (id, email_key, customer, password_hash, verified_at, password_changed_at)
SELECT gen_random_uuid(), 'a' || n, '{}', '', now(), now() FROM generate_series(1, 3000) AS n;
INSERT INTO account_codes (id, purpose, account_id, requested_at, workflow_started_at, seed)
SELECT gen_random_uuid(), 'reset_password', id, now(), now(), '' FROM accounts;
INSERT INTO account_codes (id, purpose, registration_id, requested_at, workflow_started_at, seed)
SELECT gen_random_uuid(), 'verify_email', id, now(), now(), '' FROM registrations;
INSERT INTO sessions (id, account_id, started_at, refreshed_at) SELECT gen_random_uuid(), id, now(), now() FROM accounts;
INSERT INTO rate_limits (key, used, ends_at) SELECT sha256(n::text::bytea), 1, now() FROM generate_series(1, 3000) AS n;
INSERT INTO events (order_id, type, at, data)
SELECT gen_random_uuid(), 'order.placed', now() - n * interval '1 second', '{}' FROM generate_series(1, 20000) AS n;
INSERT INTO webhook_endpoints (id, url, types, description, secret, begins_after, created_at, created_by, updated_at)
SELECT gen_random_uuid(), '', '{}', '', '', 0, now(), 'api', now() FROM generate_series(1, 50);
INSERT INTO webhook_deliveries (endpoint_id, event, salt, order_id, subject, type, at, state, due_at, created_at, tried_at)
SELECT w.id, 1000000 + n, 0, gen_random_uuid(), 's' || n, 'order.placed', now(),
       (ARRAY['delivered', 'delivered', 'delivered', 'pending', 'failed'])[1 + n % 5],
       CASE WHEN n % 5 = 3 THEN now() + interval '1 hour' END, now(), now()
FROM webhook_endpoints w, generate_series(1, 400) AS n;
INSERT INTO order_links (order_id, generation, revoked_at) SELECT id, 1, now() FROM orders;
INSERT INTO mail_bounces (order_id, kind, status, bounced_at) SELECT id, 'paid', '5.1.1', now() FROM orders;
ANALYZE;
