//! Ids of public events.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Invalid;

/// An event's id: where it stands in the stream, and what tells it from another that stood there before the
/// database was restored. It sorts by place, and is a cursor as it stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct EventId {
    position: u64,
    salt: u64,
}

impl EventId {
    pub const PREFIX: &'static str = "evt_";

    /// Of an event that is stored.
    pub const fn new(position: i64, salt: i64) -> Self {
        Self { position: position.cast_unsigned(), salt: salt.cast_unsigned() }
    }

    /// Where the event stands: those after it have higher numbers. Not all numbers are taken.
    pub const fn position(self) -> i64 {
        self.position.cast_signed()
    }
}

#[cfg(feature = "utoipa")]
impl utoipa::PartialSchema for EventId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::String)
            .pattern(Some("^evt_[0-9a-f]{32}$"))
            .into()
    }
}

#[cfg(feature = "utoipa")]
impl utoipa::ToSchema for EventId {}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:016x}{:016x}", Self::PREFIX, self.position, self.salt)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EventId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.strip_prefix(Self::PREFIX)
            .filter(|hex| hex.len() == 32 && !hex.contains(|c: char| c.is_ascii_uppercase()))
            .and_then(|hex| Uuid::try_parse(hex).ok())
            .map(|uuid| uuid.as_u64_pair())
            .filter(|(position, _)| i64::try_from(*position).is_ok())
            .map(|(position, salt)| Self { position, salt })
            .ok_or_else(|| Invalid::new("id", "must be the id of an event, like evt_0000..."))
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for EventId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}
