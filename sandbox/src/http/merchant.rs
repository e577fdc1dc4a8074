//! `/v1`: payments, refunds and the statement. Every call here knows outages; keys make repeats safe.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    routing::{get, post},
};
use domain::{Timestamp, money::Currency};
use serde::Deserialize;
use serde_json::Value;

use super::{PaymentDocument, RefundDocument, list, read};
use crate::{
    answer::{Answer, Refusal},
    app::App,
    book::Book,
    model::{Payment, PaymentState, amount, id, line, new_id},
    rules::{self, GiveBack},
    statement,
};

/// Payments listed for one order, the oldest.
const MAX_LISTED: usize = 100;

pub fn routes() -> Router<App> {
    Router::new()
        .route("/v1/payments", post(create).get(of_order))
        .route("/v1/payments/{id}", get(look_up))
        .route("/v1/payments/{id}/cancel", post(cancel))
        .route("/v1/refunds", post(refund))
        .route("/v1/refunds/{id}", get(look_up_refund))
        .route("/v1/movements", get(movements))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    /// The merchant's own id of the payment: the same again gives the same payment.
    key: String,
    order_id: String,
    /// Minor units.
    amount: i64,
    currency: Currency,
    expires_at: Option<Timestamp>,
    description: Option<String>,
}

impl Create {
    fn payment(self) -> Answer<Payment> {
        Ok(Payment {
            id: new_id("sbx_"),
            key: Some(id("key", &self.key)?),
            order_id: id("order_id", &self.order_id)?,
            amount: amount(self.amount)?,
            currency: self.currency,
            description: line("description", self.description)?,
            state: PaymentState::Open,
            failed_tries: 0,
            created_at: Timestamp::now(),
            expires_at: self.expires_at,
            captured: None,
            event_id: None,
            refunds: Vec::new(),
            disputes: Vec::new(),
        })
    }
}

/// 201, or 200 if it was there. 422 `key_reused` if it was made for something else.
async fn create(State(app): State<App>, body: Bytes) -> Answer<(StatusCode, Json<PaymentDocument>)> {
    let new = read::<Create>(&body)?.payment()?;
    let names: Vec<String> = new.key.iter().chain([&new.order_id]).cloned().collect();
    let mut status = StatusCode::CREATED;
    let same_or_new = |book: &Book| {
        let Some(old) = new.key.as_deref().and_then(|key| book.payment(key).ok()) else {
            return Ok(new.clone());
        };
        status = StatusCode::OK;
        let asked = |it: &Payment| (it.key.clone(), it.order_id.clone(), it.amount, it.currency);
        if asked(old) == asked(&new) { Ok(old.clone()) } else { Err(Refusal::key_reused()) }
    };
    let done = app.merchant(&names, || app.change(same_or_new, |_, _| Ok(((), None))))?;
    Ok((status, Json(app.document(done.payment))))
}

async fn look_up(State(app): State<App>, Path(id): Path<String>) -> Answer<Json<PaymentDocument>> {
    let payment = app.read(&app.names_of(&id), |book| book.payment(&id).cloned())?;
    Ok(Json(app.document(payment)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfOrder {
    order_id: String,
}

async fn of_order(
    State(app): State<App>,
    query: Result<Query<OfOrder>, QueryRejection>,
) -> Answer<Json<Value>> {
    let order = query?.0.order_id;
    let found = app.read(std::slice::from_ref(&order), |book| {
        Ok(book.payments().filter(|it| it.order_id == order).take(MAX_LISTED).cloned().collect::<Vec<_>>())
    })?;
    Ok(list(found.into_iter().map(|payment| app.document(payment)).collect::<Vec<_>>()))
}

/// 200 with what it is now, also if it was closed before; 409 `already_captured` with the payment.
async fn cancel(State(app): State<App>, Path(id): Path<String>) -> Answer<Json<PaymentDocument>> {
    let done = app.merchant(&app.names_of(&id), || {
        app.change_and_tell(
            |book| book.payment(&id).cloned(),
            |payment, _| rules::cancel(payment).map(|event| ((), event)),
        )
    })?;
    Ok(Json(app.document(done.payment)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRefund {
    /// The merchant's own id of the refund: the same again gives the same refund.
    key: String,
    payment_id: String,
    /// Minor units.
    amount: i64,
    currency: Currency,
    reason: Option<String>,
    /// When the books say it was; default now.
    at: Option<Timestamp>,
}

/// 409 `not_captured` or `refund_above_captured`, with the payment.
async fn refund(State(app): State<App>, body: Bytes) -> Answer<Json<RefundDocument>> {
    let NewRefund { key, payment_id, amount, currency, reason, at } = read(&body)?;
    let key = id("key", &key)?;
    let find = |book: &Book| match book.payment_of_refund(&key) {
        Ok(other) if other.id != payment_id && other.key.as_ref() != Some(&payment_id) => {
            Err(Refusal::key_reused())
        }
        _ => book.payment(&payment_id).cloned(),
    };
    let ask = GiveBack { key: Some(key.clone()), amount: Some(amount), currency: Some(currency), reason };
    let at = at.unwrap_or_else(Timestamp::now);
    let done = app.merchant(&app.names_of(&payment_id), || {
        app.change_and_tell(find, |payment, faults| rules::refund(payment, ask, faults, at))
    })?;
    Ok(Json(done.outcome.into()))
}

/// By id or key.
async fn look_up_refund(State(app): State<App>, Path(id): Path<String>) -> Answer<Json<RefundDocument>> {
    let refund = app.read(&app.names_of_refund(&id), |book| {
        let mut refunds = book.payment_of_refund(&id)?.refunds.iter();
        let found = refunds.find(|it| it.id == id || it.key.as_ref() == Some(&id));
        found.cloned().ok_or_else(|| Refusal::not_found("refund"))
    })?;
    Ok(Json(refund.into()))
}

async fn movements(
    State(app): State<App>,
    query: Result<Query<statement::Range>, QueryRejection>,
) -> Answer<Json<statement::Page>> {
    let range = query?.0;
    app.read(&[], |book| statement::page(book, &range)).map(Json)
}
