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
};
use sqlx::{PgExecutor, Postgres, QueryBuilder};

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
}

#[tracing::instrument(name = "sql orders.get", skip_all, err(level = "debug"))]
pub async fn get(db: &Db, id: OrderId) -> Result<Order> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT id, status, payment_status, currency, total, parts_paid, customer, policy,
                  coalesce(metadata_sent::text, metadata::text) AS "metadata!: Metadata", placed_at, payment_due_at,
                  paid_at, closed_at, close_reason, payment_method
           FROM orders WHERE id = $1"#,
        id.uuid()
    )
    .fetch_optional(db.pool())
    .await?
    .ok_or(Error::NotFound)?;
    let mut lines = lines_of(db.pool(), &[id.uuid()]).await?;
    let mut gone = gone_of(db, std::slice::from_ref(&row)).await?;
    Ok(order(row, &mut lines, &mut gone))
}

/// The order that was placed under an idempotency key.
pub async fn placed_under(db: &Db, key: &str) -> Result<OrderId> {
    let id = sqlx::query_scalar!("SELECT id FROM orders WHERE idempotency_key = $1", key);
    id.fetch_optional(db.pool()).await?.ok_or(Error::NotFound)
}

/// Newest first.
#[tracing::instrument(name = "sql orders.list", skip_all, err(level = "debug"))]
pub async fn list(db: &Db, filter: &Filter, limit: i64) -> Result<Vec<Order>> {
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT id, status, payment_status, currency, total, parts_paid, customer, policy,
                coalesce(metadata_sent::text, metadata::text) AS metadata, placed_at, payment_due_at, paid_at,
                closed_at, close_reason, payment_method
         FROM orders WHERE true",
    );
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status);
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
    let ids: Vec<uuid::Uuid> = rows.iter().map(|row| row.id.uuid()).collect();
    let mut lines = lines_of(db.pool(), &ids).await?;
    let mut gone = gone_of(db, &rows).await?;
    Ok(rows.into_iter().map(|row| order(row, &mut lines, &mut gone)).collect())
}

pub(crate) type Lines = HashMap<uuid::Uuid, Vec<Line>>;

/// The lines of these orders, in SKU order.
pub(crate) async fn lines_of<'e>(from: impl PgExecutor<'e>, orders: &[uuid::Uuid]) -> Result<Lines> {
    let rows = sqlx::query!(
        "SELECT order_id, sku, name, quantity, unit_price, stay
         FROM order_lines WHERE order_id = ANY($1) ORDER BY order_id, sku",
        orders
    )
    .fetch_all(from)
    .await?;
    let mut lines = Lines::new();
    for row in rows {
        let line = Line {
            sku: row.sku,
            name: row.name,
            quantity: row.quantity,
            unit_price: row.unit_price,
            stay: row.stay,
        };
        lines.entry(row.order_id.uuid()).or_default().push(line);
    }
    Ok(lines)
}

/// What came back of these orders, or will. Only what was paid for can.
async fn gone_of(db: &Db, rows: &[Row]) -> Result<HashMap<uuid::Uuid, Gone>> {
    let paid: Vec<_> = rows.iter().filter(|row| row.paid_at.is_some()).map(|row| row.id.uuid()).collect();
    match paid.is_empty() {
        true => Ok(HashMap::new()),
        false => returns::gone(db.pool(), &paid).await,
    }
}

fn order(row: Row, lines: &mut Lines, gone: &mut HashMap<uuid::Uuid, Gone>) -> Order {
    Order {
        id: row.id,
        status: row.status,
        payment_status: row.payment_status,
        currency: row.currency,
        total: row.total,
        parts_paid: row.parts_paid,
        lines: lines.remove(&row.id.uuid()).unwrap_or_default(),
        gone: gone.remove(&row.id.uuid()).unwrap_or_default(),
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
