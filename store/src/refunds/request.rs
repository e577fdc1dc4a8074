//! Asking for refunds of an order's own money.

use std::collections::BTreeMap;

use domain::{
    Invalid, OrderId, PaymentId, Timestamp,
    money::{Currency, Money},
    order::{PaymentStatus, Status},
    returns::Part,
};
use sqlx::types::Json;

use super::{Error, NewRefund, PaymentRef, Refund, left_of_payment, query_refunds, request_one};
use crate::{Db, Idempotency, Result, Tx, lease, locks, retry::retry, returns, stock};

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
    /// Who asks: the name of an API key.
    pub by: String,
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
) -> Result<(Vec<Refund>, stock::Replayed), Error> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let locked = locks::order_if_known(&mut tx, order).await?.ok_or(Error::NotFound)?;
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
            let new = NewRefund {
                restock: request.restock && first.is_none(), // once for all of them
                idempotency: idempotency.filter(|_| first.is_none()),
                also_of: first,
                by: Some(&request.by),
                dispatch_after: at.saturating_add(lease::GRACE).ok(),
                ..paid.refund(order, amount, &request.reason)
            };
            // The order is locked: whoever took the key since we looked did so for another one.
            refunds.push(request_one(&mut tx, &new, at).await?.ok_or(Error::KeyReused)?);
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
    fn amount(&self, worth: i64, left: i64) -> Result<i64, Error> {
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

async fn replay(tx: &mut Tx, idempotency: &Idempotency) -> Result<Option<Vec<Refund>>, Error> {
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

/// Refunds all that is left of what an order was paid with: it was cancelled. Its stock is back already.
pub(crate) async fn refund_all(tx: &mut Tx, order: OrderId, reason: &str, at: Timestamp) -> Result<()> {
    let paid = paid_with(tx, order).await?;
    for paid in paid.iter().filter(|paid| paid.left > 0) {
        request_one(tx, &paid.refund(order, paid.left, reason), at).await?;
    }
    Ok(())
}

/// A paid order was cancelled while its money was in dispute, and is with us again: it goes back now.
pub(crate) async fn refund_cancelled_after_won_dispute(
    tx: &mut Tx,
    order: OrderId,
    at: Timestamp,
) -> Result<()> {
    let was_paid = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM orders
                          WHERE id = $1 AND status = 'cancelled' AND paid_at IS NOT NULL) AS "it!""#,
        order.uuid()
    );
    match was_paid.fetch_one(&mut **tx).await? {
        true => refund_all(tx, order, "cancelled", at).await,
        false => Ok(()),
    }
}

/// What can still go back of each payment that an order was paid with. Of one that awaits payment nothing
/// can: its parts go back when it ends.
#[tracing::instrument(name = "sql refunds.refundable", skip_all, err(level = "debug"))]
pub async fn refundable(db: &Db, order: OrderId) -> Result<BTreeMap<PaymentId, i64>> {
    let left = left_of_payment!(query!(
        r#"SELECT p.id AS "id: PaymentId", "#,
        r#" AS "left!"
           FROM payments p
           WHERE coalesce(p.pays_order, p.order_id) = $1 AND p.applied > 0
             AND (p.order_id = $1 OR p.pays_order = $1)
             AND EXISTS (SELECT FROM orders o WHERE o.id = $1 AND o.status <> 'awaiting_payment')"#,
        order.uuid()
    ));
    let left = left.map(|row| (row.id, row.left)).fetch_all(db.pool()).await?;
    Ok(left.into_iter().collect())
}

/// A payment that an order was paid with, and what of it can still go back.
struct Paid {
    id: PaymentId,
    provider: String,
    provider_payment_id: String,
    left: i64,
    currency: Currency,
}

impl Paid {
    /// A refund of this much of it.
    fn refund<'a>(&'a self, order: OrderId, amount: i64, reason: &'a str) -> NewRefund<'a> {
        let Self { id, provider, provider_payment_id, currency, .. } = self;
        let payment = PaymentRef { provider, provider_payment_id, payment: Some(*id), order: Some(order) };
        NewRefund::new(payment, Money::new(amount, *currency), reason)
    }
}

/// The largest first, so that a refund is of few payments.
async fn paid_with(tx: &mut Tx, order: OrderId) -> Result<Vec<Paid>> {
    let paid = left_of_payment!(query_as!(
        Paid,
        r#"SELECT p.id AS "id: _", p.provider, p.provider_payment_id AS "provider_payment_id!",
                  p.currency AS "currency: _", "#,
        r#" AS "left!"
           FROM payments p
           WHERE coalesce(p.pays_order, p.order_id) = $1 AND p.applied > 0
             AND (p.order_id = $1 OR p.pays_order = $1)
           ORDER BY 5 DESC, p.id"#,
        order.uuid()
    ));
    Ok(paid.fetch_all(&mut **tx).await?)
}
