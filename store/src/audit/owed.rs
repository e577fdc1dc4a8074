//! Invariant 10: no unit and no night is owed to two orders. What an order was sold, less what came back, is
//! handed over or still set aside for it alone.

use sqlx::query_scalar;

use super::{Check, check};

pub(super) const CHECKS: &[Check] = &[
    check!(
        "10. no more of an order came back, or is claimed, than was sold with it",
        "SELECT format('%s %s: %s of %s, returned %s, claimed %s', h.order_id, h.sku, h.state, h.quantity,
                       h.returned, coalesce(l.claimed, 0))
         FROM holds h LEFT JOIN (
             SELECT order_id, sku, sum(quantity) AS claimed FROM refund_lines WHERE state = 'claimed'
             GROUP BY order_id, sku) AS l USING (order_id, sku)
         WHERE h.returned < 0
            OR h.returned + coalesce(l.claimed, 0) > CASE h.state WHEN 'committed' THEN h.quantity ELSE 0 END"
    ),
    check!(
        "10. what came back is what the ledger says",
        "SELECT format('%s %s: returned %s, ledger %s', order_id, sku, h.returned, coalesce(m.returned, 0))
         FROM holds h LEFT JOIN (
             SELECT order_id, sku, sum(on_hand_delta) AS returned FROM stock_movements WHERE kind = 'returned'
             GROUP BY order_id, sku) AS m USING (order_id, sku)
         WHERE h.returned <> coalesce(m.returned, 0)"
    ),
    check!(
        "10. what a refund brought back is in the ledger, once, and only that",
        "SELECT format('%s %s: refund %s, ledger %s', refund_id, sku, l.quantity, m.quantity)
         FROM (SELECT refund_id, sku, quantity FROM refund_lines WHERE state = 'returned') AS l
         FULL JOIN (SELECT refund_id, sku, sum(on_hand_delta) AS quantity FROM stock_movements
                    WHERE refund_id IS NOT NULL GROUP BY refund_id, sku) AS m USING (refund_id, sku)
         WHERE m.quantity IS DISTINCT FROM l.quantity
           -- those from before movements named their refund
           AND NOT (m.quantity IS NULL AND EXISTS (
               SELECT 1 FROM refunds r JOIN stock_movements b ON b.order_id = r.order_id
               WHERE r.id = l.refund_id AND b.sku = l.sku AND b.kind = 'returned' AND b.refund_id IS NULL
                 AND b.on_hand_delta = l.quantity))"
    ),
    check!(
        "10. what a refund is to bring back waits for its money, and comes with it",
        "SELECT format('%s %s: %s, refund %s', l.refund_id, l.sku, l.state, r.state)
         FROM refund_lines l JOIN refunds r ON r.id = l.refund_id
         WHERE r.order_id IS DISTINCT FROM l.order_id
            OR NOT CASE l.state
                   WHEN 'claimed' THEN r.state IN ('requested', 'pending')
                   -- some providers take success back; what is on the shelf stays there
                   WHEN 'returned' THEN r.state IN ('succeeded', 'failed')
                   WHEN 'freed' THEN r.state = 'failed'
                   ELSE true END"
    ),
    check!(
        "10. an order that was paid, and ended without being handed over, owes nothing",
        "SELECT format('%s %s: %s, %s of %s came back', o.id, h.sku, o.status, h.returned, h.quantity)
         FROM orders o JOIN holds h ON h.order_id = o.id
         WHERE o.status IN ('cancelled', 'expired') AND h.state = 'committed' AND h.returned < h.quantity"
    ),
    check!(
        "10. of each unit, what is not on the shelf is owed to its orders, each piece to one",
        "SELECT format('%s: %s there were, %s on hand, %s sold and not back', s.sku, coalesce(m.there, 0),
                       s.on_hand, coalesce(h.sold, 0))
         FROM stock_levels s
         LEFT JOIN (SELECT sku, sum(on_hand_delta) AS there FROM stock_movements
                    WHERE kind IN ('received', 'adjusted') GROUP BY sku) AS m USING (sku)
         LEFT JOIN (SELECT sku, sum(quantity - returned) AS sold FROM holds WHERE state = 'committed'
                    GROUP BY sku) AS h USING (sku)
         WHERE coalesce(s.capacity, m.there, 0) - s.on_hand <> coalesce(h.sold, 0)"
    ),
    // Where a day begins is known here to some hours: time zones lie between UTC-12 and UTC+14.
    check!(
        "10. an open check-in is of a paid order, and good for the nights that are still its guests'",
        "SELECT format('%s: %s, good from %s to %s, for nights from %s to %s', c.order_id, o.status,
                       c.opens_at, c.closes_at, n.first, n.last)
         FROM check_ins c JOIN orders o ON o.id = c.order_id
         CROSS JOIN LATERAL (
             SELECT min(s.night) FILTER (WHERE is_left) AS first, max(s.night) FILTER (WHERE is_left) AS last,
                    count(*) FILTER (WHERE claimed > 0) > 0 AS waits
             FROM (SELECT h.sku, h.quantity > h.returned + claimed AS is_left, claimed
                   FROM holds h CROSS JOIN LATERAL (
                       SELECT coalesce(sum(l.quantity), 0) AS claimed FROM refund_lines l
                       WHERE l.order_id = h.order_id AND l.sku = h.sku AND l.state = 'claimed') AS l
                   WHERE h.order_id = c.order_id) AS h
             JOIN stock_levels s ON s.sku = h.sku AND s.night IS NOT NULL) AS n
         WHERE c.closed_at IS NULL
           AND (o.status <> 'paid'
                OR CASE WHEN n.first IS NULL THEN NOT n.waits
                   ELSE abs(extract(epoch FROM c.opens_at - (n.first::timestamp AT TIME ZONE 'UTC')) + 3600)
                        > 50400
                     OR abs(extract(epoch FROM c.closes_at - ((n.last + 2)::timestamp AT TIME ZONE 'UTC'))
                            + 3600) > 50400 END)"
    ),
];
