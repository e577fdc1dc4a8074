//! Which orders have their workflow. An order is accepted before its workflow starts, so a crash or
//! an engine outage can leave one without; the sweeper finds it here.

use domain::{
    OrderId, SignedDuration, Timestamp,
    money::{Currency, Money},
    order::Order,
};

use crate::{Db, Error, Result, SqlTime, Tx, sql};

/// What the engine needs to start an order's workflow and describe it. No personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    pub id: OrderId,
    pub customer_id: String,
    pub total: Money,
}

impl From<&Order> for Start {
    fn from(order: &Order) -> Self {
        Self { id: order.id, customer_id: order.customer.id.clone(), total: order.total() }
    }
}

type Row = (uuid::Uuid, String, i64, String);

fn start((id, customer_id, total, currency): Row) -> Result<Start> {
    let currency = Currency::parse(&currency).map_err(Error::corrupt)?;
    Ok(Start { id: OrderId::from_uuid(id), customer_id, total: Money::new(total, currency) })
}

pub async fn start_of(db: &Db, id: OrderId) -> Result<Start> {
    let row: Option<Row> =
        sqlx::query_as("SELECT id, customer_id, total, currency FROM orders WHERE id = $1")
            .bind(id.uuid())
            .fetch_optional(db.pool())
            .await?;
    start(row.ok_or(Error::NotFound)?)
}

/// An open order this long past its deadline, or past the end of its stay, has lost its workflow (somebody
/// terminated it). It is started anew, and if that does not help, again after as long.
const OVERDUE: SignedDuration = SignedDuration::from_mins(10);

/// Takes orders that want a (re)start, placed before `placed_before`, hidden from other sweepers until
/// the transaction ends.
pub async fn claim_unstarted(
    db: &Db,
    now: Timestamp,
    placed_before: Timestamp,
    limit: i64,
) -> Result<(Tx<'static>, Vec<Start>)> {
    let mut tx = db.begin().await?;
    let overdue = now.saturating_sub(OVERDUE).unwrap_or(now);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, customer_id, total, currency FROM orders
         WHERE id IN (
             (SELECT id FROM orders
              WHERE workflow_started_at IS NULL AND placed_at < $1 ORDER BY placed_at LIMIT $3)
             UNION ALL
             (SELECT id FROM orders
              WHERE status = 'awaiting_payment' AND payment_due_at < $2 AND workflow_started_at < $2
              ORDER BY payment_due_at LIMIT $3)
             UNION ALL
             (SELECT o.id FROM check_ins c JOIN orders o ON o.id = c.order_id
              WHERE c.closed_at IS NULL AND c.closes_at < $2 AND o.workflow_started_at < $2
              ORDER BY c.closes_at LIMIT $3))
         FOR NO KEY UPDATE SKIP LOCKED",
    )
    .bind(sql(placed_before))
    .bind(sql(overdue))
    .bind(limit)
    .fetch_all(&mut *tx)
    .await?;
    let starts = rows.into_iter().map(start).collect::<Result<_>>()?;
    Ok((tx, starts))
}

/// Notes that these workflows were started, on the timeline the first time only.
pub async fn mark_started(tx: Option<Tx<'static>>, db: &Db, ids: &[OrderId], at: Timestamp) -> Result<()> {
    let mut tx = match tx {
        Some(tx) => tx,
        None => db.begin().await?,
    };
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let started: SqlTime = sql(at);
    sqlx::query(
        "WITH before AS (
             SELECT id, workflow_started_at FROM orders WHERE id = ANY($1) FOR NO KEY UPDATE
         ), started AS (
             UPDATE orders SET workflow_started_at = $2 WHERE id IN (SELECT id FROM before)
         )
         INSERT INTO timeline (order_id, at, type, data)
         SELECT id, greatest($2, (SELECT max(at) FROM timeline t WHERE t.order_id = before.id)),
                'workflow.started', '{}'
         FROM before WHERE workflow_started_at IS NULL",
    )
    .bind(ids)
    .bind(started)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}
