//! Whose money went back, written down: [`domain::attribution`] says it from all that is known of a payment,
//! and what it says becomes the state of the payment's refunds, disputes and exceptions. Whoever changes one
//! of them, in whatever order, comes through here, and so the books end the same.

use domain::{
    ExceptionId, OrderId, PaymentId, Timestamp,
    attribution::{self, Attribution, Fate, Taken},
    event::ReceivedMoney,
    exception::{Kind, ResolvedBy},
    money::{Currency, Money},
    payment::{Action, DisputeState, RefundState},
};

use super::{
    books::{Books, DisputeRow, ExceptionRow, RefundRow},
    refresh_payment_status,
};
use crate::{
    Result, Tx, changes,
    exceptions::{self, About},
    orders, returns,
};

/// The payment in question. Without `payment` it is money for no order of ours, or not known yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub provider: &'a str,
    pub provider_payment_id: &'a str,
    pub payment: Option<PaymentId>,
    pub order: Option<OrderId>,
}

impl Whose<'_> {
    /// So much of it, as events tell.
    pub fn received(&self, money: Money) -> ReceivedMoney {
        ReceivedMoney::new(self.provider, self.provider_payment_id, money)
    }
}

/// Says anew whose money went back of a payment, and what follows from it.
pub(crate) async fn rebalance(tx: &mut Tx, whose: &Whose<'_>, at: Timestamp) -> Result<()> {
    if let Some(order) = whose.order {
        orders::lock(tx, order).await?;
    }
    let books = Books::read(tx, whose).await?;
    let says = attribution::attribute(&books.payment());
    let change = Change { whose, books: &books, at };
    change.write_exceptions(tx, &says).await?;
    for (row, taken) in books.disputes.iter().zip(&says.disputes) {
        change.dispute(tx, row, taken).await?;
    }
    for (place, row) in books.refunds.iter().enumerate() {
        change.failed(tx, row, says.still_here[place]).await?;
        let explained_by = change.unexplained(tx, row, &says.refunds[place], says.ours_under_way).await?;
        let whole = says.refunds[place].whole.map(|place| books.held[place].id);
        write_refund(tx, row, &says.refunds[place], whole.or(explained_by)).await?;
    }
    let Some(order) = whose.order else { return Ok(()) };
    give_back_superseded(tx, &books, order, at).await?;
    if orders::take_back(tx, order, whose, at).await? {
        // Once more: what it was taken of is an exception's by now.
        return Box::pin(rebalance(tx, whose, at)).await;
    }
    refresh_payment_status(tx, order).await?;
    changes::end_if_refunded(tx, order, at).await
}

/// What is to follow from an attribution.
struct Change<'a> {
    whose: &'a Whose<'a>,
    books: &'a Books,
    at: Timestamp,
}

impl Change<'_> {
    /// What exceptions hold, and whether all of it went back by itself.
    async fn write_exceptions(&self, tx: &mut Tx, says: &Attribution) -> Result<()> {
        for (place, row) in self.books.held.iter().enumerate() {
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
                exceptions::reopen(tx, row.id, self.whose.order, row.amount, self.at).await?;
            }
            if all {
                self.settle(tx, row, action, note, ResolvedBy::Provider).await?;
            }
        }
        Ok(())
    }

    async fn settle(
        &self,
        tx: &mut Tx,
        row: &ExceptionRow,
        action: Action,
        note: &str,
        by: ResolvedBy,
    ) -> Result<()> {
        exceptions::settle_and_tell(tx, row.id, self.whose.order, action, note, by, self.at).await
    }

    /// An exception tells of what should have gone back and is still here, as long as it is.
    async fn failed(&self, tx: &mut Tx, row: &RefundRow, still_here: i64) -> Result<()> {
        let note = match row.state {
            RefundState::Succeeded => "it went back after all",
            _ => "the money is not here any more, or is on its way by another refund",
        };
        let told = self.books.failed(row);
        if row.state == RefundState::Failed && !row.by_provider {
            say_superseded(tx, row, still_here == 0).await?;
        }
        self.follow(tx, Kind::RefundFailed, told, still_here, row, note).await.map(|_| ())
    }

    /// An exception tells of what went back for no reason that we know, as long as we do not.
    async fn unexplained(
        &self,
        tx: &mut Tx,
        row: &RefundRow,
        taken: &Taken,
        wait: bool,
    ) -> Result<Option<ExceptionId>> {
        let (state, amount) = (row.state, row.amount);
        let of_another_currency = amount - self.books.in_question(amount, row.currency);
        let short = match state {
            RefundState::Failed => 0,
            RefundState::Succeeded => taken.short + of_another_currency,
            RefundState::Requested | RefundState::Pending if row.by_provider => {
                taken.short + of_another_currency
            }
            RefundState::Requested | RefundState::Pending => 0,
        };
        let told = self.books.about(Kind::RefundUnexplained, row);
        if short > 0 && wait {
            return Ok(told.filter(|it| it.is_open && short == amount).map(|it| it.id));
        }
        let note =
            if state == RefundState::Failed { "it failed: nothing went back" } else { "explained by now" };
        let raised = self.follow(tx, Kind::RefundUnexplained, told, short, row, note).await?;
        Ok(raised.filter(|_| short == amount))
    }

    /// Makes an exception about a refund tell of this much; of none, it is settled. Gives the exception that
    /// tells of it.
    async fn follow(
        &self,
        tx: &mut Tx,
        kind: Kind,
        told: Option<&ExceptionRow>,
        amount: i64,
        row: &RefundRow,
        note: &str,
    ) -> Result<Option<ExceptionId>> {
        match told {
            None if amount > 0 => {
                let raised = self.raise(tx, kind, amount, row.currency, &row.id.to_string()).await?;
                if let Some(raised) = raised {
                    exceptions::note_refund(tx, raised, row.id).await?;
                }
                return Ok(raised);
            }
            Some(it) if amount == 0 && it.is_open => {
                self.settle(tx, it, Action::Dismiss, note, ResolvedBy::Rule).await?;
            }
            Some(it) if amount > 0 && it.settled_by_rule() => {
                exceptions::reopen(tx, it.id, self.whose.order, amount, self.at).await?;
            }
            Some(it) if amount > 0 && it.is_open && it.amount != amount => {
                exceptions::set_amount(tx, it.id, amount).await?;
            }
            _ => {}
        }
        Ok(told.filter(|_| amount > 0).map(|it| it.id))
    }

    async fn raise(
        &self,
        tx: &mut Tx,
        kind: Kind,
        amount: i64,
        currency: Currency,
        part: &str,
    ) -> Result<Option<ExceptionId>> {
        let about = About {
            whose: *self.whose,
            money: Money::new(amount, currency),
            captured: self.books.captured,
            part,
        };
        Ok(exceptions::raise(tx, kind, &about, self.at).await?.map(|raised| raised.0))
    }

    /// The bank took more than was left of the payment: an exception tells of that, as long as it is so.
    async fn beyond(&self, tx: &mut Tx, row: &DisputeRow, short: i64) -> Result<()> {
        match self.books.of_dispute(Kind::RefundUnexplained, row) {
            None if short > 0 && self.whose.payment.is_some() => {
                let kind = Kind::RefundUnexplained;
                if let Some(raised) = self.raise(tx, kind, short, row.currency, &row.id.to_string()).await? {
                    exceptions::note_dispute(tx, raised, row.id).await?;
                }
                Ok(())
            }
            Some(it) if short == 0 && it.is_open => {
                self.settle(tx, it, Action::Dismiss, "explained by now", ResolvedBy::Rule).await
            }
            Some(it) if short > 0 && it.settled_by_rule() => {
                exceptions::reopen(tx, it.id, self.whose.order, short, self.at).await
            }
            _ => Ok(()),
        }
    }

    /// An open dispute is an open exception; won or lost, there is nothing left to decide.
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
        let state = row.state;
        let short = if state == DisputeState::Lost { taken.short } else { 0 };
        self.beyond(tx, row, short).await?;
        let told = self.books.of_dispute(Kind::Disputed, row);
        match (told, state) {
            (None, DisputeState::Open) => {
                let part = row.id.to_string();
                if let Some(raised) = self.raise(tx, Kind::Disputed, row.amount, row.currency, &part).await? {
                    exceptions::note_dispute(tx, raised, row.id).await?;
                }
                Ok(())
            }
            (Some(it), DisputeState::Open) if it.settled_by_rule() => {
                exceptions::reopen(tx, it.id, self.whose.order, row.amount, self.at).await
            }
            (Some(it), DisputeState::Open) if it.is_open && it.amount != row.amount => {
                exceptions::set_amount(tx, it.id, row.amount).await
            }
            (Some(it), DisputeState::Won | DisputeState::Lost) if it.is_open => {
                let note = format!("the dispute is {state}");
                self.settle(tx, it, Action::Dismiss, &note, ResolvedBy::Rule).await
            }
            _ => Ok(()),
        }
    }
}

/// Whether a refund of ours failed because its money went back otherwise.
async fn say_superseded(tx: &mut Tx, row: &RefundRow, is_so: bool) -> Result<()> {
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
async fn give_back_superseded(tx: &mut Tx, books: &Books, order: OrderId, at: Timestamp) -> Result<()> {
    let payment = books.payment();
    for (place, row) in books.refunds.iter().enumerate() {
        if payment.went_otherwise(place) {
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
