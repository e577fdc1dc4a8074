//! Mails that came back.

use domain::{
    ChangeId, OrderId, Timestamp,
    account::email_key,
    customer::Customer,
    event::OrderEvent,
    mail::MailKind,
    refusal::{Blame, Refusal},
};

use crate::{
    Db, Result, Tx, check_ins, exceptions, locks, mails::Rejection, order_events, retry::retry, sql,
};

/// A report of a mail of an order that will never arrive.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    pub order: OrderId,
    pub kind: MailKind,
    /// With its angle brackets, as the mail had it.
    pub message_id: String,
    /// Whom it did not reach: the address that we wrote to, and the last one that it was forwarded to.
    pub recipients: Vec<String>,
    pub refusal: Refusal,
}

/// What a report of a mail that came back was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounce {
    /// A mail of an order.
    Noted,
    /// One that was known to have come back.
    Known,
    /// No mail that was sent, or none to the order's customer: somebody else's copy of it came back.
    Unknown,
}

/// Notes that an order's mail came back, on its timeline, too. If nobody has the mailbox, its customer gets
/// no others. If it was to bring the code that is good, nobody has that, and a person must see to the guests.
#[tracing::instrument(name = "sql bounces.note", skip_all, err(level = "debug"))]
pub async fn note(db: &Db, report: &Report, at: Timestamp) -> Result<Bounce> {
    let &Report { order, kind, refusal, .. } = report;
    retry(|| async {
        let mut tx = db.begin().await?;
        // The mail before the order, as whoever sends it.
        let sent = sqlx::query!(
            r#"SELECT o.customer, m.rejected_at IS NOT NULL AS "is_known!"
               FROM mails m JOIN orders o ON o.id = m.order_id
               WHERE m.order_id = $1 AND m.kind = $2 AND m.message_id = $3 AND m.sent_at IS NOT NULL
               FOR UPDATE OF m"#,
            order.uuid(),
            kind.name(),
            report.message_id.as_str()
        );
        let Some(mail) = sent.fetch_optional(&mut *tx).await? else { return Ok(Bounce::Unknown) };
        if !is_to(&mail.customer, &report.recipients) {
            return Ok(Bounce::Unknown);
        }
        if mail.is_known {
            return Ok(Bounce::Known);
        }
        locks::order(&mut tx, order).await?;
        sqlx::query!(
            "UPDATE mails SET rejected_at = $3 WHERE order_id = $1 AND kind = $2",
            order.uuid(),
            kind.name(),
            sql(at)
        )
        .execute(&mut *tx)
        .await?;
        let why = Rejection { code: None, reason: "bounced" };
        let event = OrderEvent::MailRejected { mail: kind.into(), code: None, reason: why.reason.to_owned() };
        order_events::append(&mut tx, order, at, &[event]).await?;
        if refusal.blame() == Blame::Mailbox {
            stop(&mut tx, report, at).await?;
        }
        if let Some(drawn_for) = kind.code_drawn_for() {
            let name = drawn_for.map_or(order.uuid(), ChangeId::uuid);
            if check_ins::is_good(&mut tx, order, name).await? {
                exceptions::raise_undelivered(&mut tx, order, &kind.name(), &why, at).await?;
            }
        }
        tx.commit().await?;
        Ok(Bounce::Noted)
    })
    .await
}

/// Whether one of these is the customer, however the address is written. Whoever forwards their mails may
/// forward them to nobody: that is no word on their own mailbox.
fn is_to(customer: &Customer, recipients: &[String]) -> bool {
    let Ok(own) = email_key("email", customer.email()) else { return false };
    recipients.iter().any(|to| email_key("email", to).is_ok_and(|to| to == own))
}

/// The order's customer gets no other mails.
async fn stop(tx: &mut Tx, report: &Report, at: Timestamp) -> Result<()> {
    sqlx::query!(
        "INSERT INTO mail_bounces (order_id, kind, status, bounced_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
        report.order.uuid(),
        report.kind.name(),
        report.refusal.to_string(),
        sql(at)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
