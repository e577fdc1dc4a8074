//! Exceptions: money that no rule has settled (yet). Never silent, raised once, resolved once.

mod evidence;
mod tell;
mod undelivered;
mod unreadable;

use std::fmt;

use domain::{
    DisputeId, ExceptionId, OrderId, PaymentId, RefundId, Timestamp,
    event::{Cause, ExceptionData, OrderEvent},
    exception::{Kind, ResolvedBy, State},
    money::{Currency, Money},
    order::Status,
    payment::Action,
};
use serde_json::{Value, json};
use sqlx::{PgExecutor, Postgres, QueryBuilder, query_as};

use crate::{
    Db, Fault, Result, SqlTime, Tx, locks, or_fault, order_events, orders, orders::Applied, random, refunds,
    refunds::PaymentRef, retry::retry, sql,
};

pub use evidence::{Evidence, Line, Told, evidence, get, was_too_little};
use tell::{tell, tell_by};
pub(crate) use undelivered::{raise_undelivered, settle_undelivered};
pub(crate) use unreadable::raise_unreadable;

/// Money that an exception is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub payment: PaymentRef<'a>,
    /// How much of it is in question.
    pub money: Money,
    /// What was captured in all.
    pub captured: i64,
    /// Tells several exceptions of one kind about one payment apart.
    pub part: &'a str,
    /// What took the money that it tells of, or because of which it holds what it holds.
    pub subject: Option<Subject>,
}

/// A refund or a dispute: money of a payment that went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Refund(RefundId),
    Dispute(DisputeId),
}

impl Subject {
    /// As it is stored: one column for each.
    pub fn of(refund: Option<RefundId>, dispute: Option<DisputeId>) -> Option<Self> {
        refund.map(Self::Refund).or(dispute.map(Self::Dispute))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refund(id) => id.fmt(f),
            Self::Dispute(id) => id.fmt(f),
        }
    }
}

impl<'a> About<'a> {
    /// All the money of a payment.
    pub(crate) fn all(payment: PaymentRef<'a>, money: Money) -> Self {
        Self { payment, money, captured: money.amount, part: "", subject: None }
    }
}

/// Raises an exception, and shows it on the order's timeline. None if it was raised before.
pub(crate) async fn raise(
    tx: &mut Tx,
    kind: Kind,
    about: &About<'_>,
    at: Timestamp,
) -> Result<Option<ExceptionId>> {
    let (refund, dispute) = match about.subject {
        Some(Subject::Refund(id)) => (Some(id.uuid()), None),
        Some(Subject::Dispute(id)) => (None, Some(id.uuid())),
        None => (None, None),
    };
    let id = ExceptionId::new(at, random());
    let PaymentRef { provider, provider_payment_id, payment, order } = about.payment;
    let data = ExceptionData { kind, cause: Cause::Money(about.payment.received(about.money)) };
    let raised = sqlx::query!(
        "INSERT INTO exceptions (id, order_id, kind, source, data, state, raised_at, provider,
                                 provider_payment_id, payment_id, amount, currency, refund_id, dispute_id)
         VALUES ($1, $2, $3, $4, $5, 'open', $6, $7, $8, $9, $10, $11, $12, $13)
         ON CONFLICT (kind, source) DO NOTHING",
        id.uuid(),
        order.map(OrderId::uuid),
        kind.as_str(),
        source(about),
        json!(data),
        sql(at),
        provider,
        provider_payment_id,
        payment.map(PaymentId::uuid),
        about.money.amount,
        about.money.currency.code(),
        refund,
        dispute
    )
    .execute(&mut **tx)
    .await?;
    if raised.rows_affected() == 0 {
        return Ok(None);
    }
    tell(tx, id, order, at, OrderEvent::ExceptionRaised { exception_id: id, about: data }).await?;
    Ok(Some(id))
}

/// What the exception is about: one provider payment (or a part of it), for one order.
fn source(about: &About<'_>) -> String {
    let PaymentRef { provider, provider_payment_id, order, .. } = about.payment;
    let order = order.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
    let part = if about.part.is_empty() { String::new() } else { format!("/{}", about.part) };
    format!("{order}/{provider}/{provider_payment_id}{part}")
}

/// The same of money for no order of ours.
pub(crate) fn source_of_unknown(provider: &str, provider_payment_id: &str) -> String {
    format!("unknown/{provider}/{provider_payment_id}")
}

/// Notes whose money exceptions about refunds and disputes of a payment are about, which was not known when
/// they were raised. Gives them.
pub(crate) async fn assign_to_order(tx: &mut Tx, captured: &PaymentRef<'_>) -> Result<Vec<ExceptionId>> {
    let ids = sqlx::query_scalar!(
        "UPDATE exceptions SET order_id = $3, payment_id = $4
         WHERE provider = $1 AND provider_payment_id = $2 AND payment_id IS NULL
           AND (refund_id IS NOT NULL OR dispute_id IS NOT NULL) RETURNING id",
        captured.provider,
        captured.provider_payment_id,
        captured.order.map(OrderId::uuid),
        captured.payment.map(PaymentId::uuid)
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(ids)
}

/// Shows those that are open on the order's timeline.
pub(crate) async fn show_open(tx: &mut Tx, ids: &[ExceptionId], order: OrderId, at: Timestamp) -> Result<()> {
    let open = sqlx::query!(
        r#"SELECT id AS "id: ExceptionId", data AS "data: ExceptionData"
           FROM exceptions WHERE id = ANY($1) AND state = 'open' ORDER BY id"#,
        &ids.iter().map(|id| id.uuid()).collect::<Vec<_>>()
    )
    .fetch_all(&mut **tx)
    .await?;
    for exception in open {
        let event = OrderEvent::ExceptionRaised { exception_id: exception.id, about: exception.data };
        order_events::append(tx, order, at, &[event]).await?;
    }
    Ok(())
}

/// How much of what an exception holds went back, or is on its way.
pub(crate) async fn back(tx: &mut Tx, id: ExceptionId) -> Result<i64> {
    let back = sqlx::query_scalar!("SELECT back FROM exceptions WHERE id = $1", id.uuid());
    Ok(back.fetch_one(&mut **tx).await?)
}

/// Makes an open exception tell of more or less money.
pub(crate) async fn set_amount(tx: &mut Tx, id: ExceptionId, amount: i64) -> Result<()> {
    sqlx::query!("UPDATE exceptions SET amount = $2 WHERE id = $1 AND state = 'open'", id.uuid(), amount)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Settles an exception without a person, and shows it on the order's timeline.
pub(crate) async fn settle_and_tell(
    tx: &mut Tx,
    id: ExceptionId,
    order: Option<OrderId>,
    action: Action,
    note: &str,
    by: ResolvedBy,
    at: Timestamp,
) -> Result<()> {
    match settle(tx, id, action, note, by, at).await? {
        true => tell(tx, id, order, at, resolved(id, action, note, Some(by))).await,
        false => Ok(()),
    }
}

fn resolved(id: ExceptionId, action: Action, note: &str, by: Option<ResolvedBy>) -> OrderEvent {
    OrderEvent::ExceptionResolved { exception_id: id, action, note: note.to_owned(), by }
}

/// Opens an exception again that was settled without a person: what settled it holds no longer.
pub(crate) async fn reopen(
    tx: &mut Tx,
    id: ExceptionId,
    order: Option<OrderId>,
    amount: i64,
    at: Timestamp,
) -> Result<()> {
    let opened = sqlx::query!(
        "UPDATE exceptions SET state = 'open', action = NULL, note = NULL, resolved_by = NULL,
                resolved_at = NULL, amount = $2
         WHERE id = $1 AND state = 'resolved' AND resolved_by IN ('rule', 'provider')",
        id.uuid(),
        amount
    )
    .execute(&mut **tx)
    .await?;
    match opened.rows_affected() {
        1 => tell(tx, id, order, at, OrderEvent::ExceptionReopened { exception_id: id, amount }).await,
        _ => Ok(()),
    }
}

/// Marks an open exception as settled. False if somebody else was faster.
pub(crate) async fn settle(
    tx: &mut Tx,
    id: ExceptionId,
    action: Action,
    note: &str,
    by: ResolvedBy,
    at: Timestamp,
) -> Result<bool> {
    let settled = sqlx::query!(
        "UPDATE exceptions SET state = 'resolved', action = $2, note = $3, resolved_by = $4, resolved_at = $5
         WHERE id = $1 AND state = 'open'",
        id.uuid(),
        action.as_str(),
        note,
        by.as_str(),
        sql(at)
    )
    .execute(&mut **tx)
    .await?;
    Ok(settled.rows_affected() == 1)
}

/// Why an exception was not resolved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no such exception")]
    NotFound,
    #[error("the exception was resolved before")]
    AlreadyResolved,
    /// Its money cannot count towards its order: why, and where the order stands.
    #[error("{why}")]
    NotApplicable { why: String, status: Option<Status> },
    #[error(transparent)]
    Refund(refunds::Error),
    #[error(transparent)]
    Fault(Fault),
}
or_fault!(Error);

impl From<refunds::Error> for Error {
    fn from(error: refunds::Error) -> Self {
        match error {
            refunds::Error::Fault(fault) => Self::Fault(fault),
            refused => Self::Refund(refused),
        }
    }
}

/// Money that no rule has settled (yet), as it is stored.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Exception {
    pub id: ExceptionId,
    pub order_id: Option<OrderId>,
    pub kind: Kind,
    pub state: State,
    pub provider: Option<String>,
    pub provider_payment_id: Option<String>,
    pub payment_id: Option<PaymentId>,
    pub amount: i64,
    /// What of it went back, or is on its way, without anybody having decided.
    pub back: i64,
    pub currency: Option<Currency>,
    pub(crate) refund_id: Option<RefundId>,
    pub action: Option<Action>,
    pub note: Option<String>,
    pub resolved_by: Option<ResolvedBy>,
    /// Whose key it was, if a person resolved it.
    pub asked_by: Option<String>,
    #[sqlx(try_from = "SqlTime")]
    pub raised_at: Timestamp,
    resolved_at: Option<SqlTime>,
    pub data: Value,
}

impl Exception {
    /// When a rule or a person settled it.
    pub fn resolved_at(&self) -> Option<Timestamp> {
        self.resolved_at.map(|at| at.to_jiff())
    }
}

/// A statement that begins with the columns of an [`Exception`].
macro_rules! select {
    ($query:ident!($($record:ident,)? $(+ $condition:literal)? $(, $argument:expr)*)) => {
        $query!(
            $($record,)?
            "SELECT id, order_id, kind, state, provider, provider_payment_id, payment_id, amount, back,
                    currency, refund_id, action, note, resolved_by, asked_by, raised_at, resolved_at, data
             FROM exceptions" $(+ $condition)?
            $(, $argument)*
        )
    };
}

/// Which exceptions to list; absent fields do not filter.
#[derive(Debug, Default, Clone)]
pub struct Filter {
    pub state: Option<State>,
    pub kind: Option<Kind>,
    pub order: Option<OrderId>,
    /// The last id of the page before.
    pub after: Option<ExceptionId>,
    /// Else newest first.
    pub oldest_first: bool,
}

/// A page of exceptions.
#[tracing::instrument(name = "sql exceptions.list", skip_all, err(level = "debug"))]
pub async fn list(db: &Db, filter: &Filter, limit: i64) -> Result<Vec<Exception>> {
    let mut query = QueryBuilder::<Postgres>::new(select!(concat!()));
    query.push(" WHERE true");
    if let Some(state) = filter.state {
        query.push(" AND state = ").push_bind(state.as_str());
    }
    if let Some(kind) = filter.kind {
        query.push(" AND kind = ").push_bind(kind.as_str());
    }
    if let Some(order) = filter.order {
        query.push(" AND order_id = ").push_bind(order.uuid());
    }
    if let Some(after) = filter.after {
        let beyond = if filter.oldest_first { " AND id > " } else { " AND id < " };
        query.push(beyond).push_bind(after.uuid());
    }
    query.push(if filter.oldest_first { " ORDER BY id" } else { " ORDER BY id DESC" });
    query.push(" LIMIT ").push_bind(limit);
    let exceptions = query.build_query_as().persistent(false).fetch_all(db.pool()).await?;
    Ok(exceptions)
}

async fn read(from: impl PgExecutor<'_>, id: ExceptionId) -> Result<Exception, Error> {
    let found = select!(query_as!(Exception, + " WHERE id = $1", id.uuid()));
    found.fetch_optional(from).await?.ok_or(Error::NotFound)
}

/// A person's decision. Money that goes back does so by a refund of its own; what came of money that was
/// applied is told.
#[tracing::instrument(name = "sql exceptions.resolve", skip_all, err(level = "debug"))]
pub async fn resolve(
    db: &Db,
    id: ExceptionId,
    action: Action,
    note: &str,
    by: &str,
    at: Timestamp,
) -> Result<(Exception, Option<Applied>), Error> {
    let applied = retry(|| async {
        let mut tx = db.begin().await?;
        let seen = read(&mut *tx, id).await?;
        if let (Some(provider), Some(payment)) = (&seen.provider, &seen.provider_payment_id) {
            locks::payment(&mut tx, provider, payment).await?;
        }
        if let Some(order) = seen.order_id {
            locks::order(&mut tx, order).await?; // before the exception, as everybody does
        }
        let locked = select!(query_as!(Exception, + " WHERE id = $1 FOR UPDATE", id.uuid()));
        let exception = locked.fetch_optional(&mut *tx).await?.ok_or(Error::NotFound)?;
        if !settle(&mut tx, id, action, note, ResolvedBy::Api, at).await? {
            return Err(Error::AlreadyResolved);
        }
        sqlx::query!("UPDATE exceptions SET asked_by = $2 WHERE id = $1", id.uuid(), by)
            .execute(&mut *tx)
            .await?;
        if action == Action::Refund {
            refunds::refund_exception(&mut tx, &exception, note, at).await?;
        }
        tell_by(&mut tx, id, exception.order_id, at, Some(by), resolved(id, action, note, None)).await?;
        let applied = match action {
            Action::Apply => Some(orders::apply(&mut tx, &exception, at).await?),
            Action::Refund | Action::Accept | Action::Dismiss => None,
        };
        tx.commit().await?;
        Ok(applied)
    })
    .await?;
    Ok((read(db.pool(), id).await?, applied))
}
