//! Reading orders. Always from PostgreSQL, so it works with every worker stopped.

use domain::{
    AccountId, OrderId, Timestamp,
    customer::Customer,
    metadata::Metadata,
    money::Currency,
    order::{Line, Order, PaymentStatus, Status},
    policy::Policy,
    returns::Back,
    stay::Stay,
    stock::Sku,
};
use sqlx::{Postgres, QueryBuilder};

use crate::{Db, Fault, Result, SqlTime, Tx, sql};

/// Which orders to list; absent fields do not filter.
#[derive(Debug, Default, Clone)]
pub struct Filter {
    pub status: Option<Status>,
    pub customer_id: Option<String>,
    /// What is in one of its lines.
    pub sku: Option<Sku>,
    pub placed_from: Option<Timestamp>,
    /// Exclusive.
    pub placed_to: Option<Timestamp>,
    /// Only orders older than this one: the last id of the page before.
    pub after: Option<OrderId>,
}

/// A line as its table has it: SKU, name, quantity, unit price, stay.
type LineRow = (Sku, String, i64, i64, Option<Stay>);
/// What is gone of a stock unit: how many came back, and how many will.
type GoneRow = (Sku, i64, i64);

struct Row {
    id: OrderId,
    status: Status,
    payment_status: PaymentStatus,
    currency: Currency,
    total: i64,
    parts_paid: i64,
    customer: Customer,
    policy: Policy,
    metadata: Metadata,
    placed_at: SqlTime,
    payment_due_at: SqlTime,
    paid_at: Option<SqlTime>,
    closed_at: Option<SqlTime>,
    close_reason: Option<String>,
    payment_method: Option<String>,
    lines: Vec<LineRow>,
    gone: Vec<GoneRow>,
    is_started: bool,
}

/// Whole orders, by what follows `FROM orders o`. Lines come in SKU order; only of what was paid for can
/// anything come back.
macro_rules! orders {
    ($which:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"SELECT o.id, o.status, o.payment_status, o.currency, o.total, o.parts_paid, o.customer,
                      o.policy, coalesce(o.metadata_sent::text, o.metadata::text) AS "metadata!: Metadata",
                      o.placed_at, o.payment_due_at, o.paid_at, o.closed_at, o.close_reason, o.payment_method,
                      ARRAY(SELECT ROW(sku, name, quantity, unit_price, stay) FROM order_lines
                            WHERE order_id = o.id ORDER BY sku) AS "lines!: Vec<LineRow>",
                      ARRAY(SELECT ROW(h.sku, h.returned, l.claimed) FROM holds h CROSS JOIN LATERAL (
                                SELECT coalesce(sum(quantity), 0)::bigint AS claimed FROM refund_lines
                                WHERE order_id = h.order_id AND sku = h.sku AND state = 'claimed'
                            ) AS l
                            WHERE h.order_id = o.id AND o.paid_at IS NOT NULL
                              AND (h.returned > 0 OR l.claimed > 0)) AS "gone!: Vec<GoneRow>",
                      o.workflow_started_at IS NOT NULL AS "is_started!"
               FROM orders o "#
                + $which,
            $($argument),+
        )
    };
}

/// An order as it is now, with its lines.
#[tracing::instrument(name = "sql orders.get", skip_all, err(level = "debug"))]
pub async fn get(db: &Db, id: OrderId) -> Result<Option<Order>> {
    Ok(orders!("WHERE o.id = $1", id.uuid()).fetch_optional(db.pool()).await?.map(Order::from))
}

/// Whether there is such an order of this customer's; and their account, if they have one of ours.
#[tracing::instrument(name = "sql orders.is_of", skip_all, err(level = "debug"))]
pub async fn is_of(db: &Db, id: OrderId, customer_id: &str, account: Option<AccountId>) -> Result<bool> {
    let is_of = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM orders WHERE id = $1 AND customer_id = $2)
              AND ($3::uuid IS NULL OR EXISTS (SELECT 1 FROM accounts WHERE id = $3)) AS "it!""#,
        id.uuid(),
        customer_id,
        account.map(AccountId::uuid)
    );
    Ok(is_of.fetch_one(db.pool()).await?)
}

/// An order, and whether its workflow is known to have been started.
pub async fn get_for_workflow(db: &Db, id: OrderId) -> Result<Option<(Order, bool)>> {
    let row = orders!("WHERE o.id = $1", id.uuid()).fetch_optional(db.pool()).await?;
    Ok(row.map(|row| (row.is_started, row)).map(|(is_started, row)| (row.into(), is_started)))
}

/// An order within a transaction.
pub(crate) async fn read(tx: &mut Tx, id: OrderId) -> Result<Order> {
    let order = orders!("WHERE o.id = $1", id.uuid()).fetch_optional(&mut **tx).await?;
    order.map(Order::from).ok_or(Fault::UnknownOrder(id))
}

/// The order that was placed under an idempotency key.
pub async fn placed_under(db: &Db, key: &str) -> Result<Option<OrderId>> {
    let id = sqlx::query_scalar!("SELECT id FROM orders WHERE idempotency_key = $1", key);
    Ok(id.fetch_optional(db.pool()).await?)
}

/// Newest first.
#[tracing::instrument(name = "sql orders.list", skip_all, err(level = "debug"))]
pub async fn list(db: &Db, filter: &Filter, limit: i64) -> Result<Vec<Order>> {
    let mut query = QueryBuilder::<Postgres>::new("SELECT id FROM orders WHERE true");
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status);
    }
    if let Some(customer) = &filter.customer_id {
        query.push(" AND customer_id = ").push_bind(customer.clone());
    }
    if let Some(sku) = &filter.sku {
        let lines = " AND EXISTS (SELECT FROM order_lines l WHERE l.order_id = orders.id AND l.sku = ";
        query.push(lines).push_bind(sku.clone()).push(")");
    }
    if let Some(from) = filter.placed_from {
        query.push(" AND placed_at >= ").push_bind(sql(from));
    }
    if let Some(to) = filter.placed_to {
        query.push(" AND placed_at < ").push_bind(sql(to));
    }
    if let Some(after) = filter.after {
        query.push(" AND id < ").push_bind(after.uuid());
    }
    query.push(" ORDER BY id DESC LIMIT ").push_bind(limit);
    let ids: Vec<OrderId> = query.build_query_scalar().persistent(false).fetch_all(db.pool()).await?;
    let orders = orders!("WHERE o.id = ANY($1) ORDER BY o.id DESC", ids as _);
    Ok(orders.fetch_all(db.pool()).await?.into_iter().map(Order::from).collect())
}

impl From<Row> for Order {
    fn from(row: Row) -> Self {
        let line = |(sku, name, quantity, unit_price, stay)| Line { sku, name, quantity, unit_price, stay };
        let gone = |(unit, returned, claimed)| (unit, Back { returned, claimed });
        Self {
            id: row.id,
            status: row.status,
            payment_status: row.payment_status,
            currency: row.currency,
            total: row.total,
            parts_paid: row.parts_paid,
            lines: row.lines.into_iter().map(line).collect(),
            gone: row.gone.into_iter().map(gone).collect(),
            customer: row.customer,
            policy: row.policy,
            payment_method: row.payment_method,
            placed_at: row.placed_at.to_jiff(),
            payment_due_at: row.payment_due_at.to_jiff(),
            paid_at: row.paid_at.map(SqlTime::to_jiff),
            closed_at: row.closed_at.map(SqlTime::to_jiff),
            close_reason: row.close_reason,
            metadata: row.metadata,
        }
    }
}
