//! The codes by which guests check in. The code is drawn when the order is paid and kept until the mail
//! server has its mail; a salted hash stays. Forty bits would not withstand who has the database and time,
//! but who has the database need not check in; against all others there are few attempts.

use domain::{
    ChangeId, OrderId, Timestamp,
    check_in::{Code, MAX_WRONG},
    event::OrderEvent,
    order::Status,
    stay::Stay,
};
use sha2::{Digest as _, Sha256};
use sqlx::types::Json;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::{Db, Fault, Result, Tx, locks, or_fault, order_events, random, retry::retry, returns, sql};

/// The stays of an order.
pub(crate) async fn stays(tx: &mut Tx, order: OrderId) -> Result<Vec<Stay>> {
    let stays = sqlx::query_scalar!(
        r#"SELECT stay AS "stay!: Json<Stay>" FROM order_lines WHERE order_id = $1 AND stay IS NOT NULL"#,
        order.uuid()
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(stays.into_iter().map(|Json(stay)| stay).collect())
}

/// Draws the code of an order that was paid just now. One for all its stays.
pub(crate) async fn open(tx: &mut Tx, order: OrderId) -> Result<()> {
    let stays = stays(tx, order).await?;
    let span = stays.iter().map(Stay::begins_at).min().zip(stays.iter().map(Stay::ends_at).max());
    let (opens_at, closes_at) = span.ok_or_else(|| Fault::corrupt(format!("order {order} has no stay")))?;
    let code = Code::draw(u64::from_ne_bytes(random()));
    let salt: [u8; 16] = random();
    sqlx::query!(
        "INSERT INTO check_ins (order_id, opens_at, closes_at, code, salt, code_hash, wrong_attempts)
         VALUES ($1, $2, $3, $4, $5, $6, 0)",
        order.uuid(),
        sql(opens_at),
        sql(closes_at),
        code.as_str(),
        &salt[..],
        hash(&salt, &code)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Draws another code in place of the one there is, which is worth nothing from now on, as are the wrong
/// attempts at it, and the mark of an order whose mails come back.
pub(crate) async fn renew(
    tx: &mut Tx,
    order: OrderId,
    change: ChangeId,
    by: Option<&str>,
    at: Timestamp,
) -> Result<()> {
    let code = Code::draw(u64::from_ne_bytes(random()));
    let salt: [u8; 16] = random();
    sqlx::query!(
        "UPDATE check_ins SET code = $2, salt = $3, code_hash = $4, wrong_attempts = 0, drawn_for = $5
         WHERE order_id = $1",
        order.uuid(),
        code.as_str(),
        &salt[..],
        hash(&salt, &code),
        change.uuid()
    )
    .execute(&mut **tx)
    .await?;
    // Whoever asks for another believes that it will arrive: its mail is tried, and those that follow.
    sqlx::query!("DELETE FROM mail_bounces WHERE order_id = $1", order.uuid()).execute(&mut **tx).await?;
    order_events::append_by(tx, order, at, by, &[OrderEvent::CodeRenewed { change_id: change }]).await
}

fn hash(salt: &[u8], code: &Code) -> Vec<u8> {
    Sha256::new().chain_update(salt).chain_update(code.as_bytes()).finalize().to_vec()
}

/// The code that was drawn for this change (none: for the order), as long as its mail is not sent, and no
/// other code has taken its place.
pub(crate) async fn unsent_code(
    tx: &mut Tx,
    order: OrderId,
    drawn_for: Option<ChangeId>,
) -> Result<Option<Code>> {
    let code = sqlx::query_scalar!(
        "SELECT code FROM check_ins WHERE order_id = $1 AND drawn_for IS NOT DISTINCT FROM $2",
        order.uuid(),
        drawn_for.map(ChangeId::uuid)
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(code.flatten())
}

/// Forgets that code: the mail server has it, or will never take it.
pub(crate) async fn erase(tx: &mut Tx, order: OrderId, drawn_for: Option<ChangeId>) -> Result<()> {
    sqlx::query!(
        "UPDATE check_ins SET code = NULL WHERE order_id = $1 AND drawn_for IS NOT DISTINCT FROM $2",
        order.uuid(),
        drawn_for.map(ChangeId::uuid)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Why a code was not looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no such order, or it has no stay")]
    NotFound,
    #[error("the order is {0}")]
    WrongStatus(Status),
    #[error(transparent)]
    Fault(Fault),
}
or_fault!(Error);

/// What a code is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one of this name.
    Right(Uuid),
    /// So many attempts are left.
    Wrong(i32),
    /// There were too many wrong ones.
    Locked,
}

/// Compares a code with that of a paid order. A wrong one is counted under the order's lock, so that no
/// number of guesses at once gets more than the others.
///
/// # Errors
/// [`Error::WrongStatus`] if the order is not waiting for its guests.
#[tracing::instrument(name = "sql check_ins.verify", skip_all, err(level = "debug"))]
pub async fn verify(db: &Db, id: OrderId, code: &Code, at: Timestamp) -> Result<Verdict, Error> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let order = locks::order_if_known(&mut tx, id).await?.ok_or(Error::NotFound)?;
        if order.status != Status::Paid {
            return Err(Error::WrongStatus(order.status));
        }
        let check_in = sqlx::query!(
            r#"SELECT salt, code_hash, wrong_attempts, coalesce(drawn_for, order_id) AS "name!"
               FROM check_ins WHERE order_id = $1"#,
            id.uuid()
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(Error::NotFound)?;
        if check_in.wrong_attempts >= MAX_WRONG {
            return Ok(Verdict::Locked);
        }
        if bool::from(hash(&check_in.salt, code).ct_eq(&check_in.code_hash)) {
            return Ok(Verdict::Right(check_in.name));
        }
        sqlx::query!(
            "UPDATE check_ins SET wrong_attempts = wrong_attempts + 1 WHERE order_id = $1",
            id.uuid()
        )
        .execute(&mut *tx)
        .await?;
        let left = MAX_WRONG - check_in.wrong_attempts - 1;
        if left == 0 {
            let event = OrderEvent::CheckInLocked { wrong_attempts: MAX_WRONG };
            order_events::append(&mut tx, id, at, &[event]).await?;
        }
        tx.commit().await?;
        Ok(Verdict::Wrong(left))
    })
    .await
}

/// Whether no other code has taken the place of the one of this name: what it was drawn for, an order or a
/// change.
pub(crate) async fn is_good(tx: &mut Tx, order: OrderId, name: Uuid) -> Result<bool> {
    let is_good = sqlx::query_scalar!(
        r#"SELECT coalesce(drawn_for, order_id) = $2 AS "is_good!" FROM check_ins WHERE order_id = $1"#,
        order.uuid(),
        name
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(is_good == Some(true))
}

/// Something of an order came back, is about to, or is owed again: its code is good for the nights that are
/// left. When the last of them is back it is worth nothing any more; as long as one is only about to come
/// back, it may be again.
pub(crate) async fn follow(tx: &mut Tx, order: OrderId, at: Timestamp) -> Result<()> {
    let is_open = sqlx::query_scalar!(
        r#"SELECT closed_at IS NULL AS "is_open!" FROM check_ins WHERE order_id = $1"#,
        order.uuid()
    )
    .fetch_optional(&mut **tx)
    .await?;
    if is_open != Some(true) {
        return Ok(());
    }
    let sold = returns::sold(tx, order, at).await?;
    let spans = sold.spans();
    let span = spans.iter().map(|(begin, _)| *begin).min().zip(spans.iter().map(|(_, end)| *end).max());
    let Some((opens_at, closes_at)) = span else {
        return match sold.gone.iter().any(|(unit, back)| unit.split().1.is_some() && back.claimed > 0) {
            true => Ok(()),
            false => close(tx, order, false, at).await,
        };
    };
    sqlx::query!(
        "UPDATE check_ins SET opens_at = $2, closes_at = $3 WHERE order_id = $1",
        order.uuid(),
        sql(opens_at),
        sql(closes_at)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The check-in of an order that is locked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CheckIn {
    pub used: bool,
    pub closed: bool,
    /// When the last of its stays is over.
    pub closes_at: Timestamp,
}

/// None if the order is not paid, or has no stay.
pub(crate) async fn get(tx: &mut Tx, order: OrderId) -> Result<Option<CheckIn>> {
    let check_in = sqlx::query_as!(
        CheckIn,
        r#"SELECT used_at IS NOT NULL AS "used!", closed_at IS NOT NULL AS "closed!", closes_at
           FROM check_ins WHERE order_id = $1"#,
        order.uuid()
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(check_in)
}

/// The order is completed, used or not, or nothing is left of it: its code is worth nothing any more.
pub(crate) async fn close(tx: &mut Tx, order: OrderId, used: bool, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "UPDATE check_ins SET code = NULL, closed_at = coalesce(closed_at, $3::timestamptz),
                used_at = CASE WHEN $2 THEN $3 END
         WHERE order_id = $1",
        order.uuid(),
        used,
        sql(at)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
