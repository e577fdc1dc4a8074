//! Mails to customers: at most one of each kind per order, never a reminder after payment.

mod mailer;
mod template;

use domain::{OrderId, mail::MailKind, order::Order};
use store::{
    Db, Error, check_ins,
    exceptions::CODE_UNDELIVERED,
    mails::{self, Unneeded},
    orders, received, refunds,
};
use workflows::contract::{MailOutcome, SendMailInput};

pub use mailer::{Mailer, MailerConfig};

/// Sends one mail, unless the order no longer wants it. The order is looked at again under the
/// mail's lock, at the last moment before the mail server is asked.
pub async fn send(db: &Db, mailer: &Mailer, input: SendMailInput) -> anyhow::Result<MailOutcome> {
    let SendMailInput { order: id, at, kind } = input;
    let order = orders::get(db, id).await?;
    let Some(text) = write(db, &order, kind).await? else { return Ok(skipped(id, kind)) };
    let _turn = mailer.turn().await?;
    let slot = match mails::claim(db, id, kind, &mailer.full_message_id(&message_id(id, kind))).await? {
        Ok(slot) => slot,
        Err(Unneeded::AlreadySent) => return Ok(MailOutcome::AlreadySent),
        Err(Unneeded::AlreadyRejected) => return Ok(MailOutcome::Rejected),
        Err(Unneeded::Moot) => return Ok(skipped(id, kind)),
    };
    let sent = match mailer.compose(&text, &order.customer, &message_id(id, kind)) {
        Ok(message) => mailer.send(message).await,
        Err(error) => Err(error),
    };
    match sent {
        Ok(()) => {
            note_sent(slot, id, kind, at).await?;
            Ok(MailOutcome::Sent)
        }
        Err(error) if error.is_permanent() => {
            note_rejected(slot, id, kind, &error, at).await?;
            Ok(MailOutcome::Rejected)
        }
        Err(error) => Err(error.into()),
    }
}

/// What the mail says. Nothing, if it is about a code that was sent, or is worth nothing any more.
async fn write(db: &Db, order: &Order, kind: MailKind) -> anyhow::Result<Option<template::Text>> {
    let text = match kind {
        // A later extension has a mail of its own.
        MailKind::Extended(due) if due != order.payment_due_at => return Ok(None),
        MailKind::CheckIn | MailKind::NewCheckInCode(_) => {
            let drawn_for = kind.code_drawn_for().flatten();
            match check_ins::unsent_code(db, order.id, drawn_for).await? {
                Some(_) if !order.has_nights_left() => return Ok(None),
                Some(code) => template::check_in(order, &code, drawn_for.is_some())?,
                None => return Ok(None),
            }
        }
        MailKind::Expired | MailKind::Cancelled if order.paid_at.is_none() => {
            template::ended(order, kind, &received::came_before_end(db, order.id).await?)?
        }
        MailKind::Refunded(refund) => {
            template::render(order, kind, Some(refunds::get(db, refund).await?.money))?
        }
        _ => template::render(order, kind, None)?,
    };
    Ok(Some(text))
}

/// The mail server has it. If we or the database fail right here, the mail is sent once more, under the
/// same Message-ID: the one way to a second mail.
async fn note_sent(
    slot: mails::Slot,
    id: OrderId,
    kind: MailKind,
    at: domain::Timestamp,
) -> Result<(), Error> {
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

/// Says which order, never to whom: the address is in the database.
async fn note_rejected(
    slot: mails::Slot,
    id: OrderId,
    kind: MailKind,
    error: &mailer::Error,
    at: domain::Timestamp,
) -> Result<(), Error> {
    let why = error.rejection();
    let raised = slot.rejected(&why, at).await?;
    telemetry::metrics().mails.with_label_values(&[label(kind), "rejected"]).inc();
    if raised {
        telemetry::metrics().exceptions.with_label_values(&[CODE_UNDELIVERED]).inc();
    }
    tracing::error!(order_id = %id, kind = kind.name(), reason = why.reason, code = why.code, "mail rejected for good");
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
