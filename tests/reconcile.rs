//! The providers' books against ours: what no webhook told, what differs, and what it adds up to.

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde::Deserialize;
use serde_json::json;
use sqlx::Executor as _;
use temporalio_client::schedules::{
    ScheduleDescriptionAction, ScheduleOverlapPolicy, TriggerScheduleOptions,
};

use crate::harness::{
    Shop, StatementLine,
    documents::Settlement,
    visitor::Visitor,
    wait_until,
    webhook::{Webhook, paid},
};

const LOSE: &str = "lose";

/// A line of a provider's statement that nothing of ours matches.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnmatchedLine {
    object: String,
    provider: String,
    kind: String,
    reference: String,
    provider_payment_id: String,
    order_id: Option<String>,
    amount: i64,
    currency: String,
    fee: Option<i64>,
    at: Timestamp,
}

/// A shop of which no webhook comes.
async fn deaf_shop() -> Shop {
    let shop = Shop::with_tea(20).await;
    shop.provider.faults(json!({"webhooks": LOSE, "fee": {"basis_points": 290, "fixed": 25}})).await;
    shop
}

/// An order that was paid, of which the shop has not heard; and the provider's id of its payment.
async fn paid_unheard(shop: &Shop) -> (String, String) {
    let order = shop.place(&[("tea", 1)]).await;
    let payment = shop.attempt(&order).await.provider_payment_id;
    shop.provider.capture(&payment, json!({})).await.is(200);
    (order, payment)
}

/// Money without an attempt.
async fn pay(shop: &Shop, order: &str, amount: i64, currency: &str, at: Timestamp) {
    shop.provider.pay(order, amount, json!({"currency": currency, "at": at})).await.is(200);
}

/// Reads the books; it must succeed and say this of the sandbox.
async fn reconcile(shop: &Shop, lines: u32, healed: u32) {
    let (whole, said) = shop.reconcile().await;
    let wanted = format!("sandbox: {lines} lines read, {healed} taken up now, 0 unmatched");
    assert!(whole && said.contains(&wanted), "{wanted}:\n{said}");
}

async fn settlements(shop: &Shop) -> Vec<Settlement> {
    shop.api.list("/v1/settlements").await.data
}

/// What the sandbox's own books add up to: (captured, refunded, fees).
async fn sums(shop: &Shop, currency: &str) -> (i64, i64, i64) {
    let statement = shop.provider.statement().await;
    let lines = |kind: &str| {
        let wanted = |line: &&StatementLine| line.kind == kind && line.currency == currency;
        statement.iter().filter(wanted).collect::<Vec<_>>()
    };
    let amount = |kind: &str| lines(kind).iter().map(|line| line.amount).sum();
    let fees = lines("captured").iter().map(|line| line.fee.unwrap()).sum();
    (amount("captured"), amount("refunded"), fees)
}

#[tokio::test]
async fn what_lost_webhooks_left_behind_is_healed_once() {
    let shop = deaf_shop().await;
    let ((paid, _), (back, payment)) = (paid_unheard(&shop).await, paid_unheard(&shop).await);
    // Both of them lost: the money, and that a part of it went back.
    shop.provider.refund(&payment, 500).await;
    pay(&shop, "ord_01890a5d96c5774b916f4be1d2b2f1a1", 700, "EUR", Timestamp::now()).await;
    pay(&shop, "of-somebody-else", 800, "EUR", Timestamp::now()).await;
    reconcile(&shop, 5, 5).await;
    shop.until(&paid, "completed").await;
    shop.until(&back, "completed").await;
    shop.until_money(&back, "partially_refunded").await;
    wait_until("both are exceptions", async || shop.open_exceptions().await == ["unknown_order"; 2]).await;
    reconcile(&shop, 5, 0).await;
    assert_eq!(shop.until_mailed(&paid, "paid").await, ["paid"]);
    for (order, status) in [(&paid, "paid"), (&back, "partially_refunded")] {
        assert_eq!(shop.order(order).await.payment_status, status);
        assert!(shop.exceptions(order).await.is_empty());
    }

    // A refund that the shop asked for, and that got through later, unheard.
    shop.provider.faults(json!({"webhooks": LOSE, "refunds": "pend"})).await;
    let asked = shop.refund(&paid, json!({"reason": "broken"})).await;
    shop.until_money(&paid, "refund_pending").await;
    shop.provider.settle(&asked.id, "succeeded").await;
    reconcile(&shop, 6, 1).await;
    shop.until_money(&paid, "refunded").await;
    reconcile(&shop, 6, 0).await;

    let settled = settlements(&shop).await.remove(0);
    assert_eq!((settled.captured, settled.refunded, settled.fees.unwrap()), sums(&shop, "EUR").await);
    assert_eq!((settled.captured, settled.refunded), (4000, 1750));
    assert_eq!((settled.open, settled.unmatched), (1500, 0));
    shop.close();
}

#[tokio::test]
async fn lines_that_our_books_contradict_are_reported_until_they_agree() {
    let shop = deaf_shop().await;
    let order = shop.place(&[("tea", 1)]).await;
    let payment = shop.attempt(&order).await.provider_payment_id;
    shop.provider.capture(&payment, json!({"amount": 1249})).await.is(200);
    // The webhook, genuine, told of more.
    let mut event = paid(&order, 1250);
    event["data"]["payment_id"] = json!(payment);
    Webhook::new(&event).send(&shop.api).await.is(200);
    shop.until(&order, "completed").await;
    for _ in 0..2 {
        let (whole, said) = shop.reconcile().await;
        assert!(!whole && said.contains("some lines match nothing in our books"), "{said}");
        assert!(said.contains("sandbox: 1 lines read, 0 taken up now, 1 unmatched"), "{said}");
    }
    let settled = settlements(&shop).await.remove(0);
    assert_eq!((settled.captured, settled.unmatched), (1249, 1), "{settled:?}");
    let lines = shop.api.list::<UnmatchedLine>("/v1/settlements/unmatched").await.data;
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&line.provider_payment_id, line.order_id.as_ref()), (&payment, Some(&order)));
    assert_eq!((line.kind.as_str(), line.amount, line.currency.as_str()), ("captured", 1249, "EUR"));
    for bad in ["x", "1.a.captured", "9e9.a.captured.b"] {
        let path = format!("/v1/settlements/unmatched?starting_after={bad}");
        assert_eq!(shop.api.get(&path).await.bad_fields(), ["starting_after"], "{bad}");
    }
    let page = Visitor::signed_in(shop.api.address()).await.get("/console/money").await.is(200);
    page.shows("12.49 EUR");
    shop.close();
}

#[tokio::test]
async fn settlements_are_per_day_and_currency_and_come_in_pages() {
    let shop = deaf_shop().await;
    let now = Timestamp::now();
    let days: Vec<Timestamp> = [20, 10, 1].map(|days| now - SignedDuration::from_hours(24 * days)).into();
    let order = shop.place(&[("tea", 1)]).await;
    pay(&shop, &order, 1250, "EUR", days[2]).await;
    pay(&shop, &order, 1250, "EUR", days[1]).await;
    pay(&shop, &order, 900, "USD", days[1]).await;
    pay(&shop, "nobody", 100, "JPY", days[0]).await;
    reconcile(&shop, 4, 4).await;
    shop.until(&order, "completed").await;
    wait_until("the second and the dollars are settled", async || shop.payments(&order).await.len() == 3)
        .await;

    let whole = settlements(&shop).await;
    let shown = |list: &[Settlement]| -> Vec<(String, String, i64)> {
        list.iter().map(|it| (it.day.clone(), it.currency.clone(), it.captured)).collect()
    };
    let row = |day: usize, currency: &str, captured| {
        (days[day].strftime("%Y-%m-%d").to_string(), currency.to_owned(), captured)
    };
    let wanted = [row(2, "EUR", 1250), row(1, "USD", 900), row(1, "EUR", 1250), row(0, "JPY", 100)];
    assert_eq!(shown(&whole), wanted);
    for currency in ["USD", "JPY"] {
        let (captured, _, fees) = sums(&shop, currency).await;
        let settled = whole.iter().find(|it| it.currency == currency).unwrap();
        assert_eq!((settled.captured, settled.fees), (captured, Some(fees)));
    }

    let pages = shop.api.pages::<Settlement>("/v1/settlements?limit=1").await;
    assert_eq!(shown(&pages.concat()), wanted);
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("starting_after=2026-11-21", "starting_after"),
        ("starting_after=yesterday.sandbox.EUR", "starting_after"),
        ("starting_after=2026-11-21.sandbox.%00", "starting_after"),
    ] {
        let answer = shop.api.get(&format!("/v1/settlements?{query}")).await;
        assert_eq!(answer.bad_fields(), [field], "{query}");
    }
    shop.api.get("/v1/settlements?day=1").await.problem(422, "invalid_request");
    shop.close();
}

/// Providers book late. What is dated days before the last run is found; the rest was read before.
#[tokio::test]
async fn each_run_reads_on_from_the_last_and_three_days_back() {
    let shop = deaf_shop().await;
    let ago = |hours| Timestamp::now() - SignedDuration::from_hours(hours);
    pay(&shop, "early", 100, "EUR", ago(29 * 24)).await;
    reconcile(&shop, 1, 1).await;
    pay(&shop, "late", 100, "EUR", ago(2 * 24)).await;
    reconcile(&shop, 1, 1).await;
    shop.provider.faults(json!({"outage": {"answer": "hang_up"}})).await;
    let (whole, said) = shop.reconcile().await;
    assert!(!whole && said.contains("sandbox: could not be read"), "{said}");
    shop.provider.faults(json!({"webhooks": LOSE})).await;
    pay(&shop, "later", 100, "EUR", ago(0)).await;
    reconcile(&shop, 2, 1).await;
    assert_eq!(shop.open_exceptions().await, ["unknown_order"; 3]);
    shop.close();
}

#[tokio::test]
async fn a_schedule_reads_the_books_and_there_is_one() {
    let shop = deaf_shop().await;
    shop.another_worker(&[]).await;
    let id = format!("{}-reconcile", shop.task_queue);
    let schedule = shop.temporal.client().await.get_schedule_handle(&id);
    let described = schedule.describe(Default::default()).await.unwrap();
    let ScheduleDescriptionAction::StartWorkflow(action) = described.action() else { panic!() };
    assert_eq!((action.workflow_type(), action.task_queue()), ("reconcile", shop.task_queue.as_str()));
    let hour = std::time::Duration::from_secs(3600);
    let next: Vec<_> = described.future_action_times().into_iter().take(2).collect();
    assert_eq!(next[1].duration_since(next[0]).unwrap(), hour);

    let (order, _) = paid_unheard(&shop).await;
    schedule.trigger(ScheduleOverlapPolicy::Skip, TriggerScheduleOptions::default()).await.unwrap();
    shop.until(&order, "completed").await;
    let query = format!("TaskQueue = '{}' AND WorkflowType = 'reconcile'", shop.task_queue);
    wait_until(&query, async || shop.temporal.count(&query).await == 1).await;
    let created = described.create_time().unwrap();
    let described = schedule.describe(Default::default()).await.unwrap();
    assert_eq!((described.create_time().unwrap(), described.action_count()), (created, 1));
    shop.close();
}

/// A webhook of the provider's that its books do not bear out, days later.
#[tokio::test]
async fn money_that_the_books_never_show_is_an_exception_after_days() {
    let shop = deaf_shop().await;
    let order = shop.place(&[("tea", 1)]).await;
    Webhook::new(&paid(&order, 1250)).send(&shop.api).await.is(200);
    shop.until(&order, "completed").await;
    reconcile(&shop, 0, 0).await;
    assert!(shop.open_exceptions().await.is_empty());
    let days_later = "UPDATE payments SET captured_at = captured_at - interval '73 hours'";
    shop.sql().await.execute(days_later).await.unwrap();
    for missing in [1, 0] {
        let (whole, said) = shop.reconcile().await;
        assert!(whole && said.contains(&format!("0 unmatched, {missing} missing")), "{said}");
        assert_eq!(shop.exceptions(&order).await, ["not_in_books"]);
    }
    // There is no money in it that could go back: that is the order's.
    let exception = shop.until_exception(&order, "not_in_books").await;
    shop.resolve(&exception, "refund").await.problem(409, "refund_exceeds_captured");
    shop.resolve(&exception, "dismiss").await.is(200);
    reconcile(&shop, 0, 0).await;
    assert!(shop.open_exceptions().await.is_empty());
    shop.close();
}

/// More lines than one page has, and a worker that dies while it takes them up.
#[tokio::test]
async fn a_worker_that_dies_over_the_books_leaves_them_to_the_next() {
    const LINES: usize = 1200;
    let mut shop = deaf_shop().await;
    let at = Timestamp::now() - 1.hour();
    for _ in 0..LINES / 100 {
        join_all((0..100).map(|_| pay(&shop, "unknown", 100, "EUR", at))).await;
    }
    let (order, _) = paid_unheard(&shop).await;
    let run = tokio::spawn(shop.reconcile());
    shop.until_true("some lines are taken up", "SELECT count(*) > 20 FROM exceptions").await;
    shop.kill_worker();
    let count: i64 = shop.query("SELECT count(*) FROM exceptions").await;
    assert!(count < LINES as i64, "the worker was faster than the test");
    shop.start_worker();
    let (whole, said) = run.await.unwrap();
    assert!(whole && said.contains(&format!("sandbox: {} lines read", LINES + 1)), "{said}");
    shop.until(&order, "completed").await;
    let count: i64 = shop.query("SELECT count(*) FROM exceptions").await;
    assert_eq!(count, LINES as i64);
    shop.close();
}
