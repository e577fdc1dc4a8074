//! Up to where the stream of events is decided. Numbers are taken before a transaction commits, so a later
//! event can be seen before an earlier one: who reads up to the last that can be seen would skip those that
//! follow.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{Db, Result};

/// How often is looked whether the transactions have ended that might hold a number.
const LOOKED_EVERY: Duration = Duration::from_millis(10);

/// The position up to which nothing can appear any more that is not seen already.
///
/// Who has a number has a transaction id first (see `migrations/0023_events.sql`). So: the last number that
/// was taken is read, then a transaction id is taken. Once every transaction with a lower id has ended, so
/// has each that could hold this number or a lower one. (The ids that a snapshot tells do not do: its upper
/// bound is the last that has *ended*, and younger ones are under way.)
#[derive(Debug, Default)]
pub struct Horizon(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// None: nothing is known yet.
    decided: Option<i64>,
    /// What is decided next. It is kept until it is: who always began anew would wait for ever among others
    /// who begin, too.
    next: Option<Bound>,
}

/// Everything up to a number is decided once every transaction before an id has ended.
#[derive(Debug, Clone, Copy)]
struct Bound {
    last: i64,
    before: i64,
}

impl Horizon {
    /// Where it is now. It waits, for so long at most, until all is decided that was committed before: who
    /// has changed something then finds its event. If a transaction takes longer, what was decided before it
    /// counts; none if nothing was since the program began.
    pub async fn reach(&self, db: &Db, patience: Duration) -> Result<Option<i64>> {
        let deadline = Instant::now() + patience;
        let known = self.state().decided;
        let last = newest(db).await?;
        // What is known was read before: a database that has fewer numbers now is another one. It was
        // restored, or took the place of one that was lost.
        if known.is_some_and(|known| known > last) {
            *self.state() = State::default();
        }
        loop {
            if let Some(decided) = self.state().decided.filter(|decided| *decided >= last) {
                return Ok(Some(decided));
            }
            let bound = self.bound(db, last).await?;
            while oldest_under_way(db).await? < bound.before {
                if Instant::now() >= deadline {
                    return Ok(self.state().decided);
                }
                tokio::time::sleep(LOOKED_EVERY).await;
            }
            let mut state = self.state();
            state.decided = state.decided.max(Some(bound.last));
            // Another may have begun with what is newer.
            state.next = state.next.filter(|next| next.last > bound.last);
        }
    }

    /// What waits to be decided, or what was written last.
    async fn bound(&self, db: &Db, last: i64) -> Result<Bound> {
        if let Some(bound) = self.state().next {
            return Ok(bound);
        }
        let before = sqlx::query_scalar!(r#"SELECT pg_current_xact_id()::text::bigint AS "id!""#);
        let bound = Bound { last, before: before.fetch_one(db.pool()).await? };
        self.state().next = Some(bound);
        Ok(bound)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last number that was taken, whether it is decided or not.
pub async fn newest(db: &Db) -> Result<i64> {
    let newest = sqlx::query_scalar!(
        r#"SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS "last!" FROM events_position"#
    );
    Ok(newest.fetch_one(db.pool()).await?)
}

/// Every transaction with a lower id has ended.
async fn oldest_under_way(db: &Db) -> Result<i64> {
    let oldest =
        sqlx::query_scalar!(r#"SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS "oldest!""#);
    Ok(oldest.fetch_one(db.pool()).await?)
}
