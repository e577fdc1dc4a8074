//! Check-in codes that their customers did not get.

use domain::{ExceptionId, OrderId, Timestamp, payment::Action};
use serde_json::json;

use super::settle_and_tell;
use crate::{Result, Tx, mails::Rejection, random, sql, timeline};

/// The kind of a check-in code that its customer will never get by mail. It is about no money.
pub const CODE_UNDELIVERED: &str = "check_in_code_undelivered";

/// Raises the exception of a code whose mail was rejected, once for each mail, with the order locked.
pub(crate) async fn raise_undelivered(
    tx: &mut Tx,
    order: OrderId,
    mail: &str,
    why: &Rejection,
    at: Timestamp,
) -> Result<()> {
    let id = ExceptionId::new(at, random());
    let mut data = json!({"kind": CODE_UNDELIVERED, "code": why.code, "reason": why.reason});
    sqlx::query(
        "INSERT INTO exceptions (id, order_id, kind, source, data, state, raised_at)
         VALUES ($1, $2, $3, $4, $5, 'open', $6)",
    )
    .bind(id.uuid())
    .bind(order.uuid())
    .bind(CODE_UNDELIVERED)
    .bind(format!("{order}/mail/{mail}"))
    .bind(&data)
    .bind(sql(at))
    .execute(&mut **tx)
    .await?;
    data["exception_id"] = json!(id);
    timeline::append(tx, order, at, &[("exception.raised", data)]).await
}

/// The mail server has taken a code of this order: those that it did not take are worth nothing any more.
pub(crate) async fn settle_undelivered(tx: &mut Tx, order: OrderId, at: Timestamp) -> Result<()> {
    let open: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT id FROM exceptions WHERE order_id = $1 AND kind = $2 AND state = 'open'")
            .bind(order.uuid())
            .bind(CODE_UNDELIVERED)
            .fetch_all(&mut **tx)
            .await?;
    for id in open {
        let id = ExceptionId::from_uuid(id);
        settle_and_tell(tx, id, Some(order), Action::Dismiss, "a new code was sent", "rule", at).await?;
    }
    Ok(())
}
