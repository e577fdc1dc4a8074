//! Refunds: money of a paid order that goes back.

use axum::{extract::State, http::StatusCode, response::Response};
use domain::{
    Date, Invalid, Invalids, Timestamp, money,
    order::MAX_LINES,
    payment::{RefundSource, RefundState},
    returns::{Part, runs},
    stay,
};
use serde::{Deserialize, Serialize};
use store::refunds::{self, Refund};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::{
    app::App,
    auth::Caller,
    clock::now,
    details::ReturnDocument,
    error::{Problem, ProblemDocument},
    extract::{Json, OrderPath},
    idempotency::{IdempotencyKey, idempotency, with_replayed},
    list::List,
    orders::load,
    scoped::{Scope, Scoped},
};

pub fn routes() -> Scoped {
    Scoped::new().shared(Scope::PaymentsRead, routes!(list)).with(Scope::PaymentsWrite, routes!(request))
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
    /// What it brings back to the shelf once the money is back; of a failed one, what it was to bring back.
    lines: Vec<ReturnDocument>,
    /// The others, if one request became several refunds because several payments had paid the order.
    also: Vec<String>,
    /// `api`, `rule` (the order's policy) or `provider` (made in its dashboard).
    source: RefundSource,
    /// Who asked for it: the name of an API key. None: nobody did.
    by: Option<String>,
    /// `requested`, `pending`, `succeeded` or `failed`.
    state: RefundState,
    /// The provider's own word for the state.
    state_text: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl RefundDocument {
    /// `also`: the other refunds of the same request.
    fn new(refund: Refund, also: Vec<String>) -> Self {
        Self {
            also,
            object: "refund",
            id: refund.id.to_string(),
            order_id: refund.order_id.map(|id| id.to_string()),
            exception_id: refund.exception_id.map(|id| id.to_string()),
            provider: refund.provider,
            provider_payment_id: refund.provider_payment_id,
            provider_refund_id: refund.provider_refund_id,
            amount: refund.amount,
            currency: refund.currency.code(),
            reason: refund.reason,
            restock: refund.restock,
            lines: runs(&refund.units).into_iter().map(ReturnDocument::from).collect(),
            source: refund.source,
            by: refund.asked_by,
            state: refund.state,
            state_text: refund.state_text,
            created_at: refund.created_at,
            updated_at: refund.updated_at,
        }
    }
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RequestRefund {
    /// Minor units. Default: what was paid for the `lines`, or, without them, all that the provider still has
    /// and that is neither on its way back nor disputed.
    amount: Option<i64>,
    reason: String,
    /// Put what was sold back on the shelf once the money is back: the `lines`, or, without them, all that is
    /// still there. Default: true with `lines`, else false.
    #[serde(serialize_with = "as_before")]
    restock: Option<bool>,
    /// What comes back, 1 to 100 entries. From now on it is not owed to the customer any more; if the refund
    /// fails for good, it is again. Nights that were paid for with extras by the night take their part of
    /// them along; extras that are charged once go with the last night of all rooms.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<ReturnLine>>,
}

/// Keys outlive a program: what was asked before there were lines has the same hash as ever.
#[expect(clippy::ref_option, reason = "serde asks so")]
fn as_before<S: serde::Serializer>(restock: &Option<bool>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(restock.unwrap_or_default())
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReturnLine {
    /// One of the order's. Lines of one SKU are summed.
    sku: String,
    /// Which nights, of what is sold by the night. Each may be named once.
    stay: Option<ReturnStay>,
    /// Pieces, required. Of a stay: rooms, default all that are left.
    quantity: Option<i64>,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReturnStay {
    #[schema(format = Date)]
    from: String,
    /// The last night ends on this day.
    #[schema(format = Date)]
    to: String,
}

/// Give back some or all of what an order was paid with, and put on the shelf what comes back for it.
/// Answered once it is stored; the provider is driven by a workflow, and the customer is told when the money
/// is on its way. If several payments paid the order, and none of them has as much left, several refunds
/// share the amount: the answer is the first and names the others in `also`.
///
/// When all its money has gone back, a paid order that was not handed over is `cancelled`, and all that it
/// still held is back on the shelf, whatever `restock` says: take off the shelf what is not fit to be sold by
/// an adjustment of its stock. Lines that cost nothing come back along with others, or, once an order is
/// completed, by an adjustment.
#[utoipa::path(
    post, path = "/v1/orders/{id}/refunds", operation_id = "request_refund", tag = "Payments",
    request_body = RequestRefund,
    params(
        ("id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat harmless"),
    ),
    responses(
        (status = 201, body = RefundDocument, headers(("Idempotent-Replayed" = Option<String>))),
        (status = 409, body = ProblemDocument, description = "`refund_exceeds_captured`, with `refundable`; \
            `restock_exceeds_sold`, with `returnable`: more than was sold less what came back, or nights in \
            which the guests who have checked in sleep"),
    ),
)]
async fn request(
    State(app): State<App>,
    caller: Caller,
    OrderPath(id): OrderPath,
    key: IdempotencyKey,
    Json(request): Json<RequestRefund>,
) -> Result<Response, Problem> {
    let asked = parse(&request, caller.name())?;
    let idempotency = key.0.map(|key| idempotency(key, &(id, &request)));
    let (refunds, replayed) = refunds::request(&app.db, id, &asked, idempotency.as_ref(), now()).await?;
    for refund in &refunds {
        app.dispatcher.refund(refund.id, refund.order_id);
    }
    let first = documents(refunds).into_iter().next().ok_or_else(Problem::internal)?; // there is one
    Ok(with_replayed(replayed, (StatusCode::CREATED, axum::Json(first))))
}

fn parse(request: &RequestRefund, by: &str) -> Result<refunds::Request, Vec<Invalid>> {
    let mut invalids = Invalids::default();
    let reason = invalids.check(domain::stock::reason(&request.reason));
    request.amount.map(|amount| invalids.check(money::asked(amount)));
    let lines = request.lines.as_ref().map(|lines| parts(lines, &mut invalids));
    if lines.is_some() && request.restock == Some(false) {
        invalids.push(Invalid::new("restock", "must not be false with `lines`: they come back"));
    }
    let restock = lines.is_some() || request.restock == Some(true);
    match reason {
        Some(reason) if invalids.is_empty() => {
            let (lines, by) = (lines.unwrap_or_default(), by.to_owned());
            Ok(refunds::Request { amount: request.amount, reason, restock, lines, by })
        }
        _ => Err(invalids.into_vec()),
    }
}

fn parts(lines: &[ReturnLine], invalids: &mut Invalids) -> Vec<Part> {
    if !(1..=MAX_LINES).contains(&lines.len()) {
        invalids.push(Invalid::new("lines", format!("must have 1 to {MAX_LINES} entries")));
        return Vec::new();
    }
    let part = |(i, line): (usize, &ReturnLine)| {
        let field = format!("lines[{i}]");
        if line.quantity.is_some_and(|quantity| quantity < 1) {
            invalids.push(Invalid::new(format!("{field}.quantity"), "must be at least 1"));
        }
        let stay = line.stay.as_ref().map(|it| nights(&format!("{field}.stay"), it, invalids));
        Part { sku: line.sku.clone(), stay: stay.flatten(), quantity: line.quantity }
    };
    lines.iter().enumerate().map(part).collect()
}

fn nights(field: &str, stay: &ReturnStay, invalids: &mut Invalids) -> Option<(Date, Date)> {
    let from = invalids.check_in(field, stay::date("from", &stay.from));
    let to = invalids.check_in(field, stay::date("to", &stay.to));
    let (from, to) = (from?, to?);
    invalids.check_in(field, stay::count_nights("to", from, to, i64::MAX))?;
    Some((from, to))
}

/// The refunds of an order, oldest first.
#[utoipa::path(
    get, path = "/v1/orders/{id}/refunds", operation_id = "list_refunds", tag = "Payments",
    params(("id" = String, Path)),
    responses((status = 200, body = List<RefundDocument>)),
)]
async fn list(
    State(app): State<App>,
    caller: Caller,
    OrderPath(id): OrderPath,
) -> Result<axum::Json<List<RefundDocument>>, Problem> {
    let mut refunds = refunds::of_order(&app.db, id).await?;
    if caller.customer().is_some() {
        refunds.iter_mut().for_each(|refund| refund.asked_by = None); // who works there is the shop's
    }
    if refunds.is_empty() {
        load(&app, id).await?; // an unknown order is a 404, not an empty list
    }
    Ok(axum::Json(List::whole(documents(refunds))))
}

/// Refunds, each with the others of its request that are among them.
fn documents(refunds: Vec<Refund>) -> Vec<RefundDocument> {
    let first_of = |refund: &Refund| refund.also_of.unwrap_or(refund.id);
    let all: Vec<_> = refunds.iter().map(|refund| (refund.id, first_of(refund))).collect();
    let document = |refund: Refund| {
        let others = all.iter().filter(|(id, first)| *id != refund.id && *first == first_of(&refund));
        let mut also: Vec<String> = others.map(|(id, _)| id.to_string()).collect();
        also.sort_unstable();
        RefundDocument::new(refund, also)
    };
    refunds.into_iter().map(document).collect()
}
