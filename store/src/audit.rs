//! The invariants, as queries that must find nothing. See ARCHITECTURE.md for their meaning.

mod money;
mod owed;

use domain::exception::Kind;
use sqlx::{Postgres, postgres::PgArguments, query::QueryScalar, query_scalar};

use crate::{
    Db, Fault, Result,
    products::history,
    refunds::{left_of_payment, payment_status},
};

pub use money::{Money, money};

/// One invariant, how many rows break it, and those rows, each as one line of text (at most [`SHOWN`]).
#[derive(Debug)]
pub struct Finding {
    pub invariant: &'static str,
    pub broken: usize,
    pub rows: Vec<String>,
}

/// So many of the rows that break an invariant are shown.
pub const SHOWN: usize = 20;

/// An invariant, and what breaks it: a line of text each.
type Check = (&'static str, fn() -> QueryScalar<'static, Postgres, Option<String>, PgArguments>);

macro_rules! check {
    ($invariant:literal, $statement:literal $(, $argument:expr)*) => {
        ($invariant, || query_scalar!($statement $(, $argument)*))
    };
}
use check;

const CHECKS: &[Check] = &[
    check!(
        "1. levels are the sum of the ledger, and never negative",
        "SELECT format('%s: on_hand %s, ledger %s; held %s, ledger %s', s.sku, s.on_hand,
                       coalesce(sum(m.on_hand_delta), 0), s.held, coalesce(sum(m.held_delta), 0))
         FROM stock_levels s LEFT JOIN stock_movements m USING (sku)
         GROUP BY s.sku
         HAVING s.on_hand <> coalesce(sum(m.on_hand_delta), 0)
             OR s.held <> coalesce(sum(m.held_delta), 0)
             OR s.on_hand < 0 OR s.held < 0 OR s.held > s.on_hand"
    ),
    check!(
        "1. held stock is the sum of the open holds",
        "SELECT format('%s: held %s, open holds %s', s.sku, s.held, coalesce(sum(h.quantity), 0))
         FROM stock_levels s LEFT JOIN holds h ON h.sku = s.sku AND h.state = 'held'
         GROUP BY s.sku HAVING s.held <> coalesce(sum(h.quantity), 0)"
    ),
    check!(
        "1. a night's capacity is what was offered of it",
        "SELECT format('%s: capacity %s, ledger %s', s.sku, s.capacity, coalesce(sum(m.on_hand_delta), 0))
         FROM stock_levels s LEFT JOIN stock_movements m ON m.sku = s.sku AND m.kind = 'adjusted'
         WHERE s.night IS NOT NULL
         GROUP BY s.sku HAVING s.capacity <> coalesce(sum(m.on_hand_delta), 0)"
    ),
    check!(
        "1. each movement goes on from the balance that the one before it left",
        "SELECT format('%s: movement %s makes %s/%s of %s/%s by %s/%s', sku, id, on_hand_after, held_after,
                       on_hand_before, held_before, on_hand_delta, held_delta)
         FROM (SELECT sku, id, on_hand_delta, held_delta, on_hand_after, held_after,
                      lag(on_hand_after, 1, 0::bigint) OVER of_sku AS on_hand_before,
                      lag(held_after, 1, 0::bigint) OVER of_sku AS held_before
               FROM stock_movements WINDOW of_sku AS (PARTITION BY sku ORDER BY id)) AS m
         WHERE on_hand_after <> on_hand_before + on_hand_delta OR held_after <> held_before + held_delta"
    ),
    check!(
        "1. each movement does what its kind says, and leaves nothing negative",
        "SELECT format('%s: movement %s, %s %s/%s leaves %s/%s', sku, id, kind, on_hand_delta, held_delta,
                       on_hand_after, held_after)
         FROM stock_movements
         WHERE held_after < 0 OR held_after > on_hand_after
            OR (order_id IS NULL) <> (kind IN ('received', 'adjusted'))
            OR NOT CASE kind
                   WHEN 'received' THEN on_hand_delta > 0 AND held_delta = 0
                   WHEN 'adjusted' THEN on_hand_delta <> 0 AND held_delta = 0
                   WHEN 'held' THEN on_hand_delta = 0 AND held_delta > 0
                   WHEN 'committed' THEN on_hand_delta < 0 AND held_delta = on_hand_delta
                   WHEN 'released' THEN on_hand_delta = 0 AND held_delta < 0
                   WHEN 'returned' THEN on_hand_delta > 0 AND held_delta = 0
                   ELSE false END"
    ),
    check!(
        "2. a hold moved once, by all of it, and the ledger says how; \
         what came back did so after it was sold",
        "SELECT format('%s %s: hold of %s is %s, ledger: %s', order_id, sku, quantity, state,
                       coalesce(moves, 'nothing'))
         FROM holds FULL JOIN (
             SELECT order_id, sku,
                    string_agg(kind || ' ' || greatest(abs(on_hand_delta), abs(held_delta)), ', ' ORDER BY id)
                        FILTER (WHERE kind <> 'returned') AS moves,
                    min(id) FILTER (WHERE kind = 'returned')
                        < max(id) FILTER (WHERE kind <> 'returned') AS too_early
             FROM stock_movements WHERE order_id IS NOT NULL
             GROUP BY order_id, sku) AS m USING (order_id, sku)
         WHERE moves IS NULL OR state IS NULL OR too_early OR moves <> CASE state
                   WHEN 'held' THEN 'held ' || quantity
                   WHEN 'released' THEN format('held %s, released %1$s', quantity)
                   ELSE format('held %s, committed %1$s', quantity) END"
    ),
    check!(
        "2. every line has its hold, or one for each night, open exactly while the order is unpaid",
        "SELECT format('%s %s: order %s, hold %s', o.id, unit.sku, o.status, coalesce(h.state, 'none'))
         FROM orders o JOIN order_lines l ON l.order_id = o.id
         CROSS JOIN LATERAL (
             SELECT l.sku WHERE l.stay IS NULL
             UNION ALL
             SELECT l.sku || '@' || (night->>'date') FROM jsonb_array_elements(l.stay->'nights') AS night
         ) AS unit (sku)
         LEFT JOIN holds h ON h.order_id = l.order_id AND h.sku = unit.sku
         WHERE h.state IS DISTINCT FROM CASE
                   WHEN o.status = 'awaiting_payment' THEN 'held'
                   WHEN o.paid_at IS NOT NULL THEN 'committed'
                   ELSE 'released' END
            OR h.quantity <> l.quantity"
    ),
    check!(
        "2. every line, timeline entry and event is of an order, and every line of a product",
        "SELECT format('%s: a line of no order or no product (%s)', order_id, sku) FROM order_lines l
         WHERE NOT EXISTS (SELECT 1 FROM orders WHERE id = l.order_id)
            OR NOT EXISTS (SELECT 1 FROM products p WHERE p.sku = l.sku)
         UNION ALL
         SELECT format('%s: %s in the timeline of no order', order_id, type) FROM timeline t
         WHERE NOT EXISTS (SELECT 1 FROM orders WHERE id = t.order_id)
         UNION ALL
         SELECT format('%s: event %s of no order', order_id, type) FROM events e
         WHERE order_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM orders WHERE id = e.order_id)"
    ),
    check!(
        // Of what is older than the mark some is kept for endpoints, and the rest forgotten.
        "13. the events of each subject are numbered without a gap, in their order",
        "SELECT format('%s: event %s follows event %s', coalesce(order_id::text, subject), sequence, before)
         FROM (SELECT order_id, subject, sequence,
                      lag(sequence) OVER (PARTITION BY order_id, subject ORDER BY position) AS before
               FROM events
               WHERE position > coalesce((SELECT position FROM event_cursors WHERE name = 'pruned'), 0)
              ) AS numbered
         WHERE sequence <> before + 1"
    ),
    check!(
        "3. every captured cent is an order's, or an exception's",
        "SELECT format('%s: captured %s %s by %s, applied %s, exceptions %s', p.order_id, p.amount,
                       p.currency, p.provider_payment_id, p.applied, coalesce(sum(e.amount), 0))
         FROM payments p LEFT JOIN exceptions e ON e.payment_id = p.id AND e.kind = ANY($1)
              AND e.action IS DISTINCT FROM 'apply'
         WHERE p.state = 'succeeded'
         GROUP BY p.id HAVING p.amount <> p.applied + coalesce(sum(e.amount), 0)",
        &Kind::holding_money()
    ),
    check!(
        "3. what payments bring an order is what it costs once it is paid, less while it waits, and nothing \
         if it ended unpaid",
        "SELECT format('%s, %s: costs %s, %s in parts, paid %s by %s payments', o.id, o.status, o.total,
                       o.parts_paid, coalesce(sum(p.applied), 0), count(p.id))
         FROM orders o LEFT JOIN payments p ON coalesce(p.pays_order, p.order_id) = o.id AND p.applied > 0
         GROUP BY o.id
         HAVING coalesce(sum(p.applied), 0)
                <> CASE WHEN o.paid_at IS NOT NULL THEN o.total ELSE o.parts_paid END
             OR bool_or(p.currency <> o.currency)"
    ),
    check!(
        "3. what costs nothing was paid when it was placed",
        "SELECT format('%s: placed %s, paid %s', id, placed_at, paid_at) FROM orders
         WHERE total = 0 AND paid_at IS DISTINCT FROM placed_at"
    ),
    check!(
        "3. every exception that was settled by a refund has one, of no more than its amount",
        "SELECT format('%s: %s %s, refunds %s', e.id, e.amount, e.currency, coalesce(sum(r.amount), 0))
         FROM exceptions e LEFT JOIN refunds r ON r.exception_id = e.id
         WHERE e.action = 'refund'
         GROUP BY e.id
         HAVING count(r.id) = 0 OR sum(r.amount) > e.amount OR bool_or(r.currency <> e.currency)"
    ),
    check!(
        "3. no more goes back than was there: of an order's own money, and of what exceptions hold",
        "WITH taken AS (
             SELECT payment_id, provider, provider_payment_id, own, held FROM refunds WHERE state <> 'failed'
             UNION ALL
             SELECT payment_id, provider, provider_payment_id, own, held FROM disputes WHERE state <> 'won'
         ), held AS (
             SELECT payment_id, provider, provider_payment_id, sum(back) AS back FROM exceptions
             WHERE kind = ANY($1) AND action IS DISTINCT FROM 'apply'
             GROUP BY payment_id, provider, provider_payment_id
         ), part AS (
             SELECT payment_id, provider, provider_payment_id, sum(own) AS own, sum(held) AS held FROM taken
             GROUP BY payment_id, provider, provider_payment_id
         )
         SELECT format('%s: applied %s, back %s; held by exceptions and back %s, refunded of them %s',
                       coalesce(p.order_id::text, t.provider_payment_id), p.applied, t.own, h.back, t.held)
         FROM part t LEFT JOIN payments p ON p.id = t.payment_id
         LEFT JOIN held h ON h.payment_id IS NOT DISTINCT FROM t.payment_id AND h.provider = t.provider
              AND h.provider_payment_id = t.provider_payment_id
         WHERE t.own > coalesce(p.applied, 0) OR t.held <> coalesce(h.back, 0)
         UNION ALL
         SELECT format('%s: holds %s, back %s', id, amount, back) FROM exceptions
         WHERE back > amount AND kind = ANY($1)",
        &Kind::holding_money()
    ),
    check!(
        "3. what went back has a reason, or is an exception",
        "SELECT format('%s: %s went back, %s of it for a reason', r.id, r.amount, r.own + r.held)
         FROM refunds r
         WHERE r.state = 'succeeded' AND r.own + r.held < r.amount
           AND NOT EXISTS (SELECT 1 FROM exceptions e
                           WHERE e.refund_id = r.id AND e.kind = 'refund_unexplained')
           AND NOT EXISTS (SELECT 1 FROM refunds o WHERE o.provider_payment_id = r.provider_payment_id
                               AND o.source <> 'provider' AND o.state IN ('requested', 'pending'))
         UNION ALL
         SELECT format('%s: %s was lost, %s of it for a reason', d.provider_dispute_id, d.amount,
                       d.own + d.held)
         FROM disputes d
         WHERE d.state = 'lost' AND d.payment_id IS NOT NULL AND d.own + d.held < d.amount
           AND NOT EXISTS (SELECT 1 FROM exceptions e
                           WHERE e.dispute_id = d.id AND e.kind = 'refund_unexplained')"
    ),
    ("3. an order that was cancelled after it was paid keeps none of its money", || {
        left_of_payment!(query_scalar!(
            "SELECT format('%s: %s %s by %s', p.order_id, back.rest, p.currency, p.provider_payment_id)
             FROM payments p JOIN orders o ON o.id = coalesce(p.pays_order, p.order_id)
             CROSS JOIN LATERAL (SELECT ",
            " AS rest) AS back
             WHERE o.status = 'cancelled' AND o.paid_at IS NOT NULL AND p.applied > 0 AND back.rest > 0
               AND NOT EXISTS (SELECT 1 FROM exceptions e
                               WHERE e.payment_id = p.id AND e.kind = 'refund_failed')"
        ))
    }),
    check!(
        "3. what should have gone back and is still here is one exception",
        "WITH here AS (
             SELECT p.id, p.applied
                    - coalesce((SELECT sum(own) FROM refunds
                                WHERE payment_id = p.id AND state <> 'failed'), 0)
                    - coalesce((SELECT sum(own) FROM disputes
                                WHERE payment_id = p.id AND state <> 'won'), 0)
                      AS own,
                    coalesce((SELECT sum(amount - back) FROM exceptions
                              WHERE payment_id = p.id AND action = 'refund' AND kind = ANY($1)), 0) AS sent,
                    coalesce((SELECT sum(amount) FROM exceptions
                              WHERE payment_id = p.id AND kind = 'refund_failed' AND state = 'open'), 0)
                        AS open
             FROM payments p
         )
         SELECT format('%s: %s should have gone back, %s is here', id, open, own + sent) FROM here
         WHERE open > own + sent
         UNION ALL
         SELECT format('%s: failed without an exception', r.id)
         FROM refunds r JOIN here ON here.id = r.payment_id
         WHERE r.state = 'failed' AND r.source <> 'provider' AND r.exception_id IS NULL
           AND here.own + sent > open
           AND NOT EXISTS (SELECT 1 FROM exceptions e WHERE e.refund_id = r.id AND e.kind = 'refund_failed')",
        &Kind::holding_money()
    ),
    check!(
        "3. an open dispute is an exception, and one that is closed is none",
        "SELECT format('%s: %s, exception %s', d.provider_dispute_id, d.state, e.state)
         FROM disputes d LEFT JOIN exceptions e ON e.dispute_id = d.id AND e.kind = 'disputed'
         WHERE CASE d.state WHEN 'open' THEN e.id IS NULL ELSE e.state = 'open' END"
    ),
    ("3. an order's payment status is what its payments and refunds add up to", || {
        payment_status!(query_scalar!(
            "SELECT format('%s: %s, should be %s', o.id, o.payment_status, it.should_be)
             FROM orders o CROSS JOIN LATERAL (SELECT ",
            " AS should_be) AS it WHERE o.payment_status <> it.should_be"
        ))
    }),
    check!(
        "3. every capture that was reported over an hour ago was settled",
        "SELECT format('%s: event %s of %s, received %s', i.order_id, i.event_id, i.provider, i.received_at)
         FROM inbox i
         WHERE i.outcome = 'succeeded' AND i.order_id IS NOT NULL
           AND CASE WHEN i.settled_at IS NULL THEN i.received_at < now() - interval '1 hour'
               ELSE NOT EXISTS (SELECT 1 FROM payments p
                                WHERE p.order_id = i.order_id AND p.provider = i.provider
                                  AND p.provider_payment_id = i.payment_id)
                AND NOT EXISTS (SELECT 1 FROM exceptions e WHERE e.data->>'payment_id' = i.payment_id)
               END"
    ),
    check!(
        "4. an order has at most one end",
        "SELECT format('%s: %s', order_id, string_agg(type, ', ' ORDER BY id))
         FROM timeline WHERE type IN ('order.completed', 'order.cancelled', 'order.expired')
         GROUP BY order_id HAVING count(*) > 1"
    ),
    check!(
        "7. the timeline of an order never goes back",
        "SELECT format('%s: %s at %s, after %s at %s', order_id, type, at, type_before, at_before)
         FROM (SELECT order_id, type, at, lag(type) OVER told AS type_before, lag(at) OVER told AS at_before
               FROM timeline WINDOW told AS (PARTITION BY order_id ORDER BY id)) AS t
         WHERE at < at_before"
    ),
    check!(
        "11. every change that was asked for over a day ago was decided",
        "SELECT format('%s: %s %s, asked at %s', order_id, kind, id, requested_at) FROM order_changes
         WHERE decided_at IS NULL AND requested_at < now() - interval '1 day'"
    ),
    check!(
        "9. every product that has events has its row",
        r#"SELECT e.sku AS "sku?: String" FROM product_events e LEFT JOIN products p USING (sku)
           WHERE e.version = 1 AND p.sku IS NULL"#
    ),
];

/// Checks every invariant on the whole database.
pub async fn run(db: &Db) -> Result<Vec<Finding>> {
    let mut findings = Vec::with_capacity(CHECKS.len());
    let mut tx = db.begin_long_report().await?;
    for (invariant, query) in CHECKS.iter().copied().chain(owed::CHECKS.iter().copied()) {
        let rows = query().fetch_all(&mut *tx).await?;
        let (broken, rows) = (rows.len(), rows.into_iter().flatten().take(SHOWN).collect());
        findings.push(Finding { invariant, broken, rows });
    }
    drop(tx);
    let (broken, rows) = match history::differing(db).await {
        // What cannot be read is broken, and no reason to tell nothing.
        Err(Fault::Corrupt(why)) => (1, vec![why]),
        differing => differing?,
    };
    findings.push(Finding { invariant: "9. every product is what its events add up to", broken, rows });
    Ok(findings)
}
