//! How far those have come who carry events away, each under a name. One of them at a time has it in hand,
//! for as long as its lease lasts.

use domain::Timestamp;
use uuid::Uuid;

use crate::{Db, Result, sql};

/// Makes a cursor that stands at a position, if there is none of this name.
pub async fn begin_at(db: &Db, name: &str, position: i64) -> Result<()> {
    let begun = sqlx::query!(
        "INSERT INTO event_cursors (name, position) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        name,
        position
    );
    begun.execute(db.pool()).await?;
    Ok(())
}

/// Takes a cursor in hand, or keeps it: gives the last event that was carried away. None if somebody else has
/// it.
pub async fn lease(
    db: &Db,
    name: &str,
    holder: Uuid,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<i64>> {
    let position = sqlx::query_scalar!(
        "UPDATE event_cursors SET holder = $2, leased_until = $4
         WHERE name = $1 AND (holder IS NULL OR holder = $2 OR leased_until <= $3)
         RETURNING position",
        name,
        holder,
        sql(now),
        sql(until)
    );
    Ok(position.fetch_optional(db.pool()).await?)
}

/// Notes how far the holder has come. False if somebody else has it in hand by now.
pub async fn advance(db: &Db, name: &str, holder: Uuid, position: i64) -> Result<bool> {
    let moved = sqlx::query!(
        "UPDATE event_cursors SET position = $3 WHERE name = $1 AND holder = $2 AND position <= $3",
        name,
        holder,
        position
    );
    Ok(moved.execute(db.pool()).await?.rows_affected() == 1)
}

/// Gives it up, so that another may have it at once.
pub async fn release(db: &Db, name: &str, holder: Uuid) -> Result<()> {
    let released = sqlx::query!(
        "UPDATE event_cursors SET holder = NULL, leased_until = NULL WHERE name = $1 AND holder = $2",
        name,
        holder
    );
    released.execute(db.pool()).await?;
    Ok(())
}
