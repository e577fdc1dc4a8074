//! Reading orders. From PostgreSQL alone: it works with every worker stopped.

use axum::extract::State;
use domain::{Invalid, Invalids, OrderId, Timestamp, order::Status};
use serde::{Deserialize, Serialize};
use store::{
    orders::{self, Filter},
    timeline,
};
use utoipa::{IntoParams, ToSchema};

use super::OrderDocument;
use crate::{
    App, Problem,
    error::ProblemDocument,
    extract::{NOT_A_TIME, OrderPath, order_not_found, parse_time},
    list::{self, List},
    query::Query,
};

pub fn unknown_order(error: store::Error) -> Problem {
    match error {
        store::Error::NotFound => order_not_found(),
        other => other.into(),
    }
}

/// Loads an order, or says that there is none.
pub async fn load(app: &App, id: OrderId) -> Result<domain::order::Order, Problem> {
    orders::get(&app.db, id).await.map_err(unknown_order)
}

/// Read an order.
#[utoipa::path(
    get, path = "/v1/orders/{id}", operation_id = "get_order", tag = "Orders", params(("id" = String, Path)),
    responses((status = 200, body = OrderDocument), (status = 404, body = ProblemDocument)),
)]
pub async fn get(
    State(app): State<App>,
    OrderPath(id): OrderPath,
) -> Result<axum::Json<OrderDocument>, Problem> {
    Ok(axum::Json(OrderDocument::new(load(&app, id).await?, &app.engine)))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListOrders {
    status: Option<String>,
    /// The customer's id.
    customer: Option<String>,
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
    responses((status = 200, body = List<OrderDocument>), (status = 422, body = ProblemDocument)),
)]
pub async fn list(
    State(app): State<App>,
    Query(query): Query<ListOrders>,
) -> Result<axum::Json<List<OrderDocument>>, Problem> {
    let (filter, limit) = parse(query)?;
    let found = orders::list(&app.db, &filter, limit + 1).await?;
    let documents = found.into_iter().map(|order| OrderDocument::new(order, &app.engine)).collect();
    Ok(axum::Json(List::page(documents, limit, |order| order.id.to_string())))
}

/// In a query string a `+` means a space.
fn not_a_time(text: &str) -> &'static str {
    match text.rsplit_once(' ').is_some_and(|(_, offset)| offset.contains(':') && offset.len() == 5) {
        true => "has a space where a `+` should be: write `+` as %2B in a query",
        false => NOT_A_TIME,
    }
}

fn parse(query: ListOrders) -> Result<(Filter, i64), Vec<Invalid>> {
    let mut invalids = Invalids::default();
    let limit = invalids.check(list::limit(query.limit.as_deref()));
    let mut time = |field: &str, text: Option<String>| {
        let text = text?;
        let bad = |why| Invalid::new(field, if why == NOT_A_TIME { not_a_time(&text) } else { why });
        invalids.check(parse_time(&text).map_err(bad))
    };
    let placed_from = time("placed_from", query.placed_from);
    let placed_to = time("placed_to", query.placed_to);
    let status = query.status.and_then(|text| invalids.check(Status::parse(&text)));
    let after = query.starting_after.and_then(|text| {
        let bad = |_| Invalid::new("starting_after", "must be an order id or a next_cursor");
        invalids.check(text.parse().map_err(bad))
    });
    let customer_id = query.customer.and_then(|text| invalids.check(domain::customer::id("customer", &text)));
    match limit {
        Some(limit) if invalids.is_empty() => {
            Ok((Filter { status, customer_id, placed_from, placed_to, after }, limit))
        }
        _ => Err(invalids.into_vec()),
    }
}

/// One thing that happened to an order.
#[derive(Serialize, ToSchema)]
pub struct TimelineEntry {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Past tense: `order.placed`, `reminder.sent`, `stock.released`...
    r#type: String,
    #[schema(value_type = Object)]
    data: serde_json::Value,
}

/// What happened to an order, oldest first.
#[utoipa::path(
    get, path = "/v1/orders/{id}/timeline", operation_id = "get_order_timeline", tag = "Orders", params(("id" = String, Path)),
    responses((status = 200, body = List<TimelineEntry>), (status = 404, body = ProblemDocument)),
)]
pub async fn timeline(
    State(app): State<App>,
    OrderPath(id): OrderPath,
) -> Result<axum::Json<List<TimelineEntry>>, Problem> {
    let entries = timeline::of_order(&app.db, id).await.map_err(unknown_order)?;
    let entry = |entry: timeline::Entry| TimelineEntry { at: entry.at, r#type: entry.kind, data: entry.data };
    Ok(axum::Json(List::whole(entries.into_iter().map(entry).collect())))
}
