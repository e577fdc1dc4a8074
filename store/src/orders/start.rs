//! Which orders have their workflow. An order is accepted before its workflow starts, so a crash or
//! an engine outage can leave one without; the sweeper finds it here.

use domain::{
    OrderId, SignedDuration, Timestamp,
    money::{Currency, Money},
    order::{Order, Status},
    policy::Policy,
};
use sqlx::{PgExecutor, Postgres, QueryBuilder, types::Json};

use crate::{Db, Error, Result, SqlTime, Tx, sql};

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
            customer_id: order.customer.id.clone(),
            total: order.total(),
            payment_due_at: order.payment_due_at,
            first_alarm: order.policy.first_alarm(order.status, order.placed_at, order.payment_due_at),
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: uuid::Uuid,
    customer_id: String,
    total: i64,
    currency: String,
    status: String,
    policy: Json<Policy>,
    placed_at: SqlTime,
    payment_due_at: SqlTime,
}

const SELECT: &str =
    "SELECT id, customer_id, total, currency, status, policy, placed_at, payment_due_at FROM orders";

impl TryFrom<Row> for Start {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let currency = Currency::parse(&row.currency).map_err(Error::corrupt)?;
        let status = Status::parse(&row.status).map_err(Error::corrupt)?;
        let (placed_at, payment_due_at) = (row.placed_at.to_jiff(), row.payment_due_at.to_jiff());
        Ok(Self {
            id: OrderId::from_uuid(row.id),
            customer_id: row.customer_id,
            total: Money::new(row.total, currency),
            payment_due_at,
            first_alarm: row.policy.first_alarm(status, placed_at, payment_due_at),
        })
    }
}

pub async fn start_of(db: &Db, id: OrderId) -> Result<Start> {
    let mut query = QueryBuilder::<Postgres>::new(SELECT);
    query.push(" WHERE id = ").push_bind(id.uuid());
    let row: Option<Row> = query.build_query_as().fetch_optional(db.pool()).await?;
    row.ok_or(Error::NotFound)?.try_into()
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
    let mut query = QueryBuilder::<Postgres>::new(SELECT);
    query.push(
        " WHERE id IN (
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
    );
    let claim = query.build_query_as().bind(sql(placed_before)).bind(sql(overdue)).bind(limit);
    let rows: Vec<Row> = claim.fetch_all(&mut *tx).await?;
    let starts = rows.into_iter().map(Start::try_from).collect::<Result<_>>()?;
    Ok((tx, starts))
}

/// Notes that these workflows were started again, or for the first time, and ends the claim on them.
pub async fn mark_started(mut tx: Tx<'static>, ids: &[OrderId], at: Timestamp) -> Result<()> {
    note(&mut *tx, ids, true, at).await?;
    Ok(tx.commit().await?)
}

/// Notes that these workflows were started, unless that is known.
pub async fn note_started(db: &Db, ids: &[OrderId], at: Timestamp) -> Result<()> {
    note(db.pool(), ids, false, at).await
}

/// On the timeline the first time only.
async fn note<'e>(to: impl PgExecutor<'e>, ids: &[OrderId], again: bool, at: Timestamp) -> Result<()> {
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.uuid()).collect();
    sqlx::query(
        "WITH before AS (
             SELECT id, workflow_started_at FROM orders
             WHERE id = ANY($1) AND (workflow_started_at IS NULL OR $3) ORDER BY id FOR NO KEY UPDATE
         ), started AS (
             UPDATE orders SET workflow_started_at = $2 WHERE id IN (SELECT id FROM before)
         )
         INSERT INTO timeline (order_id, at, type, data)
         SELECT id, greatest($2, (SELECT max(at) FROM timeline t WHERE t.order_id = before.id)),
                'workflow.started', '{}'
         FROM before WHERE workflow_started_at IS NULL",
    )
    .bind(ids)
    .bind(sql(at))
    .bind(again)
    .execute(to)
    .await?;
    Ok(())
}
