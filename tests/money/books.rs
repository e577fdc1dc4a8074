//! Our books, read by our API, against the sandbox's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sqlx::PgConnection;

use crate::harness::{
    Shop, StatementLine,
    documents::{Exception, Order, Payment, Refund},
    eventually,
};

/// Minor units by currency.
type Sums = BTreeMap<String, i64>;
/// Amount and currency by the provider's id.
type Books = BTreeMap<String, (i64, String)>;

/// What our API says of the money of an order.
pub struct Account {
    pub order: Order,
    pub payments: Vec<Payment>,
    pub refunds: Vec<Refund>,
    pub exceptions: Vec<Exception>,
}

/// Kinds of exceptions that hold captured money; the others tell of refunds and attempts.
const HOLDING: [&str; 6] =
    ["wrong_amount", "wrong_currency", "paid_twice", "order_closed", "overpaid", "unknown_order"];

impl Account {
    pub async fn of(shop: &Shop, order: &str) -> Self {
        Self {
            order: shop.order(order).await,
            payments: shop.payments(order).await,
            refunds: shop.refunds(order).await,
            exceptions: shop.list_exceptions(&format!("order={order}&limit=100")).await,
        }
    }

    /// The payments that were captured.
    fn captured(&self) -> impl Iterator<Item = &Payment> {
        self.payments.iter().filter(|payment| payment.state == "succeeded")
    }

    /// The refunds that went back.
    pub fn refunded(&self) -> impl Iterator<Item = &Refund> {
        self.refunds.iter().filter(|refund| refund.state == "succeeded")
    }

    /// captured = what pays orders + what exceptions hold, payment by payment; and what an exception holds is
    /// still there, or went back by exactly one refund.
    fn prove(&self) {
        for payment in self.captured() {
            let about = self.exceptions.iter().filter(|it| it.payment_id == payment.id && holds(it));
            let held: i64 = about.map(|it| it.amount).sum();
            assert_eq!(payment.amount, payment.applied + held, "{payment:?}\n{:#?}", self.exceptions);
        }
        for exception in &self.exceptions {
            let of_it = self.refunds.iter().filter(|refund| refund.exception_id == exception.id);
            let back: Vec<i64> = of_it.map(|refund| refund.amount).collect();
            match exception.action.as_str() {
                // What went back by itself before is not sent once more.
                "refund" if exception.resolved_by == "api" => {
                    assert!(back.len() == 1 && back[0] <= exception.amount, "{exception:?}: {back:?}");
                }
                "refund" => assert_eq!(back, [exception.amount], "{exception:?}"),
                _ if exception.kind == "refund_unexplained" => {}
                _ => assert!(back.is_empty(), "{exception:?}: {back:?}"),
            }
        }
        self.prove_open();
    }

    /// The same money is never two open exceptions: they tell of no more than is still there of a payment.
    fn prove_open(&self) {
        for payment in self.captured() {
            let of_it = |id: &String| *id == payment.provider_payment_id;
            let back = self.refunded().filter(|refund| of_it(&refund.provider_payment_id));
            let here = payment.amount - back.map(|refund| refund.amount).sum::<i64>();
            let open =
                self.exceptions.iter().filter(|it| it.state == "open" && of_it(&it.provider_payment_id));
            let open: Vec<_> = open.filter(|it| is_holding(it) || it.kind == "refund_failed").collect();
            let told: i64 = open.iter().map(|it| it.amount - it.back).sum();
            assert!(told <= here, "{told} of {here}: {open:#?}\n{:#?}", self.refunds);
        }
        let is_unexplained = |it: &Exception| it.kind == "refund_unexplained" && it.state == "open";
        let is_kept = |it: &Exception| it.state == "resolved" && it.action != "refund" && is_holding(it);
        assert!(
            !self.exceptions.iter().any(is_unexplained) || self.exceptions.iter().any(is_kept),
            "only what a person keeps can go back unexplained: {:#?}\n{:#?}",
            self.exceptions,
            self.refunds
        );
    }
}

fn is_holding(exception: &Exception) -> bool {
    HOLDING.contains(&exception.kind.as_str())
}

/// Whether it holds money that was not applied to its order.
fn holds(exception: &Exception) -> bool {
    is_holding(exception) && exception.action != "apply"
}

/// Everything both sides know of these orders (and, by exceptions, of orders we do not know), payment by
/// payment and refund by refund. What a `reinstated` order was paid with counts for the order that took its
/// place.
pub async fn prove(shop: &Shop, accounts: &[Account]) {
    let (mut captured, mut refunded) = (Books::new(), refunds_without_order(shop).await);
    for account in accounts {
        account.prove();
        captured.extend(
            account.captured().map(|it| (it.provider_payment_id.clone(), (it.amount, it.currency.clone()))),
        );
        refunded.extend(
            account.refunded().map(|it| (it.provider_refund_id.clone(), (it.amount, it.currency.clone()))),
        );
    }
    let unknown = shop.list_exceptions("limit=100").await.into_iter().filter(|it| it.kind == "unknown_order");
    captured.extend(unknown.map(|it| (it.provider_payment_id, (it.amount, it.currency))));
    let statement = shop.provider.statement().await;
    let lines = |kind: &str| -> Books {
        let lines = statement.iter().filter(|line| line.kind == kind);
        lines.map(|line| (line.id.clone(), (line.amount, line.currency.clone()))).collect()
    };
    assert_eq!(captured, lines("captured"), "captures: ours, then the sandbox's");
    assert_eq!(refunded, lines("refunded"), "refunds: ours, then the sandbox's");
    equation(accounts, &statement);
}

/// captured at the provider = what the orders keep + what went back + what exceptions hold, by currency.
fn equation(accounts: &[Account], statement: &[StatementLine]) {
    let (mut at_provider, mut ours) = (Sums::new(), Sums::new());
    let mine = |line: &&StatementLine| accounts.iter().any(|account| account.order.id == line.order_id);
    for line in statement.iter().filter(mine) {
        let sign = if line.kind == "captured" { 1 } else { -1 };
        *at_provider.entry(line.currency.clone()).or_default() += sign * line.amount;
    }
    let mut seen = BTreeSet::new();
    for account in accounts {
        let mut add = |currency: &str, amount: i64| *ours.entry(currency.to_owned()).or_default() += amount;
        // A payment of an ended order that pays its successor is listed with both.
        for payment in account.payments.iter().filter(|payment| seen.insert(payment.id.clone())) {
            add(&payment.currency, payment.applied);
        }
        account.exceptions.iter().filter(|it| holds(it)).for_each(|it| add(&it.currency, it.amount));
        account.refunded().for_each(|refund| add(&refund.currency, -refund.amount));
    }
    at_provider.retain(|_, sum| *sum != 0);
    ours.retain(|_, sum| *sum != 0);
    assert_eq!(ours, at_provider, "ours, then the sandbox's");
}

/// No route shows these.
async fn refunds_without_order(shop: &Shop) -> Books {
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
pub async fn quiet(shop: &Shop) {
    let mut connection = shop.sql().await;
    let mut under_way = Vec::new();
    eventually("nothing is under way", async || {
        // What the provider was told to leave pending needs somebody there to end it.
        for refund in pending_refunds(&mut connection).await {
            let end = if refund.ends_with(['0', '4', '8']) { "failed" } else { "succeeded" };
            let path = format!("/dashboard/refunds/{refund}/settle");
            shop.provider.post(&path, &json!({"state": end})).await;
        }
        if shop.provider.is_sending().await {
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
