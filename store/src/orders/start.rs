//! Which orders have their workflow. An order is accepted before its workflow starts, so a crash or
//! an engine outage can leave one without; the sweeper finds it here.

use domain::{OrderId, SignedDuration, Timestamp, event::EventType, money::Money, order::Order};
use sqlx::PgExecutor;

use crate::{Db, Lease, Result, lease::put_off, sql};

/// What the engine needs to start an order's workflow and describe it. No personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    pub id: OrderId,
    pub customer_id: String,
    pub total: Money,
    pub payment_due_at: Timestamp,
    /// Until then there is nothing to do, if nothing happens to the order. None: there is something now.
    pub first_alarm: Option<Timestamp>,
}

impl From<&Order> for Start {
    fn from(order: &Order) -> Self {
        Self {
            id: order.id,
            customer_id: order.customer.id().to_owned(),
            total: order.total(),
            payment_due_at: order.payment_due_at,
            first_alarm: order.policy.first_alarm(order.status, order.placed_at, order.payment_due_at),
        }
    }
}

/// What orders need to start: their columns stand between the two parts of a statement.
macro_rules! starts {
    ($before:literal, $after:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query!(
            $before + "id, customer_id, total, currency, status, policy, placed_at, payment_due_at" + $after,
            $($argument),+
        )
        .map(|row| {
            let (placed_at, payment_due_at) = (row.placed_at.to_jiff(), row.payment_due_at.to_jiff());
            Start {
                id: row.id,
                customer_id: row.customer_id,
                total: Money::new(row.total, row.currency),
                payment_due_at,
                first_alarm: row.policy.first_alarm(row.status, placed_at, payment_due_at),
            }
        })
    };
}

/// What the engine needs to start the workflow of this order.
pub async fn start_of(db: &Db, id: OrderId) -> Result<Option<Start>> {
    let start = starts!("SELECT ", " FROM orders WHERE id = $1", id.uuid());
    Ok(start.fetch_optional(db.pool()).await?)
}

/// The same of several; those that do not exist are left out.
pub(crate) async fn starts_of(db: &Db, ids: Vec<uuid::Uuid>) -> Result<Vec<Start>> {
    Ok(starts!("SELECT ", " FROM orders WHERE id = ANY($1)", &ids).fetch_all(db.pool()).await?)
}

/// An open order this long past its deadline, or past the end of its stay, has lost its workflow (somebody
/// terminated it). It is started anew, and if that does not help, again after as long.
const OVERDUE: SignedDuration = SignedDuration::from_mins(10);

/// Leases orders that want a (re)start.
pub async fn claim_unstarted(db: &Db, lease: &Lease) -> Result<Vec<Start>> {
    let overdue = lease.now.saturating_sub(OVERDUE).unwrap_or(lease.now);
    let unstarted = starts!(
        "WITH unstarted AS (
             SELECT id FROM orders
             WHERE workflow_started_at IS NULL AND placed_at < $2 AND coalesce(dispatch_after, placed_at) < $1
             ORDER BY coalesce(dispatch_after, placed_at) LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED
         ), overdue AS (
             SELECT id FROM orders
             WHERE status = 'awaiting_payment' AND payment_due_at < $3 AND workflow_started_at < $3
               AND (dispatch_after IS NULL OR dispatch_after < $1)
             ORDER BY payment_due_at LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED
         ), stayed AS (
             SELECT o.id FROM check_ins c JOIN orders o ON o.id = c.order_id
             WHERE c.closed_at IS NULL AND c.closes_at < $3 AND o.workflow_started_at < $3
               AND (o.dispatch_after IS NULL OR o.dispatch_after < $1)
             ORDER BY c.closes_at LIMIT $4 FOR NO KEY UPDATE OF o SKIP LOCKED
         )
         UPDATE orders SET dispatch_after = $5
         WHERE id = ANY(ARRAY(SELECT id FROM unstarted UNION ALL SELECT id FROM overdue
                              UNION ALL SELECT id FROM stayed))
         RETURNING ",
        "",
        sql(lease.now),
        sql(lease.older_than),
        sql(overdue),
        lease.limit,
        sql(lease.until)
    );
    Ok(unstarted.fetch_all(db.pool()).await?)
}

/// Gives leased orders back, to be taken again after `until`.
pub async fn put_off_start(db: &Db, ids: &[OrderId], until: Timestamp) -> Result<()> {
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.uuid()).collect();
    put_off!("orders", &ids, until).execute(db.pool()).await?;
    Ok(())
}

/// Notes that these workflows were started again, or for the first time.
pub async fn mark_started(db: &Db, ids: &[OrderId], at: Timestamp) -> Result<()> {
    note(db.pool(), ids, true, at).await
}

/// Notes that these workflows were started, unless that is known.
pub async fn note_started(db: &Db, ids: &[OrderId], at: Timestamp) -> Result<()> {
    note(db.pool(), ids, false, at).await
}

/// On the timeline the first time only.
async fn note<'e>(to: impl PgExecutor<'e>, ids: &[OrderId], again: bool, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "WITH before AS (
             SELECT id, workflow_started_at FROM orders
             WHERE id = ANY($1) AND (workflow_started_at IS NULL OR $3) ORDER BY id FOR NO KEY UPDATE
         ), started AS (
             UPDATE orders SET workflow_started_at = $2 WHERE id = ANY(ARRAY(SELECT id FROM before))
         )
         INSERT INTO timeline (order_id, at, type, data)
         SELECT id, timeline_at(id, $2), $4, '{}' FROM before WHERE workflow_started_at IS NULL",
        ids as _,
        sql(at),
        again,
        EventType::WorkflowStarted.as_str()
    )
    .execute(to)
    .await?;
    Ok(())
}
