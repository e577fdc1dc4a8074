//! Refunds: money that goes back. A refund is asked for in the transaction that decides on it ([`request`],
//! of an order's money; [`of_exception`], of an exception's). A workflow of its own then drives the provider,
//! and what the provider says changes its state ([`transition`]). Whose money it was that went back, and what
//! exceptions tell of that, is said anew after each of them ([`attribution`]).

mod attribution;
mod early;
mod of_exception;
mod payment_facts;
mod payment_ref;
mod request;
mod totals;
mod transition;

pub(crate) use attribution::update_attribution;
pub(crate) use early::match_early_refunds;
pub(crate) use of_exception::{
    refund_exception, refund_exception_by_rule, refund_exceptions_after_won_dispute,
};
pub(crate) use payment_ref::{PaymentRef, find_payment};
pub use request::{Request, refundable, request};
pub(crate) use request::{is_all_asked_back, is_refunded, refund_all, refund_cancelled_after_won_dispute};
pub(crate) use totals::{left_of_payment, payment_status, refresh_payment_status};
pub use transition::{record_answer, record_event};

use domain::{
    ExceptionId, Invalid, OrderId, PaymentId, RefundId, Timestamp,
    event::{self, OrderEvent},
    money::{Currency, Money},
    payment::{RefundReport, RefundSource, RefundState},
    returns::{Run, Units},
};
use sqlx::types::Json;

use crate::{Db, Fault, Idempotency, Lease, Result, Tx, lease::put_off, or_fault, order_events, random, sql};

const MAX_STATE_TEXT_CHARS: usize = 200;

/// Money that goes back, or went, as it is stored.
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
    /// Who asked for it: the name of an API key.
    pub asked_by: Option<String>,
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
            $before + r#" refunds.id, refunds.order_id, refunds.payment_id, refunds.exception_id,
                refunds.provider, refunds.provider_payment_id, refunds.provider_refund_id, refunds.amount,
                refunds.currency, refunds.captured, refunds.reason, refunds.restock, refunds.source,
                refunds.also_of, refunds.asked_by, refunds.state, refunds.state_text, refunds.created_at,
                refunds.updated_at,
                coalesce((SELECT jsonb_object_agg(l.sku, l.quantity) FROM refund_lines l
                          WHERE l.refund_id = refunds.id), '{}') AS "units!: _" "# + $after
            $(, $argument)*
        )
    };
}
use query_refunds;

impl Refund {
    /// How much goes back.
    pub const fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }

    /// What is said of a refund that the provider will not make, or that it is not asked for any more.
    pub fn failure(&self, why: &str) -> RefundReport {
        RefundReport {
            provider: self.provider.clone(),
            event_id: String::new(),
            refund: Some(self.id),
            provider_refund_id: String::new(),
            payment_id: self.provider_payment_id.clone(),
            state: RefundState::Failed,
            state_text: why.chars().take(MAX_STATE_TEXT_CHARS).collect(),
            money: self.money(),
        }
    }

    fn event_data(&self) -> event::Refund {
        event::Refund { refund_id: self.id, money: self.money(), reason: self.reason.clone() }
    }

    fn payment_ref(&self) -> PaymentRef<'_> {
        PaymentRef {
            provider: &self.provider,
            provider_payment_id: &self.provider_payment_id,
            payment: self.payment_id,
            order: self.order_id,
        }
    }
}

/// A refund that is not stored yet.
struct NewRefund<'a> {
    payment: PaymentRef<'a>,
    exception: Option<ExceptionId>,
    provider_refund_id: Option<&'a str>,
    money: Money,
    /// What the payment had captured, if it is none of ours.
    captured: i64,
    reason: &'a str,
    restock: bool,
    source: RefundSource,
    by: Option<&'a str>,
    idempotency: Option<&'a Idempotency>,
    /// The first of the refunds that answer one request.
    also_of: Option<RefundId>,
    /// Until then whoever asked hands it to the engine. None: nobody does, and the sweeper takes it at once.
    /// (By the machine's clock: what a workflow asks for is created by the engine's, which may be ahead.)
    dispatch_after: Option<Timestamp>,
}

impl<'a> NewRefund<'a> {
    /// A refund for which the shop asks.
    fn new(payment: PaymentRef<'a>, money: Money, reason: &'a str) -> Self {
        Self {
            payment,
            exception: None,
            provider_refund_id: None,
            money,
            captured: money.amount,
            reason,
            restock: false,
            source: RefundSource::Api,
            by: None,
            idempotency: None,
            also_of: None,
            dispatch_after: None,
        }
    }
}

/// Why a refund was not asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no such order")]
    NotFound,
    #[error("the request does not fit the order")]
    Invalid(Vec<Invalid>),
    #[error("the idempotency key was used before with another request")]
    KeyReused,
    /// At most this much can still go back, in minor units.
    #[error("at most {0} can be refunded")]
    BeyondCaptured(i64),
    /// More than was sold less what came back, or is about to; this is what can come back.
    #[error("more is to come back than was sold and is still there")]
    BeyondSold(Vec<Run>),
    #[error(transparent)]
    Fault(Fault),
}
or_fault!(Error);

/// Stores a refund, which is only asked for so far. The caller goes on with [`update_attribution`], or with
/// what the provider says of it. None if another order's refund took the key a moment ago.
async fn insert(tx: &mut Tx, new: &NewRefund<'_>, at: Timestamp) -> Result<Option<Refund>> {
    let inserted = query_refunds!(
        "INSERT INTO refunds (id, order_id, payment_id, exception_id, provider, provider_payment_id,
                              provider_refund_id, amount, currency, captured, reason, restock, source, state,
                              created_at, updated_at, idempotency_key, request_hash, workflow_started_at,
                              also_of, dispatch_after, asked_by)
         VALUES ($1, $2, $3, $4, $5, $6,
                 $7, $8, $9, coalesce((SELECT amount FROM payments WHERE id = $3), $10), $11, $12, $13,
                 'requested', $14, $14, $15, $16,
                 CASE WHEN $13 = 'provider' THEN $14::timestamptz END, $17, $18, $19)
         ON CONFLICT (idempotency_key) DO NOTHING RETURNING",
        "",
        RefundId::new(at, random()).uuid(),
        new.payment.order.map(OrderId::uuid),
        new.payment.payment.map(PaymentId::uuid),
        new.exception.map(ExceptionId::uuid),
        new.payment.provider,
        new.payment.provider_payment_id,
        new.provider_refund_id,
        new.money.amount,
        new.money.currency.code(),
        new.captured,
        new.reason,
        new.restock,
        new.source.as_str(),
        sql(at),
        new.idempotency.map(|it| it.key.as_str()),
        new.idempotency.map(|it| it.request_hash.as_slice()),
        new.also_of.map(RefundId::uuid),
        new.dispatch_after.map(sql) as _,
        new.by
    );
    let refund = inserted.fetch_optional(&mut **tx).await?;
    if let Some(refund) = &refund {
        append_requested(tx, refund, at).await?;
    }
    Ok(refund)
}

/// Asks for a refund, and says anew whose money goes back. None as above.
async fn request_one(tx: &mut Tx, new: &NewRefund<'_>, at: Timestamp) -> Result<Option<Refund>> {
    let refund = insert(tx, new, at).await?;
    update_attribution(tx, &new.payment, at).await?;
    Ok(refund)
}

async fn append_requested(tx: &mut Tx, refund: &Refund, at: Timestamp) -> Result<()> {
    let Some(order) = refund.order_id else { return Ok(()) };
    let event = OrderEvent::RefundRequested { refund: refund.event_data(), source: refund.source };
    order_events::append_by(tx, order, at, refund.asked_by.as_deref(), &[event]).await
}

/// A refund as it is now.
pub async fn get(db: &Db, id: RefundId) -> Result<Option<Refund>> {
    let found = query_refunds!("SELECT", "FROM refunds WHERE id = $1", id.uuid());
    Ok(found.fetch_optional(db.pool()).await?)
}

/// Refunds that went back since `from`, as far as the provider said: the newest.
pub async fn succeeded_since(db: &Db, provider: &str, from: Timestamp, limit: i64) -> Result<Vec<Refund>> {
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
         UPDATE refunds SET dispatch_after = $3 WHERE id = ANY(ARRAY(SELECT id FROM due))
         RETURNING id, order_id",
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
