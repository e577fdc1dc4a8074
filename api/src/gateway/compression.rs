//! Answers travel small to who can unpack them: br, gzip, zstd.

use axum::http::{Extensions, HeaderMap, StatusCode, Version, header};
use tower_http::{
    CompressionLevel,
    compression::{
        CompressionLayer, Predicate,
        predicate::{NotForContentType, SizeAbove},
    },
};

/// What is smaller fits into one packet anyway.
const MIN_COMPRESSED_BYTES: u16 = 1024;

/// The fastest level: an answer waits for it, and JSON of ours is a tenth of its size after it.
pub fn layer() -> CompressionLayer<impl Predicate> {
    let worthwhile = SizeAbove::new(MIN_COMPRESSED_BYTES)
        .and(NotForContentType::IMAGES)
        .and(NotForContentType::SSE)
        .and(has_no_tag);
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(worthwhile)
}

/// A strong entity tag names these very bytes; a weak one would be of no use in `If-Match`. So what has a
/// tag, a single product, stays as it is.
fn has_no_tag(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    !headers.contains_key(header::ETAG)
}
