//! Bodies of requests: within the size limit, in time, and not too many large ones at once, so that as many
//! connections as there may be take only so much memory with what they send.

use std::time::Duration;

use axum::{
    body::{Bytes, HttpBody as _},
    extract::Request,
    http::StatusCode,
};
use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use web::BodyTooSlow;

use crate::error::Problem;

/// The largest request body. An order of 100 lines with full metadata is about 30 KB.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// A body up to this needs no place. Nearly all are smaller, and who sends no more than a beginning holds no
/// place.
const SMALL_BYTES: usize = 16 * 1024;
const MAX_LARGE: usize = 128;
/// How long a large body waits for its place. Its client may be slow as long, and still be in time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Places for large bodies.
pub type Places = Semaphore;

/// For requests that showed a key, and for those that anybody may send: strangers take no place from clients.
pub static WITH_KEY: Places = Places::const_new(MAX_LARGE);
pub static OF_STRANGERS: Places = Places::const_new(MAX_LARGE);

/// A body and its place, which is free again when nobody has the body any more.
struct Held {
    bytes: Vec<u8>,
    _place: Option<SemaphorePermit<'static>>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The raw body.
pub async fn body(request: Request, places: &'static Places) -> Result<Bytes, Problem> {
    if request.body().size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(too_large()); // before the client is told to go on
    }
    let mut parts = request.into_body().into_data_stream();
    let mut body = Held { bytes: Vec::new(), _place: None };
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| unread(&error))?;
        let length = body.bytes.len() + part.len();
        if length > MAX_BODY_BYTES {
            return Err(too_large());
        }
        if length > SMALL_BYTES && body._place.is_none() {
            body._place = Some(place(places).await?);
        }
        body.bytes.extend_from_slice(&part);
    }
    Ok(Bytes::from_owner(body))
}

async fn place(places: &'static Places) -> Result<SemaphorePermit<'static>, Problem> {
    let place = tokio::time::timeout(PATIENCE, places.acquire()).await;
    place.ok().and_then(Result::ok).ok_or_else(|| {
        Problem::unavailable("busy", "Too many large bodies are being read; nothing was done. Try again.")
    })
}

fn too_large() -> Problem {
    let detail = format!("A body may have at most {MAX_BODY_BYTES} bytes.");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
}

fn unread(error: &(dyn std::error::Error + 'static)) -> Problem {
    if BodyTooSlow::is_why(error) {
        let detail = "The body did not come in time; nothing was done.";
        return Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail);
    }
    Problem::bad_request("unreadable_body", "The body could not be read to its end.")
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tasks of a test end with it")]
mod tests {
    use axum::body::Body;
    use futures_util::stream;

    use super::*;

    static ONE: Places = Places::const_new(1);

    /// A body in parts of 1 KiB.
    async fn read(kib: usize) -> Result<Bytes, &'static str> {
        let parts = stream::iter((0..kib).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024])));
        let body = body(Request::new(Body::from_stream(parts)), &ONE).await;
        body.map_err(
            |problem| if serde_json::json!(problem)["code"] == "busy" { "busy" } else { "too large" },
        )
    }

    #[tokio::test]
    async fn so_many_large_bodies_at_once() {
        let large = read(17).await.expect("the first");
        assert_eq!(large.len(), 17 * 1024);
        assert_eq!(read(17).await, Err("busy"));
        assert_eq!(read(16).await.map(|body| body.len()), Ok(16 * 1024));
        assert_eq!(read(0).await.map(|body| body.len()), Ok(0));
        let waits = tokio::spawn(read(256));
        tokio::task::yield_now().await;
        drop(large);
        assert_eq!(waits.await.expect("no panic").map(|body| body.len()), Ok(256 * 1024));
        assert_eq!(read(257).await, Err("too large"));
        assert_eq!(ONE.available_permits(), 1);
    }
}
