//! Reading orders. Always from PostgreSQL, so it works with every worker stopped.

use std::collections::HashMap;

use domain::{
    OrderId, Timestamp,
    customer::Customer,
    metadata::Metadata,
    money::Currency,
    order::{Line, Order, PaymentStatus, Status},
    policy::Policy,
    returns::Gone,
    stay::Stay,
    stock::Sku,
};
use sqlx::{PgExecutor, Postgres, QueryBuilder, types::Json};

use crate::{Db, Error, Result, SqlTime, returns, sql};

/// Which orders to list; absent fields do not filter.
#[derive(Debug, Default, Clone)]
pub struct Filter {
    pub status: Option<Status>,
    pub customer_id: Option<String>,
    pub placed_from: Option<Timestamp>,
    /// Exclusive.
    pub placed_to: Option<Timestamp>,
    /// Only orders older than this one: the last id of the page before.
    pub after: Option<OrderId>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: uuid::Uuid,
    status: String,
    payment_status: String,
    currency: String,
    total: i64,
    parts_paid: i64,
    customer: Json<Customer>,
    policy: Json<Policy>,
    metadata: String,
    placed_at: SqlTime,
    payment_due_at: SqlTime,
    paid_at: Option<SqlTime>,
    closed_at: Option<SqlTime>,
    close_reason: Option<String>,
    payment_method: Option<String>,
}

const SELECT: &str =
    "SELECT id, status, payment_status, currency, total, parts_paid, customer, policy,
    coalesce(metadata_sent::text, metadata::text) AS metadata, placed_at, payment_due_at, paid_at, closed_at, close_reason, payment_method FROM orders";

#[tracing::instrument(name = "sql orders.get", skip_all, err(level = "debug"))]
pub async fn get(db: &Db, id: OrderId) -> Result<Order> {
    let mut query = QueryBuilder::<Postgres>::new(SELECT);
    query.push(" WHERE id = ").push_bind(id.uuid());
    let row: Option<Row> = query.build_query_as().fetch_optional(db.pool()).await?;
    let row = row.ok_or(Error::NotFound)?;
    let mut lines = lines_of(db.pool(), &[id.uuid()]).await?;
    let mut gone = gone_of(db, &[&row]).await?;
    order(row, &mut lines, &mut gone)
}

/// The order that was placed under an idempotency key.
pub async fn placed_under(db: &Db, key: &str) -> Result<OrderId> {
    let id: Option<uuid::Uuid> = sqlx::query_scalar("SELECT id FROM orders WHERE idempotency_key = $1")
        .bind(key)
        .fetch_optional(db.pool())
        .await?;
    id.map(OrderId::from_uuid).ok_or(Error::NotFound)
}

/// Newest first.
#[tracing::instrument(name = "sql orders.list", skip_all, err(level = "debug"))]
pub async fn list(db: &Db, filter: &Filter, limit: i64) -> Result<Vec<Order>> {
    let mut query = QueryBuilder::<Postgres>::new(SELECT);
    query.push(" WHERE true");
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status.as_str());
    }
    if let Some(customer) = &filter.customer_id {
        query.push(" AND customer_id = ").push_bind(customer.clone());
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
    let rows: Vec<Row> = query.build_query_as().fetch_all(db.pool()).await?;
    let ids: Vec<uuid::Uuid> = rows.iter().map(|row| row.id).collect();
    let mut lines = lines_of(db.pool(), &ids).await?;
    let mut gone = gone_of(db, &rows.iter().collect::<Vec<_>>()).await?;
    rows.into_iter().map(|row| order(row, &mut lines, &mut gone)).collect()
}

type LineRow = (uuid::Uuid, String, String, i64, i64, Option<Json<Stay>>);
pub(crate) type Lines = HashMap<uuid::Uuid, Vec<Line>>;

/// The lines of these orders, in SKU order.
pub(crate) async fn lines_of<'e>(from: impl PgExecutor<'e>, orders: &[uuid::Uuid]) -> Result<Lines> {
    let rows: Vec<LineRow> = sqlx::query_as(
        "SELECT order_id, sku, name, quantity, unit_price, stay
         FROM order_lines WHERE order_id = ANY($1) ORDER BY order_id, sku",
    )
    .bind(orders)
    .fetch_all(from)
    .await?;
    let mut lines = Lines::new();
    for (order, sku, name, quantity, unit_price, stay) in rows {
        let stay = stay.map(|Json(stay)| stay);
        let line = Line { sku: Sku::from_store(sku), name, quantity, unit_price, stay };
        lines.entry(order).or_default().push(line);
    }
    Ok(lines)
}

/// What came back of these orders, or will. Only what was paid for can.
async fn gone_of(db: &Db, rows: &[&Row]) -> Result<HashMap<uuid::Uuid, Gone>> {
    let paid: Vec<uuid::Uuid> = rows.iter().filter(|row| row.paid_at.is_some()).map(|row| row.id).collect();
    match paid.is_empty() {
        true => Ok(HashMap::new()),
        false => returns::gone(db.pool(), &paid).await,
    }
}

fn order(row: Row, lines: &mut Lines, gone: &mut HashMap<uuid::Uuid, Gone>) -> Result<Order> {
    let payment_status = PaymentStatus::ALL.into_iter().find(|s| s.as_str() == row.payment_status);
    Ok(Order {
        id: OrderId::from_uuid(row.id),
        status: Status::parse(&row.status).map_err(Error::corrupt)?,
        payment_status: payment_status.ok_or_else(|| Error::corrupt(row.payment_status))?,
        currency: Currency::parse(&row.currency).map_err(Error::corrupt)?,
        total: row.total,
        parts_paid: row.parts_paid,
        lines: lines.remove(&row.id).unwrap_or_default(),
        gone: gone.remove(&row.id).unwrap_or_default(),
        customer: row.customer.0,
        policy: row.policy.0,
        payment_method: row.payment_method,
        placed_at: row.placed_at.to_jiff(),
        payment_due_at: row.payment_due_at.to_jiff(),
        paid_at: row.paid_at.map(|t| t.to_jiff()),
        closed_at: row.closed_at.map(|t| t.to_jiff()),
        close_reason: row.close_reason,
        metadata: Metadata::from_store(row.metadata),
    })
}
