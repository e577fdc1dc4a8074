//! What providers say of refunds: of those we asked for, and of those made in their dashboards.

use domain::{
    ExceptionId, OrderId, PaymentId, RefundId, Timestamp,
    payment::{Action, Mismatch, RefundReport, RefundState},
};
use serde_json::json;

use super::{New, Refund, Row, insert, refresh_payment_status};
use crate::{
    Db, Error, Result, Tx,
    exceptions::{self, About},
    inbox, orders, outbox, sql, stock, timeline,
};

/// Records what the provider says of a refund of ours. Safe to repeat; gives its state now, and whether it is
/// news.
#[tracing::instrument(name = "sql refunds.record", skip_all, err(level = "debug"))]
pub async fn record(
    db: &Db,
    id: RefundId,
    seen: &RefundReport,
    at: Timestamp,
) -> Result<(RefundState, bool)> {
    let mut tx = db.begin().await?;
    let news = change(&mut tx, id, seen, at).await?;
    tx.commit().await?;
    Ok(news)
}

/// Takes up what a provider's event says of a refund, and settles the event: ours changes its state, one that
/// was made at the provider is matched with the money it came from. Gives the end that it came to, if that is news.
#[tracing::instrument(name = "sql refunds.report", skip_all, err(level = "debug"))]
pub async fn report(db: &Db, report: &RefundReport, at: Timestamp) -> Result<Option<RefundState>> {
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
    let (state, is_news) = match known {
        Some(id) => change(&mut tx, RefundId::from_uuid(id), report, at).await?,
        // Whose money it is shows once that is settled; the sweeper reports it again then.
        None if inbox::capture_is_under_way(&mut tx, &report.provider, &report.payment_id).await? => {
            return Err(Error::Engine("the money that went back is not settled yet".to_owned()));
        }
        None => {
            made_at_provider(&mut tx, report, at).await?;
            (report.state, true)
        }
    };
    inbox::mark_settled(&mut tx, &report.provider, &report.event_id, at).await?;
    tx.commit().await?;
    Ok((is_news && state.is_final()).then_some(state))
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
    let payment: Option<(uuid::Uuid, uuid::Uuid, i64)> = sqlx::query_as(
        "SELECT p.id, coalesce(p.pays_order, p.order_id), p.amount FROM payments p WHERE p.provider = $1 AND p.provider_payment_id = $2 AND p.state = 'succeeded'
         ORDER BY p.applied DESC LIMIT 1",
    )
    .bind(&report.provider)
    .bind(&report.payment_id)
    .fetch_optional(&mut **tx)
    .await?;
    let (payment, order, captured, left) = match payment {
        Some((payment, order, captured)) => {
            let order = OrderId::from_uuid(order);
            orders::lock(tx, order).await?; // against refunds that are asked for right now
            (Some(PaymentId::from_uuid(payment)), Some(order), captured, left(tx, payment).await?)
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

/// What of a payment pays its order and has not been asked back yet.
async fn left(tx: &mut Tx<'_>, payment: uuid::Uuid) -> Result<i64> {
    let left = sqlx::query_scalar(
        "SELECT (applied - coalesce((SELECT sum(amount) FROM refunds
                                     WHERE payment_id = $1 AND exception_id IS NULL), 0))::bigint
         FROM payments WHERE id = $1",
    );
    Ok(left.bind(payment).fetch_one(&mut **tx).await?)
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
