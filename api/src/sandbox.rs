//! The sandbox payment provider and the clock of an order, for development and tests. It pays as a
//! real provider does: by a signed webhook to our own public endpoint.

use std::time::Duration;

use axum::extract::State;
use domain::{OrderId, SignedDuration, money::Currency, policy};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::orders::Start;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    App, Problem,
    error::ProblemDocument,
    extract::{Json, OptionalJson, OrderPath},
    now,
    orders::{OrderDocument, load},
    signature::{self, Secret},
};

pub const PROVIDER: &str = "sandbox";
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_SKIP: SignedDuration = SignedDuration::from_hours(400 * 24);

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(pay)).routes(routes!(fast_forward))
}

/// The provider: a secret it shares with us, and where it sends its webhooks.
#[derive(Clone)]
pub struct Sandbox {
    pub(crate) secret: Secret,
    base_url: String,
    http: reqwest::Client,
}

impl Sandbox {
    pub(crate) fn new(secret: Secret, base_url: String) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(WEBHOOK_TIMEOUT).no_proxy().build()?;
        Ok(Self { secret, base_url, http })
    }

    /// Signs an event and sends it; gives the status it was answered with.
    async fn send(&self, event_id: &str, body: String) -> Result<u16, reqwest::Error> {
        let timestamp_s = now().as_second();
        let request = self
            .http
            .post(format!("{}/v1/webhooks/{PROVIDER}", self.base_url))
            .header("content-type", "application/json")
            .header(signature::ID, event_id)
            .header(signature::TIMESTAMP, timestamp_s)
            .header(signature::SIGNATURE, self.secret.sign(event_id, timestamp_s, body.as_bytes()));
        Ok(request.body(body).send().await?.status().as_u16())
    }
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Pay {
    /// Minor units; default: what the order costs.
    amount: Option<i64>,
    /// Default: the order's.
    currency: Option<String>,
    /// Give one again to send an event again.
    event_id: Option<String>,
    outcome: Option<PayOutcome>,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PayOutcome {
    #[default]
    Succeeded,
    Failed,
}

#[derive(Serialize, ToSchema)]
struct Paid {
    /// Always `sandbox_payment`.
    object: &'static str,
    #[schema(value_type = String)]
    order_id: OrderId,
    event_id: String,
    /// The provider's id of the payment.
    payment_id: String,
    amount: i64,
    currency: &'static str,
    outcome: PayOutcome,
    /// What our webhook endpoint answered.
    webhook_status: u16,
}

/// Pay an order as the sandbox provider: sends a real signed webhook to our own endpoint.
#[utoipa::path(
    post, path = "/v1/sandbox/orders/{id}/pay", tag = "Sandbox", params(("id" = String, Path)),
    request_body = Option<Pay>,
    responses((status = 200, body = Paid), (status = 404, body = ProblemDocument), (status = 422, body = ProblemDocument)),
)]
async fn pay(
    State(app): State<App>,
    OrderPath(id): OrderPath,
    OptionalJson(request): OptionalJson<Pay>,
) -> Result<axum::Json<Paid>, Problem> {
    let sandbox = app.sandbox.as_ref().ok_or_else(Problem::internal)?; // the route exists only with it
    let order = load(&app, id).await?;
    let currency = request.currency.as_deref().map(Currency::parse).transpose()?.unwrap_or(order.currency);
    let event_id = match request.event_id {
        Some(id) => domain::payment::event_id(&id)?,
        None => format!("evt_{}", Uuid::new_v4().simple()),
    };
    let mut paid = Paid {
        object: "sandbox_payment",
        order_id: id,
        // One event, one payment: the same event again tells of the same money.
        payment_id: format!("sandbox_{}", event_id.trim_start_matches("evt_")),
        event_id,
        amount: request.amount.unwrap_or(order.total),
        currency: currency.code(),
        outcome: request.outcome.unwrap_or_default(),
        webhook_status: 0,
    };
    paid.webhook_status = sandbox.send(&paid.event_id, event(&paid)).await.map_err(|error| {
        tracing::error!(%error, "the sandbox could not send its webhook");
        Problem::unavailable("webhook_not_sent", "The webhook endpoint did not answer the sandbox.")
    })?;
    Ok(axum::Json(paid))
}

fn event(paid: &Paid) -> String {
    let kind = match paid.outcome {
        PayOutcome::Succeeded => "payment.succeeded",
        PayOutcome::Failed => "payment.failed",
    };
    let Paid { order_id, payment_id, amount, currency, .. } = paid;
    let data =
        json!({"order_id": order_id, "payment_id": payment_id, "amount": amount, "currency": currency});
    json!({"type": kind, "data": data}).to_string()
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FastForward {
    /// ISO 8601, such as `PT5H`.
    duration: String,
}

/// Skip an order's time on the Temporal server. Answers when the order's clock got there.
#[utoipa::path(
    post, path = "/v1/sandbox/orders/{id}/fast-forward", tag = "Sandbox", params(("id" = String, Path)),
    responses((status = 200, body = OrderDocument), (status = 404, body = ProblemDocument), (status = 422, body = ProblemDocument)),
)]
async fn fast_forward(
    State(app): State<App>,
    OrderPath(id): OrderPath,
    Json(request): Json<FastForward>,
) -> Result<axum::Json<OrderDocument>, Problem> {
    let duration = policy::duration("duration", &request.duration)?;
    let allowed = duration.is_positive() && duration <= MAX_SKIP;
    let skip = Duration::try_from(duration).ok().filter(|_| allowed);
    let skip = skip.ok_or_else(|| domain::Invalid::new("duration", "must be positive, and at most P400D"))?;
    let order = load(&app, id).await?;
    app.engine.fast_forward(&Start::from(&order), skip).await.map_err(|error| {
        tracing::warn!(%error, "time could not be skipped");
        Problem::unavailable("engine_unavailable", format!("The order's time could not be skipped: {error}"))
    })?;
    Ok(axum::Json(OrderDocument::new(load(&app, id).await?, &app.engine)))
}
