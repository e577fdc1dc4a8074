//! `POST /v1/webhooks/{provider}`: verify over the raw bytes, parse, store, answer; then tell the
//! engine behind the answer's back.

use axum::{
    Router,
    extract::{Path, Request, State},
    routing::post,
};
use domain::{
    OrderId,
    money::{Currency, Money},
    payment::{Outcome, PaymentReport},
};
use serde::Deserialize;
use serde_json::{Value, json};
use store::inbox::{self, Event, Payment, Stored};

use crate::{App, Problem, extract, now, sandbox};

pub fn routes() -> Router<App> {
    Router::new().route("/v1/webhooks/{provider}", post(receive))
}

async fn receive(
    State(app): State<App>,
    Path(provider): Path<String>,
    request: Request,
) -> Result<axum::Json<Value>, Problem> {
    let secret = match &app.sandbox {
        Some(sandbox) if provider == sandbox::PROVIDER => &sandbox.secret,
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
#[derive(Deserialize)]
struct Body {
    r#type: String,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct PaymentData {
    order_id: String,
    payment_id: String,
    amount: i64,
    currency: String,
}

fn parse(provider: &str, event_id: String, body: &[u8]) -> Result<Event, Problem> {
    let bad = |why: String| Problem::bad_request("malformed_event", format!("The event cannot be read: {why}."));
    let parsed: Body = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    let outcome = match parsed.r#type.as_str() {
        "payment.succeeded" => Some(Outcome::Succeeded),
        "payment.failed" => Some(Outcome::Failed),
        _ => None, // kept, for a version of us that knows what it means
    };
    let payment = match outcome {
        None => None,
        Some(outcome) => {
            let data: PaymentData = serde_json::from_value(parsed.data).map_err(|error| bad(format!("data: {error}")))?;
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
