//! Public events: read by cursor, and followed.

mod feed;
mod stream;

use std::time::Duration;

use axum::extract::State;
use domain::{
    Invalid,
    public_event::{CloudEvent, EventId, PublicEventType},
};
use serde::Deserialize;
use serde_json::{Value, json};
use store::events::{self, Filter, Range};
use utoipa::IntoParams;
use utoipa_axum::routes;

pub use feed::Feed;

use crate::{
    app::App,
    error::{Problem, ProblemDocument},
    list::{List, Parameters},
    query::Query,
    scoped::{Scope, Scoped},
};

/// How long who reads waits for changes that are being written: so that who has changed something finds it.
const PATIENCE: Duration = Duration::from_secs(1);
const MAX_SUBJECT: usize = 200;

pub fn routes() -> Scoped {
    Scoped::new().with(Scope::EventsRead, routes!(list)).with(Scope::EventsRead, routes!(stream::stream))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListEvents {
    /// An event's id; the page starts after it. Left out: with the oldest event that is kept.
    after: Option<String>,
    /// A type, or several with commas between them.
    r#type: Option<String>,
    /// What the events are about: an order's id, a SKU, or `inventory:` and a SKU.
    subject: Option<String>,
    /// 1-100, default 20.
    limit: Option<String>,
}

/// Read events, oldest first. A page may be empty and have a `next_cursor`: of rare types there are none in
/// some thousand events. Who goes on after the last one that it has seen misses none, and sees none twice.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "list_events", tag = "Events", params(ListEvents),
    responses(
        (status = 200, body = List<CloudEvent<'static>>),
        (status = 410, body = ProblemDocument,
            description = "`events_pruned`: events after this one are no longer kept; begin anew \
                           without `after`"),
    ),
)]
async fn list(
    State(app): State<App>,
    Query(query): Query<ListEvents>,
) -> Result<axum::Json<List<Value>>, Problem> {
    let mut parameters = Parameters::default();
    let limit = parameters.limit(query.limit);
    let after = parameters.optional(query.after, after);
    let filter = filter(query.r#type, query.subject, &mut parameters);
    parameters.finish()?;
    // What is older than the mark is kept for deliveries alone, with gaps in between.
    let from = match after {
        Some(after) => after.position(),
        None => events::pruned(&app.db).await?,
    };
    let horizon = decided(&app).await?;
    let up_to = filter.window(from, horizon);
    let found = events::read(&app.db, Range { after: from, up_to, limit: limit + 1 }, &filter).await?;
    refuse_pruned(&app, after).await?; // now: what was read has no hole then
    let page = List::page(found, limit, |event| event.id.to_string());
    let page = if up_to < horizon { page.going_on(EventId::new(up_to, 0).to_string()) } else { page };
    Ok(axum::Json(page.map(|event| json!(event.cloud_event()))))
}

/// The position up to which nothing can appear any more that is not seen already.
pub async fn decided(app: &App) -> Result<i64, Problem> {
    app.feed.horizon(PATIENCE).await?.ok_or_else(|| {
        let detail =
            "A transaction that writes to this database takes long, and nothing is decided before it.";
        Problem::unavailable("events_undecided", detail)
    })
}

fn after(text: &str) -> Result<EventId, Invalid> {
    text.parse().map_err(|_| Invalid::new("after", "must be the id of an event, or a next_cursor"))
}

fn filter(types: Option<String>, subject: Option<String>, parameters: &mut Parameters) -> Filter {
    let types = parameters
        .optional(types, |text| text.split(',').map(PublicEventType::parse).collect::<Result<Vec<_>, _>>());
    let subject = parameters.optional(subject, |text| {
        match (1..=MAX_SUBJECT).contains(&text.len()) && !text.contains(char::is_control) {
            true => Ok(text.to_owned()),
            false => Err(Invalid::new(
                "subject",
                format!("must be 1 to {MAX_SUBJECT} bytes, without control characters"),
            )),
        }
    });
    Filter { types: types.unwrap_or_default(), subject }
}

/// Who was away for longer than events are kept is told so: it has missed some.
async fn refuse_pruned(app: &App, after: Option<EventId>) -> Result<(), Problem> {
    match after {
        Some(after) if after.position() < events::pruned(&app.db).await? => Err(Problem::gone(
            "events_pruned",
            "Events after this one are no longer kept. Begin anew without `after`, and read the \
             orders that you miss.",
        )),
        _ => Ok(()),
    }
}
