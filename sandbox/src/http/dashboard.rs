//! `/dashboard`: what people do by hand, and what tests ask for. It goes on while there is an outage.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    routing::{get, post},
};
use domain::{Timestamp, payment::DisputeState};
use serde::Deserialize;
use serde_json::Value;

use super::{RefundDocument, list, read};
use crate::{
    answer::{Answer, Refusal},
    app::{App, locked},
    book::{Delivery, DeliveryState},
    faults::Faults,
    model::{Dispute, RefundState, id},
    rules::{self, GiveBack},
};

/// Deliveries listed or released by one call.
const MAX_LISTED: usize = 1000;

pub fn routes() -> Router<App> {
    Router::new()
        .route("/dashboard/payments/{id}/refunds", post(refund))
        .route("/dashboard/refunds/{id}/settle", post(settle))
        .route("/dashboard/payments/{id}/disputes", post(dispute))
        .route("/dashboard/disputes/{id}/close", post(close_dispute))
        .route("/dashboard/faults", get(service_faults).put(set_service_faults).delete(clear_faults))
        .route("/dashboard/faults/{name}", get(own_faults).put(set_own_faults).delete(clear_own_faults))
        .route("/dashboard/deliveries", get(deliveries))
        .route("/dashboard/deliveries/release", post(release))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HandRefund {
    /// Minor units; default: all that is left.
    amount: Option<i64>,
    reason: Option<String>,
    at: Option<Timestamp>,
}

/// Gives money back without the merchant's program: the refund has no key.
async fn refund(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer<Json<RefundDocument>> {
    let HandRefund { amount, reason, at } = read(&body)?;
    let ask = GiveBack { key: None, amount, currency: None, reason };
    let at = at.unwrap_or_else(Timestamp::now);
    let done = app.change_and_tell(
        |book| book.payment(&id).cloned(),
        |payment, faults| rules::refund(payment, ask, faults, at),
    )?;
    Ok(Json(done.outcome.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settle {
    /// `succeeded` or `failed`.
    state: RefundState,
    /// Whatever it had come to.
    #[serde(default)]
    late: bool,
    at: Option<Timestamp>,
}

/// Ends a pending refund, by its id or key; `late` another one, too: banks take success back, people settle
/// failures.
async fn settle(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer<Json<RefundDocument>> {
    let Settle { state, late, at } = read(&body)?;
    let at = at.unwrap_or_else(Timestamp::now);
    let done = app.change_and_tell(
        |book| book.payment_of_refund(&id).cloned(),
        |payment, _| rules::settle(payment, &id, state, late, at),
    )?;
    Ok(Json(done.outcome.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenDispute {
    /// Minor units; default: all that was captured.
    amount: Option<i64>,
    at: Option<Timestamp>,
}

/// The payer disputes a payment at the bank.
async fn dispute(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer<Json<Dispute>> {
    let OpenDispute { amount, at } = read(&body)?;
    let at = at.unwrap_or_else(Timestamp::now);
    let done = app.change_and_tell(
        |book| book.payment(&id).cloned(),
        |payment, _| rules::dispute(payment, amount, at),
    )?;
    Ok(Json(done.outcome))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CloseDispute {
    /// `won` or `lost`, as the merchant sees it.
    state: DisputeState,
    at: Option<Timestamp>,
}

/// The bank decides about a dispute.
async fn close_dispute(State(app): State<App>, Path(id): Path<String>, body: Bytes) -> Answer<Json<Dispute>> {
    let CloseDispute { state, at } = read(&body)?;
    let at = at.unwrap_or_else(Timestamp::now);
    let done = app.change_and_tell(
        |book| book.payment_of_dispute(&id).cloned(),
        |payment, _| rules::close_dispute(payment, &id, state, at),
    )?;
    Ok(Json(done.outcome))
}

async fn service_faults(State(app): State<App>) -> Json<Faults> {
    Json(locked(&app.faults).of(&[]))
}

/// What the name has of its own, else the service's; with the counts that are left.
async fn own_faults(State(app): State<App>, Path(name): Path<String>) -> Json<Faults> {
    Json(locked(&app.faults).of(&[name]))
}

async fn set_service_faults(State(app): State<App>, body: Bytes) -> Answer<Json<Faults>> {
    set(&app, None, &body)
}

/// For a payment (by id or key), or every payment of an order.
async fn set_own_faults(
    State(app): State<App>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer<Json<Faults>> {
    set(&app, Some(id("name", &name)?), &body)
}

fn set(app: &App, name: Option<String>, body: &Bytes) -> Answer<Json<Faults>> {
    let faults = read::<Faults>(body)?.check()?;
    locked(&app.faults).set(name, faults.clone())?;
    Ok(Json(faults))
}

/// Those of the service, and everybody's own.
async fn clear_faults(State(app): State<App>) -> StatusCode {
    locked(&app.faults).clear(None);
    StatusCode::NO_CONTENT
}

async fn clear_own_faults(State(app): State<App>, Path(name): Path<String>) -> StatusCode {
    locked(&app.faults).clear(Some(&name));
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    order_id: Option<String>,
    state: Option<DeliveryState>,
}

impl Filter {
    fn fits(&self, delivery: &Delivery) -> bool {
        self.order_id.as_ref().is_none_or(|it| *it == delivery.order_id)
            && self.state.is_none_or(|it| it == delivery.state)
    }
}

/// The latest 1,000, oldest of them first.
async fn deliveries(
    State(app): State<App>,
    query: Result<Query<Filter>, QueryRejection>,
) -> Answer<Json<Value>> {
    let filter = query?.0;
    let books = locked(&app.books);
    let latest = books.book.deliveries().rev().filter(|it| filter.fits(it)).take(MAX_LISTED);
    let mut latest: Vec<&Delivery> = latest.collect();
    latest.reverse();
    Ok(list(latest))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    /// These, in this order, whatever became of them before. Default: all that are held.
    ids: Option<Vec<u64>>,
    /// Of those held, only this order's.
    order_id: Option<String>,
    /// The latest first.
    #[serde(default)]
    reverse: bool,
}

/// Sends deliveries one after the other, each answered before the next, and gives what became of each.
async fn release(State(app): State<App>, body: Bytes) -> Answer<Json<Value>> {
    let Release { ids, order_id, reverse } = read(&body)?;
    let held = || {
        let filter = Filter { order_id, state: Some(DeliveryState::Held) };
        let books = locked(&app.books);
        books.book.deliveries().filter(|it| filter.fits(it)).map(|it| it.id).take(MAX_LISTED).collect()
    };
    let mut ids: Vec<u64> = ids.unwrap_or_else(held);
    if ids.len() > MAX_LISTED {
        return Err(Refusal::invalid(format!("ids: at most {MAX_LISTED}")));
    }
    if reverse {
        ids.reverse();
    }
    app.release(ids).await.map(list)
}
