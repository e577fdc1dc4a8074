//! Does what `workflows::contract` names: each activity translates and calls, the SQL stands in
//! `store`, the mails in [`mail`].

pub mod mail;
mod reserve;

use std::sync::Arc;

use domain::order::Status;
use store::{
    Db,
    orders::{self, Closed, Settlement},
};
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use workflows::contract::{
    At, CancelInput, ExtendInput, MailOutcome, Outcome, ReserveInput, Reserved, SendMailInput,
    SettlePaymentInput, Settled,
};

use mail::Mailer;

/// What the activities work on.
pub struct Activities {
    db: Db,
    mailer: Mailer,
}

impl Activities {
    pub fn new(db: Db, mailer: Mailer) -> Self {
        Self { db, mailer }
    }
}

#[activities]
impl Activities {
    #[activity(definition = workflows::contract::Reserve)]
    pub async fn reserve(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: ReserveInput,
    ) -> Result<Reserved, ActivityError> {
        Ok(reserve::reserve(&self.db, input).await?)
    }

    #[activity(definition = workflows::contract::SettlePayment)]
    pub async fn settle_payment(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: SettlePaymentInput,
    ) -> Result<Settled, ActivityError> {
        let SettlePaymentInput { order, at, report } = input;
        let settled = match orders::settle(&self.db, order, &report, at).await? {
            Settlement::Paid { completed } => {
                let status = if completed { Status::Completed } else { Status::Paid };
                telemetry::metrics().orders.with_label_values(&[status.as_str()]).inc();
                telemetry::metrics().holds.with_label_values(&["committed"]).inc();
                tracing::info!(order_id = %order, %status, payment_id = report.payment_id, "order paid");
                Settled::Paid(status)
            }
            Settlement::AttemptFailed => Settled::AttemptFailed,
            Settlement::Known(Some(status)) => Settled::Paid(status),
            Settlement::Known(None) => Settled::Known,
            Settlement::Unmatched(why) => {
                telemetry::metrics().exceptions.with_label_values(&[why.as_str()]).inc();
                tracing::warn!(order_id = %order, why = why.as_str(), payment_id = report.payment_id, "exception raised");
                Settled::Unmatched(why)
            }
        };
        Ok(settled)
    }

    #[activity(definition = workflows::contract::Extend)]
    pub async fn extend(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: ExtendInput,
    ) -> Result<Outcome, ActivityError> {
        match orders::extend(&self.db, input.order, input.payment_due_at, input.at).await {
            Ok(()) => Ok(Outcome::Done),
            Err(store::Error::WrongStatus(status)) => Ok(Outcome::Refused(status)),
            Err(error) => Err(error.into()),
        }
    }

    #[activity(definition = workflows::contract::Cancel)]
    pub async fn cancel(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: CancelInput,
    ) -> Result<Outcome, ActivityError> {
        let closed = orders::cancel(&self.db, input.order, &input.reason, input.at).await?;
        Ok(released(&input.order, closed, Status::Cancelled))
    }

    #[activity(definition = workflows::contract::Expire)]
    pub async fn expire(self: Arc<Self>, _ctx: ActivityContext, input: At) -> Result<Outcome, ActivityError> {
        let closed = orders::expire(&self.db, input.order, input.at).await?;
        Ok(released(&input.order, closed, Status::Expired))
    }

    #[activity(definition = workflows::contract::Fulfil)]
    pub async fn fulfil(self: Arc<Self>, _ctx: ActivityContext, input: At) -> Result<Outcome, ActivityError> {
        let closed = orders::fulfil(&self.db, input.order, input.at).await?;
        if closed == Closed::Done {
            telemetry::metrics().orders.with_label_values(&[Status::Completed.as_str()]).inc();
            tracing::info!(order_id = %input.order, status = %Status::Completed, "order fulfilled");
        }
        Ok(outcome(closed))
    }

    #[activity(definition = workflows::contract::SendMail)]
    pub async fn send_mail(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: SendMailInput,
    ) -> Result<MailOutcome, ActivityError> {
        Ok(mail::send(&self.db, &self.mailer, input).await?)
    }
}

fn released(order: &domain::OrderId, closed: Closed, status: Status) -> Outcome {
    if closed == Closed::Done {
        telemetry::metrics().orders.with_label_values(&[status.as_str()]).inc();
        telemetry::metrics().holds.with_label_values(&["released"]).inc();
        tracing::info!(order_id = %order, %status, "order closed, stock released");
    }
    outcome(closed)
}

fn outcome(closed: Closed) -> Outcome {
    match closed {
        Closed::Done => Outcome::Done,
        Closed::NotDue(due) => Outcome::NotDue(due),
        Closed::Refused(status) => Outcome::Refused(status),
    }
}
