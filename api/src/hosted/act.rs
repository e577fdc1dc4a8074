//! What a customer does on an order's page: pay, cancel, ask for no more reminders.

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use domain::{
    change::{Answer, OrderChange},
    order::Status,
};
use providers::PayBy;
use store::order_links;
use wording::page::{Message, Page};

use super::{
    order_page::{open_attempt, provider},
    visitor::{Refusal, Visitor},
};
use crate::{
    app::App,
    auth::CUSTOMER,
    bodies,
    clock::now,
    idempotency::IdempotencyKey,
    orders::{ChangeRequest, refusal},
    payments,
};

/// How histories tell a cancellation of this page from others.
const CANCELLED_BY_LINK: &str = "requested by the customer";

/// Loading the page of something that was done shows the order. Of a link that is none of ours there is
/// nothing that a browser could be sent to.
pub async fn back(State(app): State<App>, mut visitor: Visitor) -> Response {
    let found = visitor.order(&app).await;
    let answer = found.map(|_| visitor.to_order());
    visitor.answer(answer)
}

/// Opens an attempt, unless one is open that can still be paid. The order's page shows how it is paid.
pub async fn pay(State(app): State<App>, mut visitor: Visitor, request: Request) -> Response {
    let paid = pay_order(&app, &mut visitor, request).await;
    visitor.answer(paid)
}

async fn pay_order(app: &App, visitor: &mut Visitor, request: Request) -> Result<Response, Refusal> {
    pressed(visitor, request).await?;
    let order = visitor.order(app).await?;
    let is_open = open_attempt(app, &order).await?.is_some();
    if order.status == Status::AwaitingPayment && !is_open {
        provider(app, &order).ok_or_else(payments::no_payment_method)?;
        payments::open_attempt(app, &order, None, None).await?;
    }
    Ok(visitor.to_order())
}

/// Pays with play money, as the sandbox's payer.
pub async fn play(State(app): State<App>, mut visitor: Visitor, request: Request) -> Response {
    let played = play_order(&app, &mut visitor, request).await;
    visitor.answer(played)
}

async fn play_order(app: &App, visitor: &mut Visitor, request: Request) -> Result<Response, Refusal> {
    pressed(visitor, request).await?;
    let order = visitor.order(app).await?;
    let attempt = open_attempt(app, &order).await?;
    let sandbox = app.sandbox.as_ref().ok_or_else(payments::no_payment_method)?;
    let provider = provider(app, &order).ok_or_else(payments::no_payment_method)?;
    if let Some(attempt) = attempt
        && let Some(PayBy::Play) = attempt.client.as_ref().and_then(|client| provider.pay_by(client))
        && let Some(id) = &attempt.provider_payment_id
    {
        sandbox.capture(id).await.map_err(|error| payments::unavailable(provider, error.into()))?;
        payments::settled(app, order.id, attempt.id).await?;
    }
    Ok(visitor.to_order())
}

pub async fn ask_to_cancel(State(app): State<App>, mut visitor: Visitor) -> Response {
    let asked = match visitor.order(&app).await {
        Ok(order) if order.status == Status::AwaitingPayment => {
            let page = Page::Cancel { path: visitor.path("/cancel"), back: visitor.path("") };
            Ok(visitor.pages.render(&page, &visitor.local, StatusCode::OK))
        }
        Ok(_) => Ok(visitor.to_order()),
        Err(refusal) => Err(refusal),
    };
    visitor.answer(asked)
}

pub async fn cancel(State(app): State<App>, mut visitor: Visitor, request: Request) -> Response {
    let cancelled = cancel_order(&app, &mut visitor, request).await;
    visitor.answer(cancelled)
}

/// Only before it is paid: what was paid is given back by the shop.
async fn cancel_order(app: &App, visitor: &mut Visitor, request: Request) -> Result<Response, Refusal> {
    pressed(visitor, request).await?;
    let order = visitor.order(app).await?;
    if order.status != Status::AwaitingPayment {
        return Ok(visitor.to_order());
    }
    let change = OrderChange::Cancel { reason: CANCELLED_BY_LINK.to_owned(), force: false };
    let change = ChangeRequest::new(order.id, change, IdempotencyKey(None));
    match change.decide(app, CUSTOMER).await?.answer {
        Some(Answer::Done) => Ok(visitor.to_order()),
        Some(answer) => Err(refusal(domain::change::Kind::Cancel, answer).into()),
        None => {
            let back = Some(visitor.path(""));
            Ok(visitor.pages.message(Message::Pending, back, &visitor.local, StatusCode::ACCEPTED))
        }
    }
}

pub async fn ask_to_unsubscribe(State(app): State<App>, mut visitor: Visitor) -> Response {
    let asked = visitor.reminded_order(&app).await.map(|_| {
        let page = Page::Unsubscribe { path: visitor.path("/unsubscribe") };
        visitor.pages.render(&page, &visitor.local, StatusCode::OK)
    });
    visitor.answer(asked)
}

/// By the button of the page, or by a mail program, which says nothing of where it comes from (RFC 8058).
pub async fn unsubscribe(State(app): State<App>, mut visitor: Visitor, request: Request) -> Response {
    let unsubscribed = unsubscribe_order(&app, &mut visitor, request).await;
    visitor.answer(unsubscribed)
}

async fn unsubscribe_order(app: &App, visitor: &mut Visitor, request: Request) -> Result<Response, Refusal> {
    pressed(visitor, request).await?;
    let order = visitor.reminded_order(app).await?;
    order_links::unsubscribe(&app.db, order.id, now()).await?;
    Ok(visitor.pages.render(&Page::Unsubscribed, &visitor.local, StatusCode::OK))
}

/// That it was our own page, with a body that may be anything: it says nothing that the path does not.
async fn pressed(visitor: &Visitor, request: Request) -> Result<(), Refusal> {
    visitor.check_origin()?;
    bodies::body(request, &bodies::OF_STRANGERS).await?;
    Ok(())
}
