//! `POST /v1/orders`: parse, one transaction, answer; the workflow starts after the response.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::Response,
};
use domain::{
    Invalid, Invalids, OrderId,
    collect::Collects,
    metadata::{self, Metadata},
    money::Currency,
    order::{self, Placement, UncheckedLine},
    policy::{
        CancelPaid, CustomerExtension, FreeCancellation, Fulfilment, Grace, LatePayment, MoneyRules,
        Overpayment, Policy, Settle, Underpayment,
    },
    stay::{self, UncheckedBooking},
};
use providers::Providers;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::orders::{self, Placed, Start};
use utoipa::ToSchema;

use super::{
    document::{CustomerDocument, OrderDocument},
    own::{self, OwnCustomer, PlaceCustomer},
};
use crate::{
    app::App,
    auth::Caller,
    clock::now,
    error::{Problem, ProblemDocument},
    extract::Json,
    idempotency::{IdempotencyKey, idempotency, with_replayed},
};

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceOrder {
    /// Required with an API key. With a customer's token it is whose token it is, and may be left out.
    #[schema(value_type = Option<CustomerDocument>)]
    customer: Option<PlaceCustomer>,
    /// ISO 4217. Every product of the order must be sold in it.
    currency: String,
    /// 1 to 100.
    lines: Vec<PlaceLine>,
    /// The shop's alone: not with a customer's token.
    policy: Option<PlacePolicy>,
    /// The provider that is to collect the money, such as `stripe`; default by configuration. It must be able
    /// to collect the order's total in its currency.
    payment_method: Option<String>,
    /// Anything you like to find on the order again, as you wrote it; at most 16 KB.
    #[serde(default = "no_metadata", serialize_with = "metadata::canonical")]
    #[schema(value_type = Object)]
    metadata: Box<RawValue>,
}

fn no_metadata() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).expect("it is JSON")
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlaceLine {
    sku: String,
    /// 1 to 10,000 pieces, required; lines of one SKU are summed. Of a stay: 1 to 100 rooms, default 1.
    quantity: Option<i64>,
    /// Which nights, of a product that is sold by the night. Held all or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    stay: Option<PlaceStay>,
    /// How many stay, in all rooms together. Required with `stay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    guests: Option<i64>,
    /// What they want of what the product offers with its nights.
    #[serde(skip_serializing_if = "Option::is_none")]
    extras: Option<Vec<PlaceExtra>>,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlaceStay {
    /// The day of arrival, there. Not in the past.
    #[schema(format = Date)]
    from: String,
    /// The day of departure, at most 90 nights later.
    #[schema(format = Date)]
    to: String,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlaceExtra {
    /// One of the product's.
    code: String,
}

/// When to remind, and when to give up.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlacePolicy {
    /// ISO 8601, default `PT24H`. It ends, with its `grace`, when the day of arrival ends at the place of the
    /// first stay, and reminders after that are dropped.
    payment_window: Option<String>,
    /// ISO 8601, counted from the placement; default `PT4H`, `PT12H`, `PT22H`.
    reminders: Option<Vec<String>>,
    /// `immediate` (default): completed when paid. `manual`: waits for `fulfil`. An order with a stay waits
    /// for its check-in, whatever this says.
    #[schema(value_type = Option<String>)]
    fulfilment: Option<Fulfilment>,
    /// ISO 8601, default `PT0S`: how long after the deadline the order still waits for money on its way.
    grace: Option<String>,
    /// Money for an order that has ended. `refund` (default), `reinstate` (a new order takes its place if the
    /// stock is there, else refund), or `exception`: a person looks.
    #[schema(value_type = Option<String>)]
    late_payment: Option<LatePayment>,
    /// More than the order costs. `exception` (default), or `refund_difference`: it pays the order.
    #[schema(value_type = Option<String>)]
    overpayment: Option<Overpayment>,
    /// Less than the order costs. `exception` (default) and `refund`: does not pay it. `accumulate`: parts
    /// add up, and with the last one the order is paid. Another currency never pays it: refunded if this is
    /// `refund`.
    #[schema(value_type = Option<String>)]
    underpayment: Option<Underpayment>,
    /// A second payment. `refund` (default) or `exception`.
    #[schema(value_type = Option<String>)]
    duplicate_payment: Option<Settle>,
    /// Whether a paid order that is not handed over can be cancelled: `refund` (default; its money goes back)
    /// or `refuse`.
    #[schema(value_type = Option<String>)]
    cancel_paid: Option<CancelPaid>,
    /// ISO 8601, such as `P2D`: how long before its stay begins a paid order can be cancelled; default until
    /// it begins.
    free_cancellation: Option<String>,
    /// ISO 8601, at most `P30D`: how much longer than the window the customer may make the order wait, with a
    /// token of their own. Default: not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_extension: Option<String>,
}

/// Place an order. Takes the hold on every line or on none, and answers without waiting for the engine. An
/// order that costs nothing is paid at once: it is `completed`, or `paid` if it waits for `fulfil` or a
/// check-in.
#[utoipa::path(
    post, path = "/v1/orders", operation_id = "place_order", tag = "Orders", request_body = PlaceOrder,
    params(
        ("Idempotency-Key" = String, Header,
            description = "New for each order; a repeat gets the first answer again"),
    ),
    responses(
        (status = 201, body = OrderDocument,
            headers(("Location" = String), ("Idempotent-Replayed" = Option<String>))),
        (status = 409, body = ProblemDocument, description = "`insufficient_stock`, with `shortages`"),
        (status = 422, body = ProblemDocument, description = "`invalid_request` or `idempotency_key_reused`"),
        (status = 503, body = ProblemDocument,
            description = "`busy` or `database_unavailable`: nothing was done, try again"),
    ),
)]
pub async fn place(
    State(app): State<App>,
    caller: Caller,
    key: IdempotencyKey,
    Json(request): Json<PlaceOrder>,
) -> Result<Response, Problem> {
    let idempotency = idempotency(key.required()?, &request);
    let own = own::customer(&app, &caller).await?;
    let skus: Vec<String> = request.lines.iter().map(|line| line.sku.clone()).collect();
    let placement = parse(request, own, &app.providers)?;
    let at = now();
    let id = OrderId::new(at, store::random());
    let collects = collects(&placement, &app.providers);
    let cause = store::cause::current();
    let placed =
        app.placements.place(orders::PlaceOrder { id, placement, collects, idempotency, at, cause }).await;
    let (order, replayed) = match placed.map_err(|error| refuse(error, &skus))? {
        Placed::New(order) => {
            telemetry::metrics().orders.with_label_values(&["placed"]).inc();
            telemetry::metrics().holds.with_label_values(&["held"]).inc();
            tracing::Span::current().record("order_id", tracing::field::display(id));
            app.dispatcher.start(Start::from(&*order));
            (*order, false)
        }
        Placed::Replayed(id) => (super::load(&app, id).await?.as_placed(), true),
    };
    let location = format!("/v1/orders/{}", order.id);
    let document = axum::Json(OrderDocument::told(order, &app, &caller));
    Ok(with_replayed(replayed, (StatusCode::CREATED, [(header::LOCATION, location)], document)))
}

fn parse(
    request: PlaceOrder,
    own: Option<OwnCustomer>,
    providers: &Providers,
) -> Result<Placement, Vec<Invalid>> {
    let mut invalids = Invalids::default();
    if own.is_some() && request.policy.is_some() {
        invalids.push(Invalid::new("policy", "is the shop's to set: leave it out"));
    }
    let customer = own::whose(request.customer, own, &mut invalids);
    let currency = invalids.check(Currency::parse(&request.currency));
    let lines = request.lines.iter().enumerate().map(|(i, it)| line(i, it, &mut invalids)).collect();
    let lines = order::parse_lines(lines, &mut invalids);
    let policy = invalids.check_in("policy", policy(request.policy));
    let payment_method = invalids.check(payment_method(request.payment_method, providers)).flatten();
    let metadata = invalids.check(Metadata::parse(&request.metadata));
    match (customer, currency, policy, metadata) {
        (Some(customer), Some(currency), Some(policy), Some(metadata)) if invalids.is_empty() => {
            Ok(Placement { customer, currency, lines, policy, payment_method, metadata })
        }
        _ => Err(invalids.into_vec()),
    }
}

/// A line by itself; complaints are about what belongs together.
fn line<'a>(i: usize, line: &'a PlaceLine, invalids: &mut Invalids) -> UncheckedLine<'a> {
    let field = |field: &str| format!("lines[{i}].{field}");
    let Some(stay) = &line.stay else {
        if line.quantity.is_none() {
            invalids.push(Invalid::new(field("quantity"), "is required"));
        }
        for (name, is_there) in [("guests", line.guests.is_some()), ("extras", line.extras.is_some())] {
            if is_there {
                invalids.push(Invalid::new(field(name), "goes with `stay`"));
            }
        }
        return UncheckedLine { sku: &line.sku, quantity: line.quantity.unwrap_or(1), stay: None };
    };
    let from = invalids.check_in(&field("stay"), stay::date("from", &stay.from));
    let to = invalids.check_in(&field("stay"), stay::date("to", &stay.to));
    if line.guests.is_none() {
        invalids.push(Invalid::new(field("guests"), "is required with `stay`"));
    }
    let extras = line.extras.iter().flatten().map(|extra| extra.code.clone()).collect();
    let stay = match (from, to, line.guests) {
        (Some(from), Some(to), Some(guests)) => Some(UncheckedBooking { from, to, guests, extras }),
        _ => None,
    };
    UncheckedLine { sku: &line.sku, quantity: line.quantity.unwrap_or(1), stay }
}

fn policy(policy: Option<PlacePolicy>) -> Result<Policy, Invalid> {
    let Some(policy) = policy else { return Ok(Policy::default()) };
    if policy.fulfilment == Some(Fulfilment::CheckIn) {
        return Err(Invalid::new(
            "fulfilment",
            "must be immediate or manual: what waits for a check-in has a stay",
        ));
    }
    let default = MoneyRules::default();
    let (underpayment, accumulate) =
        policy.underpayment.map_or((default.underpayment, default.accumulate), Underpayment::rules);
    let money = MoneyRules {
        grace: policy.grace.as_deref().map(Grace::parse).transpose()?.unwrap_or(default.grace),
        late_payment: policy.late_payment.unwrap_or(default.late_payment),
        overpayment: policy.overpayment.unwrap_or(default.overpayment),
        underpayment,
        duplicate_payment: policy.duplicate_payment.unwrap_or(default.duplicate_payment),
        accumulate,
    };
    let free_cancellation = policy.free_cancellation.as_deref().map(FreeCancellation::parse).transpose()?;
    let mut parsed = Policy::parse(policy.payment_window.as_deref(), policy.reminders.as_deref())?;
    parsed.fulfilment = policy.fulfilment.unwrap_or_default();
    parsed.money = money;
    parsed.cancel_paid = policy.cancel_paid.unwrap_or_default();
    parsed.free_cancellation = free_cancellation;
    parsed.customer_extension =
        policy.customer_extension.as_deref().map(CustomerExtension::parse).transpose()?;
    Ok(parsed)
}

/// The provider that was asked for, or the default one.
fn payment_method(asked: Option<String>, providers: &Providers) -> Result<Option<String>, Invalid> {
    match asked {
        None => Ok(providers.default_name().map(str::to_owned)),
        Some(name) if providers.get(&name).is_some() => Ok(Some(name)),
        Some(_) => {
            let known: Vec<&str> = providers.names().collect();
            Err(Invalid::new("payment_method", format!("must be one of: {}", known.join(", "))))
        }
    }
}

/// Which totals there may be. They are known only once the prices are.
fn collects(placement: &Placement, providers: &Providers) -> Collects {
    let provider = placement.payment_method.as_deref().and_then(|name| providers.get(name));
    provider.map_or(Collects::Anything, |provider| provider.collects(placement.currency))
}

/// The store names a line by its SKU; the client wrote it at an index.
fn refuse(error: orders::place::Error, skus: &[String]) -> Problem {
    match error {
        orders::place::Error::Shortage(_) => telemetry::metrics().holds.with_label_values(&["refused"]).inc(),
        orders::place::Error::Invalid(errors) => {
            let indexed = |error: Invalid| {
                let named = error.field.strip_prefix("lines[").and_then(|rest| rest.split_once(']'));
                let at = named.and_then(|(name, of)| Some((skus.iter().position(|sku| sku == name)?, of)));
                match at {
                    Some((i, of)) => Invalid::new(format!("lines[{i}]{of}"), error.message),
                    None => error,
                }
            };
            return Problem::invalid(errors.into_iter().map(indexed).collect());
        }
        _ => {}
    }
    error.into()
}
