//! Routes to play with: pay an order as the sandbox provider's payer would, and skip an order's time. The
//! sandbox itself is a service of its own (`sandbox/`), asked over HTTP as any provider is.

use std::time::Duration;

use axum::{extract::State, http::StatusCode};
use domain::{
    SignedDuration,
    money::{self, Currency, Money},
    policy,
};
use providers::{
    Error,
    sandbox::{Outcome, PaidDirectly, Pay},
};
use serde::{Deserialize, Serialize};
use store::orders::Start;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    app::App,
    error::Problem,
    extract::{Json, OptionalJson, OrderPath},
    orders::{OrderDocument, load},
    scoped::{Scope, Scoped},
};

const MAX_SKIP: SignedDuration = SignedDuration::from_hours(400 * 24);

pub fn routes() -> Scoped {
    Scoped::new().with(Scope::PaymentsWrite, routes!(pay)).with(Scope::Operations, routes!(fast_forward))
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PayOrder {
    /// Minor units; default: what is still due, or what the order costs if nothing is.
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
    order_id: String,
    event_id: String,
    /// The provider's id of the payment.
    payment_id: String,
    amount: i64,
    currency: &'static str,
    outcome: PayOutcome,
    /// What our webhook endpoint answered; none if the sandbox was told to lose or hold it.
    webhook_status: Option<u16>,
}

impl From<PayOutcome> for Outcome {
    fn from(outcome: PayOutcome) -> Self {
        match outcome {
            PayOutcome::Succeeded => Self::Succeeded,
            PayOutcome::Failed => Self::Failed,
        }
    }
}

impl From<PaidDirectly> for Paid {
    fn from(paid: PaidDirectly) -> Self {
        Self {
            object: "sandbox_payment",
            order_id: paid.order_id,
            event_id: paid.event_id,
            payment_id: paid.provider_payment_id,
            amount: paid.money.amount,
            currency: paid.money.currency.code(),
            outcome: match paid.outcome {
                Outcome::Succeeded => PayOutcome::Succeeded,
                Outcome::Failed => PayOutcome::Failed,
            },
            webhook_status: paid.webhook_status,
        }
    }
}

/// Pay an order as the sandbox provider: sends a real signed webhook to our own endpoint.
#[utoipa::path(
    post, path = "/v1/sandbox/orders/{id}/pay", operation_id = "pay_order", tag = "Sandbox",
    params(("id" = String, Path)),
    request_body = Option<PayOrder>,
    responses((status = 200, body = Paid)),
)]
async fn pay(
    State(app): State<App>,
    OrderPath(id): OrderPath,
    OptionalJson(request): OptionalJson<PayOrder>,
) -> Result<axum::Json<Paid>, Problem> {
    let sandbox = app.sandbox.as_ref().ok_or_else(Problem::internal)?; // the route exists only with it
    let order = load(&app, id).await?;
    let currency = request.currency.as_deref().map(Currency::parse).transpose()?.unwrap_or(order.currency);
    let usual = match order.amount_due().amount {
        0 => order.total,
        due => due,
    };
    let amount = request.amount.map(money::asked).transpose()?.unwrap_or(usual);
    let event_id = request.event_id.as_deref().map(domain::provider_event::event_id).transpose()?;
    let ask = Pay {
        order: id,
        money: Money::new(amount, currency),
        event_id,
        outcome: request.outcome.unwrap_or_default().into(),
        at: None,
    };
    match sandbox.pay(&ask).await {
        Ok(paid) => Ok(axum::Json(paid.into())),
        Err(Error::Refused { detail, .. }) => {
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "provider_refused", detail))
        }
        Err(error) => {
            tracing::error!(%error, "the sandbox did not pay");
            Err(Problem::unavailable(
                "provider_unavailable",
                "The sandbox, or our webhook endpoint, did not answer.",
            ))
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
    post, path = "/v1/sandbox/orders/{id}/fast-forward", operation_id = "fast_forward_order", tag = "Sandbox",
    params(("id" = String, Path)),
    responses((status = 200, body = OrderDocument)),
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
