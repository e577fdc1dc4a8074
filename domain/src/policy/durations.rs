//! The durations of a policy, as a client writes them.

use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::{Deserialize, Serialize};

use crate::Invalid;

const MAX_GRACE: SignedDuration = SignedDuration::from_hours(24);
const MAX_FREE_CANCELLATION: SignedDuration = SignedDuration::from_hours(365 * 24);
const MAX_CUSTOMER_EXTENSION: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How long after its deadline an order still waits for money on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Grace(SignedDuration);

impl Grace {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let grace = duration("grace", text)?;
        match (SignedDuration::ZERO..=MAX_GRACE).contains(&grace) {
            true => Ok(Self(grace)),
            false => Err(Invalid::new("grace", "must be from PT0S to PT24H")),
        }
    }

    pub const fn get(self) -> SignedDuration {
        self.0
    }
}

/// How long before its stay begins an order can be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FreeCancellation(SignedDuration);

impl FreeCancellation {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let free = duration("free_cancellation", text)?;
        match (SignedDuration::ZERO..=MAX_FREE_CANCELLATION).contains(&free) {
            true => Ok(Self(free)),
            false => Err(Invalid::new("free_cancellation", "must be from PT0S to P365D")),
        }
    }

    pub const fn get(self) -> SignedDuration {
        self.0
    }
}

/// How much longer than its payment window a customer may make an order wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CustomerExtension(SignedDuration);

impl CustomerExtension {
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let extension = duration("customer_extension", text)?;
        match extension.is_positive() && extension <= MAX_CUSTOMER_EXTENSION {
            true => Ok(Self(extension)),
            false => Err(Invalid::new("customer_extension", "must be positive, and at most P30D")),
        }
    }

    pub const fn get(self) -> SignedDuration {
        self.0
    }
}

/// An ISO 8601 duration without months or years: `PT4H`, `PT90M`, `P1D` (24 hours). Down to microseconds, as
/// the store keeps the times that come of it: an answer shows the same time as a later read.
pub fn duration(field: &str, text: &str) -> Result<SignedDuration, Invalid> {
    let bad = || Invalid::new(field, "must be an ISO 8601 duration such as PT4H");
    if !text.starts_with('P') {
        return Err(bad());
    }
    let span: Span = text.parse().map_err(|_| bad())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| bad())?;
    let beyond = SignedDuration::from_nanos(i64::from(duration.subsec_nanos() % 1_000));
    Ok(duration.saturating_sub(beyond))
}
