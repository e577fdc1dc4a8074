//! Up to where the stream of events is decided. Numbers are taken before a transaction commits, so a later event
//! can be seen before an earlier one: who reads up to the last that can be seen would skip those that follow.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::{Db, Result};

/// How often is looked whether the transactions have ended that might hold a number.
const LOOKED_EVERY: Duration = Duration::from_millis(10);

/// The position up to which nothing can appear any more that is not seen already.
///
/// Who has a number has a transaction id first (see `migrations/0023_events.sql`). So: the last number that was
/// taken is read, then which transaction id is the next. Once every transaction below that has ended, so has each
/// that could hold this number or a lower one. Nothing is written for it, and nobody waits for it.
#[derive(Debug, Default)]
pub struct Horizon {
    decided: AtomicI64,
}

impl Horizon {
    /// Where it is now. It waits, for so long at most, until all is decided that was committed before: who has
    /// changed something then finds its event. If a transaction takes longer, what was decided before it counts.
    pub async fn reach(&self, db: &Db, patience: Duration) -> Result<i64> {
        let last = sqlx::query_scalar!(
            r#"SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS "last!" FROM events_position"#
        )
        .fetch_one(db.pool())
        .await?;
        if last <= self.decided.load(Ordering::Acquire) {
            return Ok(self.decided.load(Ordering::Acquire));
        }
        let deadline = Instant::now() + patience;
        let (mut oldest, next) = under_way(db).await?;
        while oldest < next {
            if Instant::now() >= deadline {
                return Ok(self.decided.load(Ordering::Acquire));
            }
            tokio::time::sleep(LOOKED_EVERY).await;
            (oldest, _) = under_way(db).await?;
        }
        Ok(self.decided.fetch_max(last, Ordering::AcqRel).max(last))
    }
}

/// The oldest transaction that has not ended, and the next one that will begin.
async fn under_way(db: &Db) -> Result<(i64, i64)> {
    let seen = sqlx::query!(
        r#"SELECT pg_snapshot_xmin(now)::text::bigint AS "oldest!", pg_snapshot_xmax(now)::text::bigint AS "next!"
           FROM pg_current_snapshot() AS now"#
    )
    .fetch_one(db.pool())
    .await?;
    Ok((seen.oldest, seen.next))
}
