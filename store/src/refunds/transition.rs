//! What is said of refunds: by a provider's answer to us, by its events, by its statement. All of it comes
//! through [`take_up`], and what follows from what is known becomes a refund's state in [`apply_transition`].

use domain::{
    RefundId, Timestamp,
    event::{OrderEvent, ReceivedMoney, RefundSaid},
    exception::Kind,
    money::Money,
    payment::{RefundReport, RefundSource, RefundState},
};

use super::{NewRefund, PaymentRef, Refund, find_payment, insert, query_refunds, update_attribution};
use crate::{
    Db, Fault, Result, Tx,
    exceptions::{self, About, Subject},
    inbox, locks, order_events,
    retry::retry,
    returns, sql,
};

/// Records what the provider answered about a refund of ours. Safe to repeat; gives its state now, and
/// whether it is news. An answer is asked for while the refund has no end, and ends nothing that has one.
#[tracing::instrument(name = "sql refunds.record_answer", skip_all, err(level = "debug"))]
pub async fn record_answer(
    db: &Db,
    id: RefundId,
    seen: &RefundReport,
    at: Timestamp,
) -> Result<(RefundState, bool)> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let before = locked(&mut tx, id).await?;
        let news = match before.state.is_final() {
            true => (before.state, false),
            false => take_up(&mut tx, &before, seen, None, at).await?,
        };
        tx.commit().await?;
        Ok(news)
    })
    .await
}

/// Takes up what a provider's event says of a refund, and settles the event: ours changes its state, one that
/// was made at the provider is matched with the money it came from. Gives the end that it came to, if that is
/// news.
#[tracing::instrument(name = "sql refunds.record_event", skip_all, err(level = "debug"))]
pub async fn record_event(db: &Db, report: &RefundReport, at: Timestamp) -> Result<Option<RefundState>> {
    retry(|| async {
        let mut tx = db.begin().await?;
        locks::payment(&mut tx, &report.provider, &report.payment_id).await?;
        let event = inbox::event(&mut tx, &report.provider, &report.event_id).await?;
        if event.is_settled {
            return Ok(None); // handed over twice; what was told since stands
        }
        let known = sqlx::query_scalar!(
            "SELECT id FROM refunds WHERE id = $1 OR (provider = $2 AND provider_refund_id = $3)
             ORDER BY (id = $1) DESC NULLS LAST",
            report.refund.map(RefundId::uuid),
            report.provider,
            report.provider_refund_id
        )
        .fetch_all(&mut *tx)
        .await?;
        let before = match known.first() {
            Some(id) => locked(&mut tx, *id).await?,
            // Whose money it is shows once that is settled; the sweeper reports it again then.
            None if inbox::capture_is_under_way(&mut tx, &report.provider, &report.payment_id).await? => {
                return Err(Fault::Engine("the money that went back is not settled yet".to_owned()));
            }
            None => insert_made_at_provider(&mut tx, report, at).await?,
        };
        let (state, is_news) = take_up(&mut tx, &before, report, event.told_at, at).await?;
        inbox::mark_settled(&mut tx, &[(&report.provider, &report.event_id, at)]).await?;
        tx.commit().await?;
        Ok((is_news && state.is_final()).then_some(state))
    })
    .await
}

/// A refund, locked after its payment and its order, as everybody locks them.
async fn locked(tx: &mut Tx, id: RefundId) -> Result<Refund> {
    let payment = sqlx::query!("SELECT provider, provider_payment_id FROM refunds WHERE id = $1", id.uuid())
        .fetch_one(&mut **tx)
        .await?;
    locks::payment(tx, &payment.provider, &payment.provider_payment_id).await?;
    let order = sqlx::query_scalar!("SELECT order_id FROM refunds WHERE id = $1", id.uuid());
    if let Some(order) = order.fetch_one(&mut **tx).await? {
        locks::order(tx, order).await?;
    }
    let refund = query_refunds!("SELECT", "FROM refunds WHERE id = $1 FOR NO KEY UPDATE", id.uuid());
    Ok(refund.fetch_one(&mut **tx).await?)
}

/// Takes up what was seen of a refund, if that follows from what is known; gives its state now, and whether
/// that is news. `told_at` is the provider's own time of what it says, if it says one.
async fn take_up(
    tx: &mut Tx,
    before: &Refund,
    seen: &RefundReport,
    told_at: Option<Timestamp>,
    at: Timestamp,
) -> Result<(RefundState, bool)> {
    if contradicts(tx, before, seen).await? {
        raise_contradiction(tx, before, seen, at).await?;
        return Ok((before.state, false));
    }
    if let (true, Some(told_at)) = (before.state == seen.state, told_at) {
        // The same as before, but newer: what is told later and was said earlier is outdated.
        sqlx::query!(
            "UPDATE refunds SET told_at = greatest(told_at, $2) WHERE id = $1",
            before.id.uuid(),
            sql(told_at)
        )
        .execute(&mut **tx)
        .await?;
        return Ok((before.state, false));
    }
    if before.state.is_final() && is_outdated(tx, before, told_at).await? {
        return Ok((before.state, false));
    }
    if (before.state, seen.state) == (RefundState::Failed, RefundState::Succeeded) {
        supersede(tx, before, at).await?;
    }
    match apply_transition(tx, before, seen, told_at, at).await? {
        Some(refund) => {
            update_attribution(tx, &refund.payment_ref(), at).await?;
            Ok((refund.state, true))
        }
        None => Ok((before.state, false)),
    }
}

/// Whether it is said of another payment, amount or currency than was asked for, or of two refunds at once.
async fn contradicts(tx: &mut Tx, asked: &Refund, seen: &RefundReport) -> Result<bool> {
    let same = asked.provider == seen.provider
        && asked.provider_payment_id == seen.payment_id
        && asked.money() == seen.money
        && (asked
            .provider_refund_id
            .as_deref()
            .is_none_or(|id| seen.provider_refund_id.is_empty() || id == seen.provider_refund_id));
    if !same || seen.provider_refund_id.is_empty() {
        return Ok(!same);
    }
    let of_two = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM refunds
                          WHERE provider = $1 AND provider_refund_id = $2 AND id <> $3) AS "it!""#,
        seen.provider,
        seen.provider_refund_id,
        asked.id.uuid()
    );
    Ok(of_two.fetch_one(&mut **tx).await?)
}

/// Told once, and not taken up. The exception is about no money: that is where it was.
async fn raise_contradiction(tx: &mut Tx, asked: &Refund, seen: &RefundReport, at: Timestamp) -> Result<()> {
    let about = About {
        payment: PaymentRef {
            provider: &seen.provider,
            provider_payment_id: &seen.payment_id,
            ..asked.payment_ref()
        },
        money: Money::new(0, asked.currency),
        captured: asked.captured,
        part: &format!("{}/{}", seen.provider_refund_id, asked.id),
        subject: Some(Subject::Refund(asked.id)),
    };
    if exceptions::raise(tx, Kind::RefundContradicted, &about, at).await?.is_none() {
        return Ok(());
    }
    tracing::warn!(refund_id = %asked.id, "the provider says something else of a refund than was asked for");
    let Some(order) = asked.order_id else { return Ok(()) };
    let money = ReceivedMoney::new(&seen.provider, &seen.payment_id, seen.money);
    let said = RefundSaid { money, state: seen.state };
    let event = OrderEvent::RefundContradicted { refund_id: asked.id, said };
    order_events::append(tx, order, at, &[event]).await
}

/// Whether a newer word of the provider's than this one was taken up already.
async fn is_outdated(tx: &mut Tx, refund: &Refund, told_at: Option<Timestamp>) -> Result<bool> {
    let Some(told_at) = told_at else { return Ok(false) };
    let last = sqlx::query_scalar!("SELECT told_at FROM refunds WHERE id = $1", refund.id.uuid());
    let last = last.fetch_one(&mut **tx).await?;
    Ok(last.is_some_and(|last| told_at < last.to_jiff()))
}

/// Changes a refund's state: nothing else does. What an order makes of it (its timeline, its stock) is
/// written with it; whose money it was is said by [`update_attribution`], which the caller goes on with. None
/// if a refund in this state does not come to that one.
async fn apply_transition(
    tx: &mut Tx,
    before: &Refund,
    seen: &RefundReport,
    told_at: Option<Timestamp>,
    at: Timestamp,
) -> Result<Option<Refund>> {
    if !before.state.may_become(seen.state) {
        return Ok(None);
    }
    // The workflow of one that went back after all has ended: another one tells the customer.
    let changed = query_refunds!(
        "UPDATE refunds SET state = $2, state_text = $3, updated_at = $4, told_at = coalesce($6, told_at),
                provider_refund_id = coalesce(provider_refund_id, nullif($5, '')),
                workflow_started_at = CASE WHEN state = 'failed' AND source <> 'provider' THEN NULL
                                      ELSE workflow_started_at END
         WHERE id = $1 RETURNING",
        "",
        before.id.uuid(),
        seen.state.as_str(),
        seen.state_text,
        sql(at),
        seen.provider_refund_id,
        told_at.map(sql) as _
    );
    let refund = changed.fetch_one(&mut **tx).await?;
    follow_up(tx, &refund, at).await?;
    Ok(Some(refund))
}

/// What an order makes of a refund of its money that came to an end: the timeline and the stock.
pub(super) async fn follow_up(tx: &mut Tx, refund: &Refund, at: Timestamp) -> Result<()> {
    let Some(order) = refund.order_id else { return Ok(()) };
    match refund.state {
        RefundState::Requested | RefundState::Pending => Ok(()),
        RefundState::Failed => {
            let state_text = refund.state_text.clone();
            let event = OrderEvent::RefundFailed { refund: refund.event_data(), state_text };
            order_events::append(tx, order, at, &[event]).await?;
            returns::free(tx, refund.id, order, at).await
        }
        RefundState::Succeeded => {
            let event = OrderEvent::PaymentRefunded(refund.event_data());
            order_events::append(tx, order, at, &[event]).await?;
            returns::give_back(tx, refund.id, order, at).await
        }
    }
}

/// A refund that had failed went back after all. What was asked for instead of it, and no provider was asked
/// for yet, is not made any more; the first brings back what the other was to.
async fn supersede(tx: &mut Tx, refund: &Refund, at: Timestamp) -> Result<()> {
    let instead = query_refunds!(
        "SELECT",
        "FROM refunds JOIN exceptions e ON e.id = refunds.exception_id
         WHERE e.refund_id = $1 AND e.kind = 'refund_failed' AND refunds.state = 'requested'
         FOR NO KEY UPDATE OF refunds",
        refund.id.uuid()
    );
    for instead in instead.fetch_all(&mut **tx).await? {
        let failure = instead.failure(&format!("superseded: {} went back after all", refund.id));
        apply_transition(tx, &instead, &failure, None, at).await?;
        if let Some(order) = refund.order_id {
            returns::take_over(tx, instead.id, refund.id, order, at).await?;
        }
    }
    Ok(())
}

/// Stores a refund that somebody made in the provider's dashboard, whatever became of it.
async fn insert_made_at_provider(tx: &mut Tx, report: &RefundReport, at: Timestamp) -> Result<Refund> {
    let payment = find_payment(tx, &report.provider, &report.payment_id).await?;
    let new = NewRefund {
        provider_refund_id: Some(&report.provider_refund_id),
        source: RefundSource::Provider,
        ..NewRefund::new(payment, report.money, "refunded at the provider")
    };
    insert(tx, &new, at).await?.ok_or_else(|| Fault::corrupt("a refund without a key found one taken"))
}
