//! The locks that transactions wait for. Everybody takes them in this one order, so that they wait for each
//! other and never deadlock:
//!
//! 1. payments, which are names that providers gave: [`payments`];
//! 2. orders, by id: [`orders`];
//! 3. what belongs to one of those: a refund, a dispute, an exception, an attempt to pay. Each is read and
//!    locked by one statement of its aggregate's;
//! 4. products, by SKU: [`products`], `products::lock`;
//! 5. stock levels, by SKU: [`levels`], [`levels_held_by`], [`levels_of_nights`], `stock::lock`,
//!    `StockSnapshot::lock`, `lines_on_the_shelf`.
//!
//! Of webhooks the cursor comes first, which nobody waits for, then endpoints, by id: [`webhook_endpoints`].
//!
//! Of accounts the address comes first: [`email`]; then what belongs to it, and orders last.
//!
//! Orders are locked behind stock only where they are new, so that nobody else can know of them. What is
//! leased or claimed (`SKIP LOCKED`) waits for nobody, and stands in no order.

use std::collections::BTreeMap;

use domain::{Date, OrderId, WebhookEndpointId, stock::Sku};
use jiff_sqlx::ToSqlx as _;

use crate::{Fault, Result, Tx, orders::Locked};

/// One report at a time about one payment, of its capture or of its refunds: two at once about a new refund
/// would both insert it, and a capture would not see a refund that came before it.
pub(crate) async fn payment(tx: &mut Tx, provider: &str, provider_payment_id: &str) -> Result<()> {
    payments(tx, &[(provider, provider_payment_id)]).await
}

/// The same of many, in an order of their own.
pub(crate) async fn payments(tx: &mut Tx, payments: &[(&str, &str)]) -> Result<()> {
    let names = payments.iter().map(|(provider, payment)| format!("{provider}/{payment}"));
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(key) FROM (
             SELECT DISTINCT hashtextextended(name, 0) AS key FROM unnest($1::text[]) AS p (name) ORDER BY key
         ) AS payment",
        &names.collect::<Vec<_>>()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// One at a time for each address: who registers it, verifies it, or resets its password.
pub(crate) async fn email(tx: &mut Tx, email_key: &str) -> Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 1))", email_key)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// An order of which something is stored already.
pub(crate) async fn order(tx: &mut Tx, id: OrderId) -> Result<Locked> {
    order_if_known(tx, id).await?.ok_or(Fault::UnknownOrder(id))
}

/// None if there is no such order.
pub(crate) async fn order_if_known(tx: &mut Tx, id: OrderId) -> Result<Option<Locked>> {
    Ok(orders(tx, &[id]).await?.pop_first().map(|(_, order)| order))
}

/// Those of the orders that there are.
pub(crate) async fn orders(tx: &mut Tx, ids: &[OrderId]) -> Result<BTreeMap<OrderId, Locked>> {
    let orders = sqlx::query_as!(
        Locked,
        "SELECT id, status, version, total, parts_paid, currency, customer_id, policy, placed_at,
                payment_due_at
         FROM orders WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE",
        ids as _
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(orders.into_iter().map(|order| (order.id, order)).collect())
}

pub(crate) async fn products(tx: &mut Tx, skus: &[Sku]) -> Result<()> {
    sqlx::query!("SELECT FROM products WHERE sku = ANY($1) ORDER BY sku FOR NO KEY UPDATE", skus as _)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(crate) async fn levels(tx: &mut Tx, skus: &[&Sku]) -> Result<()> {
    sqlx::query!("SELECT FROM stock_levels WHERE sku = ANY($1) ORDER BY sku FOR NO KEY UPDATE", skus as _)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The levels of what these orders have on hold.
pub(crate) async fn levels_held_by(tx: &mut Tx, orders: &[uuid::Uuid]) -> Result<()> {
    sqlx::query!(
        "SELECT FROM stock_levels
         WHERE sku IN (SELECT sku FROM holds WHERE order_id = ANY($1) AND state = 'held')
         ORDER BY sku FOR NO KEY UPDATE",
        orders
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The levels of a stay's nights, from one day to another.
pub(crate) async fn levels_of_nights(tx: &mut Tx, product: &Sku, from: Date, to: Date) -> Result<()> {
    sqlx::query!(
        "SELECT FROM stock_levels WHERE product = $1 AND night >= $2 AND night < $3
         ORDER BY sku FOR NO KEY UPDATE",
        product.as_str(),
        from.to_sqlx(),
        to.to_sqlx()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whoever writes that deliveries are pending, or are not any more, holds their endpoints: so nothing is put
/// behind another that has just been delivered, and then waits for ever.
pub(crate) async fn webhook_endpoints(tx: &mut Tx, ids: &[WebhookEndpointId]) -> Result<()> {
    sqlx::query!("SELECT FROM webhook_endpoints WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE", ids as _)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
