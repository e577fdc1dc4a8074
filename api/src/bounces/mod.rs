//! `POST /v1/webhooks/bounces`: reports of mails that came back (RFC 3464), as the mail server got them.

mod report;

use axum::extract::{Request, State};
use domain::refusal::Blame;
use serde_json::{Value, json};
use store::bounces::{self, Bounce, Report};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    bodies,
    clock::now,
    error::{Problem, ProblemDocument},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(receive_bounce))
}

/// Take a report of a mail that came back: a mail of its own (`multipart/report`, RFC 3464), as it came to
/// the address of our mails, signed by Standard Webhooks 1.0 with `HOLDFAST_BOUNCE_WEBHOOK_SECRET`. If it is
/// about a mail to an order's customer that will never arrive, the order's timeline says so, and if nobody
/// has that mailbox, the order gets no others. What is none, or only delayed, changes nothing.
#[utoipa::path(
    post, path = "/v1/webhooks/bounces", operation_id = "receive_bounce", tag = "Webhooks",
    request_body(content = String, content_type = "application/octet-stream"),
    security(()),
    responses(
        (status = 200, body = Value,
            description = "Read: `result` is `noted`, `known`, `unknown` or `ignored`"),
        (status = 400, body = ProblemDocument, description = "`bad_signature`"),
        (status = 404, body = ProblemDocument, description = "no secret is set"),
        (status = 503, body = ProblemDocument, description = "Not stored: send it again"),
    ),
)]
async fn receive_bounce(State(app): State<App>, request: Request) -> Result<axum::Json<Value>, Problem> {
    let Some(secret) = app.bounce_secret.clone() else {
        return Err(Problem::not_found("provider_not_found", "Reports of mails are not taken here."));
    };
    let headers = request.headers().clone();
    let body = bodies::body(request, &bodies::OF_STRANGERS).await?;
    let at = now();
    if let Err(why) = secret.verify(&headers, &body, at.as_second()) {
        return Err(Problem::bad_request("bad_signature", format!("The report is not genuine: {why}.")));
    }
    let result = match report::read(&body) {
        None => "ignored",
        Some(report) => {
            tracing::Span::current().record("order_id", tracing::field::display(report.order));
            match bounces::note(&app.db, &report, at).await? {
                Bounce::Noted => {
                    tell(&report);
                    "noted"
                }
                Bounce::Known => "known",
                Bounce::Unknown => "unknown",
            }
        }
    };
    Ok(axum::Json(json!({ "result": result })))
}

/// What is about us concerns all mails, and is for the operator to mend.
fn tell(Report { order, kind, refusal, .. }: &Report) {
    let kind = kind.name();
    match refusal.blame() {
        Blame::Us => {
            tracing::error!(order_id = %order, kind, status = %refusal, "a mail came back because of us")
        }
        _ => tracing::warn!(order_id = %order, kind, status = %refusal, "a mail came back"),
    }
}
