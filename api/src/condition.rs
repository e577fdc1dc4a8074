//! `ETag`, `If-Match` and `If-None-Match`. The entity tag of a product is its version: `"3"`.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header, request::Parts},
};
use domain::product::{Condition, Versions};

use crate::error::Problem;

/// What the request makes its answer depend on.
pub struct Conditions(pub Condition);

impl<S: Send + Sync> FromRequestParts<S> for Conditions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // A weak tag is as good as none where something is to be changed.
        let only_if = versions(&parts.headers, &header::IF_MATCH, false)?;
        let unless = versions(&parts.headers, &header::IF_NONE_MATCH, true)?;
        Ok(Self(Condition { only_if, unless }))
    }
}

/// The `ETag` of an answer.
pub fn etag(version: i32) -> [(HeaderName, String); 1] {
    [(header::ETAG, format!("\"{version}\""))]
}

fn versions(headers: &HeaderMap, name: &HeaderName, with_weak: bool) -> Result<Option<Versions>, Problem> {
    let mut values = headers.get_all(name).iter().peekable();
    if values.peek().is_none() {
        return Ok(None);
    }
    let texts: Option<Vec<&str>> = values.map(|value| value.to_str().ok()).collect();
    let versions = texts.and_then(|texts| parse(&texts.join(","), with_weak));
    versions.map(Some).ok_or_else(|| {
        let example = "must be `*` or a list of entity tags such as \"3\", with their quotes";
        let name = if *name == header::IF_MATCH { "If-Match" } else { "If-None-Match" };
        Problem::bad_request("precondition_invalid", format!("{name} {example}."))
    })
}

/// RFC 9110, 8.8.3: `*`, or tags in quotes, maybe weak, with commas between them. A tag that none of our
/// versions has is read, and matches nothing.
fn parse(text: &str, with_weak: bool) -> Option<Versions> {
    let mut rest = text.trim();
    if rest == "*" {
        return Some(Versions::Any);
    }
    let mut versions = Vec::new();
    loop {
        let (weak, tag) = rest.strip_prefix("W/").map_or((false, rest), |tag| (true, tag));
        let (tag, after) = tag.strip_prefix('"')?.split_once('"')?;
        if tag.contains(|c: char| !c.is_ascii_graphic()) {
            return None;
        }
        let version = tag.parse().ok().filter(|version: &i32| version.to_string() == tag);
        versions.extend(version.filter(|_| with_weak || !weak));
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(Versions::Of(versions));
        }
        rest = rest.strip_prefix(',')?;
        // RFC 9110, 5.6.1: empty elements are passed over.
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() {
            return Some(Versions::Of(versions));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_the_rfc_writes_them() {
        let of = |versions: &[i32]| Some(Versions::Of(versions.to_vec()));
        assert_eq!(parse("*", false), Some(Versions::Any));
        assert_eq!(parse("\"3\"", false), of(&[3]));
        assert_eq!(parse(" \"3\" ,\"4\", \"x,y\"", false), of(&[3, 4]));
        assert_eq!(parse("W/\"3\", \"4\"", false), of(&[4]));
        assert_eq!(parse("W/\"3\"", true), of(&[3]));
        assert_eq!(parse("\"1\",, \"2\",", false), of(&[1, 2]));
        assert_eq!(parse("\"03\", \"+3\", \"\"", false), of(&[]));
        for bad in ["", "3", "\"3", "3\"", "\"3\" \"4\"", "*, \"3\"", "w/\"3\"", "\"a b\""] {
            assert_eq!(parse(bad, true), None, "{bad}");
        }
    }
}
