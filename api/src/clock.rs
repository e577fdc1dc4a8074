//! The clock of requests.

use jiff::{Timestamp, Unit};

/// Now, as PostgreSQL can store it: an answer must show the same time as a later read.
#[expect(clippy::disallowed_methods, reason = "the edge: every request takes its time from here")]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Microsecond).unwrap_or(now)
}
