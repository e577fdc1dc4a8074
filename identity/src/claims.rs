//! What a token says, once its signature is good.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::{Refused, json};

/// How far two machines' clocks may be apart.
pub const LEEWAY: SignedDuration = SignedDuration::from_secs(30);

/// The claims of RFC 7519, each of which is what it has to be, or is refused.
pub struct Claims(Map<String, Value>);

impl Claims {
    pub fn parse(payload: &[u8]) -> Result<Self, Refused> {
        json::object(payload).map(Self).ok_or(Refused::Malformed)
    }

    /// A text that may be missing.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Refused> {
        self.0.get(name).map(|it| it.as_str().ok_or(Refused::Malformed)).transpose()
    }

    /// What is there, of whatever type.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub fn is_issued_by(&self, issuer: &str) -> Result<(), Refused> {
        if self.text("iss")? == Some(issuer) { Ok(()) } else { Err(Refused::Issuer) }
    }

    /// `aud` is one name, or a list of them.
    pub fn is_for(&self, audience: &str) -> Result<(), Refused> {
        let is_meant = match self.0.get("aud") {
            Some(Value::Array(several)) => several.iter().any(|it| it == audience),
            one => one.is_some_and(|it| it == audience),
        };
        if is_meant { Ok(()) } else { Err(Refused::Audience) }
    }

    /// A moment that may be missing, to the second.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, Refused> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        // RFC 7519 also allows for parts of a second.
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and such times are none")]
        let seconds = value.as_i64().or_else(|| value.as_f64().map(|it| it.floor() as i64));
        let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
        time.map(Some).ok_or(Refused::Malformed)
    }

    /// When its time is over; there has to be such a moment.
    pub fn expiry(&self) -> Result<Timestamp, Refused> {
        self.time("exp")?.ok_or(Refused::Malformed)
    }
}
