//! Does what `workflows::contract` names: each activity translates and calls, the SQL stands in
//! `store`, the mails in [`mail`].

mod attempts;
pub mod mail;
mod reconcile;
mod refund;
mod reserve;

use std::{io, sync::Arc, time::Duration};

use domain::order::Status;
use domain::payment::{PaymentReport, RefundState};
use providers::Providers;
use store::{
    Db, SettlementBatcher,
    orders::{self, Closed},
};
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use workflows::contract::{
    At, CancelInput, Changed, DecideChangeInput, ExpireInput, ExtendInput, MailOutcome, Outcome,
    ReconcileStep, Reconciled, RefundStep, ReserveInput, Reserved, SendMailInput, SettlePaymentInput,
    Settled, Settlement,
};

pub use attempts::new_attempt;
use mail::Mailer;

/// What the activities work on. Cheap to clone.
#[derive(Clone)]
pub struct Activities {
    db: Db,
    settlements: SettlementBatcher,
    mailer: Arc<Mailer>,
    providers: Providers,
}

impl Activities {
    /// # Errors
    /// If the system has no thread for the till.
    pub fn new(db: Db, mailer: Mailer, providers: Providers) -> io::Result<Self> {
        Ok(Self { settlements: SettlementBatcher::open(&db)?, db, mailer: Arc::new(mailer), providers })
    }

    /// Waits for mails that are on their way, which nobody else knows of.
    pub async fn drain(&self, limit: Duration) {
        self.mailer.drain(limit).await;
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
    ) -> Result<Settlement, ActivityError> {
        let SettlePaymentInput { order, at, report } = input;
        let settlement = self.settlements.settle(order, &report, at).await?;
        let settled = match settlement.settled {
            orders::Settled::Paid { completed } => {
                let status = if completed { Status::Completed } else { Status::Paid };
                telemetry::metrics().orders.with_label_values(&[status.as_str()]).inc();
                telemetry::metrics().holds.with_label_values(&["committed"]).inc();
                tracing::info!(order_id = %order, %status, payment_id = report.payment_id, "order paid");
                Settled::Paid(status)
            }
            orders::Settled::AttemptFailed => Settled::AttemptFailed,
            orders::Settled::Part => {
                tracing::info!(order_id = %order, payment_id = report.payment_id, "part of an order paid");
                Settled::Known
            }
            orders::Settled::Known(Some(status)) => Settled::Paid(status),
            orders::Settled::Known(None) => Settled::Known,
            orders::Settled::Reinstated(successor) => {
                telemetry::metrics().orders.with_label_values(&["reinstated"]).inc();
                tracing::info!(order_id = %order, %successor, payment_id = report.payment_id, "order taken back");
                Settled::Reinstated(successor)
            }
            orders::Settled::Unmatched(why) => {
                telemetry::metrics().exceptions.with_label_values(&[why.as_str()]).inc();
                tracing::warn!(order_id = %order, why = why.as_str(), payment_id = report.payment_id, "exception raised");
                Settled::Unmatched(why)
            }
        };
        let orders::Settlement { still_due, attempts_open, .. } = settlement;
        Ok(Settlement { settled, attempts_open, still_due })
    }

    #[activity(definition = workflows::contract::DecideChange)]
    pub async fn decide_change(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: DecideChangeInput,
    ) -> Result<Changed, ActivityError> {
        let DecideChangeInput { order, change, at, unclear } = input;
        Ok(match self.settlements.change(order, change, unclear, at).await? {
            orders::Changed::Ended(change, status) => {
                telemetry::metrics().orders.with_label_values(&[status.as_str()]).inc();
                tracing::info!(order_id = %order, %status, change = change.as_str(), "order ended by a change");
                Changed::Ended { change, status }
            }
            orders::Changed::Extended { payment_due_at, reminders_at } => {
                tracing::info!(order_id = %order, %payment_due_at, "order extended");
                Changed::Extended { payment_due_at, reminders_at }
            }
            orders::Changed::Refused => Changed::Refused,
            orders::Changed::AttemptsOpen => Changed::AttemptsOpen,
            orders::Changed::NewCheckInCode => {
                tracing::info!(order_id = %order, "new check-in code drawn");
                Changed::NewCheckInCode
            }
        })
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
        let CancelInput { order, at, reason, unclear } = input;
        let closed = self.settlements.cancel(order, &reason, unclear, at).await?;
        Ok(released(&order, closed, Status::Cancelled))
    }

    #[activity(definition = workflows::contract::Expire)]
    pub async fn expire(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: ExpireInput,
    ) -> Result<Outcome, ActivityError> {
        let closed = self.settlements.expire(input.order, input.unclear, input.at).await?;
        Ok(released(&input.order, closed, Status::Expired))
    }

    #[activity(definition = workflows::contract::Fulfil)]
    pub async fn fulfil(self: Arc<Self>, _ctx: ActivityContext, input: At) -> Result<Outcome, ActivityError> {
        let closed = orders::fulfil(&self.db, input.order, input.at).await?;
        Ok(completed(&input.order, closed, "order fulfilled"))
    }

    #[activity(definition = workflows::contract::CheckIn)]
    pub async fn check_in(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: At,
    ) -> Result<Outcome, ActivityError> {
        let closed = orders::check_in(&self.db, input.order, input.at).await?;
        Ok(completed(&input.order, closed, "guests checked in"))
    }

    #[activity(definition = workflows::contract::EndStay)]
    pub async fn end_stay(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: At,
    ) -> Result<Outcome, ActivityError> {
        let closed = orders::end_stay(&self.db, input.order, input.at).await?;
        Ok(completed(&input.order, closed, "stay is over, unused"))
    }

    #[activity(definition = workflows::contract::CloseAttempts)]
    pub async fn close_attempts(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: At,
    ) -> Result<Vec<PaymentReport>, ActivityError> {
        Ok(attempts::close(&self.db, &self.providers, input).await?)
    }

    #[activity(definition = workflows::contract::DriveRefund)]
    pub async fn drive_refund(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: RefundStep,
    ) -> Result<RefundState, ActivityError> {
        Ok(refund::drive(&self.db, &self.providers, input).await?)
    }

    #[activity(definition = workflows::contract::ReconcileProvider)]
    pub async fn reconcile_provider(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: ReconcileStep,
    ) -> Result<Reconciled, ActivityError> {
        Ok(reconcile::reconcile(&self.db, &self.providers, input).await?)
    }

    #[activity(definition = workflows::contract::ListProviders)]
    pub async fn list_providers(
        self: Arc<Self>,
        _ctx: ActivityContext,
    ) -> Result<Vec<String>, ActivityError> {
        Ok(self.providers.names().map(str::to_owned).collect())
    }

    #[activity(definition = workflows::contract::SendMail)]
    pub async fn send_mail(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: SendMailInput,
    ) -> Result<MailOutcome, ActivityError> {
        Ok(mail::send(&self.db, &self.mailer, input).await?)
    }

    #[activity(definition = workflows::contract::GiveUpMail)]
    pub async fn give_up_mail(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: SendMailInput,
    ) -> Result<MailOutcome, ActivityError> {
        Ok(mail::give_up(&self.db, &self.mailer, input).await?)
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

fn completed(order: &domain::OrderId, closed: Closed, how: &str) -> Outcome {
    if closed == Closed::Done {
        telemetry::metrics().orders.with_label_values(&[Status::Completed.as_str()]).inc();
        tracing::info!(order_id = %order, status = %Status::Completed, "{how}");
    }
    outcome(closed)
}

fn outcome(closed: Closed) -> Outcome {
    match closed {
        Closed::Done => Outcome::Done,
        Closed::NotDue(due) => Outcome::NotDue(due),
        Closed::AttemptsOpen => Outcome::AttemptsOpen,
        Closed::Refused(status) => Outcome::Refused(status),
        Closed::Refunded => Outcome::Refunded,
    }
}
