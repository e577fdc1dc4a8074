//! Webhooks out: what an endpoint is, how often a delivery is tried, and what an answer means
//! (docs/adr/0040).

use jiff::SignedDuration;

use crate::{Invalid, Invalids, public_event::PublicEventType};

/// So many endpoints a shop may have.
pub const MAX_ENDPOINTS: i64 = 100;
/// In characters.
pub const MAX_URL: usize = 2000;
/// In characters.
pub const MAX_DESCRIPTION: usize = 500;
/// After a secret was rotated, the one before it signs, too, for so long.
pub const BOTH_SIGN_FOR: SignedDuration = SignedDuration::from_hours(24);
/// An endpoint that has only failed for so long is disabled.
pub const FAILING_AT_MOST: SignedDuration = SignedDuration::from_hours(5 * 24);
/// A receiver that asks for more time than this gets so much.
pub const MAX_RETRY_AFTER: SignedDuration = SignedDuration::from_hours(12);
/// So much of an answer is kept, in bytes.
pub const ANSWER_KEPT: usize = 1024;
/// A delivery that has come to its end is kept for so long, as its event is.
pub const KEPT_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How long after each failure the next try is. After the last one there is none.
pub const RETRIES: [SignedDuration; 7] = [
    SignedDuration::from_secs(5),
    SignedDuration::from_mins(5),
    SignedDuration::from_mins(30),
    SignedDuration::from_hours(2),
    SignedDuration::from_hours(5),
    SignedDuration::from_hours(10),
    SignedDuration::from_hours(10),
];

text_enum! {
    pub enum EndpointStatus("status" as "WebhookEndpointStatus") {
        Enabled = "enabled",
        /// Nothing is sent; what happens is kept for it.
        Disabled = "disabled",
    }
}

text_enum! {
    /// Why an endpoint is disabled.
    pub enum DisabledReason("disabled_reason" as "WebhookDisabledReason") {
        /// It answered 410.
        Gone = "gone",
        /// It did nothing but fail for five days.
        Failing = "failing",
        /// Somebody asked for it.
        ByOperator = "by_operator",
    }
}

text_enum! {
    pub enum DeliveryState("status" as "WebhookDeliveryStatus") {
        /// It is on its way, is tried again, or waits for an earlier one of its subject.
        Pending = "pending",
        Delivered = "delivered",
        /// It was tried as often as there are tries.
        Failed = "failed",
    }
}

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    /// The receiver wants nothing any more.
    Gone,
    Failed {
        /// The receiver's own wish.
        retry_after: Option<SignedDuration>,
    },
}

impl Verdict {
    /// What a status says. A redirect is followed nowhere: whoever moves tells us so.
    pub fn of(status: u16, retry_after: Option<SignedDuration>) -> Self {
        match status {
            200..=299 => Self::Delivered,
            410 => Self::Gone,
            429 | 503 => Self::Failed { retry_after },
            _ => Self::Failed { retry_after: None },
        }
    }
}

/// When a delivery is tried again that was tried so often. None: not any more. `random` is spread over what
/// is added, up to a tenth, so that what failed together does not come back together.
pub fn retry_in(attempts: i32, retry_after: Option<SignedDuration>, random: u16) -> Option<SignedDuration> {
    let nth = usize::try_from(attempts).ok()?.checked_sub(1)?;
    let pause = *RETRIES.get(nth)?;
    let jitter = pause.as_millis() * i128::from(random) / i128::from(u16::MAX) / 10;
    let jitter = SignedDuration::from_millis(i64::try_from(jitter).unwrap_or(0));
    let wanted = retry_after.map_or(SignedDuration::ZERO, |wanted| wanted.min(MAX_RETRY_AFTER));
    Some(pause.saturating_add(jitter).max(wanted))
}

/// Reads the types of events that an endpoint wants. None of them: all.
///
/// # Errors
/// Each that is not known, by its place.
pub fn types<T: AsRef<str>>(texts: &[T]) -> Result<Vec<PublicEventType>, Vec<Invalid>> {
    let mut invalids = Invalids::default();
    if texts.len() > PublicEventType::ALL.len() {
        return Err(vec![Invalid::new("types", format!("must be at most {}", PublicEventType::ALL.len()))]);
    }
    let read = |(i, text): (usize, &T)| {
        let known = PublicEventType::parse(text.as_ref());
        invalids.check(known.map_err(|unknown| Invalid::new(format!("types[{i}]"), unknown.message)))
    };
    let mut types: Vec<PublicEventType> = texts.iter().enumerate().filter_map(read).collect();
    types.sort_unstable();
    types.dedup();
    match invalids.is_empty() {
        true => Ok(types),
        false => Err(invalids.into_vec()),
    }
}

/// Reads what somebody calls an endpoint.
///
/// # Errors
/// Names the field.
pub fn description(text: &str) -> Result<String, Invalid> {
    let is_fit = text.chars().count() <= MAX_DESCRIPTION && !text.chars().any(char::is_control);
    match is_fit {
        true => Ok(text.to_owned()),
        false => Err(Invalid::new(
            "description",
            format!("must be at most {MAX_DESCRIPTION} characters on one line"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_as_the_schedule_says_and_end() {
        let pauses: Vec<i64> =
            (1..).map_while(|attempts| retry_in(attempts, None, 0)).map(|pause| pause.as_secs()).collect();
        assert_eq!(pauses, [5, 300, 1800, 7200, 18_000, 36_000, 36_000]);
        assert_eq!(retry_in(1, None, u16::MAX).unwrap().as_millis(), 5500);
        for impossible in [0, -1, 8, i32::MAX] {
            assert_eq!(retry_in(impossible, None, 0), None);
        }
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_within_bounds() {
        let after = |s| retry_in(2, Some(SignedDuration::from_secs(s)), 0).unwrap().as_secs();
        assert_eq!(after(900), 900);
        assert_eq!(after(1), 300, "never sooner than by the schedule");
        assert_eq!(after(i64::MAX), MAX_RETRY_AFTER.as_secs());
    }

    #[test]
    fn statuses_are_judged() {
        let minute = Some(SignedDuration::from_mins(1));
        for status in [200, 202, 204, 299] {
            assert_eq!(Verdict::of(status, minute), Verdict::Delivered);
        }
        for status in [100, 301, 302, 307, 400, 404, 500] {
            assert_eq!(Verdict::of(status, minute), Verdict::Failed { retry_after: None }, "{status}");
        }
        assert_eq!(Verdict::of(410, None), Verdict::Gone);
        assert_eq!(Verdict::of(503, minute), Verdict::Failed { retry_after: minute });
    }

    #[test]
    fn unknown_types_are_named() {
        assert_eq!(types::<&str>(&[]).unwrap(), []);
        let twice = types(&["order.paid", "order.placed", "order.paid"]).unwrap();
        assert_eq!(twice, [PublicEventType::OrderPlaced, PublicEventType::OrderPaid]);
        let unknown = types(&["order.paid", "order.eaten"]).unwrap_err();
        assert_eq!(unknown[0].field, "types[1]");
        assert!(types(&vec!["order.paid"; 1000]).is_err());
        assert!(description(&"x".repeat(501)).is_err() && description("two\nlines").is_err());
    }
}
