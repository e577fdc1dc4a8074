//! Bodies: of a request, which must be there in time, and of an answer, whose end is noted.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    BoxError,
    body::{Body, Bytes},
};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::{client::Client, stream::Alarm};

/// A body that did not come in time.
#[derive(Debug)]
pub struct BodyTooSlow;

impl std::fmt::Display for BodyTooSlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body did not come in time")
    }
}

impl std::error::Error for BodyTooSlow {}

impl BodyTooSlow {
    /// Whether this is why something could not be read.
    pub fn is_why(error: &(dyn std::error::Error + 'static)) -> bool {
        std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<Self>())
    }
}

pub struct RequestBody {
    body: Incoming,
    due: Instant,
    alarm: Alarm,
    client: Arc<Client>,
}

impl RequestBody {
    pub fn new(body: Incoming, due: Instant, client: Arc<Client>) -> Self {
        Self { body, due, alarm: Alarm::default(), client }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.client.sent_body();
            return Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)));
        }
        if this.alarm.rings(this.due, cx) {
            this.client.body_is_too_slow();
            return Poll::Ready(Some(Err(Box::new(BodyTooSlow))));
        }
        this.client.owes_body();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body. With its end the client may ask again.
pub struct AnswerBody {
    body: Body,
    client: Arc<Client>,
}

impl AnswerBody {
    pub fn new(body: Body, client: Arc<Client>) -> Self {
        Self { body, client }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.client.is_answered();
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
