//! Money that is not what was due, and counts towards its order all the same: part of it, as the order's
//! policy allows, or whatever a person decides to apply. The order is paid once nothing is due any more; one
//! that ends before that gives its parts back.

use domain::{
    DisputeId, OrderId, PaymentId, RefundId, Timestamp,
    event::{OrderEvent, ReceivedMoney},
    exception,
    money::{Currency, Money},
    order::Status,
    payment::{Outcome, PaymentReport},
};

use super::{Locked, pay};
use crate::{
    Result, Tx,
    exceptions::{self, About, Exception, Subject},
    inbox, locks,
    order_events::{self, New},
    payments,
    refunds::{self, PaymentRef},
    stock::{self, End},
};

/// Counts money towards an order that goes on waiting for the rest.
pub(super) async fn count(
    tx: &mut Tx,
    order: &Locked,
    payment: PaymentId,
    about: &About<'_>,
    at: Timestamp,
) -> Result<()> {
    payments::apply_more(tx, payment, about.money.amount).await?;
    sqlx::query!(
        "UPDATE orders SET parts_paid = parts_paid + $2 WHERE id = $1",
        order.id.uuid(),
        about.money.amount
    )
    .execute(&mut **tx)
    .await?;
    order_events::append_all(tx, &[applied(order, about.payment.received(about.money), at)]).await
}

/// Pays an order with money that covers all that is due. What it brings beyond that is an exception.
pub(super) async fn complete(
    tx: &mut Tx,
    ends: &mut Vec<End>,
    order: &Locked,
    payment: PaymentId,
    about: &About<'_>,
    at: Timestamp,
) -> Result<()> {
    let due = order.due();
    payments::apply_more(tx, payment, due.amount).await?;
    let is_part = due.amount != order.total;
    let events = is_part.then(|| applied(order, about.payment.received(due), at)).into_iter().collect();
    pay::pay(tx, ends, &[(order, at)], events).await?;
    let excess = Money::new(about.money.amount - due.amount, order.currency);
    if excess.amount > 0 {
        let about = About { money: excess, ..*about };
        pay::follow(tx, ends, order, exception::Kind::Overpaid, &about, at).await?;
    }
    Ok(())
}

/// Tells of money that counts, and of what is due after it.
pub(super) fn applied(order: &Locked, money: ReceivedMoney, at: Timestamp) -> New<&Locked> {
    let amount_due = order.due().amount - money.money.amount;
    (order, at, OrderEvent::PaymentApplied { money, amount_due })
}

/// What is still to come of an order that awaits payment.
pub(super) async fn still_due(tx: &mut Tx, order: &Locked) -> Result<Option<Money>> {
    let due = sqlx::query_scalar!(
        r#"SELECT total - parts_paid AS "due!" FROM orders WHERE id = $1 AND status = 'awaiting_payment'"#,
        order.id.uuid()
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(due.map(|due| Money::new(due, order.currency)))
}

/// The order has ended unpaid: what came towards it is money for an ended order from here on, and becomes
/// what the order's rules say of that.
pub(super) async fn release(tx: &mut Tx, ends: &mut Vec<End>, order: &Locked, at: Timestamp) -> Result<()> {
    if order.parts_paid == 0 {
        return Ok(());
    }
    let parts = sqlx::query!(
        r#"SELECT id AS "id: PaymentId", provider, provider_payment_id AS "provider_payment_id!", amount,
                  applied
           FROM payments WHERE order_id = $1 AND applied > 0 AND pays_order IS NULL ORDER BY id"#,
        order.id.uuid()
    )
    .fetch_all(&mut **tx)
    .await?;
    for part in parts {
        payments::apply(tx, part.id, 0, None).await?;
        let about = About {
            payment: PaymentRef {
                provider: &part.provider,
                provider_payment_id: &part.provider_payment_id,
                payment: Some(part.id),
                order: Some(order.id),
            },
            money: Money::new(part.applied, order.currency),
            captured: part.amount,
            part: "",
            subject: None,
        };
        pay::follow(tx, ends, order, exception::Kind::OrderClosed, &about, at).await?;
    }
    Ok(())
}

/// What of a part went back at the provider, or was lost in a dispute, is still to come while its order
/// awaits payment: it does not count any more, and is an exception. What is only on its way or in dispute
/// counts, as it does of an order that is paid: it may yet stay, and an order's end is not to depend on which
/// is told first. Whether there was anything.
pub(crate) async fn take_back(
    tx: &mut Tx,
    order: OrderId,
    of: &PaymentRef<'_>,
    at: Timestamp,
) -> Result<bool> {
    let order = locks::order(tx, order).await?;
    let (Some(payment), true) = (of.payment, order.parts_paid > 0) else { return Ok(false) };
    let taken = sqlx::query_as!(
        Taken,
        r#"SELECT id AS "refund?: RefundId", NULL::uuid AS "dispute?: DisputeId", own AS "own!" FROM refunds
           WHERE payment_id = $1 AND state = 'succeeded' AND own > 0
           UNION ALL
           SELECT NULL, id, own FROM disputes WHERE payment_id = $1 AND state = 'lost' AND own > 0
           ORDER BY 1, 2"#,
        payment.uuid()
    )
    .fetch_all(&mut **tx)
    .await?;
    for taken in &taken {
        take(tx, &order, payment, of, taken, at).await?;
    }
    Ok(!taken.is_empty())
}

/// What a refund or a dispute took of a part.
struct Taken {
    refund: Option<RefundId>,
    dispute: Option<DisputeId>,
    own: i64,
}

/// The exception says which refund or dispute it is because of: so it is known for good whose money that
/// took.
async fn take(
    tx: &mut Tx,
    order: &Locked,
    payment: PaymentId,
    of: &PaymentRef<'_>,
    taken: &Taken,
    at: Timestamp,
) -> Result<()> {
    let before = sqlx::query!(
        r#"SELECT amount, applied, (SELECT count(*) FROM exceptions e WHERE e.payment_id = p.id) AS "told!"
           FROM payments p WHERE id = $1"#,
        payment.uuid()
    )
    .fetch_one(&mut **tx)
    .await?;
    payments::apply(tx, payment, before.applied - taken.own, None).await?;
    sqlx::query!("UPDATE orders SET parts_paid = parts_paid - $2 WHERE id = $1", order.id.uuid(), taken.own)
        .execute(&mut **tx)
        .await?;
    let about = About {
        payment: *of,
        money: Money::new(taken.own, order.currency),
        captured: before.amount,
        part: &format!("gone-{}", before.told), // how many there are only grows
        subject: Subject::of(taken.refund, taken.dispute),
    };
    exceptions::raise(tx, exception::Kind::WrongAmount, &about, at).await.map(|_| ())
}

/// What came of applying money.
#[derive(Debug)]
pub struct Applied {
    /// The order's new status, if it is paid.
    pub paid: Option<Status>,
    /// For the order's workflow, which has to know: to be handed to the engine.
    pub event: inbox::Pending,
}

/// Counts an exception's money towards its order, because a person said so: as much as is due. If that pays
/// the order, it is paid here and now. The order's workflow comes to know by an event of ours, stored with it
/// all.
pub(crate) async fn apply(
    tx: &mut Tx,
    exception: &Exception,
    at: Timestamp,
) -> Result<Applied, exceptions::Error> {
    let (Some(order), Some(payment), Some(provider), Some(provider_payment_id)) = (
        exception.order_id,
        exception.payment_id,
        exception.provider.as_deref(),
        exception.provider_payment_id.as_deref(),
    ) else {
        return Err(not_applicable("The money is for no order that we know.", None));
    };
    let of = PaymentRef { provider, provider_payment_id, payment: Some(payment), order: Some(order) };
    let order = locks::order(tx, order).await?;
    let captured = payments::captured(tx, payment).await?;
    check(&order, exception, captured.currency, at)?;
    if exceptions::back(tx, exception.id).await? > 0 {
        let why = "Some of the money went back, or is on its way or in dispute.";
        return Err(not_applicable(why, Some(order.status)));
    }
    let money = Money::new(exception.amount, order.currency);
    let about = About { captured: captured.amount, ..About::all(of, money) };
    let paid = match money.amount < order.due().amount {
        true => {
            count(tx, &order, payment, &about, at).await?;
            None
        }
        false => {
            let mut ends = Vec::new();
            complete(tx, &mut ends, &order, payment, &about, at).await?;
            stock::end_holds(tx, &ends).await?;
            Some(order.status_when_paid())
        }
    };
    refunds::refresh_payment_status(tx, order.id).await?;
    let report = PaymentReport {
        provider: provider.to_owned(),
        event_id: format!("applied-{}", exception.id),
        payment_id: provider_payment_id.to_owned(),
        outcome: Outcome::Succeeded,
        money: captured,
    };
    let event = inbox::store_own(tx, order.id, report, "exception.applied", at).await?;
    Ok(Applied { paid, event })
}

fn check(
    order: &Locked,
    exception: &Exception,
    currency: Currency,
    at: Timestamp,
) -> Result<(), exceptions::Error> {
    if exception.kind != exception::Kind::WrongAmount {
        let why =
            format!("Only money of a wrong amount can be applied; this exception is `{}`.", exception.kind);
        return Err(not_applicable(&why, Some(order.status)));
    }
    if order.status != Status::AwaitingPayment || order.is_too_late(at) {
        let why = format!("The order is {}, and it can be paid no more.", order.status);
        return Err(not_applicable(&why, Some(order.status)));
    }
    if currency != order.currency || exception.amount < 1 {
        let why = format!("The order waits for money in {}.", order.currency);
        return Err(not_applicable(&why, Some(order.status)));
    }
    Ok(())
}

fn not_applicable(why: &str, status: Option<Status>) -> exceptions::Error {
    exceptions::Error::NotApplicable { why: why.to_owned(), status }
}
