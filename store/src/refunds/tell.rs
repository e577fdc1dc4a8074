//! What providers say of refunds: of those we asked for, and of those made in their dashboards.

use domain::{
    ExceptionId, OrderId, PaymentId, RefundId, Timestamp,
    payment::{Action, Mismatch, RefundReport, RefundState},
};
use serde_json::json;

use super::{New, Refund, Row, insert, note_request, refresh_payment_status};
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
    lock_payment(&mut tx, &report.provider, &report.payment_id).await?;
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
    inbox::mark_settled(&mut tx, &[(&report.provider, &report.event_id, at)]).await?;
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
    if let Some(order) = refund.order {
        orders::lock(tx, order).await?; // before the stock, as everybody does
    }
    if state == RefundState::Failed {
        failed(tx, refund, at).await?;
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

/// What was to go back did not: an exception. What nobody could explain did not go back, so there is nothing left
/// to explain; the money is where it was, and is accounted for there.
async fn failed(tx: &mut Tx<'_>, refund: &Refund, at: Timestamp) -> Result<()> {
    if let Some(id) = refund.exception
        && exceptions::kind(tx, id).await? == Mismatch::RefundUnexplained.as_str()
    {
        exceptions::settle(tx, id, Action::Dismiss, "it failed: nothing went back", "rule", at).await?;
        return Ok(());
    }
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
    Ok(())
}

/// One report at a time about one payment, of its capture or of its refunds: two at once about a new refund
/// would both insert it, and a capture would not see a refund that came before it. Taken before an order's lock.
pub(crate) async fn lock_payment(tx: &mut Tx<'_>, provider: &str, provider_payment_id: &str) -> Result<()> {
    lock_payments(tx, &[(provider, provider_payment_id)]).await
}

/// The same of many, in an order of their own, so that those who lock several wait and never deadlock.
pub(crate) async fn lock_payments(tx: &mut Tx<'_>, payments: &[(&str, &str)]) -> Result<()> {
    let names = payments.iter().map(|(provider, payment)| format!("{provider}/{payment}"));
    sqlx::query(
        "SELECT pg_advisory_xact_lock(key) FROM (
             SELECT DISTINCT hashtextextended(name, 0) AS key FROM unnest($1::text[]) AS p (name) ORDER BY key
         ) AS payment",
    )
    .bind(names.collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A refund that somebody made in the provider's dashboard. It is about an open exception of that amount, or
/// about the order's own money; what is neither becomes an exception itself.
async fn made_at_provider(tx: &mut Tx<'_>, report: &RefundReport, at: Timestamp) -> Result<()> {
    if report.state == RefundState::Failed {
        return Ok(()); // nothing went back
    }
    let origin = origin(tx, &report.provider, &report.payment_id).await?;
    let captured = origin.captured.unwrap_or(report.money.amount);
    let about = About {
        order: origin.order,
        payment: origin.payment,
        provider: &report.provider,
        provider_payment_id: &report.payment_id,
        money: report.money,
        captured,
        part: &report.provider_refund_id,
    };
    let exception = match explain(tx, &about, origin.left, at).await? {
        Some(of) => of,
        None => exceptions::raise(tx, Mismatch::RefundUnexplained, &about, at).await?.map(|raised| raised.0),
    };
    let new = New {
        order: origin.order,
        payment: origin.payment,
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

/// A captured payment of ours, its order locked; nothing if we do not know it (yet).
#[derive(Default)]
struct Origin {
    order: Option<OrderId>,
    payment: Option<PaymentId>,
    captured: Option<i64>,
    /// What of the order's own money has not been asked back yet.
    left: i64,
}

async fn origin(tx: &mut Tx<'_>, provider: &str, provider_payment_id: &str) -> Result<Origin> {
    let found: Option<(uuid::Uuid, uuid::Uuid, i64)> = sqlx::query_as(
        "SELECT id, coalesce(pays_order, order_id), amount FROM payments
         WHERE provider = $1 AND provider_payment_id = $2 AND state = 'succeeded'
         ORDER BY applied DESC LIMIT 1",
    )
    .bind(provider)
    .bind(provider_payment_id)
    .fetch_optional(&mut **tx)
    .await?;
    let Some((payment, order, captured)) = found else { return Ok(Origin::default()) };
    orders::lock(tx, OrderId::from_uuid(order)).await?;
    let left: i64 = sqlx::query_scalar(
        "SELECT (p.applied - coalesce((SELECT sum(r.amount) FROM refunds r
                                       WHERE r.payment_id = p.id AND r.exception_id IS NULL), 0))::bigint
         FROM payments p WHERE p.id = $1",
    )
    .bind(payment)
    .fetch_one(&mut **tx)
    .await?;
    Ok(Origin {
        order: Some(OrderId::from_uuid(order)),
        payment: Some(PaymentId::from_uuid(payment)),
        captured: Some(captured),
        left,
    })
}

/// Whose money went back at the provider: that of an open exception, which is settled by it, or (`Some(None)`)
/// the order's. None: nobody's that we know.
async fn explain(
    tx: &mut Tx<'_>,
    about: &About<'_>,
    left: i64,
    at: Timestamp,
) -> Result<Option<Option<ExceptionId>>> {
    if let Some(id) = open_exception(tx, about).await? {
        exceptions::settle(tx, id, Action::Refund, "refunded at the provider", "provider", at).await?;
        return Ok(Some(Some(id)));
    }
    Ok((about.money.amount <= left).then_some(None))
}

/// The open exception about exactly this money.
async fn open_exception(tx: &mut Tx<'_>, about: &About<'_>) -> Result<Option<ExceptionId>> {
    let id: Option<uuid::Uuid> = sqlx::query_scalar(
        "SELECT id FROM exceptions
         WHERE state = 'open' AND provider = $1 AND provider_payment_id = $2 AND amount = $3 AND currency = $4
           AND kind <> 'refund_unexplained'
         ORDER BY id LIMIT 1 FOR UPDATE",
    )
    .bind(about.provider)
    .bind(about.provider_payment_id)
    .bind(about.money.amount)
    .bind(about.money.currency.code())
    .fetch_optional(&mut **tx)
    .await?;
    Ok(id.map(ExceptionId::from_uuid))
}

/// Webhooks come in any order: a refund may be told before its capture, and is unexplained until then. Now that
/// the capture is known, it is matched as if it had been told after it.
pub(crate) async fn take_up_early(tx: &mut Tx<'_>, captured: &[(&str, &str, Timestamp)]) -> Result<()> {
    let early: Vec<Row> = sqlx::query_as(
        "SELECT r.* FROM refunds r JOIN exceptions e ON e.id = r.exception_id
         WHERE (r.provider, r.provider_payment_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
           AND r.payment_id IS NULL AND r.state <> 'failed' AND e.kind = 'refund_unexplained'
         ORDER BY r.id FOR UPDATE OF r",
    )
    .bind(captured.iter().map(|(provider, ..)| *provider).collect::<Vec<_>>())
    .bind(captured.iter().map(|(_, payment, _)| *payment).collect::<Vec<_>>())
    .fetch_all(&mut **tx)
    .await?;
    for row in early {
        let refund = Refund::try_from(row)?;
        let of = |(provider, payment, _): &&(&str, &str, Timestamp)| {
            (*provider, *payment) == (refund.provider.as_str(), refund.provider_payment_id.as_str())
        };
        if let Some((.., at)) = captured.iter().find(of) {
            take_up(tx, refund, *at).await?;
        }
    }
    Ok(())
}

async fn take_up(tx: &mut Tx<'_>, refund: Refund, at: Timestamp) -> Result<()> {
    let origin = origin(tx, &refund.provider, &refund.provider_payment_id).await?;
    let about = About {
        order: origin.order,
        payment: origin.payment,
        provider: &refund.provider,
        provider_payment_id: &refund.provider_payment_id,
        money: refund.money,
        captured: origin.captured.unwrap_or(refund.captured),
        part: "",
    };
    let Some(unexplained) = refund.exception else { return Ok(()) };
    let exception = match (explain(tx, &about, origin.left, at).await?, origin.order, origin.payment) {
        (Some(of), ..) => {
            let note = "its capture is known now";
            exceptions::settle(tx, unexplained, Action::Dismiss, note, "rule", at).await?;
            of
        }
        (None, Some(order), Some(payment)) => {
            exceptions::found_order(tx, unexplained, order, payment, at).await?;
            refund.exception
        }
        (None, ..) => return Ok(()), // a person looks
    };
    sqlx::query(
        "UPDATE refunds SET order_id = $2, payment_id = $3, exception_id = $4, captured = $5 WHERE id = $1",
    )
    .bind(refund.id.uuid())
    .bind(origin.order.map(OrderId::uuid))
    .bind(origin.payment.map(PaymentId::uuid))
    .bind(exception.map(ExceptionId::uuid))
    .bind(about.captured)
    .execute(&mut **tx)
    .await?;
    let refund = Refund { order: origin.order, payment: origin.payment, exception, ..refund };
    note_request(tx, &refund, at).await?;
    match refund.state {
        RefundState::Succeeded => tell(tx, &refund, refund.state, at).await,
        _ => Ok(()), // its failure is an exception already
    }
}
