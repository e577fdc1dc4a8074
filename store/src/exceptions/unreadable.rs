//! Genuine events that could not be read: they may have told of money.

use domain::{
    ExceptionId, Timestamp,
    event::{Cause, ExceptionData, OrderEvent},
    exception::Kind,
    provider_event::ProviderEvent,
};
use serde_json::json;

use super::tell;
use crate::{Result, Tx, random, sql};

/// Raises the exception of an event that could not be read: once for each, since an event is stored once.
pub(crate) async fn raise_unreadable(
    tx: &mut Tx,
    event: &ProviderEvent,
    why: &str,
    at: Timestamp,
) -> Result<()> {
    let id = ExceptionId::new(at, random());
    let cause = Cause::Event {
        provider: event.provider.clone(),
        event_id: event.event_id.clone(),
        event_type: event.kind.clone(),
        why: why.to_owned(),
    };
    let about = ExceptionData { kind: Kind::UnreadableEvent, cause };
    let raised = sqlx::query!(
        "INSERT INTO exceptions (id, kind, source, data, state, raised_at, provider)
         VALUES ($1, $2, $3, $4, 'open', $5, $6)
         ON CONFLICT (kind, source) DO NOTHING",
        id.uuid(),
        Kind::UnreadableEvent.as_str(),
        format!("event/{}/{}", event.provider, event.event_id),
        json!(about),
        sql(at),
        event.provider
    )
    .execute(&mut **tx)
    .await?;
    match raised.rows_affected() {
        1 => tell(tx, id, None, at, OrderEvent::ExceptionRaised { exception_id: id, about }).await,
        _ => Ok(()),
    }
}
