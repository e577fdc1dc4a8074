//! Asking for refunds of money that exceptions hold.

use domain::{
    ExceptionId, PaymentId, RefundId, Timestamp,
    exception::{Kind, ResolvedBy},
    money::Money,
    payment::{Action, RefundSource},
};

use super::{Error, NewRefund, PaymentRef, insert, request_one, update_attribution};
use crate::{
    Result, Tx,
    exceptions::{self, About, Exception},
    returns,
};

/// Sends the money of an exception back, by a rule: what has not gone back by itself.
pub(crate) async fn refund_exception_by_rule(
    tx: &mut Tx,
    exception: ExceptionId,
    about: &About<'_>,
    why: Kind,
    at: Timestamp,
) -> Result<()> {
    if !exceptions::settle(tx, exception, Action::Refund, "by the order's policy", ResolvedBy::Rule, at)
        .await?
    {
        return Ok(());
    }
    let back = exceptions::back(tx, exception).await?;
    let money = Money::new(about.money.amount - back, about.money.currency);
    let new = NewRefund {
        exception: Some(exception),
        captured: about.captured,
        source: RefundSource::Rule,
        ..NewRefund::new(about.payment, money, why.as_str())
    };
    request_one(tx, &new, at).await.map(|_| ())
}

/// Sends the money of an exception back, because a person said so.
pub(crate) async fn refund_exception(
    tx: &mut Tx,
    exception: &Exception,
    note: &str,
    at: Timestamp,
) -> Result<(), Error> {
    let (Some(provider), Some(provider_payment_id), Some(currency)) =
        (&exception.provider, &exception.provider_payment_id, exception.currency)
    else {
        return Err(Error::BeyondCaptured(0));
    };
    // No money, money that is not here, or that has gone back already.
    let is_elsewhere =
        matches!(exception.kind, Kind::RefundUnexplained | Kind::RefundContradicted | Kind::Disputed);
    let amount = exception.amount - exception.back;
    if amount < 1 || is_elsewhere {
        return Err(Error::BeyondCaptured(0));
    }
    // Instead of one that failed: what that was to bring back to the shelf comes back with this one.
    let failed = sqlx::query!(
        "SELECT id, restock FROM refunds WHERE $1 = 'refund_failed' AND id = $2",
        exception.kind.as_str(),
        exception.refund_id.map(RefundId::uuid)
    )
    .fetch_optional(&mut **tx)
    .await?;
    let payment = PaymentRef {
        provider,
        provider_payment_id,
        payment: exception.payment_id,
        order: exception.order_id,
    };
    let new = NewRefund {
        exception: Some(exception.id),
        captured: exception.amount,
        restock: failed.as_ref().is_some_and(|failed| failed.restock),
        ..NewRefund::new(payment, Money::new(amount, currency), note)
    };
    let refund = insert(tx, &new, at).await?.ok_or(Error::KeyReused)?;
    if let (Some(failed), Some(order)) = (failed, refund.order_id) {
        returns::take_over(tx, failed.id, refund.id, order, at).await?;
    }
    update_attribution(tx, &payment, at).await?;
    Ok(())
}

/// What exceptions held of a payment was sent back except for what was in dispute, and that was won: it goes
/// back, too, less what other exceptions tell of (a refund that failed), or a person has kept.
pub(crate) async fn refund_exceptions_after_won_dispute(
    tx: &mut Tx,
    payment: &PaymentRef<'_>,
    at: Timestamp,
) -> Result<()> {
    let id = payment.payment.map(PaymentId::uuid);
    let left = sqlx::query!(
        r#"SELECT id, amount - back AS "amount!", currency AS "currency!" FROM exceptions
           WHERE payment_id = $1 AND action = 'refund' AND resolved_by IN ('rule', 'api') AND amount > back
             AND kind <> 'refund_failed'
           ORDER BY id"#,
        id
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut told = sqlx::query_scalar!(
        r#"SELECT coalesce(sum(amount), 0)::bigint AS "told!" FROM exceptions
           WHERE payment_id = $1 AND kind = 'refund_failed'
             AND (state = 'open' OR (resolved_by = 'api' AND action <> 'refund'))"#,
        id
    )
    .fetch_one(&mut **tx)
    .await?;
    for exception in left {
        let elsewhere = told.min(exception.amount);
        told -= elsewhere;
        let amount = exception.amount - elsewhere;
        if amount == 0 {
            continue;
        }
        let money = Money::new(amount, exception.currency);
        let new = NewRefund {
            exception: Some(exception.id),
            source: RefundSource::Rule,
            ..NewRefund::new(*payment, money, "the dispute was won")
        };
        request_one(tx, &new, at).await?;
    }
    Ok(())
}
