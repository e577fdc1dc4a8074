//! Mails that came back.

use domain::{OrderId, Timestamp, event::OrderEvent, mail::MailKind};

use crate::{Db, Result, exceptions, locks, mails::Rejection, order_events, retry::retry, sql};

/// What a report of a mail that came back was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounce {
    /// An order's mail, and its customer gets no others.
    Noted,
    /// The order's mails had come back before.
    Known,
    /// No mail that was sent.
    Unknown,
}

/// Notes that an order's mail came back, on its timeline, too. If it was to bring a code, nobody has that,
/// and a person must see to the guests.
#[tracing::instrument(name = "sql bounces.note", skip_all, err(level = "debug"))]
pub async fn note(
    db: &Db,
    order: OrderId,
    kind: MailKind,
    message_id: &str,
    status: &str,
    at: Timestamp,
) -> Result<Bounce> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let sent = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT 1 FROM mails WHERE order_id = $1 AND kind = $2 AND message_id = $3
                                                  AND sent_at IS NOT NULL) AS "it!""#,
            order.uuid(),
            kind.name(),
            message_id
        );
        if !sent.fetch_one(&mut *tx).await? || locks::order_if_known(&mut tx, order).await?.is_none() {
            return Ok(Bounce::Unknown);
        }
        let noted = sqlx::query!(
            "INSERT INTO mail_bounces (order_id, kind, status, bounced_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
            order.uuid(),
            kind.name(),
            status,
            sql(at)
        );
        if noted.execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(Bounce::Known);
        }
        let why = Rejection { code: None, reason: "bounced" };
        let event = OrderEvent::MailRejected { mail: kind.into(), code: None, reason: why.reason.to_owned() };
        order_events::append(&mut tx, order, at, &[event]).await?;
        if kind.code_drawn_for().is_some() {
            exceptions::raise_undelivered(&mut tx, order, &kind.name(), &why, at).await?;
        }
        tx.commit().await?;
        Ok(Bounce::Noted)
    })
    .await
}

/// Whether an order's mails come back.
pub async fn is_bouncing(db: &Db, order: OrderId) -> Result<bool> {
    let is_bouncing = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM mail_bounces WHERE order_id = $1) AS "it!""#,
        order.uuid()
    );
    Ok(is_bouncing.fetch_one(db.pool()).await?)
}
