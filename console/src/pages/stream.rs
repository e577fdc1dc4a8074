//! Events for pages that are open: the API's own stream, for whoever has a session.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, BodyDataStream},
    extract::RawQuery,
    http::{HeaderMap, Method},
    response::Response,
    routing::get,
};
use domain::{api_key::Scope, public_event::PublicEventType};
use futures_util::StreamExt as _;

use super::Shown;
use crate::{
    Console,
    api_client::{Ask, query},
    documents::Problem,
    fields::Fields,
    operator::{Operator, Watcher},
    render::Live,
};

/// So often is looked whether the session has not ended meanwhile.
const LOOKED_EVERY: Duration = Duration::from_secs(5);

pub fn routes() -> Router<Console> {
    Router::new().route("/console/stream", get(stream))
}

/// What happens to an order, or of some types, for a page that shows it. None without the right to it.
pub fn live(operator: &Operator, subject: Option<&str>, types: &[&str], fragment: String) -> Option<Live> {
    operator.may(Scope::EventsRead).then(|| {
        let joined = types.join(",");
        let types_asked = (!types.is_empty()).then_some(joined.as_str());
        let asked = query(&[("subject", subject), ("type", types_asked)]);
        let known = if types.is_empty() { PublicEventType::WORDS } else { types };
        Live { stream: format!("/console/stream{asked}"), types: known.join(" "), fragment }
    })
}

async fn stream(Watcher(operator): Watcher, headers: HeaderMap, RawQuery(asked): RawQuery) -> Shown {
    let asked = Fields::parse(&asked.unwrap_or_default());
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let path = query(&[
        ("subject", asked.given("subject")),
        ("type", asked.given("type")),
        ("after", last.filter(|id| !id.is_empty())),
    ]);
    let answer = operator.call(Method::GET, &format!("/v1/events/stream{path}"), Ask::default()).await?;
    if !answer.status().is_success() {
        return Err(operator.fail(Problem::own(answer.status(), "There is no stream of events now.")));
    }
    let (parts, body) = answer.into_parts();
    let ended = ended(operator);
    let events: BodyDataStream = body.into_data_stream();
    Ok(Response::from_parts(parts, Body::from_stream(events.take_until(ended))))
}

/// Resolves when the session has ended, or its key is good no more. If nobody can say, the stream has an end
/// of its own.
async fn ended(operator: Operator) {
    loop {
        tokio::time::sleep(LOOKED_EVERY).await;
        if let Ok(None) = operator.console.api.whose(operator.token()).await {
            return;
        }
    }
}
