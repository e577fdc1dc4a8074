//! Which mails an order's customer has got.

use std::time::Duration;

use domain::{
    OrderId, Timestamp,
    check_in::Code,
    event::OrderEvent,
    mail::MailKind,
    order::{Order, Status},
};

use crate::{Db, Fault, Result, Tx, check_ins, exceptions, order_events, retry::retry, sql};

/// Beyond the time that sending takes, a transaction that waits for it is ended only after this.
const SPARE: Duration = Duration::from_secs(30);

/// The right to send one mail. Its row stays locked while the mail server is asked, so two workers
/// never send the same mail side by side, and a crash frees it.
pub struct Slot {
    tx: Tx,
    order: OrderId,
    kind: MailKind,
    message_id: String,
    is_bouncing: bool,
    is_unsubscribed: bool,
    /// Of a mail that asks for payment.
    asked: Option<Asked>,
}

/// What a mail that asks for payment asks for, by the order as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    payment_due_at: Timestamp,
    parts_paid: i64,
}

/// Why a mail is not to be sent (any more).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unneeded {
    AlreadySent,
    /// The mail server has refused it for good.
    AlreadyRejected,
    /// A reminder after the money came, or after the order ended.
    Moot,
    /// Not yet: somebody is sending it just now.
    UnderWay,
}

/// Checks the order again and claims the mail, to be sent within that time, under `message_id` if it was not
/// claimed before under another.
#[tracing::instrument(name = "sql mails.claim", skip_all, err(level = "debug"))]
pub async fn claim(
    db: &Db,
    order: OrderId,
    kind: MailKind,
    message_id: &str,
    within: Duration,
) -> Result<Result<Slot, Unneeded>> {
    retry(|| async {
        // By itself, so that nobody who finds the mail claimed has to wait for it.
        sqlx::query!(
            "INSERT INTO mails (order_id, kind, message_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            order.uuid(),
            kind.name(),
            message_id
        )
        .execute(db.pool())
        .await?;
        let mut tx = db.begin().await?;
        let found = sqlx::query!(
            r#"SELECT message_id, sent_at, rejected_at,
                      EXISTS (SELECT 1 FROM mail_bounces WHERE order_id = $1) AS "is_bouncing!",
                      EXISTS (SELECT 1 FROM order_links
                              WHERE order_id = $1 AND unsubscribed_at IS NOT NULL) AS "is_unsubscribed!",
                      set_config('idle_in_transaction_session_timeout', $3, true)
               FROM mails WHERE order_id = $1 AND kind = $2 FOR UPDATE SKIP LOCKED"#,
            order.uuid(),
            kind.name(),
            format!("{}s", (within + SPARE).as_secs())
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(mail) = found else { return Ok(Err(Unneeded::UnderWay)) };
        if mail.sent_at.is_some() {
            return Ok(Err(Unneeded::AlreadySent));
        }
        if mail.rejected_at.is_some() {
            return Ok(Err(Unneeded::AlreadyRejected));
        }
        let asked = match kind.asks_for_payment() {
            true => asked(&mut tx, order).await?,
            false => None,
        };
        if kind.asks_for_payment() && asked.is_none() {
            return Ok(Err(Unneeded::Moot));
        }
        let (message_id, is_bouncing, is_unsubscribed) =
            (mail.message_id, mail.is_bouncing, mail.is_unsubscribed);
        Ok(Ok(Slot { tx, order, kind, message_id, is_bouncing, is_unsubscribed, asked }))
    })
    .await
}

/// The number of the last reminder of an order that went out (0: none did), and when it did.
pub async fn reminders_sent(db: &Db, order: OrderId) -> Result<(u8, Option<Timestamp>)> {
    let last = sqlx::query!(
        "SELECT max(substr(kind, length('reminder_') + 1)::bigint) AS number, max(sent_at) AS sent_at
         FROM mails WHERE order_id = $1 AND starts_with(kind, 'reminder_') AND sent_at IS NOT NULL",
        order.uuid()
    )
    .fetch_one(db.pool())
    .await?;
    let number = last.number.map_or(0, |number| u8::try_from(number).unwrap_or(u8::MAX));
    Ok((number, last.sent_at.map(|at| at.to_jiff())))
}

/// A mail as it is on record.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// As [`MailKind::name`] has it.
    pub kind: String,
    pub message_id: String,
    pub sent_at: Option<Timestamp>,
    /// The mail server will never take it; or it did, and then it came back.
    pub rejected_at: Option<Timestamp>,
}

/// The mails of an order, those that are on their way last.
#[tracing::instrument(name = "sql mails.of_order", skip_all, err(level = "debug"))]
pub async fn of_order(db: &Db, order: OrderId) -> Result<Vec<Recorded>> {
    let mails = sqlx::query!(
        "SELECT kind, message_id, sent_at, rejected_at FROM mails WHERE order_id = $1
         ORDER BY coalesce(sent_at, rejected_at), kind",
        order.uuid()
    );
    let recorded = mails.map(|it| Recorded {
        kind: it.kind,
        message_id: it.message_id,
        sent_at: it.sent_at.map(|at| at.to_jiff()),
        rejected_at: it.rejected_at.map(|at| at.to_jiff()),
    });
    Ok(recorded.fetch_all(db.pool()).await?)
}

/// None: nothing is asked for any more. Money counts from the moment its webhook was stored, before the
/// workflow has seen it.
async fn asked(tx: &mut Tx, order: OrderId) -> Result<Option<Asked>> {
    let order = sqlx::query!(
        r#"SELECT status, payment_due_at, parts_paid,
                  EXISTS (SELECT 1 FROM inbox
                          WHERE order_id = $1 AND outcome = 'succeeded' AND settled_at IS NULL
                            AND amount >= o.total - o.parts_paid
                            AND inbox.currency = o.currency) AS "is_paid!"
           FROM orders o WHERE id = $1"#,
        order.uuid()
    )
    .fetch_optional(&mut **tx)
    .await?
    .ok_or(Fault::UnknownOrder(order))?;
    let asked = Asked { payment_due_at: order.payment_due_at.to_jiff(), parts_paid: order.parts_paid };
    Ok((order.status == Status::AwaitingPayment && !order.is_paid).then_some(asked))
}

impl Slot {
    /// The Message-ID of this mail at every try, with its angle brackets.
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// Whether the order's mails come back.
    pub const fn is_bouncing(&self) -> bool {
        self.is_bouncing
    }

    /// Whether it is a reminder, and the customer wants none.
    pub const fn is_unwanted(&self) -> bool {
        self.kind.is_reminder() && self.is_unsubscribed
    }

    /// Whether a mail about this order asks for what is still due, until when it is due.
    pub fn asks_as(&self, order: &Order) -> bool {
        let (payment_due_at, parts_paid) = (order.payment_due_at, order.parts_paid);
        self.asked.is_none_or(|asked| asked == Asked { payment_due_at, parts_paid })
    }

    /// The code that this mail brings, unless another has taken its place.
    pub async fn unsent_code(&mut self) -> Result<Option<Code>> {
        match self.kind.code_drawn_for() {
            Some(drawn_for) => check_ins::unsent_code(&mut self.tx, self.order, drawn_for).await,
            None => Ok(None),
        }
    }

    /// Notes that the mail server has accepted the mail.
    pub async fn sent(mut self, at: Timestamp) -> Result<()> {
        sqlx::query!(
            "UPDATE mails SET sent_at = $3 WHERE order_id = $1 AND kind = $2",
            self.order.uuid(),
            self.kind.name(),
            sql(at)
        )
        .execute(&mut *self.tx)
        .await?;
        let event = match self.kind {
            MailKind::Reminder(number) => OrderEvent::ReminderSent { number },
            other => OrderEvent::MailSent(other.into()),
        };
        // Locks the order, before its check-in.
        order_events::append(&mut self.tx, self.order, at, &[event]).await?;
        if let Some(drawn_for) = self.kind.code_drawn_for() {
            check_ins::erase(&mut self.tx, self.order, drawn_for).await?;
            exceptions::settle_undelivered(&mut self.tx, self.order, at).await?;
        }
        self.tx.commit().await?;
        Ok(())
    }

    /// Notes that the mail server will never take the mail. If it was to bring a code, nobody has that, and a
    /// person must see to the guests. Gives whether there is such an exception now.
    pub async fn rejected(mut self, why: &Rejection, at: Timestamp) -> Result<bool> {
        sqlx::query!(
            "UPDATE mails SET rejected_at = $3 WHERE order_id = $1 AND kind = $2",
            self.order.uuid(),
            self.kind.name(),
            sql(at)
        )
        .execute(&mut *self.tx)
        .await?;
        let reason = why.reason.to_owned();
        let event = OrderEvent::MailRejected { mail: self.kind.into(), code: why.code, reason };
        order_events::append(&mut self.tx, self.order, at, &[event]).await?;
        let code = self.kind.code_drawn_for();
        if let Some(drawn_for) = code {
            check_ins::erase(&mut self.tx, self.order, drawn_for).await?;
            exceptions::raise_undelivered(&mut self.tx, self.order, &self.kind.name(), why, at).await?;
        }
        self.tx.commit().await?;
        Ok(code.is_some())
    }
}

/// Why a mail is never sent. Without what the server said, which may quote the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The server's reply, if it was the server that refused.
    pub code: Option<u16>,
    /// One word, such as `refused`.
    pub reason: &'static str,
}
