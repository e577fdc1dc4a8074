//! The books as a merchant reads them: every capture and refund, by the time it was booked.

use domain::{SignedDuration, Timestamp, money::Currency, payment::DisputeState};
use serde::{Deserialize, Serialize};

use crate::{
    answer::{Answer, Refusal},
    book::Book,
    model::{Dispute, Payment, RefundState},
};

pub const MAX_PAGE: usize = 1000;
const PAGE: usize = 100;
/// Lines of one id differ in their time: pages go on from both.
const PAGE_GAP: SignedDuration = SignedDuration::from_micros(1);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Included.
    from: Timestamp,
    /// Not included.
    until: Timestamp,
    /// 1 to 1,000; default 100.
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Page {
    object: &'static str,
    data: Vec<Movement>,
    has_more: bool,
    /// Give it as `after` to get the next page.
    next: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Movement {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Of the payment if captured, of the refund if refunded.
    id: String,
    payment_id: String,
    order_id: String,
    /// The merchant's id of the refund, if the merchant made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_id: Option<String>,
    /// Minor units, positive both ways.
    amount: i64,
    currency: Currency,
    fee: Option<i64>,
    at: Timestamp,
    /// Of a dispute, by now.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<DisputeState>,
}

/// Oldest first, and by id among those of the same time.
pub fn page(book: &Book, range: &Range) -> Answer<Page> {
    let limit = range.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Refusal::invalid(format!("limit: must be 1 to {MAX_PAGE}")));
    }
    let after = range.after.as_deref().map(place).transpose()?;
    let wanted = |movement: &Movement| {
        (range.from..range.until).contains(&movement.at)
            && after.is_none_or(|(at, id)| (movement.at, movement.id.as_str()) > (at, id))
    };
    let mut data: Vec<Movement> = book.payments().flat_map(movements).filter(wanted).collect();
    data.sort_unstable_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    let has_more = data.len() > limit;
    data.truncate(limit);
    let next = data.last().filter(|_| has_more).map(|last| format!("{}~{}", last.at, last.id));
    Ok(Page { object: "list", data, has_more, next })
}

fn place(after: &str) -> Answer<(Timestamp, &str)> {
    let place = after.split_once('~').and_then(|(at, id)| Some((at.parse().ok()?, id)));
    place.ok_or_else(|| Refusal::invalid("after: must be the `next` of another page"))
}

fn movements(payment: &Payment) -> Vec<Movement> {
    let captured = payment.captured.iter().map(|captured| Movement {
        kind: "captured",
        id: payment.id.clone(),
        payment_id: payment.id.clone(),
        order_id: payment.order_id.clone(),
        refund_id: None,
        amount: captured.amount,
        currency: captured.currency,
        fee: captured.fee,
        at: captured.at,
        state: None,
    });
    let refunded = payment.refunds.iter().filter(|refund| refund.state == RefundState::Succeeded);
    let refunded = refunded.map(|refund| Movement {
        kind: "refunded",
        id: refund.id.clone(),
        payment_id: payment.id.clone(),
        order_id: payment.order_id.clone(),
        refund_id: refund.key.clone(),
        amount: refund.amount,
        currency: refund.currency,
        fee: None,
        at: refund.settled_at.unwrap_or(refund.created_at),
        state: None,
    });
    captured.chain(refunded).chain(payment.disputes.iter().flat_map(disputed)).collect()
}

/// A dispute takes money away, and gives it back if it is won.
fn disputed(dispute: &Dispute) -> Vec<Movement> {
    let line = |kind, at| Movement {
        kind,
        id: dispute.id.clone(),
        payment_id: dispute.payment_id.clone(),
        order_id: dispute.order_id.clone(),
        refund_id: None,
        amount: dispute.amount,
        currency: dispute.currency,
        fee: None,
        at,
        state: Some(dispute.state),
    };
    let mut lines = vec![line("disputed", dispute.created_at)];
    if let (DisputeState::Won, Some(at)) = (dispute.state, dispute.closed_at) {
        lines.push(line("dispute_reversed", at.max(dispute.created_at + PAGE_GAP)));
    }
    lines
}
