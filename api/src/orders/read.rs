//! Reading orders. From PostgreSQL alone: it works with every worker stopped.

use axum::extract::State;
use domain::{
    Invalid, OrderId, Timestamp, customer,
    event::OrderEvent,
    order::{Order, Status},
    stock::Sku,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{
    orders::{self, Filter},
    timeline,
};
use utoipa::{IntoParams, ToSchema};

use super::document::OrderDocument;
use crate::{
    app::App,
    auth::{CUSTOMER, Caller},
    error::Problem,
    extract::{NOT_A_TIME, OrderPath, order_not_found, parse_time},
    list::{self, List, Parameters},
    query::Query,
};

/// Loads an order, or says that there is none.
pub async fn load(app: &App, id: OrderId) -> Result<Order, Problem> {
    orders::get(&app.db, id).await?.ok_or_else(order_not_found)
}

/// Read an order.
#[utoipa::path(
    get, path = "/v1/orders/{id}", operation_id = "get_order", tag = "Orders", params(("id" = String, Path)),
    responses((status = 200, body = OrderDocument)),
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    OrderPath(id): OrderPath,
) -> Result<axum::Json<OrderDocument>, Problem> {
    Ok(axum::Json(OrderDocument::told(load(&app, id).await?, &app, &caller)))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListOrders {
    status: Option<String>,
    /// The customer's id.
    customer: Option<String>,
    /// A SKU that stands in one of their lines.
    sku: Option<String>,
    /// RFC 3339; orders placed at this time or later.
    placed_from: Option<String>,
    /// RFC 3339; orders placed before this time.
    placed_to: Option<String>,
    /// 1-100, default 20.
    limit: Option<String>,
    /// An order id or a cursor; the page starts after it.
    starting_after: Option<String>,
}

/// List orders, newest first.
#[utoipa::path(
    get, path = "/v1/orders", operation_id = "list_orders", tag = "Orders", params(ListOrders),
    responses((status = 200, body = List<OrderDocument>)),
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListOrders>,
) -> Result<axum::Json<List<OrderDocument>>, Problem> {
    let mut parameters = Parameters::default();
    let limit = parameters.limit(query.limit);
    let filter = Filter {
        placed_from: parameters.optional(query.placed_from, |text| time("placed_from", text)),
        placed_to: parameters.optional(query.placed_to, |text| time("placed_to", text)),
        status: parameters.optional(query.status, Status::parse),
        after: parameters.optional(query.starting_after, list::cursor("an order id")),
        customer_id: parameters.optional(query.customer, |text| own_id(&caller, text)),
        sku: parameters.optional(query.sku, Sku::parse),
    };
    parameters.finish()?;
    let own = caller.customer().map(|customer| customer.id.clone());
    let filter = Filter { customer_id: own.or(filter.customer_id), ..filter };
    let found = orders::list(&app.db, &filter, limit + 1).await?;
    let documents = found.into_iter().map(|order| OrderDocument::told(order, &app, &caller)).collect();
    Ok(axum::Json(List::page(documents, limit, |order| order.id.to_string())))
}

/// A customer's orders; a customer can ask for their own alone.
fn own_id(caller: &Caller, text: &str) -> Result<String, Invalid> {
    let id = customer::id("customer", text)?;
    match caller.customer() {
        Some(customer) if customer.id != id => {
            Err(Invalid::new("customer", "is another customer than the one whose token this is"))
        }
        _ => Ok(id),
    }
}

fn time(field: &str, text: &str) -> Result<Timestamp, Invalid> {
    parse_time(text).map_err(|why| {
        // In a query string a `+` means a space.
        let has_lost_plus =
            text.rsplit_once(' ').is_some_and(|(_, offset)| offset.contains(':') && offset.len() == 5);
        let why = match why {
            NOT_A_TIME if has_lost_plus => "has a space where a `+` should be: write `+` as %2B in a query",
            why => why,
        };
        Invalid::new(field, why)
    })
}

/// One thing that happened to an order.
#[derive(Serialize, ToSchema)]
pub struct TimelineEntry {
    at: Timestamp,
    /// Past tense: `order.placed`, `reminder.sent`, `stock.released`...
    r#type: String,
    /// Who asked for it: the name of an API key, or `customer`. None: nobody did, or it is not known.
    by: Option<String>,
    /// What is in it follows from the type.
    #[schema(value_type = OrderEvent)]
    data: Value,
}

/// What happened to an order, oldest first.
#[utoipa::path(
    get, path = "/v1/orders/{id}/timeline", operation_id = "get_order_timeline", tag = "Orders",
    params(("id" = String, Path)),
    responses((status = 200, body = List<TimelineEntry>)),
)]
pub async fn timeline(
    State(app): State<App>,
    caller: Caller,
    OrderPath(id): OrderPath,
) -> Result<axum::Json<List<TimelineEntry>>, Problem> {
    let entries = timeline::of_order(&app.db, id).await?;
    if entries.is_empty() {
        return Err(order_not_found());
    }
    let entry = |entry: timeline::Entry| TimelineEntry {
        at: entry.at,
        r#type: entry.kind,
        by: entry.by.filter(|by| caller.customer().is_none() || by == CUSTOMER),
        data: entry.data,
    };
    // What the shop's people have to settle is theirs, and so is who of them asked for what.
    let is_told =
        |entry: &timeline::Entry| caller.customer().is_none() || !entry.kind.starts_with("exception.");
    Ok(axum::Json(List::whole(entries.into_iter().filter(is_told).map(entry).collect())))
}
