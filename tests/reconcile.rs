//! The providers' books against ours: what no webhook told, what differs, and what it adds up to.

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde_json::{Value, json};
use sqlx::Executor as _;
use temporalio_client::schedules::{
    ScheduleDescriptionAction, ScheduleOverlapPolicy, TriggerScheduleOptions,
};

use crate::harness::{
    Api, Shop, eventually,
    webhook::{Webhook, paid},
};

const LOSE: &str = "lose";

/// A shop, and the sandbox as its payers and its dashboard see it.
struct Setting {
    shop: Shop,
    sandbox: Api,
}

impl Setting {
    /// No webhook comes.
    async fn new() -> Self {
        let shop = Shop::open().await;
        shop.stock("tea", 1250, 20).await;
        let sandbox = Api::new(shop.sandbox.url().trim_start_matches("http://"));
        let it = Self { shop, sandbox };
        it.faults(json!({"webhooks": LOSE, "fee": {"basis_points": 290, "fixed": 25}})).await;
        it
    }

    async fn faults(&self, faults: Value) {
        self.sandbox.put("/dashboard/faults", &faults).await.is(200);
    }

    /// Places an order and opens an attempt; gives the order's id and the sandbox's of the attempt.
    async fn open(&self) -> (String, String) {
        let order = self.shop.place(&[("tea", 1)]).await;
        let attempt = self.shop.attempt(&order).await;
        (order, attempt["provider_payment_id"].as_str().unwrap().to_owned())
    }

    async fn capture(&self, payment: &str, capture: Value) {
        self.sandbox.post(&format!("/payer/payments/{payment}/capture"), &capture).await.is(200);
    }

    /// An order that was paid, of which the shop has not heard.
    async fn paid(&self) -> (String, String) {
        let (order, payment) = self.open().await;
        self.capture(&payment, json!({})).await;
        (order, payment)
    }

    /// Money without an attempt.
    async fn pay(&self, order: &str, amount: i64, currency: &str, at: Timestamp) {
        let ask = json!({"order_id": order, "amount": amount, "currency": currency, "at": at});
        self.sandbox.post("/payer/pay", &ask).await.is(200);
    }

    /// Runs it; it must succeed and say this of the sandbox.
    async fn reconcile(&self, lines: u32, healed: u32) {
        let (whole, said) = self.shop.reconcile().await;
        let wanted = format!("sandbox: {lines} lines read, {healed} taken up now, 0 unmatched");
        assert!(whole && said.contains(&wanted), "{wanted}:\n{said}");
    }

    async fn settlements(&self, query: &str) -> Value {
        self.shop.api.get(&format!("/v1/settlements{query}")).await.is(200)
    }

    async fn until_exceptions(&self, kinds: &[&str]) {
        eventually(&format!("{kinds:?}"), async || {
            (self.shop.open_exceptions().await == kinds).then_some(())
        })
        .await;
    }
}

/// What the sandbox's own books add up to: (captured, refunded, fees).
async fn sums(sandbox: &Api, currency: &str) -> (i64, i64, i64) {
    let (from, until) = (Timestamp::now() - SignedDuration::from_hours(720), Timestamp::now());
    let page = sandbox.get(&format!("/v1/movements?from={from}&until={until}&limit=1000")).await.is(200);
    let lines = page["data"].as_array().unwrap();
    let sum = |kind: &str, field: &str| {
        let wanted = |line: &&Value| line["type"] == kind && line["currency"] == currency;
        lines.iter().filter(wanted).map(|line| line[field].as_i64().unwrap()).sum()
    };
    (sum("captured", "amount"), sum("refunded", "amount"), sum("captured", "fee"))
}

#[tokio::test]
async fn what_lost_webhooks_left_behind_is_healed_once() {
    let it = Setting::new().await;
    let ((paid, _), (back, payment)) = (it.paid().await, it.paid().await);
    // Both of them lost: the money, and that a part of it went back.
    let refund = json!({"amount": 500, "reason": "by hand"});
    it.sandbox.post(&format!("/dashboard/payments/{payment}/refunds"), &refund).await.is(200);
    it.pay("ord_01890a5d96c5774b916f4be1d2b2f1a1", 700, "EUR", Timestamp::now()).await;
    it.pay("of-somebody-else", 800, "EUR", Timestamp::now()).await;
    it.reconcile(5, 5).await;
    it.shop.until(&paid, "completed").await;
    it.shop.until(&back, "completed").await;
    it.shop.until_money(&back, "partially_refunded").await;
    it.until_exceptions(&["unknown_order", "unknown_order"]).await;
    it.reconcile(5, 0).await;
    assert_eq!(it.shop.until_mailed(&paid, "paid").await, ["paid"]);
    for (order, status) in [(&paid, "paid"), (&back, "partially_refunded")] {
        assert_eq!(it.shop.order(order).await["payment_status"], status);
        assert!(it.shop.exceptions(order).await.is_empty());
    }

    // A refund that the shop asked for, and that got through later, unheard.
    it.faults(json!({"webhooks": LOSE, "refunds": "pend"})).await;
    let asked = it.shop.refund(&paid, json!({"reason": "broken"})).await;
    it.shop.until_money(&paid, "refund_pending").await;
    let id = asked["id"].as_str().unwrap();
    let settle = format!("/dashboard/refunds/{id}/settle");
    eventually("the sandbox has the refund", async || {
        let settled = it.sandbox.post(&settle, &json!({"state": "succeeded"})).await;
        (settled.status == 200).then_some(())
    })
    .await;
    it.reconcile(6, 1).await;
    it.shop.until_money(&paid, "refunded").await;
    it.reconcile(6, 0).await;

    let settlements = it.settlements("").await;
    let [settled] = settlements["data"].as_array().unwrap().as_slice() else { panic!("{settlements}") };
    let (captured, refunded, fees) = sums(&it.sandbox, "EUR").await;
    assert_eq!((captured, refunded), (4000, 1750));
    for (field, amount) in
        [("captured", captured), ("refunded", refunded), ("fees", fees), ("open", 1500), ("unmatched", 0)]
    {
        assert_eq!(settled[field], amount, "{field} of {settled}");
    }
    it.shop.close();
}

#[tokio::test]
async fn lines_that_our_books_contradict_are_reported_until_they_agree() {
    let it = Setting::new().await;
    let (order, payment) = it.open().await;
    it.capture(&payment, json!({"amount": 1249})).await;
    // The webhook, genuine, told of more.
    let mut event = paid(&order, 1250);
    event["data"]["payment_id"] = json!(payment);
    Webhook::new(&event).send(&it.shop.api).await.is(200);
    it.shop.until(&order, "completed").await;
    for _ in 0..2 {
        let (whole, said) = it.shop.reconcile().await;
        assert!(!whole && said.contains("some lines match nothing in our books"), "{said}");
        assert!(said.contains("sandbox: 1 lines read, 0 taken up now, 1 unmatched"), "{said}");
    }
    let settled = &it.settlements("").await["data"][0];
    assert_eq!((&settled["captured"], &settled["unmatched"]), (&json!(1249), &json!(1)), "{settled}");
    it.shop.close();
}

#[tokio::test]
async fn settlements_are_per_day_and_currency_and_come_in_pages() {
    let it = Setting::new().await;
    let now = Timestamp::now();
    let days: Vec<Timestamp> = [20, 10, 1].map(|days| now - SignedDuration::from_hours(24 * days)).into();
    let order = it.shop.place(&[("tea", 1)]).await;
    it.pay(&order, 1250, "EUR", days[2]).await;
    it.pay(&order, 1250, "EUR", days[1]).await;
    it.pay(&order, 900, "USD", days[1]).await;
    it.pay("nobody", 100, "JPY", days[0]).await;
    it.reconcile(4, 4).await;
    it.shop.until(&order, "completed").await;
    eventually("the second and the dollars are settled", async || {
        (it.shop.payments(&order).await.len() == 3).then_some(())
    })
    .await;

    let whole = it.settlements("").await;
    let shown = |list: &Value| -> Vec<(String, String, i64)> {
        let row = |it: &Value| {
            let text = |field: &str| it[field].as_str().unwrap().to_owned();
            (text("day"), text("currency"), it["captured"].as_i64().unwrap())
        };
        list["data"].as_array().unwrap().iter().map(row).collect()
    };
    let row = |day: usize, currency: &str, captured| {
        (days[day].strftime("%Y-%m-%d").to_string(), currency.to_owned(), captured)
    };
    let wanted = [row(2, "EUR", 1250), row(1, "USD", 900), row(1, "EUR", 1250), row(0, "JPY", 100)];
    assert_eq!(shown(&whole), wanted);
    for (currency, (captured, _, fees)) in
        [("USD", sums(&it.sandbox, "USD").await), ("JPY", sums(&it.sandbox, "JPY").await)]
    {
        let data = whole["data"].as_array().unwrap();
        let settled = data.iter().find(|it| it["currency"] == currency).unwrap();
        assert_eq!((&settled["captured"], &settled["fees"]), (&json!(captured), &json!(fees)));
        assert_eq!((&settled["object"], &settled["provider"]), (&json!("settlement"), &json!("sandbox")));
    }

    let mut pages = Vec::new();
    let mut page = it.settlements("?limit=1").await;
    loop {
        pages.extend(shown(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        page = it.settlements(&format!("?limit=1&starting_after={cursor}")).await;
    }
    assert_eq!(pages, wanted);
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("starting_after=2026-11-21", "starting_after"),
        ("starting_after=yesterday.sandbox.EUR", "starting_after"),
        ("starting_after=2026-11-21.sandbox.%00", "starting_after"),
    ] {
        let answer = it.shop.api.get(&format!("/v1/settlements?{query}")).await;
        assert_eq!(answer.bad_fields(), [field], "{query}");
    }
    it.shop.api.get("/v1/settlements?day=1").await.problem(422, "invalid_request");
    it.shop.close();
}

/// Providers book late. What is dated days before the last run is found; the rest was read before.
#[tokio::test]
async fn each_run_reads_on_from_the_last_and_three_days_back() {
    let it = Setting::new().await;
    let ago = |hours| Timestamp::now() - SignedDuration::from_hours(hours);
    it.pay("early", 100, "EUR", ago(29 * 24)).await;
    it.reconcile(1, 1).await;
    it.pay("late", 100, "EUR", ago(2 * 24)).await;
    it.reconcile(1, 1).await;
    it.faults(json!({"outage": {"answer": "hang_up"}})).await;
    let (whole, said) = it.shop.reconcile().await;
    assert!(!whole && said.contains("sandbox: could not be read"), "{said}");
    it.faults(json!({"webhooks": LOSE})).await;
    it.pay("later", 100, "EUR", ago(0)).await;
    it.reconcile(2, 1).await;
    assert_eq!(it.shop.open_exceptions().await, ["unknown_order"; 3]);
    it.shop.close();
}

#[tokio::test]
async fn a_schedule_reads_the_books_and_there_is_one() {
    let it = Setting::new().await;
    it.shop.another_worker(&[]).await;
    let id = format!("{}-reconcile", it.shop.task_queue);
    let schedule = it.shop.temporal.client().await.get_schedule_handle(&id);
    let described = schedule.describe(Default::default()).await.unwrap();
    let ScheduleDescriptionAction::StartWorkflow(action) = described.action() else { panic!() };
    assert_eq!((action.workflow_type(), action.task_queue()), ("reconcile", it.shop.task_queue.as_str()));
    let hour = std::time::Duration::from_secs(3600);
    let next: Vec<_> = described.future_action_times().into_iter().take(2).collect();
    assert_eq!(next[1].duration_since(next[0]).unwrap(), hour);

    let (order, _) = it.paid().await;
    schedule.trigger(ScheduleOverlapPolicy::Skip, TriggerScheduleOptions::default()).await.unwrap();
    it.shop.until(&order, "completed").await;
    let query = format!("TaskQueue = '{}' AND WorkflowType = 'reconcile'", it.shop.task_queue);
    eventually(&query, async || (it.shop.temporal.count(&query).await == 1).then_some(())).await;
    let created = described.create_time().unwrap();
    let described = schedule.describe(Default::default()).await.unwrap();
    assert_eq!((described.create_time().unwrap(), described.action_count()), (created, 1));
    it.shop.close();
}

/// A webhook of the provider's that its books do not bear out, days later.
#[tokio::test]
async fn money_that_the_books_never_show_is_an_exception_after_days() {
    let it = Setting::new().await;
    let order = it.shop.place(&[("tea", 1)]).await;
    Webhook::new(&paid(&order, 1250)).send(&it.shop.api).await.is(200);
    it.shop.until(&order, "completed").await;
    it.reconcile(0, 0).await;
    assert!(it.shop.open_exceptions().await.is_empty());
    let days_later = "UPDATE payments SET captured_at = captured_at - interval '73 hours'";
    it.shop.sql().await.execute(days_later).await.unwrap();
    for missing in [1, 0] {
        let (whole, said) = it.shop.reconcile().await;
        assert!(whole && said.contains(&format!("0 unmatched, {missing} missing")), "{said}");
        assert_eq!(it.shop.exceptions(&order).await, ["not_in_books"]);
    }
    // There is no money in it that could go back: that is the order's.
    let open = it.shop.api.get("/v1/exceptions?state=open").await.is(200);
    let id = open["data"][0]["id"].as_str().unwrap();
    let resolve = async |action| {
        let body = json!({"action": action, "note": "asked the provider"});
        it.shop.api.post(&format!("/v1/exceptions/{id}/resolve"), &body).await
    };
    resolve("refund").await.problem(409, "refund_exceeds_captured");
    resolve("dismiss").await.is(200);
    it.reconcile(0, 0).await;
    assert!(it.shop.open_exceptions().await.is_empty());
    it.shop.close();
}

/// More lines than one page has, and a worker that dies while it takes them up.
#[tokio::test]
async fn a_worker_that_dies_over_the_books_leaves_them_to_the_next() {
    const LINES: usize = 1200;
    let mut it = Setting::new().await;
    let at = Timestamp::now() - 1.hour();
    for _ in 0..LINES / 100 {
        join_all((0..100).map(|_| it.pay("unknown", 100, "EUR", at))).await;
    }
    let (order, _) = it.paid().await;
    let mut sql = it.shop.sql().await;
    let taken_up = "SELECT count(*) FROM exceptions";
    let run = tokio::spawn(it.shop.reconciliation());
    eventually("some lines are taken up", async || {
        let count: i64 = sqlx::query_scalar(taken_up).fetch_one(&mut sql).await.unwrap();
        (count > 20).then_some(())
    })
    .await;
    it.shop.kill_worker();
    let count: i64 = sqlx::query_scalar(taken_up).fetch_one(&mut sql).await.unwrap();
    assert!(count < LINES as i64, "the worker was faster than the test");
    it.shop.start_worker();
    let (whole, said) = run.await.unwrap();
    assert!(whole && said.contains(&format!("sandbox: {} lines read", LINES + 1)), "{said}");
    it.shop.until(&order, "completed").await;
    let count: i64 = sqlx::query_scalar(taken_up).fetch_one(&mut sql).await.unwrap();
    assert_eq!(count, LINES as i64);
    it.shop.close();
}
