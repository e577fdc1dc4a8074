//! `POST /v1/webhooks/{provider}`: verify over the raw bytes, parse, store, answer; then tell the
//! engine behind the answer's back.

use axum::extract::{Path, Request, State, rejection::PathRejection};
use domain::{
    OrderId,
    money::{Currency, Money},
    payment::{Mismatch, Outcome, PaymentReport},
};
use serde::Deserialize;
use serde_json::{Value, json};
use store::inbox::{self, Event, Payment, Stored};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, Problem, error::ProblemDocument, extract, now, sandbox};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(receive))
}

/// Take a payment provider's event. Signed by Standard Webhooks 1.0 over the raw body; answered once
/// it is stored, and a repeat is answered in the same way.
#[utoipa::path(
    post, path = "/v1/webhooks/{provider}", tag = "Webhooks",
    params(
        ("provider" = String, Path, description = "`sandbox`"),
        ("webhook-id" = String, Header), ("webhook-timestamp" = i64, Header), ("webhook-signature" = String, Header),
    ),
    request_body = WebhookEvent,
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
    let (provider, secret) = match (provider, &app.sandbox) {
        (Ok(Path(provider)), Some(sandbox)) if provider == sandbox::PROVIDER => (provider, &sandbox.secret),
        _ => return Err(Problem::not_found("provider_not_found", "There is no such payment provider.")),
    };
    let headers = request.headers().clone();
    let body = extract::body(request, &app).await?;
    let at = now();
    let event_id = secret.verify(&headers, &body, at.as_second()).map_err(|why| {
        count(&provider, "refused");
        tracing::warn!(provider, why, "webhook refused");
        Problem::bad_request("bad_signature", format!("The webhook is not genuine: {why}."))
    })?;
    let event = parse(&provider, event_id, &body).inspect_err(|_| {
        count(&provider, "malformed");
        tracing::error!(provider, "a genuine webhook cannot be read");
    })?;
    match inbox::store(&app.db, &event, at).await? {
        Stored::Repeated => count(&provider, "repeated"),
        Stored::Kept => count(&provider, "stored"),
        Stored::UnknownOrder => {
            count(&provider, "stored");
            telemetry::metrics().exceptions.with_label_values(&[Mismatch::UnknownOrder.as_str()]).inc();
            tracing::warn!(provider, event_id = event.event_id, "payment for an unknown order");
        }
        Stored::Pending(pending) => {
            count(&provider, "stored");
            tracing::Span::current().record("order_id", tracing::field::display(pending.order));
            app.dispatcher.report(pending);
        }
    }
    Ok(axum::Json(json!({"received": true})))
}

fn count(provider: &str, result: &str) {
    telemetry::metrics().webhooks.with_label_values(&[provider, result]).inc();
}

/// The sandbox's event. Unlike our own clients', a provider's unknown fields are none of our business.
#[derive(Deserialize, ToSchema)]
struct WebhookEvent {
    /// `payment.succeeded` or `payment.failed`; other types are kept and left alone.
    r#type: String,
    #[serde(default)]
    #[schema(value_type = PaymentData)]
    data: Value,
}

#[derive(Deserialize, ToSchema)]
struct PaymentData {
    order_id: String,
    payment_id: String,
    amount: i64,
    currency: String,
}

fn parse(provider: &str, event_id: String, body: &[u8]) -> Result<Event, Problem> {
    let bad =
        |why: String| Problem::bad_request("malformed_event", format!("The event cannot be read: {why}."));
    let parsed: WebhookEvent = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    let outcome = match parsed.r#type.as_str() {
        "payment.succeeded" => Some(Outcome::Succeeded),
        "payment.failed" => Some(Outcome::Failed),
        _ => None, // kept, for a version of us that knows what it means
    };
    let payment = match outcome {
        None => None,
        Some(outcome) => {
            let data: PaymentData =
                serde_json::from_value(parsed.data).map_err(|error| bad(format!("data: {error}")))?;
            Some(payment(provider, &event_id, outcome, data).map_err(|why| bad(format!("data: {why}")))?)
        }
    };
    let kind = domain::payment::event_type(&parsed.r#type).map_err(|error| bad(error.to_string()))?;
    Ok(Event { provider: provider.to_owned(), event_id, kind, body: body.to_vec(), payment })
}

fn payment(
    provider: &str,
    event_id: &str,
    outcome: Outcome,
    data: PaymentData,
) -> Result<Payment, domain::Invalid> {
    let report = PaymentReport {
        provider: provider.to_owned(),
        event_id: event_id.to_owned(),
        payment_id: domain::payment::provider_id(&data.payment_id)?,
        outcome,
        money: Money::new(data.amount, Currency::parse(&data.currency)?),
    };
    Ok(Payment { order: data.order_id.parse::<OrderId>().ok(), report })
}
