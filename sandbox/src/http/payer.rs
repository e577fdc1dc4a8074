//! `/payer`: what the payer does. Not a merchant's call, so it goes on while there is an outage.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::post,
};
use domain::{Timestamp, money::Currency};
use serde::{Deserialize, Serialize};

use super::{PaymentDocument, read};
use crate::{
    answer::{Answer, Refusal},
    app::{App, Done},
    book::{Book, DeliveryState},
    model::{Payment, PaymentState, amount, id, new_id},
    rules::{self, Capture},
};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/payer/payments/{id}/capture", post(capture))
        .route("/payer/payments/{id}/fail", post(fail))
        .route("/payer/pay", post(pay))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaptureRequest {
    /// Minor units; default: what is asked for.
    amount: Option<i64>,
    currency: Option<Currency>,
    /// Default: a new one. The one of the capture again: its event is sent again.
    event_id: Option<String>,
    /// Goes through though the payment expired, failed or was cancelled.
    #[serde(default)]
    late: bool,
    /// When the books say it was; default now.
    at: Option<Timestamp>,
}

/// 409 `already_captured` or `payment_closed`, with the payment.
async fn capture(
    State(app): State<App>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer<Json<PaymentDocument>> {
    let CaptureRequest { amount, currency, event_id, late, at } = read(&body)?;
    let ask = Capture { amount, currency, event_id, late };
    let at = at.unwrap_or_else(Timestamp::now);
    let done = app.change_and_tell(
        |book| book.payment(&id).cloned(),
        |payment, faults| rules::capture(payment, ask, faults, at).map(|event| ((), event)),
    )?;
    Ok(Json(app.document(done.payment)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailRequest {
    event_id: Option<String>,
    /// Only this try failed: the payment stays open.
    #[serde(default)]
    retry: bool,
}

async fn fail(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer<Json<PaymentDocument>> {
    let FailRequest { event_id, retry } = read(&body)?;
    let done = app.change_and_tell(
        |book| book.payment(&id).cloned(),
        |payment, _| rules::fail(payment, event_id, retry).map(|event| ((), event)),
    )?;
    Ok(Json(app.document(done.payment)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pay {
    order_id: String,
    /// Minor units.
    amount: i64,
    currency: Currency,
    /// One event is one payment: the same again is the same event again, whatever else is asked.
    event_id: Option<String>,
    #[serde(default)]
    outcome: Outcome,
    at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    #[default]
    Succeeded,
    Failed,
}

#[derive(Serialize)]
struct Paid {
    /// Always `sandbox_payment`.
    object: &'static str,
    order_id: String,
    event_id: String,
    payment_id: String,
    amount: i64,
    currency: Currency,
    outcome: Outcome,
    /// What the webhook was answered; none if it was lost or held by a fault.
    webhook_status: Option<u16>,
}

/// Pays an order without an attempt, and sends the webhook once before it answers. 502 `webhook_not_sent`
/// if that had no answer at all: the payment stands nevertheless.
async fn pay(State(app): State<App>, body: Bytes) -> Answer<Json<Paid>> {
    let ask: Pay = read(&body)?;
    let event_id = ask.event_id.as_deref().map(rules::event_id).transpose()?;
    let event_id = event_id.unwrap_or_else(|| new_id("evt_"));
    let new = direct(&ask, &event_id)?;
    let at = ask.at.unwrap_or_else(Timestamp::now);
    let done = app.change(
        |book: &Book| Ok(book.payment(&new.id).unwrap_or(&new).clone()),
        |payment, faults| {
            let event = match (payment.state, ask.outcome) {
                (PaymentState::Succeeded, _) => Some(payment.event("payment.succeeded")),
                (PaymentState::Open, Outcome::Succeeded) => {
                    let capture = Capture { event_id: Some(event_id), ..Capture::default() };
                    rules::capture(payment, capture, faults, at)?
                }
                (PaymentState::Open, Outcome::Failed) => rules::fail(payment, Some(event_id), false)?,
                _ => Some(payment.event("payment.failed")),
            };
            Ok(((), event))
        },
    )?;
    let webhook_status = deliver(&app, &done).await?;
    Ok(Json(paid(done.payment, webhook_status)))
}

fn direct(ask: &Pay, event_id: &str) -> Answer<Payment> {
    Ok(Payment {
        id: format!("sandbox_{}", event_id.trim_start_matches("evt_")),
        key: None,
        order_id: id("order_id", &ask.order_id)?,
        amount: amount(ask.amount)?,
        currency: ask.currency,
        description: String::new(),
        state: PaymentState::Open,
        failed_tries: 0,
        created_at: ask.at.unwrap_or_else(Timestamp::now),
        expires_at: None,
        captured: None,
        event_id: None,
        refunds: Vec::new(),
        disputes: Vec::new(),
    })
}

/// Sends each copy once; the status of the first.
async fn deliver(app: &App, done: &Done<()>) -> Answer<Option<u16>> {
    let mut first = None;
    for delivery in done.deliveries.iter().filter(|it| it.state == DeliveryState::Sending) {
        let sent = app.try_once(delivery.id, true).await;
        let status = sent.and_then(|it| it.last_status).ok_or_else(|| {
            Refusal::new(StatusCode::BAD_GATEWAY, "webhook_not_sent", "the webhook had no answer")
        })?;
        first = first.or(Some(status));
    }
    Ok(first)
}

fn paid(payment: Payment, webhook_status: Option<u16>) -> Paid {
    let captured = payment.captured.map(|it| (it.amount, it.currency));
    let (amount, currency) = captured.unwrap_or((payment.amount, payment.currency));
    Paid {
        object: "sandbox_payment",
        order_id: payment.order_id,
        event_id: payment.event_id.unwrap_or_default(),
        payment_id: payment.id,
        amount,
        currency,
        outcome: if captured.is_some() { Outcome::Succeeded } else { Outcome::Failed },
        webhook_status,
    }
}
