//! Routes to play with: pay an order as the sandbox provider's payer would, and skip an order's time. The
//! sandbox itself is a service of its own (`sandbox/`), asked over HTTP as any provider is.

use std::time::Duration;

use axum::{extract::State, http::StatusCode};
use domain::{OrderId, SignedDuration, money::Currency, policy};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::orders::Start;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App, Problem,
    error::ProblemDocument,
    extract::{Json, OptionalJson, OrderPath},
    orders::{OrderDocument, load},
};

const TIMEOUT: Duration = Duration::from_secs(15);
const MAX_SKIP: SignedDuration = SignedDuration::from_hours(400 * 24);

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(pay)).routes(routes!(fast_forward))
}

/// Where the sandbox provider is.
#[derive(Clone)]
pub struct Sandbox {
    url: String,
    http: reqwest::Client,
}

impl Sandbox {
    pub(crate) fn new(url: String) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
        Ok(Self { url, http })
    }

    /// Pays an order without an attempt; the provider has sent its webhook when this answers.
    async fn pay(&self, body: &Value) -> Result<(StatusCode, Value), reqwest::Error> {
        let answer = self.http.post(format!("{}/payer/pay", self.url)).json(body).send().await?;
        Ok((answer.status(), answer.json().await?))
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

#[derive(Serialize, Deserialize, ToSchema)]
struct Paid {
    /// Always `sandbox_payment`.
    object: String,
    #[schema(value_type = String)]
    order_id: OrderId,
    event_id: String,
    /// The provider's id of the payment.
    payment_id: String,
    amount: i64,
    currency: String,
    outcome: PayOutcome,
    /// What our webhook endpoint answered; none if the sandbox was told to lose or hold it.
    webhook_status: Option<u16>,
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
    let event_id = request.event_id.as_deref().map(domain::payment::event_id).transpose()?;
    let ask = json!({
        "order_id": id,
        "amount": request.amount.unwrap_or(order.total),
        "currency": currency,
        "event_id": event_id,
        "outcome": request.outcome.unwrap_or_default(),
    });
    let (status, answer) = sandbox.pay(&ask).await.map_err(|error| {
        tracing::error!(%error, "the sandbox provider does not answer");
        Problem::unavailable("provider_unavailable", "The sandbox provider does not answer.")
    })?;
    match status {
        StatusCode::OK => serde_json::from_value(answer).map(axum::Json).map_err(|_| Problem::internal()),
        StatusCode::BAD_GATEWAY => {
            Err(Problem::unavailable("webhook_not_sent", "The webhook endpoint did not answer the sandbox."))
        }
        _ => {
            let why = answer["message"].as_str().or(answer["detail"].as_str()).unwrap_or("refused");
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "provider_refused", why))
        }
    }
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
