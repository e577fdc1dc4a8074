//! What happened lately, what waits, and what is away: one page for those who run the shop.

use std::{collections::BTreeMap, time::Duration};

use axum::extract::State;
use domain::{Invalid, SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use store::{
    figures::{backlog, webhooks},
    overview::{self, Hour},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    app::App,
    clock::now,
    error::Problem,
    list::Parameters,
    query::Query,
    scoped::{Scope, Scoped},
};

const DEFAULT_HOURS: i64 = 24;
const MAX_HOURS: i64 = 168;
/// Who does not answer within this is away.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

pub fn routes() -> Scoped {
    Scoped::new().with(Scope::Operations, routes!(get))
}

/// What happened in the last hours, what waits, and what is away.
#[derive(Serialize, ToSchema)]
#[schema(as = Overview)]
struct OverviewDocument {
    /// Always `overview`.
    object: &'static str,
    from: Timestamp,
    to: Timestamp,
    /// Each hour from `from` on, the last one unfinished.
    hours: Vec<HourDocument>,
    /// For each currency in which money moved.
    money: Vec<FlowDocument>,
    /// What waits: for Holdfast, or for a person. A figure says 10,000 if it is that or more.
    waiting: WaitingDocument,
    /// What does not answer: `temporal`, `mail`. Without PostgreSQL there is no overview.
    away: Vec<&'static str>,
}

/// What became of orders in one hour.
#[derive(Serialize, ToSchema)]
#[schema(as = OverviewHour)]
struct HourDocument {
    /// When it began.
    at: Timestamp,
    placed: i64,
    paid: i64,
    expired: i64,
    cancelled: i64,
}

/// Money of one currency, in minor units.
#[derive(Serialize, ToSchema)]
#[schema(as = OverviewMoney)]
struct FlowDocument {
    currency: &'static str,
    captured: i64,
    refunded: i64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OverviewWaiting)]
struct WaitingDocument {
    /// Exceptions that a person has to decide about.
    open_exceptions: i64,
    /// Orders whose workflow is not started yet.
    unstarted_orders: i64,
    /// Events that somebody who carries them away has not taken yet.
    unpublished_events: i64,
    /// When the oldest provider's event came that nothing is done about yet.
    oldest_unsettled_at: Option<Timestamp>,
    /// Deliveries to webhook endpoints.
    pending_deliveries: i64,
    /// Webhook endpoints that are disabled.
    disabled_endpoints: i64,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct GetOverview {
    /// How many hours, the present one among them: 1-168, default 24.
    hours: Option<String>,
}

/// What happened in the last hours, what waits, and what is away.
#[utoipa::path(
    get, path = "/v1/overview", operation_id = "get_overview", tag = "Operations", params(GetOverview),
    responses((status = 200, body = OverviewDocument)),
)]
async fn get(
    State(app): State<App>,
    Query(query): Query<GetOverview>,
) -> Result<axum::Json<OverviewDocument>, Problem> {
    let mut parameters = Parameters::default();
    let hours = parameters.optional(query.hours, hours).unwrap_or(DEFAULT_HOURS);
    parameters.finish()?;
    let to = now();
    let from = whole_hour(to).saturating_sub(SignedDuration::from_hours(hours - 1)).unwrap_or(to);
    let (found, waiting, away) = tokio::join!(overview::read(&app.db, from, to), waiting(&app), away(&app));
    let found = found?;
    let money = found.money.into_iter().map(|it| FlowDocument {
        currency: it.currency.code(),
        captured: it.captured,
        refunded: it.refunded,
    });
    Ok(axum::Json(OverviewDocument {
        object: "overview",
        from,
        to,
        hours: all_hours(from, hours, found.hours),
        money: money.collect(),
        waiting: waiting?,
        away,
    }))
}

fn hours(text: &str) -> Result<i64, Invalid> {
    let hours = text.parse().ok().filter(|hours| (1..=MAX_HOURS).contains(hours));
    hours.ok_or_else(|| Invalid::new("hours", format!("must be 1 to {MAX_HOURS}")))
}

fn whole_hour(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(3600)).unwrap_or(at)
}

/// Also those in which nothing happened.
fn all_hours(from: Timestamp, hours: i64, found: Vec<Hour>) -> Vec<HourDocument> {
    let mut found: BTreeMap<Timestamp, Hour> = found.into_iter().map(|hour| (hour.at, hour)).collect();
    let at = |n| from.saturating_add(SignedDuration::from_hours(n)).unwrap_or(from);
    let document = |n| {
        let at = at(n);
        let none = Hour { at, placed: 0, paid: 0, expired: 0, cancelled: 0 };
        let Hour { at, placed, paid, expired, cancelled } = found.remove(&at).unwrap_or(none);
        HourDocument { at, placed, paid, expired, cancelled }
    };
    (0..hours).map(document).collect()
}

async fn waiting(app: &App) -> Result<WaitingDocument, Problem> {
    let (backlog, webhooks) = tokio::try_join!(backlog(&app.db), webhooks(&app.db))?;
    Ok(WaitingDocument {
        open_exceptions: backlog.open_exceptions,
        unstarted_orders: backlog.unstarted_orders,
        unpublished_events: backlog.unpublished_events,
        oldest_unsettled_at: backlog.oldest_unsettled,
        pending_deliveries: webhooks.pending,
        disabled_endpoints: webhooks.disabled_endpoints,
    })
}

async fn away(app: &App) -> Vec<&'static str> {
    let temporal = async {
        let ready = tokio::time::timeout(ANSWER_TIMEOUT, app.engine.ready()).await;
        !ready.is_ok_and(|it| it.is_ok())
    };
    let mail = async {
        match app.mail.as_ref() {
            Some(probe) => !tokio::time::timeout(ANSWER_TIMEOUT, probe()).await.unwrap_or(false),
            None => false,
        }
    };
    let (temporal, mail) = tokio::join!(temporal, mail);
    [("temporal", temporal), ("mail", mail)].into_iter().filter_map(|(it, away)| away.then_some(it)).collect()
}
