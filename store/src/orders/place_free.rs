//! Orders that cost nothing: paid in the transaction that places them, by the step that pays every other.

use domain::order::Order;

use super::{lock_all, pay::pay};
use crate::{Error, Result, Tx, stock};

/// Pays those of the new orders that are free. What is not costs no statement.
pub(super) async fn pay_free(tx: &mut Tx, placed: impl Iterator<Item = &Order>) -> Result<()> {
    let free: Vec<&Order> = placed.filter(|order| order.is_free()).collect();
    if free.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = free.iter().map(|order| order.id).collect();
    let locked = lock_all(tx, &ids).await?;
    let mut orders = Vec::with_capacity(free.len());
    for order in free {
        let locked = locked.get(&order.id).ok_or_else(|| Error::corrupt("a new order is not there"))?;
        orders.push((locked, order.placed_at));
    }
    let mut ends = Vec::with_capacity(orders.len());
    pay(tx, &mut ends, &orders, Vec::new()).await?;
    stock::end_holds(tx, &ends).await
}
