//! Stripe's statement: its balance transactions, each with the charge or refund it comes from.

use domain::{
    OrderId, Timestamp,
    payment::RefundState,
    statement::{LineKind, Statement, StatementLine, UnreadableLine},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::amount;
use super::client::{Client, PAGE_ITEMS, parameter_unknown};
use super::types::{Charge, Dispute, List, Refund, unreadable};
use crate::Error;

const PATH: [&str; 2] = ["v1", "balance_transactions"];
/// 50,000 lines, then the caller is to ask for less at once.
const MAX_PAGES: usize = 500;

#[derive(Deserialize)]
struct BalanceTransaction {
    id: String,
    created: i64,
    /// What the balance gained; negative if it lost.
    #[serde(default)]
    amount: i64,
    currency: String,
    fee: i64,
    r#type: String,
    source: Option<Value>,
}

/// Captures, refunds and disputes booked from `from` until before `until`, oldest first.
pub(super) async fn read(client: &Client, from: Timestamp, until: Timestamp) -> Result<Statement, Error> {
    let whole_second_after = until.as_second().saturating_add(1);
    let mut window =
        vec![("created[gte]", from.as_second().to_string()), ("created[lt]", whole_second_after.to_string())];
    let mut after: Option<String> = None;
    let mut statement = Statement::default();
    for _ in 0..MAX_PAGES {
        let mut answer = page(client, &window, after.as_deref()).await;
        if parameter_unknown(&answer) {
            // The simulator localstripe has no filter: newest first, until we are past `from`.
            window.clear();
            answer = page(client, &window, after.as_deref()).await;
        }
        let List { data, has_more } = answer?;
        let oldest_s = data.last().map(|line| line.created);
        after = data.last().map(|line| line.id.clone());
        for line in data {
            let at = Timestamp::from_second(line.created).map_err(|_| unreadable())?;
            if from <= at && at < until {
                match movement(line, at) {
                    Ok(movement) => statement.lines.extend(movement),
                    Err(line) => statement.unreadable.push(line),
                }
            }
        }
        if !has_more || oldest_s.is_none_or(|oldest_s| oldest_s < from.as_second()) {
            // Read newest first.
            statement.lines.reverse();
            statement.lines.sort_by_key(|movement| movement.at);
            return Ok(statement);
        }
    }
    let detail = format!("more than {} lines: ask for a shorter time", MAX_PAGES * PAGE_ITEMS);
    Err(Error::Refused { code: "statement_too_long".to_owned(), detail })
}

async fn page(
    client: &Client,
    window: &[(&'static str, String)],
    after: Option<&str>,
) -> Result<List<BalanceTransaction>, Error> {
    let mut query = window.to_vec();
    query.push(("limit", PAGE_ITEMS.to_string()));
    query.push(("expand[]", "data.source".to_owned()));
    query.push(("expand[]", "data.source.payment_intent".to_owned()));
    query.extend(after.map(|id| ("starting_after", id.to_owned())));
    client.get(&PATH, &query).await
}

/// What a line is to us, if anything: payouts, fees and the like are not, nor is what was charged without a
/// PaymentIntent, since it cannot be ours.
fn movement(line: BalanceTransaction, at: Timestamp) -> Result<Option<StatementLine>, UnreadableLine> {
    let (reference, kind) = (line.id.clone(), line.r#type.clone());
    let movement = match kind.as_str() {
        // Cards, and everything else.
        "charge" | "payment" => captured(line, at),
        "refund" | "payment_refund" => refunded(line, at),
        "adjustment" => disputed(line, at),
        _ => Ok(None),
    };
    movement.map_err(|order| UnreadableLine {
        reference,
        order,
        why: format!("a line `{kind}` that we cannot read"),
    })
}

/// The order that a line names which we cannot read.
type Unread = Option<OrderId>;

fn captured(line: BalanceTransaction, at: Timestamp) -> Result<Option<StatementLine>, Unread> {
    let charge: Charge = source(line.source)?;
    let Some(intent) = &charge.payment_intent else { return Ok(None) };
    let provider_payment_id = intent.id().to_owned();
    let order = charge.order();
    let Some(money) = charge.money() else { return unless_ours(order) };
    let fee = fee(line.fee, &line.currency, money.currency.code());
    Ok(Some(StatementLine { kind: LineKind::Captured, provider_payment_id, order, money, fee, at }))
}

fn refunded(line: BalanceTransaction, at: Timestamp) -> Result<Option<StatementLine>, Unread> {
    let refund: Refund = source(line.source)?;
    if refund.payment_intent.is_none() {
        return Ok(None);
    }
    let order = refund.order();
    let Ok(refund) = refund.report() else { return unless_ours(order) };
    // Booked, and booked back by a `refund_failure` since.
    if refund.state == RefundState::Failed {
        return Ok(None);
    }
    let fee = fee(line.fee, &line.currency, refund.money.currency.code());
    let kind = LineKind::Refunded { refund: refund.refund, provider_refund_id: refund.provider_refund_id };
    let (provider_payment_id, money) = (refund.payment_id, refund.money);
    Ok(Some(StatementLine { kind, provider_payment_id, order, money, fee, at }))
}

/// Adjustments are of many kinds; those of disputes come from one.
fn disputed(line: BalanceTransaction, at: Timestamp) -> Result<Option<StatementLine>, Unread> {
    let is_dispute = |source: &Value| source.get("object").and_then(Value::as_str) == Some("dispute");
    if !line.source.as_ref().is_some_and(is_dispute) {
        return Ok(None);
    }
    let dispute: Dispute = source(line.source)?;
    if dispute.payment_intent.is_none() {
        return Ok(None);
    }
    let order = dispute.order();
    let Ok(dispute) = dispute.report() else { return unless_ours(order) };
    let money = dispute.money;
    let fee = fee(line.fee, &line.currency, money.currency.code());
    let kind = LineKind::Disputed {
        is_reversal: line.amount > 0,
        provider_dispute_id: dispute.provider_dispute_id,
        state: dispute.state,
        state_text: dispute.state_text,
    };
    let provider_payment_id = dispute.payment_id;
    Ok(Some(StatementLine { kind, provider_payment_id, order, money, fee, at }))
}

/// An amount that we cannot read. We collect none such, so without an order of ours it is others' money, and
/// does not keep us from reading on.
fn unless_ours(order: Option<OrderId>) -> Result<Option<StatementLine>, Unread> {
    if order.is_none() { Ok(None) } else { Err(order) }
}

fn source<T: DeserializeOwned>(source: Option<Value>) -> Result<T, Unread> {
    serde_json::from_value(source.unwrap_or_default()).map_err(|_| None)
}

/// The fee is in the currency that Stripe settles in, which need not be the payer's.
fn fee(amount: i64, settled_in: &str, paid_in: &str) -> Option<i64> {
    let fee = amount::from_stripe(amount, settled_in)?;
    (fee.currency.code() == paid_in).then_some(fee.amount)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ORDER: &str = "ord_01890a5d96c5774b916f4be1d2b2f1a1";

    fn of(kind: &str, settled_in: &str, source: &Value) -> Option<StatementLine> {
        let line = json!({ "id": "txn_1", "created": 1000, "currency": settled_in, "fee": 59, "type": kind,
            "source": source });
        let line = serde_json::from_value(line).expect("a line");
        movement(line, Timestamp::from_second(1000).expect("in range")).expect("readable")
    }

    #[test]
    fn captures_and_refunds_are_told_in_the_payers_currency_with_the_fee_if_it_is_the_same() {
        let charge = json!({ "id": "ch_1", "object": "charge", "amount": 2000, "amount_captured": 1500,
            "currency": "usd", "metadata": {},
            "payment_intent": { "id": "pi_1", "metadata": { "order_id": ORDER } } });
        let told = of("charge", "usd", &charge).expect("a capture");
        assert_eq!((&told.kind, told.provider_payment_id.as_str()), (&LineKind::Captured, "pi_1"));
        assert_eq!((told.money.to_string().as_str(), told.fee), ("15.00 USD", Some(59)));
        assert_eq!(told.order.map(|order| order.to_string()).as_deref(), Some(ORDER));
        assert_eq!(of("payment", "eur", &charge).expect("a capture").fee, None);

        let mut refund = json!({ "id": "re_1", "object": "refund", "amount": 500, "currency": "usd",
            "status": "succeeded", "payment_intent": "pi_1", "metadata": null });
        let told = of("payment_refund", "usd", &refund).expect("a refund");
        assert!(matches!(told.kind, LineKind::Refunded { refund: None, .. }));
        assert_eq!((told.money.amount, told.order), (500, None));
        refund["status"] = json!("failed");
        assert_eq!(of("refund", "usd", &refund), None);
    }

    #[test]
    fn what_disputes_take_and_give_back_is_told() {
        let line = |amount: i64, source: &Value| {
            let line = json!({ "id": "txn_1", "created": 1000, "amount": amount, "currency": "usd",
                "fee": 1500, "type": "adjustment", "source": source });
            let line = serde_json::from_value(line).expect("a line");
            movement(line, Timestamp::from_second(1000).expect("in range")).expect("readable")
        };
        let dispute = json!({ "id": "dp_1", "object": "dispute", "amount": 2000, "currency": "usd",
            "status": "won", "payment_intent": { "id": "pi_1", "metadata": { "order_id": ORDER } } });
        let taken = line(-2000, &dispute).expect("a withdrawal");
        assert!(matches!(taken.kind, LineKind::Disputed { is_reversal: false, .. }));
        assert_eq!(taken.provider_payment_id, "pi_1");
        assert_eq!((taken.money.amount, taken.fee), (2000, Some(1500)));
        assert_eq!(taken.order.map(|order| order.to_string()).as_deref(), Some(ORDER));
        assert!(matches!(
            line(2000, &dispute).expect("a reversal").kind,
            LineKind::Disputed { is_reversal: true, .. }
        ));
        assert_eq!(line(-2000, &json!({ "id": "x", "object": "fee_refund" })), None);
        assert_eq!(line(-2000, &Value::Null), None);
    }

    #[test]
    fn what_is_not_ours_is_left_out() {
        let charge = json!({ "id": "ch_1", "amount": 2000, "currency": "ugx", "payment_intent": null });
        assert_eq!(of("charge", "usd", &charge), None);
        let unreadable = json!({ "id": "ch_1", "amount": 2000, "currency": "ugx", "payment_intent": "pi_1" });
        assert_eq!(of("charge", "usd", &unreadable), None);
        let refund = json!({ "id": "re_1", "amount": 2000, "currency": "ugx", "status": "succeeded",
            "payment_intent": "pi_1" });
        assert_eq!(of("refund", "usd", &refund), None);
        assert_eq!(of("payout", "usd", &json!({ "id": "po_1" })), None);
        assert_eq!(of("stripe_fee", "usd", &Value::Null), None);
        assert_eq!(of("refund_failure", "usd", &json!({ "id": "re_1" })), None);
    }
}
