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

use domain::{
    OrderId, Timestamp,
    exception::Kind,
    mail::MailKind,
    order::{Order, Status},
};
use store::{
    Db, Fault,
    mails::{self, Rejection, Unneeded},
    order_links, orders, received, refunds,
};
use tracing::Instrument as _;
use uuid::Uuid;
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
    let sent = match mailer.compose(&letter, &order.customer, slot.message_id()) {
        Ok(message) => mailer.send(&message).await,
        Err(error) => Err(error),
    };
    let at = now_or(at);
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

/// The mail is written before its lock is taken, which holds a connection: whoever holds one and waits for
/// another could wait for others that do the same. Under the lock it is looked at whether it is still to be
/// sent, and whether it still asks for what is due; a code is read there alone.
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
    let mut slot = match claim_slot(db, mailer, id, kind).await? {
        Ok(slot) => slot,
        Err(outcome) => return Ok(Err(outcome)),
    };
    if slot.is_unwanted() {
        note_unwanted(slot, id, kind, now_or(at)).await?;
        return Ok(Err(MailOutcome::Moot));
    }
    // Somebody asked for a new code although mails came back: it is tried in any case.
    if slot.is_bouncing() && !matches!(kind, MailKind::NewCheckInCode(_)) {
        let why = Rejection { code: None, reason: "address_bounces" };
        note_rejected(slot, id, kind, &why, now_or(at)).await?;
        return Ok(Err(MailOutcome::Rejected));
    }
    if !slot.asks_as(&order) {
        anyhow::bail!("the order has changed since its mail was written: it is written anew");
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
    let message_id = mailer.full_message_id(&new_message_id(id, kind));
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
        // Templates may count on what an order has that awaits its payment.
        kind if kind.asks_for_payment() && order.status != Status::AwaitingPayment => return Ok(None),
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
async fn note_sent(slot: mails::Slot, id: OrderId, kind: MailKind, at: Timestamp) -> Result<(), Fault> {
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
async fn note_unwanted(slot: mails::Slot, id: OrderId, kind: MailKind, at: Timestamp) -> Result<(), Fault> {
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
    at: Timestamp,
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

/// Under which a mail is claimed for the first time, and sent at every try: it is recognised as the same one.
/// With something that nobody guesses: who knows an order's id cannot report that its mails came back.
fn new_message_id(order: OrderId, kind: MailKind) -> String {
    let (tag, _) = Uuid::new_v4().as_u64_pair();
    format!("{order}.{}.{tag:016x}", kind.name())
}

/// When the mail server has answered, and not when it was asked for the first time: that may be days ago. An
/// order whose time was skipped ahead is ahead of the clock.
#[expect(clippy::disallowed_methods, reason = "the edge: an answer has the time at which it came")]
fn now_or(at: Timestamp) -> Timestamp {
    Timestamp::now().max(at)
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
