//! Asking for refunds: of an order's own money, and of an exception's.

use domain::{
    ExceptionId, Invalid, OrderId, PaymentId, RefundId, Timestamp,
    exception::{Kind, ResolvedBy},
    money::{Currency, Money},
    order::{PaymentStatus, Status},
    payment::{Action, RefundSource},
    returns::Part,
};

use sqlx::types::Json;

use super::{New, Refund, Whose, insert, left_of_payment, query_refunds, rebalance};
use crate::{
    Db, Error, Idempotency, Result, Tx,
    exceptions::{self, About, Exception},
    lease, orders,
    retry::retry,
    returns, stock,
};

/// What a shop asks to give back of an order's own money.
#[derive(Debug, Clone)]
pub struct Request {
    /// Minor units; if absent, what was paid for the lines, or (without them) all that is left.
    pub amount: Option<i64>,
    pub reason: String,
    /// Put pieces and nights back on the shelf once the money is back.
    pub restock: bool,
    /// Which of them; all that are still there if empty.
    pub lines: Vec<Part>,
}

/// Asks for a refund of what an order was paid with. If several payments paid it, more than one of them has
/// left is several refunds, of which the first answers. The same key gives the same ones.
#[tracing::instrument(name = "sql refunds.request", skip_all, err(level = "debug"))]
pub async fn request(
    db: &Db,
    order: OrderId,
    request: &Request,
    idempotency: Option<&Idempotency>,
    at: Timestamp,
) -> Result<(Vec<Refund>, stock::Replayed)> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let locked = orders::lock(&mut tx, order).await?;
        if let Some(idempotency) = idempotency
            && let Some(refunds) = replay(&mut tx, idempotency).await?
        {
            return Ok((refunds, true));
        }
        if locked.status == Status::AwaitingPayment {
            return Err(Error::BeyondCaptured(0)); // parts go back when the order ends
        }
        let paid = paid_with(&mut tx, order).await?;
        let back = match returns::choose(&mut tx, order, request, at).await {
            Err(Error::BeyondSold(_)) if paid.is_empty() => Err(Error::BeyondCaptured(0)), // nothing was sold
            back => back,
        };
        let (units, worth) = back?;
        if paid.is_empty() {
            return Err(Error::BeyondCaptured(0));
        }
        let left = paid.iter().map(|paid| paid.left).sum();
        let amount = request.amount(worth, left)?;
        if amount < 1 || amount > left {
            return Err(Error::BeyondCaptured(left));
        }
        let mut refunds: Vec<Refund> = Vec::new();
        for (paid, amount) in shares(&paid, amount) {
            let first = refunds.first().map(|first| first.id);
            let new = New {
                restock: request.restock && first.is_none(), // once for all of them
                idempotency: idempotency.filter(|_| first.is_none()),
                also_of: first,
                dispatch_after: at.saturating_add(lease::GRACE).ok(),
                ..paid.back(order, amount, &request.reason)
            };
            let refund = insert(&mut tx, &new, at).await?;
            rebalance(&mut tx, &refund.whose(), at).await?;
            refunds.push(refund);
        }
        // What comes back does so with the first of them.
        if let Some(first) = refunds.first_mut() {
            returns::claim(&mut tx, first.id, order, &units, at).await?;
            first.units = Json(units);
        }
        tx.commit().await?;
        Ok((refunds, false))
    })
    .await
}

impl Request {
    fn amount(&self, worth: i64, left: i64) -> Result<i64> {
        match self.amount {
            Some(amount) => Ok(amount),
            None if self.lines.is_empty() => Ok(left),
            None if worth > 0 => Ok(worth),
            None => {
                let why = "is required: nothing was paid for these lines";
                Err(Error::Invalid(vec![Invalid::new("amount", why)]))
            }
        }
    }
}

/// How much of an amount each payment gives.
fn shares(paid: &[Paid], amount: i64) -> impl Iterator<Item = (&Paid, i64)> {
    paid.iter()
        .scan(amount, |rest, paid| {
            let share = paid.left.min(*rest);
            *rest -= share;
            Some((paid, share))
        })
        .filter(|(_, share)| *share > 0)
}

async fn replay(tx: &mut Tx, idempotency: &Idempotency) -> Result<Option<Vec<Refund>>> {
    let hash = sqlx::query_scalar!(
        r#"SELECT request_hash AS "request_hash!" FROM refunds WHERE idempotency_key = $1"#,
        idempotency.key
    );
    match hash.fetch_optional(&mut **tx).await? {
        None => Ok(None),
        Some(hash) if hash != idempotency.request_hash => Err(Error::KeyReused),
        Some(_) => {
            let refunds = query_refunds!(
                "SELECT",
                "FROM refunds
                 WHERE idempotency_key = $1
                    OR also_of = (SELECT first.id FROM refunds first WHERE first.idempotency_key = $1)
                 ORDER BY also_of NULLS FIRST, id",
                idempotency.key
            );
            Ok(Some(refunds.fetch_all(&mut **tx).await?))
        }
    }
}

/// Whether all of what an order was paid with went back or is on its way.
pub(crate) async fn is_all_asked_back(tx: &mut Tx, order: OrderId) -> Result<bool> {
    let all = sqlx::query_scalar!(
        "SELECT sum(applied) > 0 AND sum(applied) <= coalesce((
                    SELECT sum(own) FROM refunds WHERE order_id = $1 AND state <> 'failed'), 0)
         FROM payments WHERE (order_id = $1 AND pays_order IS NULL) OR pays_order = $1",
        order.uuid()
    );
    Ok(all.fetch_one(&mut **tx).await?.unwrap_or_default())
}

/// Whether all of an order's money has gone back.
pub(crate) async fn is_refunded(tx: &mut Tx, order: OrderId) -> Result<bool> {
    let status = sqlx::query_scalar!("SELECT payment_status FROM orders WHERE id = $1", order.uuid());
    Ok(status.fetch_one(&mut **tx).await? == PaymentStatus::Refunded)
}

/// Asks back all that is left of what an order was paid with: it was cancelled. Its stock is back already.
pub(crate) async fn give_back_all(tx: &mut Tx, order: OrderId, reason: &str, at: Timestamp) -> Result<()> {
    let paid = paid_with(tx, order).await?;
    for paid in paid.iter().filter(|paid| paid.left > 0) {
        let refund = insert(tx, &paid.back(order, paid.left, reason), at).await?;
        rebalance(tx, &refund.whose(), at).await?;
    }
    Ok(())
}

/// A paid order was cancelled while its money was in dispute, and is with us again: it goes back now.
pub(crate) async fn give_back_of_cancelled(tx: &mut Tx, order: OrderId, at: Timestamp) -> Result<()> {
    let was_paid = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM orders
                          WHERE id = $1 AND status = 'cancelled' AND paid_at IS NOT NULL) AS "it!""#,
        order.uuid()
    );
    match was_paid.fetch_one(&mut **tx).await? {
        true => give_back_all(tx, order, "cancelled", at).await,
        false => Ok(()),
    }
}

/// What exceptions held of a payment was sent back except for what was in dispute, and that was won: it goes
/// back, too, less what other exceptions tell of (a refund that failed), or a person has kept.
pub(crate) async fn give_back_of_sent(tx: &mut Tx, whose: &Whose<'_>, at: Timestamp) -> Result<()> {
    let payment = whose.payment.map(PaymentId::uuid);
    let left = sqlx::query!(
        r#"SELECT e.id, e.amount - e.back AS "amount!", e.currency AS "currency!", p.amount AS captured
           FROM exceptions e JOIN payments p ON p.id = e.payment_id
           WHERE e.payment_id = $1 AND e.action = 'refund' AND e.resolved_by IN ('rule', 'api') AND e.amount > e.back
             AND e.kind <> 'refund_failed'
           ORDER BY e.id"#,
        payment
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut told = sqlx::query_scalar!(
        r#"SELECT coalesce(sum(amount), 0)::bigint AS "told!" FROM exceptions
           WHERE payment_id = $1 AND kind = 'refund_failed'
             AND (state = 'open' OR (resolved_by = 'api' AND action <> 'refund'))"#,
        payment
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
        let new = New {
            order: whose.order,
            payment: whose.payment,
            exception: Some(exception.id),
            captured: exception.captured,
            source: RefundSource::Rule,
            ..New::of(whose.provider, whose.provider_payment_id, money, "the dispute was won")
        };
        let refund = insert(tx, &new, at).await?;
        rebalance(tx, &refund.whose(), at).await?;
    }
    Ok(())
}

/// A payment that an order was paid with, and what of it can still go back.
struct Paid {
    id: PaymentId,
    provider: String,
    provider_payment_id: String,
    captured: i64,
    left: i64,
    currency: Currency,
}

impl Paid {
    /// This much of it back.
    fn back<'a>(&'a self, order: OrderId, amount: i64, reason: &'a str) -> New<'a> {
        New {
            order: Some(order),
            payment: Some(self.id),
            captured: self.captured,
            ..New::of(&self.provider, &self.provider_payment_id, Money::new(amount, self.currency), reason)
        }
    }
}

/// The largest first, so that a refund is of few payments.
async fn paid_with(tx: &mut Tx, order: OrderId) -> Result<Vec<Paid>> {
    let paid = left_of_payment!(query_as!(
        Paid,
        r#"SELECT p.id AS "id: _", p.provider, p.provider_payment_id AS "provider_payment_id!", p.amount AS captured,
                  p.currency AS "currency: _", "#,
        r#" AS "left!"
           FROM payments p
           WHERE coalesce(p.pays_order, p.order_id) = $1 AND p.applied > 0
             AND (p.order_id = $1 OR p.pays_order = $1)
           ORDER BY 6 DESC, p.id"#,
        order.uuid()
    ));
    Ok(paid.fetch_all(&mut **tx).await?)
}

/// Sends the money of an exception back, by a rule: what has not gone back by itself.
pub(crate) async fn by_rule(
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
    let new = New {
        order: about.whose.order,
        payment: about.whose.payment,
        exception: Some(exception),
        captured: about.captured,
        source: RefundSource::Rule,
        ..New::of(about.whose.provider, about.whose.provider_payment_id, money, why.as_str())
    };
    let refund = insert(tx, &new, at).await?;
    rebalance(tx, &refund.whose(), at).await
}

/// Sends the money of an exception back, because a person said so.
pub(crate) async fn of_exception(
    tx: &mut Tx,
    exception: &Exception,
    note: &str,
    at: Timestamp,
) -> Result<()> {
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
    let payment = exception.payment_id.map(PaymentId::uuid);
    let captured = sqlx::query_scalar!("SELECT amount FROM payments WHERE id = $1", payment)
        .fetch_optional(&mut **tx)
        .await?;
    let money = Money::new(amount, currency);
    let new = New {
        order: exception.order_id,
        payment: exception.payment_id,
        exception: Some(exception.id),
        captured: captured.unwrap_or(exception.amount),
        restock: failed.as_ref().is_some_and(|failed| failed.restock),
        ..New::of(provider, provider_payment_id, money, note)
    };
    let refund = insert(tx, &new, at).await?;
    if let (Some(failed), Some(order)) = (failed, refund.order_id) {
        returns::take_over(tx, failed.id, refund.id, order, at).await?;
    }
    rebalance(tx, &refund.whose(), at).await
}
