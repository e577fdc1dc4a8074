//! Money for an order: recorded always, and judged against the order as it stands under its lock.

use domain::{
    OrderId, Timestamp,
    money::Money,
    order::Status,
    payment::{self, Mismatch, Outcome, PaymentReport},
    stock::Movement,
};
use serde_json::json;

use super::{Locked, lock, set_status};
use crate::{Db, Result, Tx, exceptions, inbox, outbox, payments, sql, stock, timeline};

/// What a payment report did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// It paid the order; with immediate fulfilment the order is completed, too.
    Paid { completed: bool },
    /// The attempt failed. The hold stays and the customer may try again.
    AttemptFailed,
    /// This very payment was recorded before. If it is the one that paid the order: the order's status.
    Known(Option<Status>),
    /// The money does not settle the order; an exception is open.
    Unmatched(Mismatch),
}

/// Records a payment report, and pays the order if the money fits. Safe to repeat.
#[tracing::instrument(name = "sql orders.settle", skip_all, err(level = "debug"))]
pub async fn settle(db: &Db, id: OrderId, report: &PaymentReport, at: Timestamp) -> Result<Settlement> {
    let mut tx = db.begin().await?;
    let order = lock(&mut tx, id).await?;
    let settlement = match (payments::record(&mut tx, id, report, at).await?, report.outcome) {
        (false, _) => Settlement::Known(paid_before(&mut tx, &order, report).await?),
        (true, Outcome::Failed) => Settlement::AttemptFailed,
        (true, Outcome::Succeeded) => receive(&mut tx, &order, report, at).await?,
    };
    inbox::mark_settled(&mut tx, report, at).await?;
    tx.commit().await?;
    Ok(settlement)
}

/// A worker that died right after it paid the order asks again, and must hear that it is paid: else
/// the order's workflow would sleep on and the customer would never be told.
async fn paid_before(tx: &mut Tx<'_>, order: &Locked, report: &PaymentReport) -> Result<Option<Status>> {
    let is_paid = matches!(order.status, Status::Paid | Status::Completed);
    let paid = is_paid
        && report.outcome == Outcome::Succeeded
        && !exceptions::is_about(tx, order.id, report).await?;
    Ok(paid.then_some(order.status))
}

async fn receive(
    tx: &mut Tx<'_>,
    order: &Locked,
    report: &PaymentReport,
    at: Timestamp,
) -> Result<Settlement> {
    let data = json!({
        "provider": report.provider,
        "payment_id": report.payment_id,
        "amount": report.money.amount,
        "currency": report.money.currency,
    });
    timeline::append(tx, order.id, at, &[("payment.received", data)]).await?;
    match judge(order, report) {
        Ok(()) => pay(tx, order, at).await,
        Err(mismatch) => {
            exceptions::raise(tx, Some(order.id), mismatch, report, at).await?;
            Ok(Settlement::Unmatched(mismatch))
        }
    }
}

fn judge(order: &Locked, report: &PaymentReport) -> Result<(), Mismatch> {
    match order.status {
        Status::AwaitingPayment => payment::judge(Money::new(order.total, order.currency), report.money),
        Status::Paid | Status::Completed => Err(Mismatch::PaidTwice),
        Status::Cancelled | Status::Expired => Err(Mismatch::OrderClosed),
    }
}

async fn pay(tx: &mut Tx<'_>, order: &Locked, at: Timestamp) -> Result<Settlement> {
    sqlx::query("UPDATE orders SET payment_status = 'paid', paid_at = $2 WHERE id = $1")
        .bind(order.id.uuid())
        .bind(sql(at))
        .execute(&mut **tx)
        .await?;
    stock::end_holds(tx, order.id, Movement::Committed, at).await?;
    let status = match order.manual_fulfilment {
        true => Status::Paid,
        false => Status::Completed,
    };
    set_status(tx, order, status, None, at).await?;
    let mut entries = vec![("order.paid", json!({})), ("stock.committed", json!({}))];
    if status.is_terminal() {
        entries.push(("order.completed", json!({})));
    }
    timeline::append(tx, order.id, at, &entries).await?;
    outbox::append(tx, order.id, at, "order.paid", json!({"customer_id": order.customer_id})).await?;
    if status.is_terminal() {
        outbox::append(tx, order.id, at, "order.completed", json!({"customer_id": order.customer_id}))
            .await?;
    }
    Ok(Settlement::Paid { completed: status.is_terminal() })
}

/// Money for an order that we do not know: kept, and shown as an exception.
pub async fn raise_unknown_order(db: &Db, report: &PaymentReport, at: Timestamp) -> Result<()> {
    let mut tx = db.begin().await?;
    if report.outcome == Outcome::Succeeded {
        exceptions::raise(&mut tx, None, Mismatch::UnknownOrder, report, at).await?;
    }
    inbox::mark_settled(&mut tx, report, at).await?;
    Ok(tx.commit().await?)
}
