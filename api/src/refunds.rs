//! Refunds: money of a paid order that goes back.

use axum::{extract::State, http::StatusCode, response::Response};
use domain::{Invalid, Invalids, Timestamp, money};
use serde::{Deserialize, Serialize};
use store::refunds::{self, Refund};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App, Problem,
    error::ProblemDocument,
    extract::{IdempotencyKey, Json, OrderPath, idempotency},
    inventory::with_replayed,
    list::List,
    now,
    orders::{load, unknown_order},
};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(request, list))
}

#[derive(Serialize, ToSchema)]
#[schema(as = Refund)]
struct RefundDocument {
    /// Always `refund`.
    object: &'static str,
    id: String,
    order_id: Option<String>,
    /// Whose money goes back: that of an exception, or (none) the order's; none also for one of several.
    exception_id: Option<String>,
    provider: String,
    provider_payment_id: String,
    provider_refund_id: Option<String>,
    /// Minor units.
    amount: i64,
    currency: &'static str,
    reason: String,
    restock: bool,
    /// `api`, `rule` (the order's policy) or `provider` (made in its dashboard).
    source: String,
    /// `requested`, `pending`, `succeeded` or `failed`.
    state: &'static str,
    /// The provider's own word for the state.
    state_text: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Refund> for RefundDocument {
    fn from(refund: Refund) -> Self {
        Self {
            object: "refund",
            id: refund.id.to_string(),
            order_id: refund.order.map(|id| id.to_string()),
            exception_id: refund.exception.map(|id| id.to_string()),
            provider: refund.provider,
            provider_payment_id: refund.provider_payment_id,
            provider_refund_id: refund.provider_refund_id,
            amount: refund.money.amount,
            currency: refund.money.currency.code(),
            reason: refund.reason,
            restock: refund.restock,
            source: refund.source,
            state: refund.state.as_str(),
            state_text: refund.state_text,
            created_at: refund.created_at,
            updated_at: refund.updated_at,
        }
    }
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RequestRefund {
    /// Minor units; default: all that the provider still has and that is neither on its way back nor disputed.
    amount: Option<i64>,
    reason: String,
    /// Put the order's pieces back on the shelf once the money is back. Happens once per order.
    #[serde(default)]
    restock: bool,
}

/// Give back some or all of what an order was paid with. Answered once it is stored; the provider is driven by a
/// workflow, and the customer is told when the money is on its way.
#[utoipa::path(
    post, path = "/v1/orders/{id}/refunds", tag = "Payments", request_body = RequestRefund,
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat harmless")),
    responses(
        (status = 201, body = RefundDocument, headers(("Idempotent-Replayed" = Option<String>))),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "`refund_exceeds_captured`, with `refundable`"),
        (status = 422, body = ProblemDocument),
    ),
)]
async fn request(
    State(app): State<App>,
    OrderPath(id): OrderPath,
    key: IdempotencyKey,
    Json(request): Json<RequestRefund>,
) -> Result<Response, Problem> {
    let asked = parse(&request)?;
    let idempotency = key.0.map(|key| idempotency(key, &(id, &request)));
    let refund = refunds::request(&app.db, id, &asked, idempotency.as_ref(), now()).await;
    let (refund, replayed) = refund.map_err(unknown_order)?;
    app.dispatcher.refund(refund.id, refund.order);
    Ok(with_replayed(replayed, (StatusCode::CREATED, axum::Json(RefundDocument::from(refund)))))
}

fn parse(request: &RequestRefund) -> Result<refunds::Request, Vec<Invalid>> {
    let mut invalids = Invalids::default();
    let reason = invalids.check(domain::stock::reason(&request.reason));
    request.amount.map(|amount| invalids.check(money::asked(amount)));
    match reason {
        Some(reason) if invalids.is_empty() => {
            Ok(refunds::Request { amount: request.amount, reason, restock: request.restock })
        }
        _ => Err(invalids.into_vec()),
    }
}

/// The refunds of an order, oldest first.
#[utoipa::path(
    get, path = "/v1/orders/{id}/refunds", tag = "Payments", params(("id" = String, Path)),
    responses((status = 200, body = List<RefundDocument>), (status = 404, body = ProblemDocument)),
)]
async fn list(
    State(app): State<App>,
    OrderPath(id): OrderPath,
) -> Result<axum::Json<List<RefundDocument>>, Problem> {
    let refunds = refunds::of_order(&app.db, id).await?;
    if refunds.is_empty() {
        load(&app, id).await?; // an unknown order is a 404, not an empty list
    }
    Ok(axum::Json(List::whole(refunds.into_iter().map(RefundDocument::from).collect())))
}
