//! How often strangers may try. Exact over all processes: each try is counted in PostgreSQL before it is
//! looked at, and given back if it was no guess.

use domain::{SignedDuration, Timestamp, account::CODE_EVERY};
use identity::Busy;
use store::{
    Db,
    accounts::limits::{self, Limit, Taken},
};

use crate::error::Problem;

/// One mail with a code to an address, of each kind.
pub const VERIFICATION_MAILS: Limit = Limit { name: "verification-mails", at_most: 1, within: CODE_EVERY };
pub const RESET_MAILS: Limit = Limit { name: "reset-mails", at_most: 1, within: CODE_EVERY };
/// Registrations and codes that are asked for from one place.
pub const ASKED_BY_PLACE: Limit =
    Limit { name: "asked-by-place", at_most: 100, within: SignedDuration::from_hours(1) };
/// Wrong codes for one address, whatever number of codes was mailed to it.
pub const CODES: Limit = Limit { name: "codes", at_most: 30, within: SignedDuration::from_hours(1) };
/// Wrong codes for one address from one place, so that one place alone does not use up all of them.
pub const CODES_OF_PLACE: Limit =
    Limit { name: "codes-of-place", at_most: 10, within: SignedDuration::from_hours(1) };
/// Wrong codes from one place.
pub const CODES_BY_PLACE: Limit =
    Limit { name: "codes-by-place", at_most: 100, within: SignedDuration::from_hours(1) };
/// Wrong passwords for one address from one place: somebody mistypes theirs.
pub const PASSWORDS_OF_PLACE: Limit =
    Limit { name: "passwords-of-place", at_most: 10, within: SignedDuration::from_mins(15) };
/// Wrong passwords for one address, from wherever.
pub const PASSWORDS: Limit = Limit { name: "passwords", at_most: 100, within: SignedDuration::from_hours(1) };
/// Wrong passwords from one place, for whichever addresses: somebody sprays.
pub const PASSWORDS_BY_PLACE: Limit =
    Limit { name: "passwords-by-place", at_most: 100, within: SignedDuration::from_mins(15) };

/// Tries that were counted, and against whom.
pub struct Counted<'a> {
    db: &'a Db,
    tries: Vec<(&'static Limit, String)>,
}

/// Counts a try against each of these limits.
///
/// # Errors
/// 429 once there were too many against one of them; it is not counted then.
pub async fn count<'a>(
    db: &'a Db,
    tries: Vec<(&'static Limit, String)>,
    at: Timestamp,
) -> Result<Counted<'a>, Problem> {
    for (i, (limit, whom)) in tries.iter().enumerate() {
        if let Taken::RetryAfter(wait) = limits::take(db, limit, whom, at).await? {
            telemetry::metrics().sign_ins.with_label_values(&["limited"]).inc();
            tracing::warn!(limit = limit.name, "too many tries");
            let before = tries.into_iter().take(i).collect();
            Counted { db, tries: before }.forgive().await?;
            return Err(Problem::too_many_attempts(wait));
        }
    }
    Ok(Counted { db, tries })
}

/// Whether another mail with a code may be sent to an address now.
pub async fn may_mail(db: &Db, limit: &Limit, email_key: &str, at: Timestamp) -> Result<bool, Problem> {
    Ok(limits::take(db, limit, email_key, at).await? == Taken::Allowed)
}

impl Counted<'_> {
    /// It could not be looked at, and does not count.
    pub async fn unless_busy<T>(self, looked_at: Result<T, Busy>) -> Result<(Self, T), Problem> {
        match looked_at {
            Ok(found) => Ok((self, found)),
            Err(busy) => {
                self.forgive().await?;
                Err(busy.into())
            }
        }
    }

    /// It was no guess.
    pub async fn forgive(self) -> Result<(), Problem> {
        for (limit, whom) in &self.tries {
            limits::give_back(self.db, limit, whom).await?;
        }
        Ok(())
    }
}
