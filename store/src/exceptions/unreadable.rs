//! Genuine events that could not be read: they may have told of money.

use domain::{ExceptionId, Timestamp, exception::Kind, provider_event::ProviderEvent};
use serde_json::json;

use crate::{Result, Tx, random, sql};

/// Raises the exception of an event that could not be read: once for each, since an event is stored once.
pub(crate) async fn raise_unreadable(
    tx: &mut Tx,
    event: &ProviderEvent,
    why: &str,
    at: Timestamp,
) -> Result<()> {
    let data = json!({"kind": Kind::UnreadableEvent, "provider": event.provider, "event_id": event.event_id,
                      "type": event.kind, "why": why});
    sqlx::query!(
        "INSERT INTO exceptions (id, kind, source, data, state, raised_at, provider)
         VALUES ($1, $2, $3, $4, 'open', $5, $6)
         ON CONFLICT (kind, source) DO NOTHING",
        ExceptionId::new(at, random()).uuid(),
        Kind::UnreadableEvent.as_str(),
        format!("event/{}/{}", event.provider, event.event_id),
        data,
        sql(at),
        event.provider
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
