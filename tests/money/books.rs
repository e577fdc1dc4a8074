//! Our books, read by our API, against the sandbox's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sqlx::PgConnection;

use super::provider::{Bank, Movement, Sums};
use crate::harness::{Shop, eventually};

/// What our API says of the money of an order.
pub struct Account {
    pub order: Value,
    pub payments: Vec<Value>,
    pub refunds: Vec<Value>,
    pub exceptions: Vec<Value>,
}

/// Kinds of exceptions that hold captured money; the others tell of refunds and attempts.
const HOLDING: [&str; 6] =
    ["wrong_amount", "wrong_currency", "paid_twice", "order_closed", "overpaid", "unknown_order"];

impl Account {
    pub async fn of(shop: &Shop, order: &str) -> Self {
        let list = async |path: String| {
            let list = shop.api.get(&path).await.is(200);
            list["data"].as_array().unwrap().clone()
        };
        Self {
            order: shop.order(order).await,
            payments: shop.payments(order).await,
            refunds: list(format!("/v1/orders/{order}/refunds")).await,
            exceptions: list(format!("/v1/exceptions?order={order}&limit=100")).await,
        }
    }

    /// What our books say was captured for the order, by the provider's payment id.
    fn captured(&self) -> BTreeMap<String, (i64, String)> {
        let captured = self.payments.iter().filter(|it| it["state"] == "succeeded");
        captured.map(|it| (text(it, "provider_payment_id"), (amount(it), text(it, "currency")))).collect()
    }

    fn refunded(&self) -> BTreeMap<String, (i64, String)> {
        let back = self.refunds.iter().filter(|it| it["state"] == "succeeded");
        back.map(|it| (text(it, "provider_refund_id"), (amount(it), text(it, "currency")))).collect()
    }

    /// captured = what pays orders + what exceptions hold, payment by payment; and what an exception holds is
    /// still there, or went back by exactly one refund.
    pub fn prove(&self) {
        for payment in self.payments.iter().filter(|it| it["state"] == "succeeded") {
            let about =
                |it: &&Value| it["payment_id"] == payment["id"] && is_holding(it) && it["action"] != "apply";
            let held: i64 = self.exceptions.iter().filter(about).map(amount).sum();
            let applied = payment["applied"].as_i64().unwrap();
            assert_eq!(amount(payment), applied + held, "{payment}\n{:#?}", self.exceptions);
        }
        for exception in &self.exceptions {
            let of_it = |it: &&Value| it["exception_id"] == exception["id"];
            let back: Vec<i64> = self.refunds.iter().filter(of_it).map(amount).collect();
            let kind = exception["kind"].as_str().unwrap();
            match exception["action"].as_str() {
                // What went back by itself before is not sent once more.
                Some("refund") if exception["resolved_by"] == "api" => {
                    assert!(back.len() == 1 && back[0] <= amount(exception), "{exception}: {back:?}");
                }
                Some("refund") => assert_eq!(back, [amount(exception)], "{exception}"),
                _ if kind == "refund_unexplained" => {}
                _ => assert!(back.is_empty(), "{exception}: {back:?}"),
            }
        }
        self.prove_open();
    }

    /// The same money is never two open exceptions: they tell of no more than is still there of a payment.
    fn prove_open(&self) {
        for payment in self.payments.iter().filter(|it| it["state"] == "succeeded") {
            let of_it = |it: &&Value| it["provider_payment_id"] == payment["provider_payment_id"];
            let back = self.refunds.iter().filter(of_it).filter(|it| it["state"] == "succeeded");
            let here = amount(payment) - back.map(amount).sum::<i64>();
            let open = self.exceptions.iter().filter(of_it).filter(|it| it["state"] == "open");
            let open: Vec<&Value> =
                open.filter(|it| is_holding(it) || it["kind"] == "refund_failed").collect();
            let told: i64 = open.iter().map(|it| amount(it) - it["back"].as_i64().unwrap()).sum();
            assert!(told <= here, "{told} of {here}: {open:#?}\n{:#?}", self.refunds);
        }
        let unexplained = |it: &&Value| it["kind"] == "refund_unexplained" && it["state"] == "open";
        let unexplained: Vec<_> = self.exceptions.iter().filter(unexplained).collect();
        let kept = |it: &Value| it["state"] == "resolved" && it["action"] != "refund" && is_holding(it);
        assert!(
            unexplained.is_empty() || self.exceptions.iter().any(kept),
            "only what a person keeps can go back unexplained: {:#?}\n{:#?}",
            self.exceptions,
            self.refunds
        );
    }
}

pub fn is_holding(exception: &Value) -> bool {
    HOLDING.contains(&exception["kind"].as_str().unwrap())
}

pub fn amount(it: &Value) -> i64 {
    it["amount"].as_i64().unwrap()
}

fn text(it: &Value, field: &str) -> String {
    it[field].as_str().unwrap_or_else(|| panic!("{field} of {it}")).to_owned()
}

/// Everything both sides know of these orders (and, by exceptions, of orders we do not know), payment by
/// payment and refund by refund. What a `reinstated` order was paid with counts for the order that took its
/// place.
pub async fn prove(shop: &Shop, bank: &Bank, accounts: &[Account]) {
    let (mut captured, mut refunded) = (BTreeMap::new(), BTreeMap::new());
    for account in accounts {
        account.prove();
        captured.extend(account.captured());
        refunded.extend(account.refunded());
    }
    for unknown in unknown_money(shop).await {
        captured
            .insert(text(&unknown, "provider_payment_id"), (amount(&unknown), text(&unknown, "currency")));
    }
    let ids: Vec<String> = accounts.iter().map(|it| text(&it.order, "id")).collect();
    refunded.extend(refunds_without_order(shop).await);
    let movements = bank.movements().await;
    let of = |is_capture: bool| -> BTreeMap<String, (i64, String)> {
        let mine = movements.iter().filter(|it| it.is_capture == is_capture);
        mine.map(|it| (it.id.clone(), (it.amount, it.currency.clone()))).collect()
    };
    assert_eq!(captured, of(true), "captures: ours, then the sandbox's");
    assert_eq!(refunded, of(false), "refunds: ours, then the sandbox's");
    equation(&ids, accounts, &movements);
}

/// captured at the provider = what the orders keep + what went back + what exceptions hold, by currency.
fn equation(ids: &[String], accounts: &[Account], movements: &[Movement]) {
    let (mut at_provider, mut ours) = (Sums::new(), Sums::new());
    let mine = |it: &&Movement| ids.contains(&it.order);
    for line in movements.iter().filter(mine) {
        let sign = if line.is_capture { 1 } else { -1 };
        *at_provider.entry(line.currency.clone()).or_default() += sign * line.amount;
    }
    let mut seen = BTreeSet::new();
    for account in accounts {
        let mut add = |of: &Value, amount: i64| *ours.entry(text(of, "currency")).or_default() += amount;
        // A payment of an ended order that pays its successor is listed with both.
        for payment in account.payments.iter().filter(|it| seen.insert(text(it, "id"))) {
            add(payment, payment["applied"].as_i64().unwrap());
        }
        let holding = |it: &&Value| is_holding(it) && it["action"] != "apply";
        account.exceptions.iter().filter(holding).for_each(|it| add(it, amount(it)));
        let back = account.refunds.iter().filter(|it| it["state"] == "succeeded");
        back.for_each(|it| add(it, -amount(it)));
    }
    at_provider.retain(|_, sum| *sum != 0);
    ours.retain(|_, sum| *sum != 0);
    assert_eq!(ours, at_provider, "ours, then the sandbox's");
}

/// Exceptions about money for orders that we do not know.
async fn unknown_money(shop: &Shop) -> Vec<Value> {
    let list = shop.api.get("/v1/exceptions?limit=100").await.is(200);
    let list = list["data"].as_array().unwrap().clone();
    list.into_iter().filter(|it| it["kind"] == "unknown_order").collect()
}

/// No route shows these.
async fn refunds_without_order(shop: &Shop) -> BTreeMap<String, (i64, String)> {
    let rows: Vec<(String, i64, String)> = sqlx::query_as(
        "SELECT provider_refund_id, amount, currency::text FROM refunds
         WHERE order_id IS NULL AND state = 'succeeded'",
    )
    .fetch_all(&mut shop.sql().await)
    .await
    .unwrap();
    rows.into_iter().map(|(id, amount, currency)| (id, (amount, currency))).collect()
}

/// Waits until nothing is under way: no webhook, no event that nobody acted on, no refund without an end.
pub async fn quiet(shop: &Shop, bank: &Bank) {
    let mut connection = shop.sql().await;
    let mut under_way = Vec::new();
    eventually("nothing is under way", async || {
        // What the provider was told to leave pending needs somebody there to end it.
        for refund in pending_refunds(&mut connection).await {
            let end =
                json!({"state": if refund.ends_with(['0', '4', '8']) { "failed" } else { "succeeded" }});
            bank.call("POST", &format!("/dashboard/refunds/{refund}/settle"), end).await;
        }
        if bank.is_sending().await {
            return None;
        }
        let now: Vec<String> = sqlx::query_scalar(
            "SELECT format('event %s: %s %s of %s', event_id, type, amount, payment_id)
             FROM inbox WHERE settled_at IS NULL
             UNION ALL
             SELECT format('refund %s: %s, %s of %s', provider_refund_id, state, amount, provider_payment_id)
             FROM refunds WHERE state IN ('requested', 'pending')",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        if now != under_way {
            eprintln!("under way: {now:#?}"); // shown if the test fails
            under_way = now;
        }
        under_way.is_empty().then_some(())
    })
    .await;
}

/// The provider's ids of what it has not ended, as far as we know.
async fn pending_refunds(connection: &mut PgConnection) -> Vec<String> {
    let pending = sqlx::query_scalar(
        "SELECT provider_refund_id FROM refunds WHERE state = 'pending' AND provider_refund_id IS NOT NULL",
    );
    pending.fetch_all(connection).await.unwrap()
}
