//! Genuine events that could not be read: they may have told of money.

use domain::{ExceptionId, Timestamp};
use serde_json::json;

use crate::{Result, Tx, inbox::Event, random, sql};

/// The kind of a genuine event that could not be read. It is about no money that we know of.
pub const UNREADABLE_EVENT: &str = "unreadable_event";

/// Raises the exception of an event that could not be read: once for each, since an event is stored once.
pub(crate) async fn raise_unreadable(tx: &mut Tx, event: &Event, why: &str, at: Timestamp) -> Result<()> {
    let data = json!({"kind": UNREADABLE_EVENT, "provider": event.provider, "event_id": event.event_id,
                      "type": event.kind, "why": why});
    sqlx::query(
        "INSERT INTO exceptions (id, kind, source, data, state, raised_at, provider)
         VALUES ($1, $2, $3, $4, 'open', $5, $6)
         ON CONFLICT (kind, source) DO NOTHING",
    )
    .bind(ExceptionId::new(at, random()).uuid())
    .bind(UNREADABLE_EVENT)
    .bind(format!("event/{}/{}", event.provider, event.event_id))
    .bind(data)
    .bind(sql(at))
    .bind(&event.provider)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
