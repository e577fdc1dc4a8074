//! Settlements: what the providers' statements say, per day and currency, and how much of it ours match.

use axum::extract::State;
use domain::Invalid;
use serde::{Deserialize, Serialize};
use store::settlements::{self, Settlement};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    app::App,
    error::Problem,
    list::{List, Parameters},
    query::Query,
    scoped::{Scope, Scoped},
};

pub fn routes() -> Scoped {
    Scoped::new().with(Scope::Operations, routes!(list))
}

/// Amounts are minor units. A sum beyond 9,007,199,254,740,991 (2^53 - 1) is given as that.
#[derive(Serialize, ToSchema)]
#[schema(as = Settlement)]
struct SettlementDocument {
    /// Always `settlement`.
    object: &'static str,
    /// UTC.
    day: String,
    provider: String,
    currency: &'static str,
    captured: i64,
    refunded: i64,
    /// None if the provider does not say.
    fees: Option<i64>,
    /// Captured on that day, still an open exception, and still with us: what went back, or is disputed, is
    /// not.
    open: i64,
    /// Taken by disputes, less what was given back when they were won.
    disputed: i64,
    /// Lines of the provider's statement that ours do not have.
    unmatched: i64,
}

impl From<Settlement> for SettlementDocument {
    fn from(settlement: Settlement) -> Self {
        let Settlement { day, provider, currency, captured, refunded, fees, unmatched, open, disputed } =
            settlement;
        Self {
            object: "settlement",
            day,
            provider,
            currency: currency.code(),
            captured,
            refunded,
            fees,
            open,
            disputed,
            unmatched,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListSettlements {
    /// 1-100, default 20.
    limit: Option<String>,
    /// A cursor; the page starts after it.
    starting_after: Option<String>,
}

/// List settlements, newest day first. They are as new as the last reconciliation.
#[utoipa::path(
    get, path = "/v1/settlements", operation_id = "list_settlements", tag = "Payments",
    params(ListSettlements),
    responses((status = 200, body = List<SettlementDocument>)),
)]
async fn list(
    State(app): State<App>,
    Query(query): Query<ListSettlements>,
) -> Result<axum::Json<List<SettlementDocument>>, Problem> {
    let mut parameters = Parameters::default();
    let limit = parameters.limit(query.limit);
    let before = parameters.optional(query.starting_after, cursor);
    parameters.finish()?;
    let found = settlements::list(&app.db, before.as_ref(), limit + 1).await?;
    let documents = found.into_iter().map(SettlementDocument::from).collect();
    let cursor_of = |it: &SettlementDocument| format!("{}.{}.{}", it.day, it.provider, it.currency);
    Ok(axum::Json(List::page(documents, limit, cursor_of)))
}

/// `2026-11-21.stripe.EUR`.
fn cursor(text: &str) -> Result<(String, String, String), Invalid> {
    let parts: Vec<&str> = text.splitn(3, '.').collect();
    let plain = |part: &&str| part.len() <= 32 && part.bytes().all(|b| b.is_ascii_graphic());
    match parts.as_slice() {
        [day, provider, currency] if parts.iter().all(plain) && day.parse::<jiff::civil::Date>().is_ok() => {
            Ok(((*day).to_owned(), (*provider).to_owned(), (*currency).to_owned()))
        }
        _ => Err(Invalid::new("starting_after", "must be a next_cursor")),
    }
}
