//! What a connection waits for: for its client, or for us.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Limits;

/// The client of one connection, as its stream, its requests and the server see it.
pub struct Client {
    pub limits: Limits,
    /// Cancelled when its place is needed for somebody else, or the time to end is over.
    pub close: CancellationToken,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// Since when it does not take what we send.
    stalled: Option<Instant>,
    /// The body of this request did not come in time.
    is_too_slow: bool,
}

#[derive(Clone, Copy)]
enum Phase {
    /// No byte of a request is there.
    Idle(Instant),
    Header(Instant),
    Body(Instant),
    /// The request is there; the answer is made, or on its way.
    Served,
}

impl Client {
    pub fn new(limits: Limits, close: CancellationToken) -> Self {
        let phase = Phase::Idle(Instant::now());
        Self { limits, close, state: Mutex::new(State { phase, stalled: None, is_too_slow: false }) }
    }

    /// Bytes came.
    pub fn sends(&self) {
        let mut state = self.state();
        if let Phase::Idle(_) = state.phase {
            state.phase = Phase::Header(Instant::now());
        }
    }

    /// The header of a request is complete; gives by when its body has to be.
    pub fn begins_request(&self) -> Instant {
        let mut state = self.state();
        state.phase = Phase::Served;
        state.is_too_slow = false;
        Instant::now() + self.limits.body
    }

    /// The next piece of the body is not there.
    pub fn owes_body(&self) {
        let mut state = self.state();
        if let Phase::Served = state.phase {
            state.phase = Phase::Body(Instant::now());
        }
    }

    pub fn sent_body(&self) {
        self.state().phase = Phase::Served;
    }

    pub fn is_too_slow(&self) -> bool {
        self.state().is_too_slow
    }

    pub fn body_is_too_slow(&self) {
        self.state().is_too_slow = true;
    }

    /// The answer is given to the stream.
    pub fn is_answered(&self) {
        self.state().phase = Phase::Idle(Instant::now());
    }

    /// It does not take what we send; gives by when it has to.
    pub fn stalls(&self) -> Instant {
        *self.state().stalled.get_or_insert_with(Instant::now) + self.limits.idle
    }

    pub fn takes_all(&self) {
        self.state().stalled = None;
    }

    /// By when its next bytes must be there, if it is its turn.
    pub fn bytes_due(&self) -> Option<Instant> {
        match self.state().phase {
            Phase::Idle(since) => Some(since + self.limits.idle),
            Phase::Header(since) => Some(since + self.limits.header),
            Phase::Body(_) | Phase::Served => None,
        }
    }

    /// How long we have waited for it, if we do.
    pub fn waited_for(&self, now: Instant) -> Option<Duration> {
        let state = self.state();
        let since = match state.phase {
            Phase::Served => state.stalled?,
            Phase::Idle(since) | Phase::Header(since) | Phase::Body(since) => since,
        };
        Some(now.duration_since(since))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
