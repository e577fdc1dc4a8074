//! Every pair of what happens to money, how its webhooks come, and what had become of the order: each cell an
//! order of its own, all in one shop at once.

use std::{future::Future, panic::AssertUnwindSafe};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use serde_json::json;

use super::{
    books::{self, quiet},
    table_cells::{Cell, Money, State, Webhook},
};
use crate::harness::{
    Shop,
    webhook::{Webhook as Event, payment},
};

const STOCK: i64 = 1000;
/// Cells that are driven at once.
const AT_ONCE: usize = 16;

async fn at_once<T>(of: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    stream::iter(of).buffer_unordered(AT_ONCE).collect().await
}

#[tokio::test]
async fn every_cell_of_the_table_ends_matched() {
    let shop = Shop::open().await;
    shop.stock("tea", super::table_cells::TOTAL, STOCK).await;
    let mut cells = Vec::new();
    for &money in Money::ALL {
        for &webhook in Webhook::ALL {
            cells.extend(State::ALL.iter().map(|&state| (money, webhook, state)));
        }
    }
    assert_eq!(cells.len(), 8 * 5 * 4);
    let mut cells: Vec<Cell> = at_once(cells.into_iter().map(|(money, webhook, state)| {
        Box::pin(Cell::set_up(&shop, money, webhook, state)) // large
    }))
    .await;
    at_once(cells.iter_mut().map(|cell| cell.act(&shop))).await;
    quiet(&shop).await;

    let held = cells.iter().filter(|it| matches!(it.webhook, Webhook::Late | Webhook::Reordered));
    at_once(held.map(|cell| async {
        shop.provider.no_faults_of(&cell.order).await;
        shop.provider
            .release(json!({"order_id": cell.order, "reverse": cell.webhook == Webhook::Reordered}))
            .await;
    }))
    .await;
    quiet(&shop).await;
    let repeated = cells.iter().filter(|it| it.webhook == Webhook::Twice);
    at_once(repeated.map(|cell| shop.provider.release_again(&cell.order))).await;
    let (whole, said) = shop.reconcile().await;
    assert!(whole, "{said}");
    quiet(&shop).await;

    let checked = at_once(cells.iter().map(|cell| AssertUnwindSafe(cell.check(&shop)).catch_unwind())).await;
    let wrong = checked.iter().filter(|it| it.is_err()).count();
    assert_eq!(wrong, 0, "cells are wrong, as said above");
    let accounts: Vec<_> = checked.into_iter().flatten().flatten().collect();
    books::prove(&shop, &accounts).await;
    let pieces = cells.iter().map(|cell| cell.model.pieces());
    let (sold, on_hold) = pieces.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
    assert_eq!(shop.level("tea").await, (STOCK - sold, on_hold));
    shop.audit();

    try_again(&shop, &cells).await;
    shop.close();
}

/// Whoever's payment failed still has the stock on hold, and may pay after all.
async fn try_again(shop: &Shop, cells: &[Cell]) {
    let failed = cells.iter().filter(|it| it.money == Money::Failed && it.state == State::Awaiting);
    at_once(failed.map(|cell| async {
        shop.provider.no_faults_of(&cell.order).await;
        let payment = shop.attempt(&cell.order).await;
        shop.provider.capture(&payment.id, json!({})).await.is(200);
        shop.until(&cell.order, "completed").await;
    }))
    .await;
    quiet(shop).await;
}

/// A payment for an ended order fails, then succeeds, and that is told by two events: each of the three is
/// settled, and the money is counted once.
#[tokio::test]
async fn every_event_about_an_ended_order_is_settled() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place_with(&[("tea", 1)], json!({"late_payment": "exception"})).await;
    shop.cancel(&id).await.is(200);
    shop.temporal.until_closed(&id).await;
    let mut event = payment("payment.failed", &id, 1250);
    for kind in ["payment.failed", "payment.succeeded", "payment.succeeded"] {
        event["type"] = json!(kind);
        Event::new(&event).send(&shop.api).await.is(200);
        quiet(&shop).await;
    }
    assert_eq!(shop.payments(&id).await.len(), 1);
    assert_eq!(shop.payments(&id).await[0].state, "succeeded");
    assert_eq!(shop.open_exceptions().await, ["order_closed"]);
    shop.close();
}
