//! Settlements: what the providers' statements say, per day and currency, and how much of it ours match.

use axum::extract::State;
use domain::{Invalid, Timestamp};
use serde::{Deserialize, Serialize};
use store::settlements::{self, Place, Settlement, Unmatched};
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
    Scoped::new().with(Scope::Operations, routes!(list)).with(Scope::Operations, routes!(unmatched))
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

/// A line of a provider's statement of which we have nothing, or something else. Money that stays unknown
/// becomes an exception.
#[derive(Serialize, ToSchema)]
#[schema(as = UnmatchedLine)]
struct UnmatchedDocument {
    /// Always `unmatched_line`.
    object: &'static str,
    provider: String,
    /// `captured`, `refunded`, `disputed` or `dispute_reversed`.
    kind: String,
    /// The provider's id of the payment, refund or dispute.
    reference: String,
    /// The provider's id of the payment.
    provider_payment_id: String,
    /// As the provider names it. None: it names none of ours.
    order_id: Option<String>,
    /// In minor units.
    amount: i64,
    currency: &'static str,
    fee: Option<i64>,
    at: Timestamp,
}

impl From<Unmatched> for UnmatchedDocument {
    fn from(line: Unmatched) -> Self {
        Self {
            object: "unmatched_line",
            provider: line.provider,
            kind: line.kind,
            reference: line.reference,
            provider_payment_id: line.payment,
            order_id: line.order.map(|id| id.to_string()),
            amount: line.amount,
            currency: line.currency.code(),
            fee: line.fee,
            at: line.at,
        }
    }
}

/// List the lines of providers' statements that ours do not have, or have otherwise; those that have waited
/// longest first.
#[utoipa::path(
    get, path = "/v1/settlements/unmatched", operation_id = "list_unmatched_lines", tag = "Payments",
    params(ListSettlements),
    responses((status = 200, body = List<UnmatchedDocument>)),
)]
async fn unmatched(
    State(app): State<App>,
    Query(query): Query<ListSettlements>,
) -> Result<axum::Json<List<UnmatchedDocument>>, Problem> {
    let mut parameters = Parameters::default();
    let limit = parameters.limit(query.limit);
    let after = parameters.optional(query.starting_after, place);
    parameters.finish()?;
    let found = settlements::unmatched(&app.db, after.as_ref(), limit + 1).await?;
    let documents = found.into_iter().map(UnmatchedDocument::from).collect();
    let cursor_of = |it: &UnmatchedDocument| {
        format!("{}.{}.{}.{}", it.at.as_microsecond(), it.provider, it.kind, it.reference)
    };
    Ok(axum::Json(List::page(documents, limit, cursor_of)))
}

/// `1790000000000000.stripe.captured.pi_1`: the time in microseconds, as the database has it.
fn place(text: &str) -> Result<Place, Invalid> {
    let mut parts = text.splitn(4, '.').map(str::to_owned);
    let mut next = || parts.next().filter(|part| !part.is_empty() && !part.contains('\0'));
    let mut place = || {
        let at = Timestamp::from_microsecond(next()?.parse().ok()?).ok()?;
        Some(Place { at, provider: next()?, kind: next()?, reference: next()? })
    };
    place().ok_or_else(|| Invalid::new("starting_after", "must be a next_cursor"))
}
