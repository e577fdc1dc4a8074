//! Bodies: of a request, which must be there in time, and of an answer, whose end is noted.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, Bytes},
};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::{Buf, Incoming};
use tokio::time::timeout;

use crate::{
    client::{Exchange, UnderWay},
    stream::Alarm,
};

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

/// What nobody wanted of a body. A client that is still sending hears our answer only once that has been
/// taken: if we closed the connection with bytes in it, they would meet a reset, which overtakes the answer.
#[derive(Clone, Default)]
pub struct Unread(Arc<Mutex<Rest>>);

#[derive(Default)]
struct Rest {
    body: Option<Incoming>,
    /// Whether somebody has begun to read, by which a client that asked is told to send.
    was_read: bool,
}

/// So much of it is taken, and so long. Beyond that the client may miss its answer.
const MAX_UNREAD_BYTES: usize = 16 * 1024 * 1024;
const UNREAD_PATIENCE: Duration = Duration::from_secs(5);

impl Unread {
    /// `asked`: the client sends only if it is told to, which reading would do.
    pub async fn discard(&self, exchange: &Exchange, asked: bool) {
        let Rest { body, was_read } = std::mem::take(&mut *self.rest());
        let Some(mut body) = body.filter(|_| was_read || !asked) else { return };
        let discarding = async {
            let mut bytes = 0;
            exchange.owes_body(); // whoever sends nothing has no claim to its place
            while let Some(Ok(frame)) = body.frame().await
                && bytes < MAX_UNREAD_BYTES
            {
                bytes += frame.data_ref().map_or(0, Bytes::len);
            }
        };
        let _ = timeout(UNREAD_PATIENCE, discarding).await; // as far as it came
        exchange.sent_body();
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct RequestBody {
    /// None only while it is dropped.
    body: Option<Incoming>,
    alarm: Alarm,
    exchange: Arc<Exchange>,
    was_read: bool,
    unread: Unread,
}

impl RequestBody {
    pub fn new(body: Incoming, exchange: Arc<Exchange>, unread: Unread) -> Self {
        Self { body: Some(body), alarm: Alarm::default(), exchange, was_read: false, unread }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let body = self.body.take().filter(|body| !body.is_end_stream() && !self.exchange.is_too_slow());
        *self.unread.rest() = Rest { body, was_read: self.was_read };
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
        this.was_read = true;
        let body = this.body.as_mut().expect(ALIVE);
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            this.exchange.sent_body();
            return Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)));
        }
        if this.alarm.rings(this.exchange.body_due, cx) {
            this.exchange.body_is_too_slow();
            return Poll::Ready(Some(Err(Box::new(BodyTooSlow))));
        }
        this.exchange.owes_body();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}

const ALIVE: &str = "the body is there until it is dropped";

/// HTTP/2: so much of an answer is given to the stream at once. It would take any amount, and keep it for a
/// client that does not.
const PIECE_BYTES: usize = 16 * 1024;

/// An answer's body. With the end of its last piece the client may ask again.
pub struct AnswerBody {
    body: Body,
    /// What the body gave, and the stream has not got yet.
    rest: Bytes,
    under_way: Arc<UnderWay>,
}

impl AnswerBody {
    pub fn new(body: Body, under_way: UnderWay) -> Self {
        under_way.exchange().gives();
        Self { body, rest: Bytes::new(), under_way: Arc::new(under_way) }
    }

    fn piece(&mut self) -> Piece {
        let has_streams = self.under_way.exchange().has_streams;
        let length = if has_streams { self.rest.len().min(PIECE_BYTES) } else { self.rest.len() };
        Piece { bytes: self.rest.split_to(length), _under_way: has_streams.then(|| self.under_way.clone()) }
    }
}

impl http_body::Body for AnswerBody {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
                this.under_way.exchange().makes();
                return Poll::Pending;
            };
            this.under_way.exchange().gives();
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(bytes))) => this.rest = bytes,
                Some(Ok(Err(frame))) => {
                    return Poll::Ready(frame.into_trailers().ok().map(|it| Ok(Frame::trailers(it))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        } else {
            this.under_way.exchange().gives();
        }
        Poll::Ready(Some(Ok(Frame::data(this.piece()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, mut hint) = (self.rest.len() as u64, self.body.size_hint());
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

/// A piece of an answer. In HTTP/2 the stream keeps it until the client takes it, and so long the request is
/// under way.
pub struct Piece {
    bytes: Bytes,
    _under_way: Option<Arc<UnderWay>>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}
