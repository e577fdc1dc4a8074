//! All that is known of one payment, read for [`domain::attribution`].

use domain::{
    DisputeId, ExceptionId, PaymentId, RefundId,
    attribution::{self, Failure, Fate, Held, TakenFrom},
    exception::{Kind, ResolvedBy},
    money::Currency,
    payment::{Action, DisputeState, RefundState},
};

use super::PaymentRef;
use crate::{Result, Tx, exceptions::Subject};

pub(super) struct ExceptionRow {
    pub id: ExceptionId,
    pub kind: Kind,
    pub is_open: bool,
    pub action: Option<Action>,
    pub resolved_by: Option<ResolvedBy>,
    pub amount: i64,
    pub currency: Option<Currency>,
    pub back: i64,
    pub refund_id: Option<RefundId>,
    pub dispute_id: Option<DisputeId>,
}

impl ExceptionRow {
    /// The refund or the dispute of which it tells, or because of which it holds what it holds.
    fn subject(&self) -> Option<Subject> {
        Subject::of(self.refund_id, self.dispute_id)
    }

    /// Settled by what follows from an attribution, so it may open again.
    pub fn settled_by_rule(&self) -> bool {
        !self.is_open && self.resolved_by.is_some_and(ResolvedBy::is_automatic)
    }

    pub fn fate(&self) -> Fate {
        match (self.action, self.resolved_by) {
            (None, _) | (_, Some(ResolvedBy::Provider)) => Fate::Waits,
            (Some(Action::Refund), _) => Fate::Sent,
            (Some(_), _) => Fate::Kept,
        }
    }

    fn failure(&self) -> Failure {
        match self.action {
            Some(_) if self.settled_by_rule() => Failure::Waits,
            Some(Action::Refund) => Failure::SentAgain,
            Some(_) => Failure::Kept,
            None => Failure::Waits,
        }
    }
}

pub(super) struct RefundRow {
    pub id: RefundId,
    pub exception_id: Option<ExceptionId>,
    pub by_provider: bool,
    pub state: RefundState,
    pub amount: i64,
    pub currency: Currency,
    pub own: i64,
    pub held: i64,
}

pub(super) struct DisputeRow {
    pub id: DisputeId,
    pub state: DisputeState,
    pub amount: i64,
    pub currency: Currency,
    pub own: i64,
    pub held: i64,
}

/// All that is known of a payment.
pub(super) struct PaymentFacts {
    pub captured: i64,
    pub applied: i64,
    /// None: nothing was captured, as far as we know.
    pub currency: Option<Currency>,
    /// Exceptions that hold money of it.
    pub held: Vec<ExceptionRow>,
    /// Exceptions that tell of its refunds and disputes.
    told: Vec<ExceptionRow>,
    pub refunds: Vec<RefundRow>,
    pub disputes: Vec<DisputeRow>,
}

impl PaymentFacts {
    pub async fn read(tx: &mut Tx, payment: &PaymentRef<'_>) -> Result<Self> {
        let PaymentRef { provider, provider_payment_id, .. } = *payment;
        let payment = payment.payment.map(PaymentId::uuid);
        let captured = sqlx::query!(
            r#"SELECT amount, applied, currency AS "currency: Currency" FROM payments
               WHERE id = $1 AND state = 'succeeded'"#,
            payment
        )
        .fetch_optional(&mut **tx)
        .await?;
        let exceptions = sqlx::query_as!(
            ExceptionRow,
            r#"SELECT id, kind, state = 'open' AS "is_open!", action, resolved_by, amount, currency, back,
                      refund_id, dispute_id
               FROM exceptions
               WHERE provider_payment_id = $2 AND provider = $1 AND payment_id IS NOT DISTINCT FROM $3
                 AND action IS DISTINCT FROM 'apply'
               ORDER BY id"#,
            provider,
            provider_payment_id,
            payment
        )
        .fetch_all(&mut **tx)
        .await?;
        let refunds = sqlx::query_as!(
            RefundRow,
            r#"SELECT id, exception_id, source = 'provider' AS "by_provider!", state, amount, currency, own,
                      held
               FROM refunds
               WHERE provider_payment_id = $2 AND provider = $1 AND payment_id IS NOT DISTINCT FROM $3
               ORDER BY source <> 'provider', CASE source WHEN 'provider' THEN provider_refund_id END, id"#,
            provider,
            provider_payment_id,
            payment
        )
        .fetch_all(&mut **tx)
        .await?;
        let disputes = sqlx::query_as!(
            DisputeRow,
            "SELECT id, state, amount, currency, own, held FROM disputes
             WHERE provider_payment_id = $2 AND provider = $1 AND payment_id IS NOT DISTINCT FROM $3
             ORDER BY provider_dispute_id",
            provider,
            provider_payment_id,
            payment
        )
        .fetch_all(&mut **tx)
        .await?;
        let (held, told): (Vec<_>, Vec<_>) = exceptions.into_iter().partition(|it| it.kind.holds_money());
        let (captured, applied, currency) = match captured {
            Some(payment) => (payment.amount, payment.applied, Some(payment.currency)),
            None => (held.iter().map(|it| it.amount).sum(), 0, held.iter().find_map(|it| it.currency)),
        };
        Ok(Self { captured, applied, currency, held, told, refunds, disputes })
    }

    /// As [`attribution::attribute`] wants it.
    pub fn payment(&self) -> attribution::Payment {
        let held = self.held.iter().map(|it| Held { amount: it.amount, fate: it.fate(), back: it.back });
        let refunds = self.refunds.iter().map(|row| attribution::Refund {
            from: self.taken_from(row),
            state: row.state,
            amount: self.in_question(row.amount, row.currency),
            failure: match self.went_back_after_all(row) {
                true => Failure::SentAgain,
                false => self.failure(row).map_or(Failure::Waits, ExceptionRow::failure),
            },
            held_for: match row.by_provider {
                true => self.held_for(Subject::Refund(row.id)),
                false => Vec::new(),
            },
        });
        let disputes = self.disputes.iter().map(|row| attribution::Dispute {
            state: row.state,
            amount: self.in_question(row.amount, row.currency),
            held_for: self.held_for(Subject::Dispute(row.id)),
        });
        attribution::Payment {
            applied: self.applied,
            held: held.collect(),
            refunds: refunds.collect(),
            disputes: disputes.collect(),
        }
    }

    /// What is held because a refund or a dispute took it from an order that was not paid yet.
    fn held_for(&self, subject: Subject) -> Vec<usize> {
        let places = self.held.iter().enumerate().filter(|(_, it)| it.subject() == Some(subject));
        places.map(|(place, _)| place).collect()
    }

    /// Money of another currency than was captured takes nothing of it.
    pub fn in_question(&self, amount: i64, currency: Currency) -> i64 {
        let fits = self.currency.is_none_or(|captured| captured == currency);
        if fits { amount } else { 0 }
    }

    /// What a refund was to take. One that was made instead of another that failed is of the same.
    fn taken_from(&self, row: &RefundRow) -> TakenFrom {
        let mut row = row;
        for _ in 0..=self.refunds.len() {
            if row.by_provider {
                return TakenFrom::Anywhere;
            }
            let Some(exception) = row.exception_id else { return TakenFrom::Own };
            if let Some(place) = self.held.iter().position(|it| it.id == exception) {
                return TakenFrom::Held(place);
            }
            match self.failed_before(row) {
                Some(before) => row = before,
                None => return TakenFrom::Own,
            }
        }
        TakenFrom::Own
    }

    /// Whether a refund was made instead of one that had failed and succeeded after all.
    fn went_back_after_all(&self, row: &RefundRow) -> bool {
        let mut row = row;
        for _ in 0..=self.refunds.len() {
            match self.failed_before(row) {
                Some(before) if before.state == RefundState::Succeeded => return true,
                Some(before) => row = before,
                None => return false,
            }
        }
        false
    }

    /// The refund that had failed, if this one was made instead of it.
    fn failed_before(&self, row: &RefundRow) -> Option<&RefundRow> {
        let made_for = row.exception_id?;
        let failure = self.told.iter().find(|it| it.id == made_for && it.kind == Kind::RefundFailed)?;
        self.refunds.iter().find(|it| failure.refund_id == Some(it.id))
    }

    fn failure(&self, row: &RefundRow) -> Option<&ExceptionRow> {
        self.exception(Kind::RefundFailed, Subject::Refund(row.id))
    }

    /// The exception of this kind that tells of a refund or a dispute.
    pub fn exception(&self, kind: Kind, subject: Subject) -> Option<&ExceptionRow> {
        self.told.iter().find(|it| it.kind == kind && it.subject() == Some(subject))
    }
}
