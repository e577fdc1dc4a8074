//! Payment attempts: open one at the order's provider, list them, ask the provider for the truth.

use std::{collections::BTreeMap, time::Duration};

use activities::attempts::{self, Error};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::Response,
};
use domain::{OrderId, PaymentId, Timestamp, order::Order, payment::PaymentState};
use providers::Provider;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{
    inbox::Stored,
    payments::{self, Payment},
    refunds,
};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    app::App,
    clock::now,
    error::{Problem, ProblemDocument},
    extract::{OptionalJson, OrderPartPath, OrderPath},
    idempotency::{IdempotencyKey, with_replayed},
    list::List,
    orders::load,
    scoped::{Scope, Scoped},
};

/// How long a refresh waits until what the provider said is settled.
const SETTLE_PATIENCE: Duration = Duration::from_secs(3);

pub fn routes() -> Scoped {
    Scoped::new()
        .shared(Scope::PaymentsRead, routes!(list))
        .shared(Scope::PaymentsWrite, routes!(open))
        .shared(Scope::PaymentsWrite, routes!(refresh))
}

/// One try to collect money.
#[derive(Serialize, ToSchema)]
#[schema(as = Payment)]
struct PaymentDocument {
    /// Always `payment`.
    object: &'static str,
    id: String,
    provider: String,
    /// The provider's own id; none until it has answered.
    provider_payment_id: Option<String>,
    /// `opening`, `open`, `closing` (superseded, about to be cancelled), `succeeded`, `failed` or
    /// `cancelled`.
    state: &'static str,
    /// The provider's own word for the state.
    state_text: String,
    /// Minor units.
    amount: i64,
    currency: &'static str,
    /// What of it pays the order; the rest is an exception, or went back.
    applied: i64,
    /// What of it can go back by a refund of the order: it has not gone back, is not on its way, and not in
    /// dispute. 0 while the order awaits payment: parts go back when it ends.
    refundable: i64,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    captured_at: Option<Timestamp>,
    /// While it is open: what the payer's client needs to pay, as the provider's libraries want it.
    #[schema(value_type = Option<Object>)]
    client: Option<Value>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl PaymentDocument {
    /// As it stands now.
    async fn of(app: &App, payment: Payment) -> Result<Self, Problem> {
        let refundable = match payment.applied {
            0 => BTreeMap::new(),
            _ => refunds::refundable(&app.db, payment.order).await?,
        };
        Ok(Self::new(payment, &refundable))
    }

    fn new(payment: Payment, refundable: &BTreeMap<PaymentId, i64>) -> Self {
        Self {
            refundable: refundable.get(&payment.id).copied().unwrap_or_default(),
            object: "payment",
            id: payment.id.to_string(),
            provider: payment.provider,
            provider_payment_id: payment.provider_payment_id,
            state: payment.state.as_str(),
            state_text: payment.state_text,
            amount: payment.money.amount,
            currency: payment.money.currency.code(),
            applied: payment.applied,
            expires_at: payment.expires_at,
            captured_at: payment.captured_at,
            client: payment.client.filter(|client| !client.is_null()),
            created_at: payment.created_at,
            updated_at: payment.updated_at,
        }
    }
}

#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OpenPayment {
    /// The provider's own id of the payer, where it wants one (WeChat Pay in its own browser: the `openid`).
    payer: Option<String>,
}

/// Open an attempt to pay an order, at the order's provider. One that was open is superseded and cancelled.
#[utoipa::path(
    post, path = "/v1/orders/{id}/payments", operation_id = "open_payment", tag = "Payments",
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat harmless"),
    ),
    request_body = Option<OpenPayment>,
    responses(
        (status = 201, body = PaymentDocument,
            headers(("Location" = String), ("Idempotent-Replayed" = Option<String>))),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument,
            description = "`order_not_payable`, with `current_status`; `no_payment_method`"),
        (status = 422, body = ProblemDocument, description = "`provider_refused`"),
        (status = 503, body = ProblemDocument,
            description = "`provider_unavailable`: try again with the same key"),
    ),
)]
async fn open(
    State(app): State<App>,
    OrderPath(id): OrderPath,
    key: IdempotencyKey,
    OptionalJson(request): OptionalJson<OpenPayment>,
) -> Result<Response, Problem> {
    let payer = request.payer.as_deref().map(domain::payment::payer).transpose()?;
    let order = load(&app, id).await?;
    let (replayed, payment) = open_attempt(&app, &order, key.0.as_deref(), payer).await?;
    let location = format!("/v1/orders/{id}/payments");
    let document = axum::Json(PaymentDocument::of(&app, payment).await?);
    Ok(with_replayed(replayed, (StatusCode::CREATED, [(header::LOCATION, location)], document)))
}

/// Opens an attempt to pay an order at its provider, and whether it was opened before, under the same key.
/// One that was open is superseded.
pub async fn open_attempt(
    app: &App,
    order: &Order,
    key: Option<&str>,
    payer: Option<String>,
) -> Result<(bool, Payment), Problem> {
    let provider = order.payment_method.as_deref().and_then(|name| app.providers.get(name));
    let provider = provider.ok_or_else(no_payment_method)?;
    let begun = payments::begin(&app.db, order.id, provider.name(), key, now()).await?;
    let replayed = begun.state != PaymentState::Opening;
    let payment = match replayed {
        true => begun,
        false => {
            let opened = attempts::open(&app.db, provider, &begun, payer, now()).await;
            opened.map_err(|error| not_opened(provider, error))?
        }
    };
    close_superseded(app, order.id);
    Ok((replayed, payment))
}

pub fn no_payment_method() -> Problem {
    let detail = "The order has no payment method that is configured here.";
    Problem::new(StatusCode::CONFLICT, "no_payment_method", detail)
}

fn not_opened(provider: &dyn Provider, error: Error) -> Problem {
    match error {
        Error::Provider(providers::Error::Refused { code, detail }) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "provider_refused", format!("{code}: {detail}"))
        }
        other => unavailable(provider, other),
    }
}

pub fn unavailable(provider: &dyn Provider, error: Error) -> Problem {
    match error {
        Error::Store(fault) => fault.into(),
        Error::Provider(error) => {
            tracing::warn!(provider = provider.name(), %error, "the payment provider does not answer");
            Problem::unavailable("provider_unavailable", "The payment provider does not answer. Try again.")
        }
    }
}

/// Closes superseded attempts after the response.
fn close_superseded(app: &App, order: OrderId) {
    let behind = app.behind.clone();
    let app = app.clone();
    behind.spawn(async move {
        for pending in attempts::close_superseded(&app.db, &app.providers, order, now()).await {
            app.dispatcher.report(pending);
        }
    });
}

/// The payment attempts of an order, oldest first.
#[utoipa::path(
    get, path = "/v1/orders/{id}/payments", operation_id = "list_payments", tag = "Payments",
    params(("id" = String, Path)),
    responses((status = 200, body = List<PaymentDocument>), (status = 404, body = ProblemDocument)),
)]
async fn list(
    State(app): State<App>,
    OrderPath(id): OrderPath,
) -> Result<axum::Json<List<PaymentDocument>>, Problem> {
    let payments = payments::of_order(&app.db, id).await?;
    if payments.is_empty() {
        load(&app, id).await?; // an unknown order is a 404, not an empty list
    }
    let refundable = refunds::refundable(&app.db, id).await?;
    let document = |payment| PaymentDocument::new(payment, &refundable);
    Ok(axum::Json(List::whole(payments.into_iter().map(document).collect())))
}

/// Ask the provider for the truth about an attempt. Money it has captured is taken up.
#[utoipa::path(
    post, path = "/v1/orders/{id}/payments/{payment_id}/refresh", operation_id = "refresh_payment",
    tag = "Payments", params(("id" = String, Path), ("payment_id" = String, Path)),
    responses(
        (status = 200, body = PaymentDocument),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "`no_payment_method`"),
        (status = 503, body = ProblemDocument, description = "`provider_unavailable`"),
    ),
)]
async fn refresh(
    State(app): State<App>,
    OrderPartPath(order, id): OrderPartPath<PaymentId>,
) -> Result<axum::Json<PaymentDocument>, Problem> {
    let payment = payments::get(&app.db, order, id).await?.ok_or_else(Problem::nothing)?;
    let provider = app.providers.get(&payment.provider).ok_or_else(no_payment_method)?;
    let captured = attempts::refresh(&app.db, provider, &payment, now()).await;
    if let Some(stored) = captured.map_err(|error| unavailable(provider, error))? {
        if let Stored::Pending(pending) = stored {
            app.dispatcher.report(pending);
        }
        settled(&app, order, id).await?;
    }
    let payment = payments::get(&app.db, order, id).await?.ok_or_else(Problem::nothing)?;
    Ok(axum::Json(PaymentDocument::of(&app, payment).await?))
}

/// Waits a moment for the workflow to match the money; it goes on without us.
pub async fn settled(app: &App, order: OrderId, id: PaymentId) -> Result<(), Problem> {
    let settled = async {
        while payments::get(&app.db, order, id).await?.is_some_and(|it| it.state != PaymentState::Succeeded) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok::<_, store::Fault>(())
    };
    match tokio::time::timeout(SETTLE_PATIENCE, settled).await {
        Ok(result) => Ok(result?),
        Err(_) => Ok(()),
    }
}
