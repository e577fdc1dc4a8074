-- What was possible before, and is not any more, in the rows that have it.

-- A paid order whose money has all gone back ends: it is asked for now, as it would have been then.
INSERT INTO order_changes (id, order_id, kind, request, request_hash, requested_at, dispatch_after)
SELECT gen_random_uuid(), id, 'end_refunded', '{"kind": "end_refunded"}', '', coalesce(paid_at, placed_at), coalesce(paid_at, placed_at)
FROM orders WHERE status = 'paid' AND payment_status = 'refunded';

-- An order's timeline went back by moments, where an entry had not waited for the order's lock.
UPDATE timeline t SET at = told.latest
FROM (SELECT id, at, max(at) OVER (PARTITION BY order_id ORDER BY id) AS latest FROM timeline) AS told
WHERE t.id = told.id AND told.at < told.latest;

-- A refund that failed and whose money went back in the provider's dashboard was settled as `refund`; it has no refund of its own.
UPDATE exceptions SET action = 'dismiss'
WHERE kind = 'refund_failed' AND action = 'refund' AND resolved_by = 'provider';
