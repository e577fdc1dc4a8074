//! How an order stands.

use axum::{extract::State, http::StatusCode, response::Response};
use domain::{
    money::Money,
    order::{Order, Status},
    payment::PaymentState,
    zone,
};
use providers::{PayBy, Provider};
use store::payments::{self, Payment};
use wording::{
    Error,
    mail::Line,
    page::{OrderPage, Page},
};

use super::{
    qr,
    visitor::{Refusal, Visitor},
};
use crate::{app::App, clock::now, error::Problem};

pub async fn show(State(app): State<App>, mut visitor: Visitor) -> Response {
    let shown = shown(&app, &mut visitor).await;
    visitor.answer(shown)
}

async fn shown(app: &App, visitor: &mut Visitor) -> Result<Response, Refusal> {
    let order = visitor.order(app).await?;
    let attempt = open_attempt(app, &order).await?;
    let page = page(app, visitor, &order, attempt.as_ref()).map_err(|error| {
        tracing::error!(%error, "a page cannot be written");
        Problem::internal()
    })?;
    Ok(visitor.pages.render(&Page::Order(page), &visitor.local, StatusCode::OK))
}

/// The provider that collects an order's money, if a browser can pay there without a program of its own.
pub fn provider<'a>(app: &'a App, order: &Order) -> Option<&'a dyn Provider> {
    let provider = order.payment_method.as_deref().and_then(|name| app.providers.get(name));
    provider.filter(|provider| provider.is_paid_in_browser())
}

/// The attempt that can be paid now, for all that is due.
pub async fn open_attempt(app: &App, order: &Order) -> Result<Option<Payment>, store::Fault> {
    if order.status != Status::AwaitingPayment {
        return Ok(None);
    }
    let at = now();
    let is_good = |payment: &Payment| {
        payment.state == PaymentState::Open
            && payment.money == order.amount_due()
            && payment.expires_at.is_none_or(|end| at < end)
    };
    Ok(payments::of_order(&app.db, order.id).await?.into_iter().rfind(is_good))
}

fn page(app: &App, visitor: &Visitor, order: &Order, attempt: Option<&Payment>) -> Result<OrderPage, Error> {
    let awaits_payment = order.status == Status::AwaitingPayment;
    let provider = provider(app, order).filter(|_| awaits_payment);
    let client = attempt.and_then(|attempt| attempt.client.as_ref());
    let pay_by = provider.zip(client).and_then(|(provider, client)| provider.pay_by(client));
    let zone = zone::stored(order.customer.time_zone().unwrap_or("UTC"));
    Ok(OrderPage {
        path: visitor.path(""),
        status: order.status.as_str(),
        awaits_payment,
        is_payable: provider.is_some(),
        is_play: matches!(pay_by, Some(PayBy::Play)) && app.sandbox.is_some(),
        scan: match &pay_by {
            Some(PayBy::Code(code)) => qr::svg(code),
            _ => None,
        },
        order: order.id.to_string(),
        lines: lines(visitor, order)?,
        total: order.total(),
        unpaid: order.amount_due(),
        due_at: visitor.local.moment(order.payment_due_at, zone),
    })
}

fn lines(visitor: &Visitor, order: &Order) -> Result<Vec<Line>, Error> {
    let line = |line: &domain::order::Line| {
        let name = match &line.stay {
            None => line.name.clone(),
            Some(stay) => visitor.pages.templates.stay(&visitor.local, &line.name, (stay.from, stay.to))?,
        };
        let amount = Money::new(line.amount(), order.currency);
        Ok(Line { quantity: line.quantity, name, amount })
    };
    order.lines.iter().map(line).collect()
}
