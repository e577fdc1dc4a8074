//! Refunds: money that goes back. A refund is asked for in the transaction that decides on it ([`ask`]); a
//! workflow of its own then drives the provider, and what the provider says is taken up in [`tell`].

mod ask;
mod balance;
mod books;
mod early;
mod sums;
mod transition;

pub use ask::{Request, request};
pub(crate) use ask::{
    by_rule, give_back_all, give_back_of_cancelled, give_back_of_sent, is_all_asked_back, is_refunded,
    of_exception,
};
pub(crate) use balance::{Whose, rebalance};
pub(crate) use early::{match_early_refunds, origin};
pub(crate) use sums::{left_of_payment, payment_status, refresh_payment_status};
pub(crate) use transition::{lock_payment, lock_payments};
pub use transition::{record, report};

use domain::{
    ExceptionId, OrderId, PaymentId, RefundId, Timestamp,
    event::{self, OrderEvent},
    money::{Currency, Money},
    payment::{RefundSource, RefundState},
    returns::Units,
};
use sqlx::types::Json;

use crate::{Db, Error, Idempotency, Lease, Result, Tx, lease::put_off, order_events, random, sql};

#[derive(Debug, Clone)]
pub struct Refund {
    pub id: RefundId,
    pub order_id: Option<OrderId>,
    pub payment_id: Option<PaymentId>,
    /// Whose money goes back: that of an exception, or (none) the order's.
    pub exception_id: Option<ExceptionId>,
    pub provider: String,
    pub provider_payment_id: String,
    pub provider_refund_id: Option<String>,
    /// Minor units.
    pub amount: i64,
    pub currency: Currency,
    /// What the payment had captured in all, in minor units.
    pub captured: i64,
    pub reason: String,
    pub restock: bool,
    /// What it brings back, as far as that was looked up.
    pub units: Json<Units>,
    pub source: RefundSource,
    /// The first of the refunds that answer one request together, if it is not this one.
    pub also_of: Option<RefundId>,
    pub state: RefundState,
    pub state_text: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A statement that gives whole refunds, with what stands in it before their columns and after.
macro_rules! query_refunds {
    ($before:literal, $after:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Refund,
            $before + r#" refunds.id, refunds.order_id, refunds.payment_id, refunds.exception_id, refunds.provider,
                refunds.provider_payment_id, refunds.provider_refund_id, refunds.amount, refunds.currency,
                refunds.captured, refunds.reason, refunds.restock, refunds.source, refunds.also_of, refunds.state,
                refunds.state_text, refunds.created_at, refunds.updated_at,
                coalesce((SELECT jsonb_object_agg(l.sku, l.quantity) FROM refund_lines l
                          WHERE l.refund_id = refunds.id), '{}') AS "units!: _" "# + $after
            $(, $argument)*
        )
    };
}
use query_refunds;

impl Refund {
    pub const fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }

    fn event_data(&self) -> event::Refund {
        event::Refund { refund_id: self.id, money: self.money(), reason: self.reason.clone() }
    }

    fn whose(&self) -> Whose<'_> {
        Whose {
            provider: &self.provider,
            provider_payment_id: &self.provider_payment_id,
            payment: self.payment_id,
            order: self.order_id,
        }
    }
}

struct New<'a> {
    order: Option<OrderId>,
    payment: Option<PaymentId>,
    exception: Option<ExceptionId>,
    provider: &'a str,
    provider_payment_id: &'a str,
    provider_refund_id: Option<&'a str>,
    money: Money,
    captured: i64,
    reason: &'a str,
    restock: bool,
    source: RefundSource,
    state: RefundState,
    state_text: &'a str,
    /// When the provider says that it came to this state.
    told_at: Option<Timestamp>,
    idempotency: Option<&'a Idempotency>,
    /// The first of the refunds that answer one request.
    also_of: Option<RefundId>,
    /// Until then whoever asked hands it to the engine. None: nobody does, and the sweeper takes it at once.
    /// (By the machine's clock: what a workflow asks for is created by the engine's, which may be ahead.)
    dispatch_after: Option<Timestamp>,
}

impl<'a> New<'a> {
    /// A refund that is asked for here, of all that a payment captured, as far as nobody says otherwise.
    fn of(provider: &'a str, provider_payment_id: &'a str, money: Money, reason: &'a str) -> Self {
        Self {
            order: None,
            payment: None,
            exception: None,
            provider,
            provider_payment_id,
            provider_refund_id: None,
            money,
            captured: money.amount,
            reason,
            restock: false,
            source: RefundSource::Api,
            state: RefundState::Requested,
            state_text: "",
            told_at: None,
            idempotency: None,
            also_of: None,
            dispatch_after: None,
        }
    }
}

/// Writes a refund down. Whose money it is follows: see [`rebalance`].
async fn insert(tx: &mut Tx, new: &New<'_>, at: Timestamp) -> Result<Refund> {
    let inserted = query_refunds!(
        "INSERT INTO refunds (id, order_id, payment_id, exception_id, provider, provider_payment_id,
                              provider_refund_id, amount, currency, captured, reason, restock, source, state,
                              state_text, created_at, updated_at, idempotency_key, request_hash, told_at,
                              workflow_started_at, also_of, dispatch_after)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16, $17, $18, $19,
                 CASE WHEN $13 = 'provider' THEN $16::timestamptz END, $20, $21)
         ON CONFLICT (idempotency_key) DO NOTHING RETURNING",
        "",
        RefundId::new(at, random()).uuid(),
        new.order.map(OrderId::uuid),
        new.payment.map(PaymentId::uuid),
        new.exception.map(ExceptionId::uuid),
        new.provider,
        new.provider_payment_id,
        new.provider_refund_id,
        new.money.amount,
        new.money.currency.code(),
        new.captured,
        new.reason,
        new.restock,
        new.source.as_str(),
        new.state.as_str(),
        new.state_text,
        sql(at),
        new.idempotency.map(|it| it.key.as_str()),
        new.idempotency.map(|it| it.request_hash.as_slice()),
        new.told_at.map(sql) as _,
        new.also_of.map(RefundId::uuid),
        new.dispatch_after.map(sql) as _
    );
    // The order is locked: whoever took the key since we looked did so for another one.
    let refund = inserted.fetch_optional(&mut **tx).await?.ok_or(Error::KeyReused)?;
    note_request(tx, &refund, at).await?;
    Ok(refund)
}

async fn note_request(tx: &mut Tx, refund: &Refund, at: Timestamp) -> Result<()> {
    let Some(order) = refund.order_id else { return Ok(()) };
    let event = OrderEvent::RefundRequested { refund: refund.event_data(), source: refund.source };
    order_events::append(tx, order, at, &[event]).await
}

pub async fn get(db: &Db, id: RefundId) -> Result<Refund> {
    let found = query_refunds!("SELECT", "FROM refunds WHERE id = $1", id.uuid());
    found.fetch_optional(db.pool()).await?.ok_or(Error::NotFound)
}

/// Refunds that went back since `from`, as far as a provider said: the newest, to hold them against its
/// books.
pub async fn back_since(db: &Db, provider: &str, from: Timestamp, limit: i64) -> Result<Vec<Refund>> {
    let refunds = query_refunds!(
        "SELECT",
        "FROM refunds
         WHERE provider = $1 AND state = 'succeeded' AND updated_at >= $2 AND provider_refund_id IS NOT NULL
         ORDER BY updated_at DESC LIMIT $3",
        provider,
        sql(from),
        limit
    );
    Ok(refunds.fetch_all(&mut *db.begin_long_report().await?).await?)
}

/// All refunds of an order, oldest first.
pub async fn of_order(db: &Db, order: OrderId) -> Result<Vec<Refund>> {
    let refunds = query_refunds!("SELECT", "FROM refunds WHERE order_id = $1 ORDER BY id", order.uuid());
    Ok(refunds.fetch_all(db.pool()).await?)
}

/// Leases refunds that have no workflow yet, and are not on their way by the ordinary road.
pub async fn claim_unstarted(db: &Db, lease: &Lease) -> Result<Vec<(RefundId, Option<OrderId>)>> {
    let leased = sqlx::query!(
        "WITH due AS (
             SELECT id FROM refunds
             WHERE workflow_started_at IS NULL AND (dispatch_after IS NULL OR dispatch_after < $1)
             ORDER BY coalesce(dispatch_after, created_at) LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
         )
         UPDATE refunds SET dispatch_after = $3 WHERE id = ANY(ARRAY(SELECT id FROM due)) RETURNING id, order_id",
        sql(lease.now),
        lease.limit,
        sql(lease.until)
    )
    .fetch_all(db.pool())
    .await?;
    Ok(leased.into_iter().map(|refund| (refund.id, refund.order_id)).collect())
}

/// Gives leased refunds back, to be taken again after `until`.
pub async fn put_off_start(db: &Db, ids: &[RefundId], until: Timestamp) -> Result<()> {
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.uuid()).collect();
    put_off!("refunds", &ids, until).execute(db.pool()).await?;
    Ok(())
}

/// Notes that the engine has these refunds. Never waits: one that somebody is just changing is started once
/// more, which does nothing.
pub async fn note_started(db: &Db, ids: &[RefundId], at: Timestamp) -> Result<()> {
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.uuid()).collect();
    sqlx::query!(
        "UPDATE refunds SET workflow_started_at = $2
         WHERE id = ANY(ARRAY(SELECT id FROM refunds WHERE id = ANY($1) AND workflow_started_at IS NULL
                      FOR NO KEY UPDATE SKIP LOCKED))",
        &ids,
        sql(at)
    )
    .execute(db.pool())
    .await?;
    Ok(())
}
