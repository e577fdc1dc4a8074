//! `POST /v1/webhooks/{provider}`: verify over the raw bytes, parse, store, answer; then tell the
//! engine behind the answer's back.

use axum::extract::{Path, Request, State, rejection::PathRejection};
use domain::payment::Mismatch;
use providers::WebhookError;
use serde_json::{Value, json};
use store::inbox::{self, Event, Notice, Stored, What};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, Problem, error::ProblemDocument, extract, now};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(receive))
}

/// Take a payment provider's event, signed as that provider signs, over the raw body. Answered once it is
/// stored; a repeat is answered in the same way. The sandbox's: Standard Webhooks 1.0, with
/// `{type: "payment.succeeded" | "payment.failed", data: {order_id, payment_id, amount, currency}}`; refunds add
/// `provider_refund_id` (and `refund_id`, if we made it), disputes `dispute_id` and `state` (`open`, `won` or `lost`).
#[utoipa::path(
    post, path = "/v1/webhooks/{provider}", tag = "Webhooks",
    params(
        ("provider" = String, Path, description = "`sandbox`, `stripe` or `wechatpay`, if configured"),
    ),
    request_body = Value,
    security(()),
    responses(
        (status = 200, description = "Stored", body = Value),
        (status = 400, body = ProblemDocument, description = "`bad_signature` or `malformed_event`; not stored"),
        (status = 404, body = ProblemDocument),
        (status = 503, body = ProblemDocument, description = "Not stored: send it again"),
    ),
)]
async fn receive(
    State(app): State<App>,
    provider: Result<Path<String>, PathRejection>, // fails if it is not UTF-8: then it is none of ours
    request: Request,
) -> Result<axum::Json<Value>, Problem> {
    let provider = provider.ok().and_then(|Path(name)| app.providers.get(&name));
    let provider = provider
        .ok_or_else(|| Problem::not_found("provider_not_found", "There is no such payment provider."))?;
    let headers = request.headers().clone();
    let body = extract::body(request, &app).await?;
    let at = now();
    let event = provider.webhook(&headers, &body, at).map_err(|error| refuse(provider.name(), &error))?;
    let event = checked(provider.name(), event, &body).map_err(|error| refuse(provider.name(), &error))?;
    let result = match inbox::store(&app.db, &event, at).await? {
        Stored::Repeated => "repeated",
        Stored::Kept => "stored",
        Stored::UnknownOrder => {
            telemetry::metrics().exceptions.with_label_values(&[Mismatch::UnknownOrder.as_str()]).inc();
            tracing::warn!(
                provider = provider.name(),
                event_id = event.event_id,
                "payment for an unknown order"
            );
            "stored"
        }
        Stored::Pending(pending) => {
            if let What::Payment(order, _) = &pending.what {
                tracing::Span::current().record("order_id", tracing::field::display(order));
            }
            app.dispatcher.report(pending);
            "stored"
        }
    };
    count(provider.name(), result);
    Ok(axum::Json(json!({"received": true})))
}

fn count(provider: &str, result: &str) {
    telemetry::metrics().webhooks.with_label_values(&[provider, result]).inc();
}

fn refuse(provider: &str, error: &WebhookError) -> Problem {
    match error {
        WebhookError::NotGenuine(why) => {
            count(provider, "refused");
            tracing::warn!(provider, why, "webhook refused");
            Problem::bad_request("bad_signature", format!("The webhook is not genuine: {why}."))
        }
        WebhookError::Malformed(why) => {
            count(provider, "malformed");
            tracing::error!(provider, "a genuine webhook cannot be read");
            Problem::bad_request("malformed_event", format!("The event cannot be read: {why}."))
        }
    }
}

/// The event as it is kept: what a provider names must fit the books, whoever signed it.
fn checked(provider: &str, event: providers::Event, body: &[u8]) -> Result<Event, WebhookError> {
    let bad = |error: domain::Invalid| WebhookError::Malformed(error.to_string());
    let event_id = domain::payment::provider_id(&event.id).map_err(bad)?;
    let kind = domain::payment::event_type(&event.kind).map_err(bad)?;
    let notice = match event.notice {
        None => None,
        Some(providers::Notice::Payment { order, report }) => {
            domain::payment::provider_id(&report.payment_id).map_err(bad)?;
            Some(Notice::Payment { order, report })
        }
        Some(providers::Notice::Refund { order, refund }) => {
            domain::payment::provider_id(&refund.provider_payment_id).map_err(bad)?;
            domain::payment::provider_id(&refund.provider_refund_id).map_err(bad)?;
            Some(Notice::Refund { order, report: refund.report(provider, &event_id) })
        }
        Some(providers::Notice::Dispute(dispute)) => {
            domain::payment::provider_id(&dispute.provider_payment_id).map_err(bad)?;
            domain::payment::provider_id(&dispute.provider_dispute_id).map_err(bad)?;
            Some(Notice::Dispute(dispute.report(provider, &event_id)))
        }
    };
    let (provider, told_at, body) = (provider.to_owned(), event.told_at, body.to_vec());
    Ok(Event { provider, event_id, kind, body, told_at, notice })
}
