//! Taking an order back whose money came too late. An ended order stays ended: a new one takes its place, at
//! the prices of then, if everything it needs is still on the shelf.

use domain::{
    OrderId, Timestamp,
    event::{EventLine, OrderEvent},
    returns::runs,
    stock::{Level, Sku},
};

use super::{Locked, pay::pay_successor};
use crate::{
    Result, Tx, check_ins,
    exceptions::About,
    order_events, payments, random, sql,
    stock::{self, End, Held},
};

/// The new order, paid by this very money. None if the money is not exactly what the order cost, another
/// order took its place already, or a line is not on the shelf any more.
pub(super) async fn reinstate(
    tx: &mut Tx,
    ends: &mut Vec<End>,
    ended: &Locked,
    about: &About<'_>,
    at: Timestamp,
) -> Result<Option<OrderId>> {
    let fits = about.money.amount == ended.total && about.money.currency == ended.currency;
    let (true, Some(payment)) = (fits, about.payment.payment) else { return Ok(None) };
    if payments::is_replaced(tx, ended.id).await? {
        return Ok(None); // it was paid for twice
    }
    let is_past = check_ins::stays(tx, ended.id).await?.iter().any(|stay| stay.is_past(at));
    if is_past || ended.expired_with_its_stay() {
        return Ok(None); // a night that was sold to nobody cannot be had any more
    }
    let Some(lines) = lines_on_the_shelf(tx, ended.id).await? else { return Ok(None) };
    let id = OrderId::new(at, random());
    copy(tx, ended.id, id, at).await?;
    let units = lines.iter().map(|(sku, quantity, _)| (sku.clone(), *quantity)).collect();
    let held = lines.into_iter().map(|(sku, quantity, level)| {
        let level = Level { held: level.held + quantity, ..level };
        Held { order: id, sku, quantity, level, at }
    });
    stock::hold(tx, &held.collect::<Vec<_>>()).await?;
    let placed = OrderEvent::OrderPlaced {
        total: ended.total,
        currency: ended.currency,
        in_place_of: Some(ended.id),
        customer_id: ended.customer_id.clone(),
        lines: runs(&units).into_iter().map(EventLine::from).collect(),
    };
    let received = about.payment.received(about.money);
    let events = [placed, OrderEvent::StockHeld { lines: Vec::new() }, OrderEvent::PaymentReceived(received)];
    order_events::append(tx, id, at, &events).await?;
    payments::apply(tx, payment, ended.total, Some(id)).await?;
    pay_successor(tx, ends, id, at).await?;
    order_events::append(tx, ended.id, at, &[OrderEvent::OrderReinstated { successor: id }]).await?;
    Ok(Some(id))
}

/// What the order had on hold, its levels locked in SKU order; none if one of them falls short.
async fn lines_on_the_shelf(tx: &mut Tx, order: OrderId) -> Result<Option<Vec<(Sku, i64, Level)>>> {
    let lines = sqlx::query!(
        "SELECT s.sku, h.quantity, s.on_hand, s.held
         FROM stock_levels s JOIN holds h ON h.sku = s.sku AND h.order_id = $1
         ORDER BY s.sku FOR NO KEY UPDATE OF s",
        order.uuid()
    )
    .map(|it| (it.sku, it.quantity, Level { on_hand: it.on_hand, held: it.held }))
    .fetch_all(&mut **tx)
    .await?;
    Ok(lines.iter().all(|(_, quantity, level)| level.available() >= *quantity).then_some(lines))
}

/// The same order under another id, placed now.
async fn copy(tx: &mut Tx, from: OrderId, to: OrderId, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "INSERT INTO orders (id, status, payment_status, version, currency, total, customer_id, customer,
                             policy, metadata, metadata_sent, placed_at, payment_due_at, idempotency_key,
                             request_hash, payment_method, cause)
         SELECT $2, 'awaiting_payment', 'unpaid', 1, currency, total, customer_id, customer,
                policy, metadata, metadata_sent, $3, greatest($3, payment_due_at), 'in place of ' || $4,
                '', payment_method, cause
         FROM orders WHERE id = $1",
        from.uuid(),
        to.uuid(),
        sql(at),
        format!("{from}/{to}")
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "INSERT INTO order_lines (order_id, sku, name, quantity, unit_price, stay)
         SELECT $2, sku, name, quantity, unit_price, stay FROM order_lines WHERE order_id = $1",
        from.uuid(),
        to.uuid()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
