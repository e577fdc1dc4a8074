//! Forgetting events that are old, and were carried away.

use domain::Timestamp;

use crate::{Db, Result, sql};

/// How many are looked at, and forgotten, in one transaction.
const BATCH: i64 = 1_000;
/// The name under which is noted up to where events were forgotten.
const PRUNED: &str = "pruned";

/// Up to where events were forgotten: who reads on from before has missed some.
pub async fn pruned(db: &Db) -> Result<i64> {
    let marker = sqlx::query_scalar!("SELECT position FROM event_cursors WHERE name = $1", PRUNED);
    Ok(marker.fetch_optional(db.pool()).await?.unwrap_or(0))
}

/// Forgets events from before `cutoff` that everybody who carries events away is done with. Gives how many.
#[tracing::instrument(name = "sql events.prune", skip_all, err(level = "debug"))]
pub async fn prune(db: &Db, cutoff: Timestamp) -> Result<u64> {
    let (mut forgotten, mut after) = (0, i64::MIN);
    loop {
        let is_moved = advance(db, cutoff).await?;
        let window = forget(db, after).await?;
        forgotten += window.forgotten;
        match window.last {
            Some(last) => after = last,
            None if is_moved => {}
            None => return Ok(forgotten),
        }
    }
}

/// Moves the mark over what is old. False: it stands where it stood.
async fn advance(db: &Db, cutoff: Timestamp) -> Result<bool> {
    super::begin_at(db, PRUNED, 0).await?;
    let moved = sqlx::query!(
        "UPDATE event_cursors mark SET position = old.up_to
         FROM (SELECT max(position) AS up_to
               FROM (SELECT position, bool_and(at < $2) OVER (ORDER BY position) AS is_old
                     FROM (SELECT position, at FROM events
                           WHERE position > (SELECT position FROM event_cursors WHERE name = $1)
                             AND position <= (SELECT min(position) FROM event_cursors WHERE name <> $1)
                           ORDER BY position LIMIT $3) AS next) AS seen
               WHERE is_old) AS old
         WHERE mark.name = $1 AND old.up_to > mark.position",
        PRUNED,
        sql(cutoff),
        BATCH
    );
    Ok(moved.execute(db.pool()).await?.rows_affected() == 1)
}

/// What was looked at in one transaction.
struct Window {
    forgotten: u64,
    /// None: there was nothing more.
    last: Option<i64>,
}

/// What an endpoint has not got yet stays for it. So each run looks at all that stays, but once: a window
/// begins behind the one before it, and not at the oldest that is kept.
async fn forget(db: &Db, after: i64) -> Result<Window> {
    // Whether somebody needs an event is asked of each by itself: as a join PostgreSQL might go through all
    // that waits behind endpoints, for each window.
    let window = sqlx::query!(
        r#"WITH next AS MATERIALIZED (
             SELECT position FROM events
             WHERE position > $2 AND position <= (SELECT position FROM event_cursors WHERE name = $1)
             ORDER BY position LIMIT $3
         ), forgotten AS (
             DELETE FROM events WHERE position = ANY(ARRAY(
                 SELECT n.position FROM next n
                 WHERE (SELECT d.event FROM webhook_deliveries d
                        WHERE d.event = n.position AND d.state <> 'delivered' LIMIT 1) IS NULL))
             RETURNING position
         )
         SELECT (SELECT max(position) FROM next) AS last, (SELECT count(*) FROM forgotten) AS "forgotten!""#,
        PRUNED,
        after,
        BATCH
    )
    .fetch_one(db.pool())
    .await?;
    Ok(Window { forgotten: u64::try_from(window.forgotten).unwrap_or(0), last: window.last })
}
