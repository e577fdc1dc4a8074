//! Does what `workflows::contract` names: each activity translates and calls, the SQL stands in
//! `store`, the mails in [`mail`].

pub mod attempts;
pub mod mail;
mod reconcile;
mod refund;
mod reserve;

use anyhow::Context as _;
use std::{io, sync::Arc, time::Duration};

use domain::{
    OrderId, Timestamp,
    change::{ChangeOutcome, Changed},
    order::Status,
    payment::{PaymentReport, RefundState},
    settlement::{Settled, Settlement},
};
use identity::CodeKeys;
use providers::Providers;
use store::{Db, SettlementBatcher, accounts::codes, orders};
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use workflows::contract::{
    CancelInput, CodeStep, DecideChangeInput, ExpireInput, ExtendInput, MailOutcome, OrderAt, ReconcileStep,
    Reconciled, RefundStep, ReserveInput, Reserved, SendMailInput, SettlePaymentInput,
};

use mail::Mailer;

/// What the activities work on. Cheap to clone.
#[derive(Clone)]
pub struct Activities {
    db: Db,
    settlements: SettlementBatcher,
    mailer: Arc<Mailer>,
    providers: Providers,
    /// None: this shop has no accounts of customers.
    code_keys: Option<Arc<CodeKeys>>,
}

impl Activities {
    /// # Errors
    /// If the system has no thread for the batcher.
    pub fn new(db: Db, mailer: Mailer, providers: Providers) -> io::Result<Self> {
        let settlements = SettlementBatcher::open(&db)?;
        Ok(Self { settlements, db, mailer: Arc::new(mailer), providers, code_keys: None })
    }

    /// Mails codes to those who register.
    pub fn with_accounts(self, keys: CodeKeys) -> Self {
        Self { code_keys: Some(Arc::new(keys)), ..self }
    }

    /// Who sends mails.
    pub const fn mailer(&self) -> &Arc<Mailer> {
        &self.mailer
    }

    /// Worker and API are set up alike; until the worker is, its steps are tried again.
    fn code_keys(&self) -> anyhow::Result<&CodeKeys> {
        self.code_keys.as_deref().context("HOLDFAST_ACCOUNT_SECRET is not set for this worker")
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
        let (settlement, is_news) = self.settlements.settle(order, &report, at).await?;
        if is_news {
            tell_settled(order, &report, settlement.settled);
        }
        Ok(settlement)
    }

    #[activity(definition = workflows::contract::DecideChange)]
    pub async fn decide_change(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: DecideChangeInput,
    ) -> Result<Changed, ActivityError> {
        let DecideChangeInput { order, change, at, unclear } = input;
        let changed = self.settlements.change(order, change, unclear, at).await?;
        match &changed {
            Changed::Ended { change, status } => {
                telemetry::metrics().orders.with_label_values(&[status.as_str()]).inc();
                tracing::info!(
                    order_id = %order, %status, change = change.as_str(), "order ended by a change"
                );
            }
            Changed::Extended { payment_due_at, .. } => {
                tracing::info!(order_id = %order, %payment_due_at, "order extended");
            }
            Changed::NewCheckInCode => tracing::info!(order_id = %order, "new check-in code drawn"),
            Changed::Refused | Changed::AttemptsOpen => {}
        }
        Ok(changed)
    }

    #[activity(definition = workflows::contract::Extend)]
    pub async fn extend(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: ExtendInput,
    ) -> Result<ChangeOutcome, ActivityError> {
        Ok(orders::extend(&self.db, input.order, input.payment_due_at, input.at).await?)
    }

    #[activity(definition = workflows::contract::Cancel)]
    pub async fn cancel(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: CancelInput,
    ) -> Result<ChangeOutcome, ActivityError> {
        let CancelInput { order, at, reason, unclear } = input;
        let outcome = self.settlements.cancel(order, &reason, unclear, at).await?;
        Ok(released(order, outcome, Status::Cancelled))
    }

    #[activity(definition = workflows::contract::Expire)]
    pub async fn expire(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: ExpireInput,
    ) -> Result<ChangeOutcome, ActivityError> {
        let outcome = self.settlements.expire(input.order, input.unclear, input.at).await?;
        Ok(released(input.order, outcome, Status::Expired))
    }

    #[activity(definition = workflows::contract::Fulfil)]
    pub async fn fulfil(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: OrderAt,
    ) -> Result<ChangeOutcome, ActivityError> {
        let outcome = orders::fulfil(&self.db, input.order, input.at).await?;
        Ok(completed(input.order, outcome, "order fulfilled"))
    }

    #[activity(definition = workflows::contract::CheckIn)]
    pub async fn check_in(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: OrderAt,
    ) -> Result<ChangeOutcome, ActivityError> {
        let outcome = orders::check_in(&self.db, input.order, input.at).await?;
        Ok(completed(input.order, outcome, "guests checked in"))
    }

    #[activity(definition = workflows::contract::EndStay)]
    pub async fn end_stay(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: OrderAt,
    ) -> Result<ChangeOutcome, ActivityError> {
        let outcome = orders::end_stay(&self.db, input.order, input.at).await?;
        Ok(completed(input.order, outcome, "stay is over, unused"))
    }

    #[activity(definition = workflows::contract::CloseAttempts)]
    pub async fn close_attempts(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: OrderAt,
    ) -> Result<Vec<PaymentReport>, ActivityError> {
        Ok(attempts::close_all(&self.db, &self.providers, input).await?)
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

    #[activity(definition = workflows::contract::SendCode)]
    pub async fn send_code(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: CodeStep,
    ) -> Result<Option<Timestamp>, ActivityError> {
        Ok(mail::account::send_code(&self.db, &self.mailer, self.code_keys()?, input).await?)
    }

    #[activity(definition = workflows::contract::EndCode)]
    pub async fn end_code(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: CodeStep,
    ) -> Result<bool, ActivityError> {
        Ok(codes::end(&self.db, input.code).await?.is_some())
    }

    #[activity(definition = workflows::contract::SendCodeUsed)]
    pub async fn send_code_used(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: CodeStep,
    ) -> Result<(), ActivityError> {
        Ok(mail::account::send_code_used(&self.db, &self.mailer, input).await?)
    }
}

fn tell_settled(order: OrderId, report: &PaymentReport, settled: Settled) {
    let payment_id = &report.payment_id;
    match settled {
        Settled::Paid(status) => {
            telemetry::metrics().orders.with_label_values(&[status.as_str()]).inc();
            telemetry::metrics().holds.with_label_values(&["committed"]).inc();
            tracing::info!(order_id = %order, %status, payment_id, "order paid");
        }
        Settled::AttemptFailed => {}
        Settled::Known => tracing::info!(order_id = %order, payment_id, "part of an order paid"),
        Settled::Reinstated(successor) => {
            telemetry::metrics().orders.with_label_values(&["reinstated"]).inc();
            tracing::info!(order_id = %order, %successor, payment_id, "order taken back");
        }
        Settled::Unmatched(why) => {
            telemetry::metrics().exceptions.with_label_values(&[why.as_str()]).inc();
            tracing::warn!(order_id = %order, why = why.as_str(), payment_id, "exception raised");
        }
    }
}

fn released(order: OrderId, outcome: ChangeOutcome, status: Status) -> ChangeOutcome {
    if outcome == ChangeOutcome::Done {
        telemetry::metrics().orders.with_label_values(&[status.as_str()]).inc();
        telemetry::metrics().holds.with_label_values(&["released"]).inc();
        tracing::info!(order_id = %order, %status, "order closed, stock released");
    }
    outcome
}

fn completed(order: OrderId, outcome: ChangeOutcome, how: &str) -> ChangeOutcome {
    if outcome == ChangeOutcome::Done {
        telemetry::metrics().orders.with_label_values(&[Status::Completed.as_str()]).inc();
        tracing::info!(order_id = %order, status = %Status::Completed, "{how}");
    }
    outcome
}
