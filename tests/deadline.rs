//! The end of an order while an attempt to pay is open: the provider is asked before the stock is released.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};
use temporalio_client::{WorkflowCancelOptions, WorkflowExecutionStatus};
use tokio::sync::Semaphore;

use crate::harness::{Shop, eventually, unique, wait_until};

/// An order with an open attempt; gives their ids.
async fn with_attempt(shop: &Shop, policy: Value) -> (String, String) {
    let id = shop.place_with(&[("tea", 1)], policy).await;
    let attempt = shop.attempt(&id).await.id;
    (id, attempt)
}

#[tokio::test]
async fn at_the_deadline_the_provider_is_asked() {
    let shop = Shop::with_tea(2000).await;
    shop.provider.faults(json!({"webhooks": "lose"})).await;
    let (captured, attempt) = with_attempt(&shop, json!(null)).await;
    shop.provider.capture(&attempt, json!({})).await.is(200);
    let (unpaid, open) = with_attempt(&shop, json!(null)).await;
    shop.fast_forward(&captured, "PT25H").await;
    shop.until(&captured, "completed").await;
    shop.fast_forward(&unpaid, "PT25H").await;
    shop.until(&unpaid, "expired").await;
    assert_eq!(shop.provider.states(&unpaid).await, ["cancelled"]);
    assert_eq!(shop.attempt_states(&unpaid).await, ["cancelled"]);
    shop.provider.capture(&open, json!({})).await.is(409);
    assert_eq!(shop.until_mailed(&captured, "paid").await.last().unwrap(), "paid");
    assert_eq!(shop.until_mailed(&unpaid, "expired").await.last().unwrap(), "expired");
    assert_eq!(shop.list_exceptions("").await, []);
    assert_eq!(shop.level("tea").await, (1999, 0));
    shop.close();
}

#[tokio::test]
async fn a_provider_that_is_out_at_the_deadline_is_asked_for_an_hour() {
    let shop = Shop::with_tea(2000).await;
    shop.provider.faults(json!({"webhooks": "lose"})).await;
    let [(gone, gone_attempt), (captured, attempt), (unpaid, _), (extended, later)] = [
        with_attempt(&shop, json!({"reminders": []})).await,
        with_attempt(&shop, json!({"reminders": []})).await,
        with_attempt(&shop, json!({"reminders": []})).await,
        with_attempt(&shop, json!({"reminders": []})).await,
    ];
    shop.provider.capture(&attempt, json!({})).await.is(200);
    shop.provider.faults(json!({"webhooks": "lose", "outage": {"answer": "hang_up"}})).await;
    let near = [(&gone, "PT24H40M"), (&captured, "PT24H5M"), (&unpaid, "PT24H5M"), (&extended, "PT24H5M")];
    join_all(near.map(|(id, duration)| shop.fast_forward(id, duration))).await;
    // Nothing is released while nobody knows.
    for id in [&gone, &captured, &unpaid, &extended] {
        assert_eq!(shop.order(id).await.status, "awaiting_payment");
    }
    assert_eq!(shop.level("tea").await, (2000, 4));
    // The customer gets more time.
    let due = shop.order(&extended).await.payment_due_at + 48.hours();
    shop.extend(&extended, due).await.is(200);

    shop.fast_forward(&gone, "PT30M").await;
    shop.until(&gone, "expired").await;
    assert_eq!(shop.exceptions(&gone).await, ["attempt_uncertain"]);
    assert_eq!(shop.attempt_states(&gone).await, ["failed"]);
    let uncertain = shop.until_exception(&gone, "attempt_uncertain").await;
    assert_eq!(uncertain.amount, 0);
    shop.resolve(&uncertain, "refund").await.problem(409, "refund_exceeds_captured");

    shop.provider.no_faults().await;
    // The next try is up to five minutes away.
    tokio::join!(shop.fast_forward(&captured, "PT10M"), shop.fast_forward(&unpaid, "PT10M"));
    shop.until(&captured, "completed").await;
    shop.until(&unpaid, "expired").await;
    assert_eq!(shop.provider.states(&unpaid).await, ["cancelled"]);
    // It was captured, as it turns out: the money goes back.
    shop.provider.capture(&gone_attempt, json!({})).await.is(200);
    shop.until_money(&gone, "refunded").await;
    assert_eq!(shop.provider.balance(&gone).await, (1250, 1250, 1));
    shop.resolve(&uncertain, "dismiss").await.is(200);
    // At the new deadline the provider is asked anew, whatever was at the old one.
    shop.provider.faults(json!({"webhooks": "lose"})).await;
    shop.provider.capture(&later, json!({"late": true})).await.is(200);
    shop.fast_forward(&extended, "PT49H").await;
    shop.until(&extended, "completed").await;
    assert_eq!(shop.list_exceptions("state=open").await, []);
    assert_eq!(shop.level("tea").await, (1998, 0));
    shop.close();
}

#[tokio::test]
async fn news_of_money_does_not_wait_for_a_provider_that_is_out() {
    let shop = Shop::with_tea(2000).await;
    let (id, attempt) = with_attempt(&shop, json!({"reminders": []})).await;
    let (other, _) = with_attempt(&shop, json!({"reminders": []})).await;
    shop.provider.outage().await;
    tokio::join!(shop.fast_forward(&id, "PT24H2M"), shop.fast_forward(&other, "PT24H2M"));
    shop.provider.capture(&attempt, json!({})).await.is(200);
    shop.until(&id, "completed").await;
    // Paid otherwise, while its attempt is open.
    shop.pay(&other).await;
    shop.until(&other, "completed").await;
    assert_eq!(shop.attempt_states(&other).await, ["open", "succeeded"]);
    shop.provider.no_faults().await;
    shop.fast_forward(&other, "PT10M").await;
    shop.temporal.until_closed(&other).await;
    assert_eq!(shop.attempt_states(&other).await, ["cancelled", "succeeded"]);
    assert_eq!(shop.provider.states(&other).await, ["cancelled", "succeeded"]);
    shop.close();
}

#[tokio::test]
async fn an_attempt_is_closed_once_the_order_is_paid_otherwise() {
    let shop = Shop::with_tea(2000).await;
    let (id, attempt) = with_attempt(&shop, json!(null)).await;
    let (manual, _) = with_attempt(&shop, json!({"fulfilment": "manual"})).await;
    shop.pay(&id).await;
    shop.pay(&manual).await;
    shop.temporal.until_closed(&id).await;
    assert_eq!(shop.provider.states(&id).await, ["cancelled", "succeeded"]);
    assert_eq!(shop.attempt_states(&id).await, ["cancelled", "succeeded"]);
    shop.provider.capture(&attempt, json!({})).await.is(409);
    shop.provider.until_states(&manual, &["cancelled", "succeeded"]).await;
    shop.until(&manual, "paid").await;
    shop.close();
}

#[tokio::test]
async fn grace_leaves_time_for_money_that_is_on_its_way() {
    let shop = Shop::with_tea(2000).await;
    let policy = json!({"grace": "PT2H", "reminders": []});
    let (paid, attempt) = with_attempt(&shop, policy.clone()).await;
    let (unpaid, _) = with_attempt(&shop, policy).await;
    tokio::join!(shop.fast_forward(&paid, "PT25H"), shop.fast_forward(&unpaid, "PT25H"));
    for id in [&paid, &unpaid] {
        assert_eq!(shop.order(id).await.status, "awaiting_payment");
    }
    assert_eq!(shop.provider.states(&unpaid).await, ["open"]);
    shop.provider.capture(&attempt, json!({})).await.is(200);
    shop.until(&paid, "completed").await;
    shop.fast_forward(&unpaid, "PT61M").await;
    shop.until(&unpaid, "expired").await;
    assert_eq!(shop.provider.states(&unpaid).await, ["cancelled"]);
    shop.close();
}

#[tokio::test]
async fn a_cancelled_order_has_its_attempt_closed_and_a_paid_one_is_not_cancelled() {
    let shop = Shop::with_tea(2000).await;
    shop.provider.faults(json!({"webhooks": "lose"})).await;
    let (unpaid, _) = with_attempt(&shop, json!(null)).await;
    let (captured, attempt) = with_attempt(&shop, json!(null)).await;
    shop.provider.capture(&attempt, json!({})).await.is(200);
    assert_eq!(shop.cancel(&unpaid).await.is(200).status, "cancelled");
    assert_eq!(shop.provider.states(&unpaid).await, ["cancelled"]);
    assert_eq!(shop.attempt_states(&unpaid).await, ["cancelled"]);
    let problem = shop.cancel(&captured).await.problem(409, "order_not_cancellable");
    assert_eq!(problem.current_status, "completed");
    assert_eq!(shop.until_mailed(&captured, "paid").await, ["paid"]);

    // From Temporal's side.
    let (unpaid, _) = with_attempt(&shop, json!(null)).await;
    let (captured, attempt) = with_attempt(&shop, json!(null)).await;
    shop.provider.capture(&attempt, json!({})).await.is(200);
    for (id, status) in [(&unpaid, "cancelled"), (&captured, "completed")] {
        shop.until_told(id, "workflow.started").await;
        shop.temporal.order(id).await.cancel(WorkflowCancelOptions::default()).await.unwrap();
        shop.until(id, status).await;
        assert_eq!(shop.temporal.until_closed(id).await, WorkflowExecutionStatus::Completed);
    }
    assert_eq!(shop.provider.states(&unpaid).await, ["cancelled"]);
    assert_eq!(shop.order(&unpaid).await.close_reason, "workflow_cancelled");
    assert_eq!(shop.level("tea").await, (1998, 0));
    shop.close();
}

/// They ask for the same, wait together until the provider is back, and nothing is done over and over.
#[tokio::test]
async fn two_who_cancel_while_the_provider_is_out_wait_quietly() {
    let shop = Shop::with_tea(2000).await;
    let (id, _) = with_attempt(&shop, json!(null)).await;
    shop.until_told(&id, "workflow.started").await;
    shop.provider.outage().await;
    let (first, second, ()) = tokio::join!(shop.cancel(&id), shop.cancel(&id), async {
        wait_until("both wait", async || {
            let waiting = shop.changes(&id).await;
            signals(&shop, &id).await >= 1 && waiting.len() == 2
        })
        .await;
        shop.provider.no_faults().await;
    });
    for answer in [first, second] {
        assert_eq!(answer.is(200).status, "cancelled");
    }
    shop.temporal.until_closed(&id).await;
    let history = shop.temporal.history(&id).await;
    assert!(history.len() < 60, "{} events", history.len());
    assert_eq!(shop.provider.states(&id).await, ["cancelled"]);
    shop.close();
}

async fn signals(shop: &Shop, id: &str) -> usize {
    use temporalio_common::protos::temporal::api::enums::v1::EventType;
    let history = shop.temporal.history(id).await;
    history.iter().filter(|it| it.event_type() == EventType::WorkflowExecutionSignaled).count()
}

#[tokio::test]
async fn money_in_the_second_of_the_expiry_is_the_orders_or_goes_back() {
    race(200, "PT15S").await;
}

#[tokio::test]
#[ignore = "two minutes: a thousand orders"]
async fn a_thousand_orders_are_paid_in_the_second_they_expire() {
    race(1000, "PT30S").await;
}

async fn race(orders: i64, window: &str) {
    let shop = Shop::with_tea(2000).await;
    let few = Semaphore::new(10);
    let ids = join_all((0..orders).map(|n| place_and_pay(&shop, &few, window, n))).await;
    let (mut completed, mut expired, mut in_times) = (0, 0, 0);
    for id in &ids {
        let status = eventually(&format!("{id} ends, its money matched"), async || {
            let order = shop.order(id).await;
            let (captured, back, _) = shop.provider.balance(id).await;
            match (order.status.as_str(), captured - back) {
                ("completed", 1250) => Some("completed"),
                ("expired", 0) => Some("expired"),
                _ => None,
            }
        })
        .await;
        let order = shop.order(id).await;
        let at_provider = shop.provider.payments(id).await.remove(0);
        let in_time = at_provider.captured.as_ref().unwrap().at < order.payment_due_at;
        in_times += i64::from(in_time);
        // The provider is asked about an attempt at the deadline: what it had by then pays.
        assert!(status == "completed" || !in_time || at_provider.key.is_none(), "{order:?}: {at_provider:?}");
        match status {
            "completed" => completed += 1,
            _ => expired += 1,
        }
    }
    assert!(
        completed > 0 && expired > 0,
        "{completed} completed, {expired} expired, {in_times} captured in time"
    );
    assert_eq!(shop.level("tea").await, (2000 - completed, 0));
    shop.until_true(
        "no refund is under way",
        "SELECT NOT EXISTS (SELECT FROM refunds WHERE state <> 'succeeded')",
    )
    .await;
    assert_eq!(shop.list_exceptions("state=open").await, []);
    shop.close();
}

/// The payer pays from half a second before the order's deadline to half a second after it, two of three by
/// an attempt, and does not care whether it is too late. One of twenty waits until the order has expired: on
/// a machine that is quick to take money and slow to let orders expire, all others are in time.
async fn place_and_pay(shop: &Shop, few: &Semaphore, window: &str, n: i64) -> String {
    let placing = few.acquire().await.unwrap();
    let mut body = shop.order_body(&[("tea", 1)]);
    body["policy"] = json!({"payment_window": window, "reminders": []});
    let order = shop.try_place_as(&format!("place-{n}"), &body).await.is(201);
    let id = order.id;
    let by_attempt = n % 3 != 0;
    let attempt = if by_attempt { Some(shop.ask_attempt(&id, &unique()).await.is(201)) } else { None };
    let offset = ((n * 37) % 1000 - 500).milliseconds();
    let due = order.payment_due_at + offset;
    drop(placing);
    if n % 20 == 0 {
        shop.until(&id, "expired").await;
    }
    // Not a wait for something to happen: this is when it happens.
    tokio::time::sleep(Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default()).await;
    let Some(attempt) = attempt else {
        if shop.provider.pay(&id, 1250, json!({})).await.status == 502 {
            // We were too busy to answer its webhook, which is sent once.
            shop.provider.release_again(&id).await;
        }
        return id;
    };
    shop.provider.capture(&attempt.id, json!({"late": true})).await.is(200);
    id
}
