//! Public events as server-sent events.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use domain::{
    Invalid,
    public_event::{EventId, PublicEvent},
};
use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;
use store::events::{self, Filter};
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use utoipa::IntoParams;

use super::feed::{Chapter, Feed};
use crate::{
    app::App,
    error::{Problem, ProblemDocument},
    list::Parameters,
    query::Query,
};

/// So often a line is sent when there is nothing to say, for proxies that close what is silent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// No stream lasts longer: the key may not be good any more, and the client goes on by `Last-Event-ID`.
const MAX_AGE: Duration = Duration::from_secs(15 * 60);
/// When a client comes again after the end.
const COME_AGAIN: Duration = Duration::from_secs(1);

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamEvents {
    /// An event's id; the stream starts after it. Left out, without `Last-Event-ID`: with what happens from
    /// now on.
    after: Option<String>,
    /// A type, or several with commas between them.
    r#type: Option<String>,
    /// What the events are about: an order's id, a SKU, or `inventory:` and a SKU.
    subject: Option<String>,
}

/// Follow events, as server-sent events: `id` is the event's id, `event` its type, `data` the event. A client
/// that comes again with `Last-Event-ID` misses none. It ends after a quarter of an hour.
#[utoipa::path(
    get, path = "/v1/events/stream", operation_id = "stream_events", tag = "Events",
    params(
        StreamEvents,
        (
            "Last-Event-ID" = Option<String>, Header,
            description = "The id of the last event that was seen; goes before `after`",
        ),
    ),
    responses(
        (
            status = 200, body = String, content_type = "text/event-stream",
            description = "Events, as they happen",
        ),
        (status = 410, body = ProblemDocument,
            description = "`events_pruned`: events after this one are no longer kept; begin anew without it"),
        (status = 503, body = ProblemDocument, description = "`too_many_streams`"),
    ),
)]
pub async fn stream(
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<StreamEvents>,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::default();
    let after = parameters.optional(query.after, super::after);
    let filter = super::filter(query.r#type, query.subject, &mut parameters);
    let last = headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default().to_owned());
    let last = parameters.optional(last.filter(|id| !id.is_empty()), |text| {
        super::after(text).map_err(|invalid| Invalid::new("Last-Event-ID", invalid.message))
    });
    parameters.finish()?;
    let after = last.or(after);
    super::refuse_pruned(&app, after).await?;
    let place = app.feed.places.clone().try_acquire_owned().map_err(|_| {
        Problem::unavailable(
            "too_many_streams",
            "Too many streams are open. Read `GET /v1/events` meanwhile.",
        )
    })?;
    let follower = Follower::begin(app.feed.clone(), after, filter, place).await?;
    let ended = app.feed.ended.clone();
    let events = stream::unfold(follower, Follower::next)
        .map(Ok::<_, Infallible>)
        .take_until(tokio::time::sleep(MAX_AGE))
        .take_until(async move { ended.cancelled().await });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // nginx would keep what is small until there is more of it.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    Ok(response)
}

/// One who follows: how far it has come, and what it has not been given yet.
struct Follower {
    feed: Arc<Feed>,
    filter: Filter,
    position: i64,
    waiting: VecDeque<Event>,
    chapters: broadcast::Receiver<Arc<Chapter>>,
    /// Whether it reads by itself, until it has caught up with the others.
    is_behind: bool,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    async fn begin(
        feed: Arc<Feed>,
        after: Option<EventId>,
        filter: Filter,
        place: OwnedSemaphorePermit,
    ) -> Result<Self, Problem> {
        let chapters = feed.follow();
        let position = match after {
            Some(id) => id.position(),
            None => events::newest(&feed.db).await?,
        };
        // Sent at once, so that the client knows that it is heard.
        let waiting = [Event::default().retry(COME_AGAIN)].into();
        Ok(Self { feed, filter, position, waiting, chapters, is_behind: true, _place: place })
    }

    /// The next event; none when the database is away, or has forgotten what would come next: the client
    /// comes again, and is told.
    async fn next(mut self) -> Option<(Event, Self)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some((event, self));
            }
            if self.is_behind {
                let chapter = self.feed.read(self.position, &self.filter).await.ok()??;
                self.is_behind = chapter.is_behind;
                self.take(&chapter);
                continue;
            }
            match self.chapters.recv().await {
                Ok(chapter) if chapter.after > self.position => self.is_behind = true,
                Ok(chapter) => self.take(&chapter),
                Err(broadcast::error::RecvError::Lagged(_)) => self.is_behind = true,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    fn take(&mut self, chapter: &Chapter) {
        let (filter, position) = (&self.filter, self.position);
        let new = chapter.events.iter().filter(|event| event.id.position() > position && filter.wants(event));
        self.waiting.extend(new.map(sent));
        self.position = position.max(chapter.up_to);
    }
}

fn sent(event: &PublicEvent) -> Event {
    let sent = Event::default().id(event.id.to_string()).event(event.event_type.as_str());
    sent.json_data(event.cloud_event()).expect("an event is JSON")
}
