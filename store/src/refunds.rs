//! Refunds: money that goes back. A refund is asked for in the transaction that decides on it; a workflow of
//! its own then drives the provider.

use domain::{
    ExceptionId, OrderId, PaymentId, RefundId, Timestamp,
    money::{Currency, Money},
    payment::{Action, Mismatch, RefundReport, RefundState},
};
use serde_json::json;

use crate::{
    Db, Error, Idempotency, Result, SqlTime, Tx,
    exceptions::{self, About, Exception},
    orders, outbox, random, sql, stock, timeline,
};

#[derive(Debug, Clone)]
pub struct Refund {
    pub id: RefundId,
    pub order: Option<OrderId>,
    pub payment: Option<PaymentId>,
    /// Whose money goes back: that of an exception, or (none) the order's.
    pub exception: Option<ExceptionId>,
    pub provider: String,
    pub provider_payment_id: String,
    pub provider_refund_id: Option<String>,
    pub money: Money,
    /// What the payment had captured in all, in minor units.
    pub captured: i64,
    pub reason: String,
    pub restock: bool,
    /// `api`, `rule` or `provider`.
    pub source: String,
    pub state: RefundState,
    pub state_text: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: uuid::Uuid,
    order_id: Option<uuid::Uuid>,
    payment_id: Option<uuid::Uuid>,
    exception_id: Option<uuid::Uuid>,
    provider: String,
    provider_payment_id: String,
    provider_refund_id: Option<String>,
    amount: i64,
    currency: String,
    captured: i64,
    reason: String,
    restock: bool,
    source: String,
    state: String,
    state_text: String,
    created_at: SqlTime,
    updated_at: SqlTime,
}

impl TryFrom<Row> for Refund {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let currency = Currency::parse(&row.currency).map_err(Error::corrupt)?;
        Ok(Self {
            id: RefundId::from_uuid(row.id),
            order: row.order_id.map(OrderId::from_uuid),
            payment: row.payment_id.map(PaymentId::from_uuid),
            exception: row.exception_id.map(ExceptionId::from_uuid),
            provider: row.provider,
            provider_payment_id: row.provider_payment_id,
            provider_refund_id: row.provider_refund_id,
            money: Money::new(row.amount, currency),
            captured: row.captured,
            reason: row.reason,
            restock: row.restock,
            source: row.source,
            state: RefundState::from_store(&row.state),
            state_text: row.state_text,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
        })
    }
}

/// What a shop asks to give back of an order's own money.
#[derive(Debug, Clone)]
pub struct Request {
    /// Minor units; all that is left if absent.
    pub amount: Option<i64>,
    pub reason: String,
    /// Put the order's pieces back on the shelf once the money is back.
    pub restock: bool,
}

/// Asks for a refund of what an order was paid with. The same key gives the same refund.
#[tracing::instrument(name = "sql refunds.request", skip_all, err(level = "debug"))]
pub async fn request(
    db: &Db,
    order: OrderId,
    request: &Request,
    idempotency: Option<&Idempotency>,
    at: Timestamp,
) -> Result<(Refund, stock::Replayed)> {
    let mut tx = db.begin().await?;
    orders::lock(&mut tx, order).await?;
    if let Some(idempotency) = idempotency
        && let Some(refund) = replay(&mut tx, idempotency).await?
    {
        return Ok((refund, true));
    }
    let paid = paid_with(&mut tx, order).await?.ok_or(Error::BeyondCaptured(0))?;
    let amount = request.amount.unwrap_or(paid.left);
    if amount < 1 || amount > paid.left {
        return Err(Error::BeyondCaptured(paid.left));
    }
    let refund = insert(
        &mut tx,
        &New {
            order: Some(order),
            payment: Some(paid.payment),
            exception: None,
            provider: &paid.provider,
            provider_payment_id: &paid.provider_payment_id,
            provider_refund_id: None,
            money: Money::new(amount, paid.currency),
            captured: paid.captured,
            reason: &request.reason,
            restock: request.restock,
            source: "api",
            state: RefundState::Requested,
            state_text: "",
            idempotency,
        },
        at,
    )
    .await?;
    tx.commit().await?;
    Ok((refund, false))
}

async fn replay(tx: &mut Tx<'_>, idempotency: &Idempotency) -> Result<Option<Refund>> {
    let hash: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT request_hash FROM refunds WHERE idempotency_key = $1")
            .bind(&idempotency.key)
            .fetch_optional(&mut **tx)
            .await?;
    match hash {
        None => Ok(None),
        Some(hash) if hash != idempotency.request_hash => Err(Error::KeyReused),
        Some(_) => {
            let row: Row = sqlx::query_as("SELECT * FROM refunds WHERE idempotency_key = $1")
                .bind(&idempotency.key)
                .fetch_one(&mut **tx)
                .await?;
            row.try_into().map(Some)
        }
    }
}

/// The payment that paid an order, and what of it has not been asked back yet.
struct Paid {
    payment: PaymentId,
    provider: String,
    provider_payment_id: String,
    captured: i64,
    left: i64,
    currency: Currency,
}

async fn paid_with(tx: &mut Tx<'_>, order: OrderId) -> Result<Option<Paid>> {
    let row: Option<(uuid::Uuid, String, String, i64, i64, String)> = sqlx::query_as(
        "SELECT p.id, p.provider, p.provider_payment_id, p.amount,
                (p.applied - coalesce((SELECT sum(r.amount) FROM refunds r
                                       WHERE r.payment_id = p.id AND r.exception_id IS NULL), 0))::bigint,
                p.currency
         FROM payments p
         WHERE coalesce(p.pays_order, p.order_id) = $1 AND p.applied > 0
           AND (p.order_id = $1 OR p.pays_order = $1)",
    )
    .bind(order.uuid())
    .fetch_optional(&mut **tx)
    .await?;
    let Some((payment, provider, provider_payment_id, captured, left, currency)) = row else {
        return Ok(None);
    };
    let currency = Currency::parse(&currency).map_err(Error::corrupt)?;
    let payment = PaymentId::from_uuid(payment);
    Ok(Some(Paid { payment, provider, provider_payment_id, captured, left, currency }))
}

/// Sends the money of an exception back, by a rule. The exception is settled by it.
pub(crate) async fn by_rule(
    tx: &mut Tx<'_>,
    exception: ExceptionId,
    about: &About<'_>,
    why: Mismatch,
    at: Timestamp,
) -> Result<()> {
    exceptions::settle(tx, exception, Action::Refund, "by the order's policy", "rule", at).await?;
    let new = New {
        order: about.order,
        payment: about.payment,
        exception: Some(exception),
        provider: about.provider,
        provider_payment_id: about.provider_payment_id,
        provider_refund_id: None,
        money: about.money,
        captured: about.captured,
        reason: why.as_str(),
        restock: false,
        source: "rule",
        state: RefundState::Requested,
        state_text: "",
        idempotency: None,
    };
    insert(tx, &new, at).await.map(|_| ())
}

/// Sends the money of an exception back, because a person said so.
pub(crate) async fn of_exception(
    tx: &mut Tx<'_>,
    exception: &Exception,
    note: &str,
    at: Timestamp,
) -> Result<()> {
    let (Some(provider), Some(provider_payment_id), Some(currency)) =
        (&exception.provider, &exception.provider_payment_id, &exception.currency)
    else {
        return Err(Error::BeyondCaptured(0));
    };
    if exception.amount < 1 {
        return Err(Error::BeyondCaptured(0));
    }
    let captured: Option<i64> = sqlx::query_scalar("SELECT amount FROM payments WHERE id = $1")
        .bind(exception.payment().map(PaymentId::uuid))
        .fetch_optional(&mut **tx)
        .await?;
    let new = New {
        order: exception.order(),
        payment: exception.payment(),
        exception: Some(exception.id()),
        provider,
        provider_payment_id,
        provider_refund_id: None,
        money: Money::new(exception.amount, Currency::parse(currency).map_err(Error::corrupt)?),
        captured: captured.unwrap_or(exception.amount),
        reason: note,
        restock: false,
        source: "api",
        state: RefundState::Requested,
        state_text: "",
        idempotency: None,
    };
    insert(tx, &new, at).await.map(|_| ())
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
    source: &'a str,
    state: RefundState,
    state_text: &'a str,
    idempotency: Option<&'a Idempotency>,
}

async fn insert(tx: &mut Tx<'_>, new: &New<'_>, at: Timestamp) -> Result<Refund> {
    let row: Row = sqlx::query_as(
        "INSERT INTO refunds (id, order_id, payment_id, exception_id, provider, provider_payment_id,
                              provider_refund_id, amount, currency, captured, reason, restock, source, state,
                              state_text, created_at, updated_at, idempotency_key, request_hash,
                              workflow_started_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16, $17, $18,
                 CASE WHEN $13 = 'provider' THEN $16 END)
         RETURNING *",
    )
    .bind(RefundId::new(at, random()).uuid())
    .bind(new.order.map(OrderId::uuid))
    .bind(new.payment.map(PaymentId::uuid))
    .bind(new.exception.map(ExceptionId::uuid))
    .bind(new.provider)
    .bind(new.provider_payment_id)
    .bind(new.provider_refund_id)
    .bind(new.money.amount)
    .bind(new.money.currency.code())
    .bind(new.captured)
    .bind(new.reason)
    .bind(new.restock)
    .bind(new.source)
    .bind(new.state.as_str())
    .bind(new.state_text)
    .bind(sql(at))
    .bind(new.idempotency.map(|i| &i.key))
    .bind(new.idempotency.map(|i| &i.request_hash))
    .fetch_one(&mut **tx)
    .await?;
    let refund: Refund = row.try_into()?;
    if let Some(order) = refund.order {
        let data = json!({"refund_id": refund.id, "amount": refund.money.amount,
                          "currency": refund.money.currency, "reason": refund.reason, "source": refund.source});
        timeline::append(tx, order, at, &[("refund.requested", data)]).await?;
        refresh_payment_status(tx, order).await?;
    }
    Ok(refund)
}

pub async fn get(db: &Db, id: RefundId) -> Result<Refund> {
    let row: Option<Row> = sqlx::query_as("SELECT * FROM refunds WHERE id = $1")
        .bind(id.uuid())
        .fetch_optional(db.pool())
        .await?;
    row.ok_or(Error::NotFound)?.try_into()
}

/// All refunds of an order, oldest first.
pub async fn of_order(db: &Db, order: OrderId) -> Result<Vec<Refund>> {
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM refunds WHERE order_id = $1 ORDER BY id")
        .bind(order.uuid())
        .fetch_all(db.pool())
        .await?;
    rows.into_iter().map(Refund::try_from).collect()
}

/// Takes refunds that have no workflow yet, hidden from other sweepers until the transaction ends.
pub async fn claim_unstarted(db: &Db, limit: i64) -> Result<(Tx<'static>, Vec<(RefundId, Option<OrderId>)>)> {
    let mut tx = db.begin().await?;
    let rows: Vec<(uuid::Uuid, Option<uuid::Uuid>)> = sqlx::query_as(
        "SELECT id, order_id FROM refunds WHERE workflow_started_at IS NULL
         ORDER BY created_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED",
    )
    .bind(limit)
    .fetch_all(&mut *tx)
    .await?;
    let refunds =
        rows.into_iter().map(|(id, order)| (RefundId::from_uuid(id), order.map(OrderId::from_uuid)));
    Ok((tx, refunds.collect()))
}

pub async fn mark_started(mut tx: Tx<'static>, ids: &[RefundId], at: Timestamp) -> Result<()> {
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.uuid()).collect();
    sqlx::query("UPDATE refunds SET workflow_started_at = $2 WHERE id = ANY($1)")
        .bind(ids)
        .bind(sql(at))
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

/// Records what the provider says of a refund of ours. Safe to repeat; gives its state now, and whether it is
/// news.
#[tracing::instrument(name = "sql refunds.record", skip_all, err(level = "debug"))]
pub async fn record(db: &Db, id: RefundId, seen: &RefundReport, at: Timestamp) -> Result<(RefundState, bool)> {
    let mut tx = db.begin().await?;
    let news = change(&mut tx, id, seen, at).await?;
    tx.commit().await?;
    Ok(news)
}

/// Takes up what a provider's event says of a refund, and settles the event: ours changes its state, one that
/// was made at the provider is matched with the money it came from.
#[tracing::instrument(name = "sql refunds.report", skip_all, err(level = "debug"))]
pub async fn report(db: &Db, report: &RefundReport, at: Timestamp) -> Result<()> {
    let mut tx = db.begin().await?;
    // One report at a time about one payment: two at once about a new refund would both insert it.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("{}/{}", report.provider, report.payment_id))
        .execute(&mut *tx)
        .await?;
    let known: Option<uuid::Uuid> = sqlx::query_scalar(
        "SELECT id FROM refunds WHERE id = $1 OR (provider = $2 AND provider_refund_id = $3)",
    )
    .bind(report.refund.map(RefundId::uuid))
    .bind(&report.provider)
    .bind(&report.provider_refund_id)
    .fetch_optional(&mut *tx)
    .await?;
    match known {
        Some(id) => {
            change(&mut tx, RefundId::from_uuid(id), report, at).await?;
        }
        None => made_at_provider(&mut tx, report, at).await?,
    }
    crate::inbox::mark_settled(&mut tx, &report.provider, &report.event_id, at).await?;
    Ok(tx.commit().await?)
}

async fn change(
    tx: &mut Tx<'_>,
    id: RefundId,
    seen: &RefundReport,
    at: Timestamp,
) -> Result<(RefundState, bool)> {
    let row: Option<Row> = sqlx::query_as("SELECT * FROM refunds WHERE id = $1 FOR NO KEY UPDATE")
        .bind(id.uuid())
        .fetch_optional(&mut **tx)
        .await?;
    let before: Refund = row.ok_or(Error::NotFound)?.try_into()?;
    // Some providers take success back: the bank refused it days later. Nothing else leaves a final state.
    let takes_back = before.state == RefundState::Succeeded && seen.state == RefundState::Failed;
    let news = before.state != seen.state && (!before.state.is_final() || takes_back);
    if !news {
        return Ok((before.state, false));
    }
    sqlx::query(
        "UPDATE refunds SET state = $2, state_text = $3, updated_at = $4,
                provider_refund_id = coalesce(provider_refund_id, nullif($5, '')) WHERE id = $1",
    )
    .bind(id.uuid())
    .bind(seen.state.as_str())
    .bind(&seen.state_text)
    .bind(sql(at))
    .bind(&seen.provider_refund_id)
    .execute(&mut **tx)
    .await?;
    tell(tx, &before, seen.state, at).await?;
    Ok((seen.state, true))
}

/// What follows from a refund's new state: the timeline, the stock, the order's payment status, or an exception.
async fn tell(tx: &mut Tx<'_>, refund: &Refund, state: RefundState, at: Timestamp) -> Result<()> {
    if state == RefundState::Failed {
        let about = About {
            order: refund.order,
            payment: refund.payment,
            provider: &refund.provider,
            provider_payment_id: &refund.provider_payment_id,
            money: refund.money,
            captured: refund.captured,
            part: &refund.id.to_string(),
        };
        exceptions::raise(tx, Mismatch::RefundFailed, &about, at).await?;
    }
    let Some(order) = refund.order else { return Ok(()) };
    if state == RefundState::Succeeded {
        let data = json!({"refund_id": refund.id, "amount": refund.money.amount,
                          "currency": refund.money.currency, "reason": refund.reason});
        timeline::append(tx, order, at, &[("payment.refunded", data.clone())]).await?;
        outbox::append(tx, order, at, "payment.refunded", data).await?;
        if refund.restock && stock::give_back(tx, order, at).await? > 0 {
            timeline::append(tx, order, at, &[("stock.returned", json!({}))]).await?;
        }
    }
    refresh_payment_status(tx, order).await
}

/// A refund that somebody made in the provider's dashboard. It is about an open exception of that amount, or
/// about the order's own money; what is neither becomes an exception itself.
async fn made_at_provider(tx: &mut Tx<'_>, report: &RefundReport, at: Timestamp) -> Result<()> {
    let payment: Option<(uuid::Uuid, uuid::Uuid, i64, i64)> = sqlx::query_as(
        "SELECT p.id, coalesce(p.pays_order, p.order_id), p.amount,
                (p.applied - coalesce((SELECT sum(r.amount) FROM refunds r
                                       WHERE r.payment_id = p.id AND r.exception_id IS NULL), 0))::bigint
         FROM payments p WHERE p.provider = $1 AND p.provider_payment_id = $2 AND p.state = 'succeeded'
         ORDER BY p.applied DESC LIMIT 1",
    )
    .bind(&report.provider)
    .bind(&report.payment_id)
    .fetch_optional(&mut **tx)
    .await?;
    let (payment, order, captured, left) = match payment {
        Some((payment, order, captured, left)) => {
            (Some(PaymentId::from_uuid(payment)), Some(OrderId::from_uuid(order)), captured, left)
        }
        None => (None, None, report.money.amount, 0),
    };
    let about = About {
        order,
        payment,
        provider: &report.provider,
        provider_payment_id: &report.payment_id,
        money: report.money,
        captured,
        part: &report.provider_refund_id,
    };
    let exception = match open_exception(tx, report).await? {
        Some(id) => {
            exceptions::settle(tx, id, Action::Refund, "refunded at the provider", "provider", at).await?;
            Some(id)
        }
        None if report.money.amount <= left => None,
        None => exceptions::raise(tx, Mismatch::RefundUnexplained, &about, at).await?.map(|raised| raised.0),
    };
    let new = New {
        order,
        payment,
        exception,
        provider: &report.provider,
        provider_payment_id: &report.payment_id,
        provider_refund_id: Some(&report.provider_refund_id),
        money: report.money,
        captured,
        reason: "refunded at the provider",
        restock: false,
        source: "provider",
        state: report.state,
        state_text: &report.state_text,
        idempotency: None,
    };
    let refund = insert(tx, &new, at).await?;
    if report.state.is_final() {
        tell(tx, &refund, report.state, at).await?;
    }
    Ok(())
}

/// The open exception about exactly this money.
async fn open_exception(tx: &mut Tx<'_>, report: &RefundReport) -> Result<Option<ExceptionId>> {
    let id: Option<uuid::Uuid> = sqlx::query_scalar(
        "SELECT id FROM exceptions
         WHERE state = 'open' AND provider = $1 AND provider_payment_id = $2 AND amount = $3 AND currency = $4
         ORDER BY id LIMIT 1 FOR UPDATE",
    )
    .bind(&report.provider)
    .bind(&report.payment_id)
    .bind(report.money.amount)
    .bind(report.money.currency.code())
    .fetch_optional(&mut **tx)
    .await?;
    Ok(id.map(ExceptionId::from_uuid))
}

/// Writes what an order's payments and refunds add up to.
pub(crate) async fn refresh_payment_status(tx: &mut Tx<'_>, order: OrderId) -> Result<()> {
    sqlx::query(
        "WITH paid AS (
             SELECT coalesce(sum(amount), 0) AS captured, coalesce(sum(applied), 0) AS applied
             FROM payments WHERE state = 'succeeded' AND (order_id = $1 OR pays_order = $1)
         ), back AS (
             SELECT count(*) FILTER (WHERE state IN ('requested', 'pending')) AS under_way,
                    coalesce(sum(amount) FILTER (WHERE state = 'succeeded'), 0) AS refunded,
                    coalesce(sum(amount) FILTER (WHERE state = 'succeeded' AND exception_id IS NULL), 0) AS own
             FROM refunds WHERE order_id = $1
         )
         UPDATE orders SET payment_status = CASE
             WHEN under_way > 0 THEN 'refund_pending'
             WHEN refunded > 0 AND refunded >= captured THEN 'refunded'
             WHEN applied > 0 AND own > 0 THEN 'partially_refunded'
             WHEN applied > 0 THEN 'paid'
             ELSE 'unpaid' END
         FROM paid, back WHERE id = $1",
    )
    .bind(order.uuid())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
