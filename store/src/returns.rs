//! What comes back of an order: claimed when its refund is asked for, back on the shelf when the money is
//! back, and free again if the refund fails for good. The order is locked by whoever calls.

use domain::{
    OrderId, RefundId, Timestamp,
    event::{EventLine, OrderEvent},
    order::Status,
    returns::{Refusal, Sold, UnitState, Units, runs},
};

use crate::{
    Result, Tx, check_ins, order_events,
    orders::{self, USED},
    refunds::{self, Request},
    stock,
};

/// What was sold with an order, and what of it is gone.
pub(crate) async fn sold(tx: &mut Tx, order: OrderId, at: Timestamp) -> Result<Sold> {
    let order = orders::read(tx, order).await?;
    let is_in_use = order.status == Status::Completed && order.close_reason.as_deref() == Some(USED);
    // The guests came at the time of their order's workflow, which may be ahead of ours.
    let in_use = order.closed_at.filter(|_| is_in_use).map(|since| since.max(at));
    Ok(Sold { lines: order.lines, gone: order.gone, in_use })
}

/// What a refund is to bring back, and what was paid for it.
pub(crate) async fn choose(
    tx: &mut Tx,
    order: OrderId,
    request: &Request,
    at: Timestamp,
) -> Result<(Units, i64), refunds::Error> {
    if !request.restock {
        return Ok((Units::new(), 0));
    }
    let sold = sold(tx, order, at).await?;
    let units = match request.lines.as_slice() {
        [] => sold.all(),
        parts => sold.parts(parts),
    };
    match units {
        Ok(units) => Ok((units.clone(), sold.paid_for(&units))),
        Err(Refusal::Invalid(invalids)) => Err(refunds::Error::Invalid(invalids)),
        Err(Refusal::Beyond(returnable)) => Err(refunds::Error::BeyondSold(returnable)),
    }
}

/// Sets aside for a refund what it is to bring back. From here on it is not owed to the customer.
pub(crate) async fn claim(
    tx: &mut Tx,
    refund: RefundId,
    order: OrderId,
    units: &Units,
    at: Timestamp,
) -> Result<()> {
    if units.is_empty() {
        return Ok(());
    }
    let (skus, quantities) = columns(units);
    sqlx::query!(
        "INSERT INTO refund_lines (refund_id, order_id, sku, quantity, state)
         SELECT $1, $2, sku, quantity, 'claimed' FROM unnest($3::text[], $4::bigint[]) AS u (sku, quantity)
         ON CONFLICT (refund_id, sku) DO UPDATE SET quantity = excluded.quantity, state = 'claimed'
         WHERE refund_lines.state = 'void' -- what another refund had taken over, and gives back",
        refund.uuid(),
        order.uuid(),
        &skus,
        &quantities
    )
    .execute(&mut **tx)
    .await?;
    check_ins::follow(tx, order, at).await
}

/// The money of a refund that failed went back otherwise: what it was to bring back comes back, less what
/// refunds after it bring. It may have been asked for again by one of them.
pub(crate) async fn give_back_of_failed(
    tx: &mut Tx,
    refund: RefundId,
    order: OrderId,
    at: Timestamp,
) -> Result<()> {
    sqlx::query!(
        "UPDATE refund_lines f SET quantity = greatest(f.quantity - l.quantity, 1),
                state = CASE WHEN f.quantity > l.quantity THEN f.state ELSE 'void' END
         FROM (SELECT sku, sum(quantity)::bigint AS quantity FROM refund_lines
               WHERE order_id = $2 AND refund_id > $1 AND state IN ('claimed', 'returned') GROUP BY sku) AS l
         WHERE f.refund_id = $1 AND f.sku = l.sku AND f.state = 'freed'",
        refund.uuid(),
        order.uuid()
    )
    .execute(&mut **tx)
    .await?;
    give_back(tx, refund, order, at).await
}

/// The money of a refund is back: so is what it had claimed. Done once, however often it is asked for.
pub(crate) async fn give_back(tx: &mut Tx, refund: RefundId, order: OrderId, at: Timestamp) -> Result<()> {
    // It may have failed before, and what it had claimed may have gone other ways since.
    let freed = take(tx, refund, UnitState::Freed).await?;
    set(tx, refund, &freed, UnitState::Void).await?;
    let again = as_far_as_there(tx, order, freed, at).await?;
    set(tx, refund, &again, UnitState::Claimed).await?;
    let units = take(tx, refund, UnitState::Claimed).await?;
    if units.is_empty() {
        return Ok(());
    }
    stock::take_back(tx, order, Some(refund), &units, at).await?;
    set(tx, refund, &units, UnitState::Returned).await?;
    order_events::append(tx, order, at, &[returned(Some(refund), &units)]).await?;
    check_ins::follow(tx, order, at).await
}

/// A paid order ends without being handed over: all that is left of it comes back at once, also what refunds
/// had claimed.
pub(crate) async fn give_back_rest(tx: &mut Tx, order: OrderId, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "UPDATE refund_lines SET state = 'void' WHERE order_id = $1 AND state IN ('claimed', 'freed')",
        order.uuid()
    )
    .execute(&mut **tx)
    .await?;
    let rest = sqlx::query!(
        r#"SELECT sku, quantity - returned AS "left!" FROM holds
           WHERE order_id = $1 AND state = 'committed' AND quantity > returned"#,
        order.uuid()
    )
    .fetch_all(&mut **tx)
    .await?;
    let units: Units = rest.into_iter().map(|unit| (unit.sku, unit.left)).collect();
    if units.is_empty() {
        return Ok(());
    }
    stock::take_back(tx, order, None, &units, at).await?;
    order_events::append(tx, order, at, &[returned(None, &units)]).await
}

/// A refund failed for good: what it had claimed is owed again.
pub(crate) async fn free(tx: &mut Tx, refund: RefundId, order: OrderId, at: Timestamp) -> Result<()> {
    let units = take(tx, refund, UnitState::Claimed).await?;
    if units.is_empty() {
        return Ok(());
    }
    set(tx, refund, &units, UnitState::Freed).await?;
    check_ins::follow(tx, order, at).await
}

/// A refund is made in place of one that failed: it claims what that was to bring back, as far as it is
/// there.
pub(crate) async fn take_over(
    tx: &mut Tx,
    failed: RefundId,
    refund: RefundId,
    order: OrderId,
    at: Timestamp,
) -> Result<()> {
    let freed = take(tx, failed, UnitState::Freed).await?;
    let units = as_far_as_there(tx, order, freed.clone(), at).await?;
    set(tx, failed, &freed, UnitState::Void).await?;
    claim(tx, refund, order, &units, at).await
}

/// The order is handed over: what failed refunds were to bring back is the customer's now, like the rest.
pub(crate) async fn hand_over(tx: &mut Tx, order: OrderId) -> Result<()> {
    sqlx::query!(
        "UPDATE refund_lines SET state = 'void' WHERE order_id = $1 AND state = 'freed'",
        order.uuid()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether all that was sold with an order came back, or will: there is nothing to hand over.
pub(crate) async fn is_nothing_left(tx: &mut Tx, order: OrderId) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"SELECT NOT EXISTS (
               SELECT 1 FROM holds h WHERE order_id = $1 AND quantity > returned + coalesce((
                   SELECT sum(quantity) FROM refund_lines l
                   WHERE l.order_id = $1 AND l.sku = h.sku AND l.state = 'claimed'), 0)) AS "it!""#,
        order.uuid()
    )
    .fetch_one(&mut **tx)
    .await?)
}

/// A refund's units in one state.
async fn take(tx: &mut Tx, refund: RefundId, state: UnitState) -> Result<Units> {
    let units = sqlx::query!(
        "SELECT sku, quantity FROM refund_lines WHERE refund_id = $1 AND state = $2",
        refund.uuid(),
        state.as_str()
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(units.into_iter().map(|unit| (unit.sku, unit.quantity)).collect())
}

async fn set(tx: &mut Tx, refund: RefundId, units: &Units, state: UnitState) -> Result<()> {
    if units.is_empty() {
        return Ok(());
    }
    let (skus, quantities) = columns(units);
    sqlx::query!(
        "UPDATE refund_lines l SET state = $2, quantity = u.quantity
         FROM unnest($3::text[], $4::bigint[]) AS u (sku, quantity)
         WHERE l.refund_id = $1 AND l.sku = u.sku",
        refund.uuid(),
        state.as_str(),
        &skus,
        &quantities
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Units as a statement takes them.
fn columns(units: &Units) -> (Vec<String>, Vec<i64>) {
    units.iter().map(|(unit, quantity)| (unit.as_str().to_owned(), *quantity)).unzip()
}

async fn as_far_as_there(tx: &mut Tx, order: OrderId, units: Units, at: Timestamp) -> Result<Units> {
    match units.is_empty() {
        true => Ok(units),
        false => Ok(sold(tx, order, at).await?.as_far_as_there(units)),
    }
}

fn returned(refund_id: Option<RefundId>, units: &Units) -> OrderEvent {
    OrderEvent::StockReturned { refund_id, lines: runs(units).into_iter().map(EventLine::from).collect() }
}
