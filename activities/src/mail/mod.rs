//! Mails to customers: at most one of each kind per order, never a reminder after payment.

pub mod account;
mod dkim;
mod links;
mod mailer;
mod owner;
mod reply;
mod smtp;
mod template;

use anyhow::Context as _;
use std::sync::Arc;

use domain::{OrderId, exception::Kind, mail::MailKind, order::Order};
use store::{
    Db, Fault, bounces,
    mails::{self, Rejection, Unneeded},
    order_links, orders, received, refunds,
};
use tracing::Instrument as _;
use workflows::contract::{MailOutcome, SendMailInput};

use smtp::LONGEST;
use template::{About, Letter};

pub use links::Links;
pub use mailer::{DkimConfig, Mailer, MailerConfig};
pub use owner::{owner, tell_owner};

/// Sends one mail, unless the order no longer wants it. Who asks may stop to wait; a mail that was begun goes
/// to its end all the same, and is noted, so that it is not sent again.
pub async fn send(db: &Db, mailer: &Arc<Mailer>, input: SendMailInput) -> anyhow::Result<MailOutcome> {
    let turn = mailer.turn().await?;
    let (db, same) = (db.clone(), Arc::clone(mailer));
    let sending = async move {
        let outcome = send_now(&db, &same, input).await;
        drop(turn);
        outcome
    };
    #[expect(clippy::disallowed_methods, reason = "bounded by the turns that a mail waits for")]
    mailer.begun().spawn(sending.in_current_span()).await?
}

async fn send_now(db: &Db, mailer: &Mailer, input: SendMailInput) -> anyhow::Result<MailOutcome> {
    let SendMailInput { order: id, at, kind } = input;
    let Claimed { slot, order, letter } = match claim(db, mailer, input).await? {
        Ok(claimed) => claimed,
        Err(outcome) => return Ok(outcome),
    };
    let sent = match mailer.compose(&letter, &order.customer, &message_id(id, kind)) {
        Ok(message) => mailer.send(&message).await,
        Err(error) => Err(error),
    };
    match sent {
        Ok(()) => {
            note_sent(slot, id, kind, at).await?;
            Ok(MailOutcome::Sent)
        }
        Err(error) if error.is_permanent() => {
            note_rejected(slot, id, kind, &error.rejection(), at).await?;
            Ok(MailOutcome::Rejected)
        }
        Err(error) => {
            tracing::warn!(order_id = %id, kind = kind.name(), %error, "mail not taken: it is tried again");
            Err(error.into())
        }
    }
}

/// Nobody tries the mail any more. If it is on its way all the same, that is waited for: some minutes at the
/// most.
pub async fn give_up(db: &Db, mailer: &Mailer, input: SendMailInput) -> anyhow::Result<MailOutcome> {
    let SendMailInput { order: id, at, kind } = input;
    let mut slot = match claim_slot(db, mailer, id, kind).await? {
        Ok(slot) => slot,
        Err(outcome) => return Ok(outcome),
    };
    if kind.code_drawn_for().is_some() && slot.unsent_code().await?.is_none() {
        return Ok(skipped(id, kind));
    }
    note_rejected(slot, id, kind, &Rejection { code: None, reason: "given_up" }, at).await?;
    Ok(MailOutcome::Rejected)
}

/// A mail that is still to be sent.
struct Claimed {
    slot: mails::Slot,
    order: Order,
    letter: Letter,
}

/// The order, or its code, is looked at again under the mail's lock, at the last moment before the mail
/// server is asked.
async fn claim(
    db: &Db,
    mailer: &Mailer,
    SendMailInput { order: id, at, kind }: SendMailInput,
) -> anyhow::Result<Result<Claimed, MailOutcome>> {
    let order = orders::get(db, id).await?.with_context(|| format!("there is no order {id}"))?;
    // A mail may have waited for its server for longer than there was an account.
    if order.customer.is_erased() {
        return Ok(Err(skipped(id, kind)));
    }
    let Some(draft) = write(db, mailer, &order, kind).await? else { return Ok(Err(skipped(id, kind))) };
    // Before the slot, which holds a connection: whoever holds one and waits for another could wait for
    // others that do the same.
    let is_unwanted = kind.is_reminder() && order_links::is_unsubscribed(db, id).await?;
    let is_bouncing = bounces::is_bouncing(db, id).await?;
    let mut slot = match claim_slot(db, mailer, id, kind).await? {
        Ok(slot) => slot,
        Err(outcome) => return Ok(Err(outcome)),
    };
    if is_unwanted {
        note_unwanted(slot, id, kind, at).await?;
        return Ok(Err(MailOutcome::Moot));
    }
    if is_bouncing {
        note_rejected(slot, id, kind, &Rejection { code: None, reason: "address_bounces" }, at).await?;
        return Ok(Err(MailOutcome::Rejected));
    }
    let letter = match draft {
        Draft::Letter(letter) => letter,
        Draft::WithCode => match slot.unsent_code().await? {
            Some(code) => {
                let is_renewed = matches!(kind, MailKind::NewCheckInCode(_));
                mailer.writer().check_in(&order, &code, is_renewed)?
            }
            None => return Ok(Err(skipped(id, kind))),
        },
    };
    Ok(Ok(Claimed { slot, order, letter }))
}

/// The right to this mail, or what has become of it.
async fn claim_slot(
    db: &Db,
    mailer: &Mailer,
    id: OrderId,
    kind: MailKind,
) -> anyhow::Result<Result<mails::Slot, MailOutcome>> {
    let message_id = mailer.full_message_id(&message_id(id, kind));
    Ok(match mails::claim(db, id, kind, &message_id, LONGEST).await? {
        Ok(slot) => Ok(slot),
        Err(Unneeded::AlreadySent) => Err(MailOutcome::AlreadySent),
        Err(Unneeded::AlreadyRejected) => Err(MailOutcome::Rejected),
        Err(Unneeded::Moot) => Err(skipped(id, kind)),
        Err(Unneeded::UnderWay) => anyhow::bail!("the mail is on its way, and not taken yet"),
    })
}

/// What a mail says, as far as it can be known before its lock is held.
enum Draft {
    Letter(Letter),
    /// Another code may take the place of this one at any time, and is not to be followed by it.
    WithCode,
}

/// None, if the mail is worth nothing any more.
async fn write(db: &Db, mailer: &Mailer, order: &Order, kind: MailKind) -> anyhow::Result<Option<Draft>> {
    let about = match kind {
        // A later extension has a mail of its own.
        MailKind::Extended(due) if due != order.payment_due_at => return Ok(None),
        MailKind::CheckIn | MailKind::NewCheckInCode(_) => {
            return Ok(order.has_nights_left().then_some(Draft::WithCode));
        }
        kind if kind.asks_for_payment() => About::Undecided(received::undecided(db, order.id).await?),
        MailKind::Expired | MailKind::Cancelled if order.paid_at.is_none() => {
            About::Ended(received::came_before_end(db, order.id).await?)
        }
        MailKind::Refunded(refund) => {
            About::Refunded(refunds::get(db, refund).await?.context("the refund is not there")?.money())
        }
        _ => About::Order,
    };
    let generation = match kind.asks_for_payment() {
        true => order_links::generation(db, order.id).await?,
        false => 0, // it has no link
    };
    Ok(Some(Draft::Letter(mailer.writer().order(order, kind, &about, generation)?)))
}

/// The mail server has it. If we or the database fail right here, the mail is sent once more, under the
/// same Message-ID: the one way to a second mail.
async fn note_sent(
    slot: mails::Slot,
    id: OrderId,
    kind: MailKind,
    at: domain::Timestamp,
) -> Result<(), Fault> {
    slot.sent(at).await?;
    telemetry::metrics().mails.with_label_values(&[label(kind), "sent"]).inc();
    tracing::info!(order_id = %id, kind = kind.name(), "mail sent");
    Ok(())
}

fn skipped(id: OrderId, kind: MailKind) -> MailOutcome {
    telemetry::metrics().mails.with_label_values(&[label(kind), "moot"]).inc();
    tracing::info!(order_id = %id, kind = kind.name(), "mail not needed any more");
    MailOutcome::Moot
}

/// Its customer wants no reminders: the shop sees that on the timeline.
async fn note_unwanted(
    slot: mails::Slot,
    id: OrderId,
    kind: MailKind,
    at: domain::Timestamp,
) -> Result<(), Fault> {
    slot.rejected(&Rejection { code: None, reason: "unsubscribed" }, at).await?;
    telemetry::metrics().mails.with_label_values(&[label(kind), "moot"]).inc();
    tracing::info!(order_id = %id, kind = kind.name(), "no reminder: the customer wants none");
    Ok(())
}

/// Says which order, never to whom: the address is in the database.
async fn note_rejected(
    slot: mails::Slot,
    id: OrderId,
    kind: MailKind,
    why: &Rejection,
    at: domain::Timestamp,
) -> Result<(), Fault> {
    let raised = slot.rejected(why, at).await?;
    telemetry::metrics().mails.with_label_values(&[label(kind), "rejected"]).inc();
    if raised {
        telemetry::metrics().exceptions.with_label_values(&[Kind::CodeUndelivered.as_str()]).inc();
    }
    tracing::error!(
        order_id = %id, kind = kind.name(), reason = why.reason, code = why.code, "mail rejected for good"
    );
    Ok(())
}

/// Stable, so that a mail that is sent again is recognised as the same one.
fn message_id(order: OrderId, kind: MailKind) -> String {
    format!("{order}.{}", kind.name())
}

/// Metric labels must be few: all reminders are one.
fn label(kind: MailKind) -> &'static str {
    match kind {
        MailKind::Reminder(_) => "reminder",
        MailKind::Paid => "paid",
        MailKind::CheckIn => "check_in",
        MailKind::Completed => "completed",
        MailKind::Expired => "expired",
        MailKind::Cancelled => "cancelled",
        MailKind::Refunded(_) => "refunded",
        MailKind::Extended(_) => "extended",
        MailKind::NewCheckInCode(_) => "new_check_in_code",
    }
}
