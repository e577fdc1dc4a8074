//! How far those have come who carry events away, each under a name. One of them at a time has it in hand,
//! for as long as its lease lasts.

use domain::Timestamp;
use uuid::Uuid;

use crate::{Db, Result, sql};

/// What its holder may do until its lease ends.
#[derive(Debug, Clone, Copy)]
pub struct Cursor {
    /// The last event that was carried away.
    pub position: i64,
}

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

/// Takes a cursor in hand, or keeps it. None if somebody else has it.
pub async fn lease(
    db: &Db,
    name: &str,
    holder: Uuid,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<Cursor>> {
    let cursor = sqlx::query!(
        "UPDATE event_cursors SET holder = $2, leased_until = $4
         WHERE name = $1 AND (holder IS NULL OR holder = $2 OR leased_until <= $3)
         RETURNING position",
        name,
        holder,
        sql(now),
        sql(until)
    );
    let cursor = cursor.fetch_optional(db.pool()).await?;
    Ok(cursor.map(|row| Cursor { position: row.position }))
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

/// Where each cursor stands.
pub async fn position(db: &Db, name: &str) -> Result<Option<i64>> {
    let found = sqlx::query_scalar!("SELECT position FROM event_cursors WHERE name = $1", name);
    Ok(found.fetch_optional(db.pool()).await?)
}
