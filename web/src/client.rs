//! What a connection waits for: for its client, or for us.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::http::Version;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::Limits;

/// HTTP/2: so long a stream may wait for its client though its place is wanted.
const STREAM_PATIENCE: Duration = Duration::from_secs(1);

/// The client of one connection, as its stream, its requests and the server see it.
pub struct Client {
    pub limits: Limits,
    /// Cancelled when its place is needed for somebody else, or the time to end is over.
    pub close: CancellationToken,
    state: Mutex<State>,
}

struct State {
    /// While there is no request.
    rest: Rest,
    /// Requests whose answers are not given yet: one at most in HTTP/1.
    requests: Vec<(u64, Option<Wait>)>,
    begun: u64,
    /// Since when it does not take what we send.
    stalled: Option<Instant>,
    /// HTTP/2: what comes need not be a request.
    has_streams: bool,
}

#[derive(Clone, Copy)]
enum Rest {
    /// No byte of a request is there.
    Idle(Instant),
    Header(Instant),
}

/// What a request waits for, if it is for its client.
#[derive(Clone, Copy)]
enum Wait {
    ForBody(Instant),
    /// HTTP/2 alone: a stream may be left unread while the connection is not.
    ForReader(Instant),
}

impl Wait {
    fn since(self) -> Instant {
        let (Self::ForBody(since) | Self::ForReader(since)) = self;
        since
    }
}

impl Client {
    pub fn new(limits: Limits, close: CancellationToken) -> Self {
        let state = State {
            rest: Rest::Idle(Instant::now()),
            requests: Vec::new(),
            begun: 0,
            stalled: None,
            has_streams: false,
        };
        Self { limits, close, state: Mutex::new(state) }
    }

    /// Bytes came.
    pub fn sends(&self) {
        let mut state = self.state();
        // A stream's header has the time of an idle connection: a ping is no request, and begins none.
        if !state.has_streams && matches!(state.rest, Rest::Idle(_)) {
            state.rest = Rest::Header(Instant::now());
        }
    }

    /// The header of a request is complete.
    pub fn begins(self: &Arc<Self>, version: Version) -> UnderWay {
        let has_streams = version == Version::HTTP_2;
        let mut state = self.state();
        state.begun += 1;
        state.has_streams = has_streams;
        let id = state.begun;
        state.requests.push((id, None));
        let body_due = Instant::now() + self.limits.body;
        let (client, is_too_slow) = (self.clone(), AtomicBool::new(false));
        let exchange = Arc::new(Exchange { client, id, has_streams, body_due, is_too_slow });
        UnderWay { exchange, place: None }
    }

    /// It does not take what we send; gives by when it has to.
    pub fn stalls(&self) -> Instant {
        *self.state().stalled.get_or_insert_with(Instant::now) + self.limits.idle
    }

    pub fn takes_all(&self) {
        self.state().stalled = None;
    }

    /// By when something must come of it, if it is its turn.
    pub fn bytes_due(&self) -> Option<Instant> {
        let state = self.state();
        let unread = state.requests.iter().filter_map(|(_, wait)| match wait {
            Some(Wait::ForReader(since)) => Some(*since + self.limits.idle),
            _ => None,
        });
        match (state.requests.is_empty(), state.rest) {
            (true, Rest::Idle(since)) => Some(since + self.limits.idle),
            (true, Rest::Header(since)) => Some(since + self.limits.header),
            (false, _) => unread.min(),
        }
    }

    /// How long we have waited for it, if we do: as long as there is something for us to do, we do not.
    pub fn waited_for(&self, now: Instant) -> Option<Duration> {
        let state = self.state();
        let waits: Option<Vec<Instant>> =
            state.requests.iter().map(|(_, wait)| wait.map(Wait::since)).collect();
        let since = match (waits, state.rest) {
            (Some(waits), Rest::Idle(since) | Rest::Header(since)) => {
                waits.into_iter().max().unwrap_or(since)
            }
            (None, _) => state.stalled?,
        };
        Some(now.duration_since(since))
    }

    /// How long one of its requests has waited for it, whatever we do for the others, if that is more than a
    /// network needs. HTTP/2: who leaves streams unread holds their places, also while it goes on with one.
    pub fn longest_wait(&self, now: Instant) -> Option<Duration> {
        let state = self.state();
        let since = state.requests.iter().filter_map(|(_, wait)| wait.map(Wait::since)).min()?;
        Some(now.duration_since(since)).filter(|waited| *waited >= STREAM_PATIENCE)
    }

    fn set(&self, id: u64, wait: impl FnOnce(Option<Wait>) -> Option<Wait>) {
        if let Some((_, it)) = self.state().requests.iter_mut().find(|(of, _)| *of == id) {
            *it = wait(*it);
        }
    }

    fn ends(&self, id: u64) {
        let mut state = self.state();
        state.requests.retain(|(of, _)| *of != id);
        if state.requests.is_empty() {
            state.rest = Rest::Idle(Instant::now());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request and its answer.
pub struct Exchange {
    client: Arc<Client>,
    id: u64,
    pub has_streams: bool,
    pub body_due: Instant,
    /// The body did not come in time.
    is_too_slow: AtomicBool,
}

impl Exchange {
    /// The next piece of the body is not there.
    pub fn owes_body(&self) {
        let now = Instant::now();
        self.client.set(self.id, |wait| wait.or(Some(Wait::ForBody(now))));
    }

    pub fn sent_body(&self) {
        self.client.set(self.id, |_| None);
    }

    pub fn is_too_slow(&self) -> bool {
        self.is_too_slow.load(Ordering::Relaxed)
    }

    pub fn body_is_too_slow(&self) {
        self.is_too_slow.store(true, Ordering::Relaxed);
    }

    /// A piece of the answer is there to be taken.
    pub fn gives(&self) {
        if self.has_streams {
            let now = Instant::now();
            self.client.set(self.id, |_| Some(Wait::ForReader(now)));
        }
    }

    /// The next piece of the answer is being made.
    pub fn makes(&self) {
        if self.has_streams {
            self.client.set(self.id, |_| None);
        }
    }
}

/// An exchange, until its answer is sent or nobody wants it any more.
pub struct UnderWay {
    exchange: Arc<Exchange>,
    /// HTTP/2: its place among all requests.
    pub place: Option<OwnedSemaphorePermit>,
}

impl UnderWay {
    pub fn exchange(&self) -> &Arc<Exchange> {
        &self.exchange
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.exchange.client.ends(self.exchange.id);
    }
}
