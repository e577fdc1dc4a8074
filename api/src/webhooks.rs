//! `POST /v1/webhooks/{provider}`: verify over the raw bytes, parse, store, answer; then tell the
//! engine after the response.

use axum::extract::{Path, Request, State, rejection::PathRejection};
use domain::{
    Timestamp, exception,
    provider_event::{self, Notice, ProviderEvent},
};
use providers::{Envelope, WebhookError};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::inbox::{self, Stored};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    bodies, bounces,
    clock::now,
    error::{Problem, ProblemDocument},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(receive)).merge(bounces::routes())
}

/// Take a payment provider's event, signed as that provider signs, over the raw body. Answered once it is
/// stored; a repeat is answered in the same way, and what is genuine and cannot be read, too. The sandbox's:
/// Standard Webhooks 1.0, with `{type: "payment.succeeded" | "payment.failed", data: {order_id, payment_id,
/// amount, currency}}`; refunds add `provider_refund_id` (and `refund_id`, if we made it), disputes
/// `dispute_id` and `state` (`open`, `won` or `lost`).
#[utoipa::path(
    post, path = "/v1/webhooks/{provider}", operation_id = "receive_webhook", tag = "Webhooks",
    params(
        ("provider" = String, Path, description = "`sandbox`, `stripe` or `wechatpay`, if configured"),
    ),
    request_body = Value,
    security(()),
    responses(
        (status = 200, description = "Stored", body = Value),
        (status = 400, body = ProblemDocument, description = "`bad_signature`; not stored"),
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
    let body = bodies::body(request, &bodies::OF_STRANGERS).await?;
    let at = now();
    let event = match provider.webhook(&headers, &body, at) {
        Ok(event) => event,
        Err(WebhookError::NotGenuine(why)) => return Err(refuse(provider.name(), &why)),
        Err(WebhookError::Malformed(why)) => {
            let envelope = provider.envelope(&headers, &body);
            keep_unreadable(&app, provider.name(), envelope, &body, &why, at).await?;
            return Ok(received());
        }
    };
    let event = without_foreign(&app, event).await?;
    let result = match inbox::store(&app.db, &event, at).await? {
        Stored::Repeated => "repeated",
        Stored::Kept => "stored",
        Stored::UnknownOrder => {
            telemetry::metrics()
                .exceptions
                .with_label_values(&[exception::Kind::UnknownOrder.as_str()])
                .inc();
            tracing::warn!(
                provider = provider.name(),
                event_id = event.event_id,
                "payment for an unknown order"
            );
            "stored"
        }
        Stored::Pending(pending) => {
            if let Notice::Payment { order: Some(order), .. } = &pending.notice {
                tracing::Span::current().record("order_id", tracing::field::display(order));
            }
            app.dispatcher.report(pending);
            "stored"
        }
    };
    count(provider.name(), result);
    Ok(received())
}

fn received() -> axum::Json<Value> {
    axum::Json(json!({"received": true}))
}

fn count(provider: &str, result: &str) {
    telemetry::metrics().webhooks.with_label_values(&[provider, result]).inc();
}

fn refuse(provider: &str, why: &str) -> Problem {
    count(provider, "refused");
    tracing::warn!(provider, why, "webhook refused");
    Problem::bad_request("bad_signature", format!("The webhook is not genuine: {why}."))
}

/// Keeps a genuine event that we cannot read. To refuse it would help nobody: the provider would send the
/// same again for days, then give up, and may stop sending anything.
async fn keep_unreadable(
    app: &App,
    provider: &str,
    envelope: Envelope,
    body: &[u8],
    why: &str,
    at: Timestamp,
) -> Result<(), Problem> {
    let Envelope { id, kind, order, payment } = envelope;
    let event = ProviderEvent {
        provider: provider.to_owned(),
        event_id: id.filter(|id| provider_event::event_id(id).is_ok()).unwrap_or_else(|| name_of(body)),
        kind: kind
            .and_then(|kind| provider_event::event_type(&kind).ok())
            .unwrap_or_else(|| "unreadable".to_owned()),
        body: body.to_vec(),
        told_at: None,
        notice: None,
    };
    if order.is_none() && is_foreign(app, provider, payment.as_deref()).await? {
        inbox::store(&app.db, &event, at).await?;
        count(provider, "ignored");
        return Ok(());
    }
    count(provider, "malformed");
    if inbox::store_unreadable(&app.db, &event, &plain(why), at).await? {
        telemetry::metrics().exceptions.with_label_values(&[exception::Kind::UnreadableEvent.as_str()]).inc();
        tracing::error!(
            provider,
            event_id = event.event_id,
            "a genuine webhook cannot be read: it is an exception"
        );
    }
    Ok(())
}

/// For an event without a usable id: the same event has the same body.
fn name_of(body: &[u8]) -> String {
    let digits = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("body-{digits}")
}

/// A reason as it can be stored and shown. Parsers quote what they could not read.
fn plain(why: &str) -> String {
    why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}

/// The event, of which nothing is done if it is about others' money.
async fn without_foreign(app: &App, event: ProviderEvent) -> Result<ProviderEvent, Problem> {
    let unnamed = event.notice.as_ref().filter(|notice| notice.order().is_none());
    let Some(payment) = unnamed.map(Notice::payment_id) else { return Ok(event) };
    match is_foreign(app, &event.provider, Some(payment)).await? {
        true => {
            count(&event.provider, "ignored");
            Ok(ProviderEvent { notice: None, ..event })
        }
        false => Ok(event),
    }
}

/// Whether a payment that names no order is that of others, who share the provider's account with us.
async fn is_foreign(app: &App, provider: &str, payment: Option<&str>) -> Result<bool, Problem> {
    match payment.filter(|_| app.providers.is_shared(provider)) {
        Some(payment) => Ok(!inbox::knows_payment(&app.db, provider, payment).await?),
        None => Ok(false),
    }
}
