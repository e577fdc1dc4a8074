//! Whose money went back, written down: [`domain::attribution`] says it from all that is known of a payment,
//! and what it says becomes the state of the payment's refunds, disputes and exceptions. Whoever changes one
//! of them, in whatever order, comes through here, and so all ends the same.

use domain::{
    ExceptionId, OrderId, Timestamp,
    attribution::{self, Attribution, Fate, Taken},
    exception::{Kind, ResolvedBy},
    money::Money,
    payment::{Action, DisputeState, RefundState},
};

use super::{
    PaymentRef,
    payment_facts::{DisputeRow, ExceptionRow, PaymentFacts, RefundRow},
    refresh_payment_status,
};
use crate::{
    Result, Tx, changes,
    exceptions::{self, About, Subject},
    locks, orders, returns,
};

/// Says anew whose money went back of a payment, and writes what follows from it.
pub(crate) async fn update_attribution(tx: &mut Tx, payment: &PaymentRef<'_>, at: Timestamp) -> Result<()> {
    if let Some(order) = payment.order {
        locks::order(tx, order).await?;
    }
    let facts = PaymentFacts::read(tx, payment).await?;
    let says = attribution::attribute(&facts.payment());
    let update = Update { payment, facts: &facts, at };
    update.held_money(tx, &says).await?;
    for (row, taken) in facts.disputes.iter().zip(&says.disputes) {
        update.dispute(tx, row, taken).await?;
    }
    for (place, row) in facts.refunds.iter().enumerate() {
        update.refund(tx, place, row, &says).await?;
    }
    let Some(order) = payment.order else { return Ok(()) };
    give_back_superseded(tx, &facts, order, at).await?;
    if orders::take_back(tx, order, payment, at).await? {
        // Once more: what it was taken of is an exception's by now.
        return Box::pin(update_attribution(tx, payment, at)).await;
    }
    refresh_payment_status(tx, order).await?;
    changes::end_if_refunded(tx, order, at).await
}

/// What follows from an attribution.
struct Update<'a> {
    payment: &'a PaymentRef<'a>,
    facts: &'a PaymentFacts,
    at: Timestamp,
}

impl Update<'_> {
    /// What exceptions hold, and whether all of it went back by itself.
    async fn held_money(&self, tx: &mut Tx, says: &Attribution) -> Result<()> {
        for (place, row) in self.facts.held.iter().enumerate() {
            let back = says.back[place];
            if back != row.back {
                sqlx::query!("UPDATE exceptions SET back = $2 WHERE id = $1", row.id.uuid(), back)
                    .execute(&mut **tx)
                    .await?;
            }
            let all = row.amount > 0 && back == row.amount;
            let whole = says.refunds.iter().any(|it| it.whole == Some(place));
            let (action, note) = match whole {
                true => (Action::Refund, "refunded at the provider"),
                false => (Action::Dismiss, "the money is not here any more: it went back at the provider"),
            };
            let settled_so = row.action == Some(action);
            if row.fate() != Fate::Waits || (all && settled_so) || (!all && row.is_open) {
                continue;
            }
            if !row.is_open {
                exceptions::reopen(tx, row.id, self.payment.order, row.amount, self.at).await?;
            }
            if all {
                self.settle(tx, row, action, note, ResolvedBy::Provider).await?;
            }
        }
        Ok(())
    }

    /// An open dispute is an open exception, and so is what a lost one took beyond what was left.
    async fn dispute(&self, tx: &mut Tx, row: &DisputeRow, taken: &Taken) -> Result<()> {
        if (taken.own, taken.held) != (row.own, row.held) {
            sqlx::query!(
                "UPDATE disputes SET own = $2, held = $3 WHERE id = $1",
                row.id.uuid(),
                taken.own,
                taken.held
            )
            .execute(&mut **tx)
            .await?;
        }
        let subject = Subject::Dispute(row.id);
        let is_beyond = row.state == DisputeState::Lost && taken.short > 0 && self.payment.payment.is_some();
        let beyond = is_beyond.then(|| Money::new(taken.short, row.currency));
        self.follow(tx, Kind::RefundUnexplained, subject, beyond, "explained by now").await?;
        let open = (row.state == DisputeState::Open).then(|| Money::new(row.amount, row.currency));
        let note = format!("the dispute is {}", row.state);
        self.follow(tx, Kind::Disputed, subject, open, &note).await.map(|_| ())
    }

    async fn refund(&self, tx: &mut Tx, place: usize, row: &RefundRow, says: &Attribution) -> Result<()> {
        let (taken, still_here) = (&says.refunds[place], says.still_here[place]);
        if row.state == RefundState::Failed && !row.by_provider {
            mark_superseded(tx, row, still_here == 0).await?;
        }
        self.still_here(tx, row, still_here).await?;
        let explained_by = self.unexplained(tx, row, taken, says.ours_under_way).await?;
        let whole = taken.whole.map(|place| self.facts.held[place].id);
        write_refund(tx, row, taken, whole.or(explained_by)).await
    }

    /// An exception tells of what should have gone back and is still here, as long as it is.
    async fn still_here(&self, tx: &mut Tx, row: &RefundRow, amount: i64) -> Result<()> {
        let note = match row.state {
            RefundState::Succeeded => "it went back after all",
            _ => "the money is not here any more, or is on its way by another refund",
        };
        let money = (amount > 0).then(|| Money::new(amount, row.currency));
        self.follow(tx, Kind::RefundFailed, Subject::Refund(row.id), money, note).await.map(|_| ())
    }

    /// An exception tells of what went back for no reason that we know, as long as we do not. Gives it, if it
    /// tells of all that went back.
    async fn unexplained(
        &self,
        tx: &mut Tx,
        row: &RefundRow,
        taken: &Taken,
        wait: bool,
    ) -> Result<Option<ExceptionId>> {
        let of_another_currency = row.amount - self.facts.in_question(row.amount, row.currency);
        let short = match row.state {
            RefundState::Failed => 0,
            RefundState::Requested | RefundState::Pending if !row.by_provider => 0,
            RefundState::Requested | RefundState::Pending | RefundState::Succeeded => {
                taken.short + of_another_currency
            }
        };
        let subject = Subject::Refund(row.id);
        if short > 0 && wait {
            let told = self.facts.exception(Kind::RefundUnexplained, subject);
            return Ok(told.filter(|it| it.is_open && short == row.amount).map(|it| it.id));
        }
        let note = match row.state {
            RefundState::Failed => "it failed: nothing went back",
            _ => "explained by now",
        };
        let money = (short > 0).then(|| Money::new(short, row.currency));
        let raised = self.follow(tx, Kind::RefundUnexplained, subject, money, note).await?;
        Ok(raised.filter(|_| short == row.amount))
    }

    /// Makes an exception about a refund or a dispute tell of this much, and gives it. If there is nothing to
    /// tell, it is settled, with the note.
    async fn follow(
        &self,
        tx: &mut Tx,
        kind: Kind,
        subject: Subject,
        money: Option<Money>,
        note: &str,
    ) -> Result<Option<ExceptionId>> {
        match (self.facts.exception(kind, subject), money) {
            (None, None) => Ok(None),
            (None, Some(money)) => {
                let (payment, captured) = (*self.payment, self.facts.captured);
                let (part, subject) = (&subject.to_string(), Some(subject));
                let about = About { payment, money, captured, part, subject };
                exceptions::raise(tx, kind, &about, self.at).await
            }
            (Some(it), None) => {
                if it.is_open {
                    self.settle(tx, it, Action::Dismiss, note, ResolvedBy::Rule).await?;
                }
                Ok(None)
            }
            (Some(it), Some(money)) => {
                if it.settled_by_rule() {
                    exceptions::reopen(tx, it.id, self.payment.order, money.amount, self.at).await?;
                } else if it.is_open && it.amount != money.amount {
                    exceptions::set_amount(tx, it.id, money.amount).await?;
                }
                Ok(Some(it.id))
            }
        }
    }

    async fn settle(
        &self,
        tx: &mut Tx,
        row: &ExceptionRow,
        action: Action,
        note: &str,
        by: ResolvedBy,
    ) -> Result<()> {
        exceptions::settle_and_tell(tx, row.id, self.payment.order, action, note, by, self.at).await
    }
}

/// Notes whether a refund of ours failed because its money went back otherwise.
async fn mark_superseded(tx: &mut Tx, row: &RefundRow, is_so: bool) -> Result<()> {
    sqlx::query!(
        "UPDATE refunds SET state_text = CASE WHEN $2 THEN 'superseded: ' || state_text
                                         ELSE substr(state_text, length('superseded: ') + 1) END
         WHERE id = $1 AND starts_with(state_text, 'superseded: ') <> $2",
        row.id.uuid(),
        is_so
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What a refund of ours was to bring back comes back also if it failed, once its money went back otherwise:
/// the customer has the money, and is owed neither twice.
async fn give_back_superseded(
    tx: &mut Tx,
    facts: &PaymentFacts,
    order: OrderId,
    at: Timestamp,
) -> Result<()> {
    let payment = facts.payment();
    for (place, row) in facts.refunds.iter().enumerate() {
        if payment.went_back_otherwise(place) {
            returns::give_back_of_failed(tx, row.id, order, at).await?;
        }
    }
    Ok(())
}

/// A refund of ours keeps the exception that it was made for.
async fn write_refund(
    tx: &mut Tx,
    row: &RefundRow,
    taken: &Taken,
    exception: Option<ExceptionId>,
) -> Result<()> {
    let exception = match row.by_provider {
        true => exception,
        false => row.exception_id,
    };
    if (taken.own, taken.held, exception) == (row.own, row.held, row.exception_id) {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE refunds SET own = $2, held = $3, exception_id = $4 WHERE id = $1",
        row.id.uuid(),
        taken.own,
        taken.held,
        exception.map(ExceptionId::uuid)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
