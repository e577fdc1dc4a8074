//! What happens next to an order, and which mails it has got.

use axum::extract::State;
use domain::{
    Timestamp,
    mail::MailState,
    next_step::{Action, Explained, Rule},
};
use serde::Serialize;
use store::mails;
use utoipa::ToSchema;

use super::read::load;
use crate::{app::App, clock::now, error::Problem, extract::OrderPath, list::List};

/// What time brings to an order if nobody does anything.
#[derive(Serialize, ToSchema)]
#[schema(as = NextStep)]
pub struct NextDocument {
    /// Always `next_step`.
    object: &'static str,
    action: Action,
    /// When. A time that is past: it is about to happen, or is tried again and again.
    at: Option<Timestamp>,
    /// Whether `at` is past.
    is_due: bool,
    /// Of a reminder, its number.
    number: Option<u8>,
    /// The part of the order's policy that says so.
    rule: Option<Rule>,
    /// What the policy has there, such as `PT4H` or `manual`.
    value: Option<String>,
}

/// What happens to an order next, when, and by which rule of its policy.
#[utoipa::path(
    get, path = "/v1/orders/{id}/next", operation_id = "get_next_step", tag = "Orders",
    params(("id" = String, Path)),
    responses((status = 200, body = NextDocument)),
)]
pub async fn next(
    State(app): State<App>,
    OrderPath(id): OrderPath,
) -> Result<axum::Json<NextDocument>, Problem> {
    let order = load(&app, id).await?;
    let reminded = mails::reminders_sent(&app.db, id).await?;
    let Explained { action, at, number, rule, value } = Explained::of(&order, reminded);
    let is_due = at.is_some_and(|at| at <= now());
    Ok(axum::Json(NextDocument { object: "next_step", action, at, is_due, number, rule, value }))
}

/// A mail to the order's customer.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderMail)]
pub struct MailDocument {
    /// Always `mail`.
    object: &'static str,
    /// Such as `paid` or `reminder_1`. Each is sent at most once.
    kind: String,
    /// `sending`, `sent`, `rejected`, or `bounced`: it was sent, and came back.
    state: MailState,
    /// The mail's `Message-ID`.
    message_id: String,
    /// When the mail server took it, refused it for good, or told that it came back.
    at: Option<Timestamp>,
}

impl From<mails::Recorded> for MailDocument {
    fn from(mail: mails::Recorded) -> Self {
        let (state, at) = match (mail.sent_at, mail.rejected_at) {
            (Some(_), Some(at)) => (MailState::Bounced, Some(at)),
            (Some(at), None) => (MailState::Sent, Some(at)),
            (None, Some(at)) => (MailState::Rejected, Some(at)),
            (None, None) => (MailState::Sending, None),
        };
        Self { object: "mail", kind: mail.kind, state, message_id: mail.message_id, at }
    }
}

/// The mails of an order, oldest first; those that are on their way come last.
#[utoipa::path(
    get, path = "/v1/orders/{id}/mails", operation_id = "list_order_mails", tag = "Orders",
    params(("id" = String, Path)),
    responses((status = 200, body = List<MailDocument>)),
)]
pub async fn mails(
    State(app): State<App>,
    OrderPath(id): OrderPath,
) -> Result<axum::Json<List<MailDocument>>, Problem> {
    let mails = mails::of_order(&app.db, id).await?;
    if mails.is_empty() {
        load(&app, id).await?; // an unknown order is a 404, not an empty list
    }
    Ok(axum::Json(List::whole(mails.into_iter().map(MailDocument::from).collect())))
}
