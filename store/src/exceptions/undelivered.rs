//! Check-in codes that their customers did not get.

use domain::{
    ExceptionId, OrderId, Timestamp,
    event::{Cause, ExceptionData, OrderEvent},
    exception::{Kind, ResolvedBy},
    payment::Action,
};
use serde_json::json;

use super::settle_and_tell;
use crate::{Result, Tx, mails::Rejection, order_events, random, sql};

/// Raises the exception of a code whose mail was rejected, once for each mail, with the order locked.
pub(crate) async fn raise_undelivered(
    tx: &mut Tx,
    order: OrderId,
    mail: &str,
    why: &Rejection,
    at: Timestamp,
) -> Result<()> {
    let id = ExceptionId::new(at, random());
    let cause = Cause::Mail { code: why.code, reason: why.reason.to_owned() };
    let about = ExceptionData { kind: Kind::CodeUndelivered, cause };
    sqlx::query!(
        "INSERT INTO exceptions (id, order_id, kind, source, data, state, raised_at)
         VALUES ($1, $2, $3, $4, $5, 'open', $6)",
        id.uuid(),
        order.uuid(),
        Kind::CodeUndelivered.as_str(),
        format!("{order}/mail/{mail}"),
        json!(about),
        sql(at)
    )
    .execute(&mut **tx)
    .await?;
    order_events::append(tx, order, at, &[OrderEvent::ExceptionRaised { exception_id: id, about }]).await
}

/// The mail server has taken a code of this order: those that it did not take are worth nothing any more.
pub(crate) async fn settle_undelivered(tx: &mut Tx, order: OrderId, at: Timestamp) -> Result<()> {
    let open = sqlx::query_scalar!(
        "SELECT id FROM exceptions WHERE order_id = $1 AND kind = $2 AND state = 'open'",
        order.uuid(),
        Kind::CodeUndelivered.as_str()
    )
    .fetch_all(&mut **tx)
    .await?;
    for id in open {
        let (by, note) = (ResolvedBy::Rule, "a new code was sent");
        settle_and_tell(tx, id, Some(order), Action::Dismiss, note, by, at).await?;
    }
    Ok(())
}
