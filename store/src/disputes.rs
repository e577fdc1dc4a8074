//! Disputes: a payer wants money back by way of the bank. Its money is not with us, and cannot be refunded,
//! until the dispute is won. Whose money it took is said where it is said of refunds, in [`crate::refunds`].

use domain::{
    DisputeId, OrderId, PaymentId, Timestamp,
    event::{self, OrderEvent},
    money::{Currency, Money},
    payment::{DisputeReport, DisputeState},
};

use crate::{
    Db, Fault, Result, SqlTime, Tx, inbox, locks, order_events, random,
    refunds::{self, PaymentRef, find_payment, update_attribution},
    retry::retry,
    sql,
};

struct Dispute {
    provider_dispute_id: String,
    amount: i64,
    currency: Currency,
    state: DisputeState,
    state_text: String,
    told_at: Option<SqlTime>,
}

impl Dispute {
    /// What is not news is told again, or was overtaken by what came of it.
    fn is_news(&self, seen: &DisputeReport, told_at: Option<Timestamp>) -> bool {
        let last = self.told_at.as_ref().map(|at| at.to_jiff());
        let outdated = matches!((told_at, last), (Some(now), Some(last)) if now < last);
        let same = self.state == seen.state && self.amount == seen.money.amount;
        !outdated && !same && self.state.may_become(seen.state)
    }
}

/// Takes up what a provider's event says of a dispute, and settles the event. Gives the dispute's state, if
/// that is news.
#[tracing::instrument(name = "sql disputes.record_event", skip_all, err(level = "debug"))]
pub async fn record_event(db: &Db, report: &DisputeReport, at: Timestamp) -> Result<Option<DisputeState>> {
    retry(|| async {
        let mut tx = db.begin().await?;
        locks::payment(&mut tx, &report.provider, &report.payment_id).await?;
        let event = inbox::event(&mut tx, &report.provider, &report.event_id).await?;
        if event.is_settled {
            return Ok(None);
        }
        if inbox::capture_is_under_way(&mut tx, &report.provider, &report.payment_id).await? {
            return Err(Fault::Engine("the disputed money is not settled yet".to_owned()));
        }
        let news = take_up(&mut tx, report, event.told_at, at).await?;
        inbox::mark_settled(&mut tx, &[(&report.provider, &report.event_id, at)]).await?;
        tx.commit().await?;
        Ok(news)
    })
    .await
}

async fn take_up(
    tx: &mut Tx,
    report: &DisputeReport,
    told_at: Option<Timestamp>,
    at: Timestamp,
) -> Result<Option<DisputeState>> {
    let payment = find_payment(tx, &report.provider, &report.payment_id).await?;
    let known = sqlx::query_as!(
        Dispute,
        "SELECT provider_dispute_id, amount, currency, state, state_text, told_at
         FROM disputes WHERE provider = $1 AND provider_dispute_id = $2 FOR UPDATE",
        report.provider,
        report.provider_dispute_id
    )
    .fetch_optional(&mut **tx)
    .await?;
    if known.as_ref().is_some_and(|known| !known.is_news(report, told_at)) {
        return Ok(None);
    }
    let before = known.map(|dispute| dispute.state);
    let dispute = sqlx::query_as!(
        Dispute,
        "INSERT INTO disputes (id, order_id, payment_id, provider, provider_payment_id, provider_dispute_id,
                               amount, currency, state, state_text, told_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)
         ON CONFLICT (provider, provider_dispute_id) DO UPDATE
             SET amount = excluded.amount, state = excluded.state, state_text = excluded.state_text,
                 own = 0, held = 0, told_at = coalesce(excluded.told_at, disputes.told_at),
                 updated_at = excluded.updated_at
         RETURNING provider_dispute_id, amount, currency, state, state_text, told_at",
        DisputeId::new(at, random()).uuid(),
        payment.order.map(OrderId::uuid),
        payment.payment.map(PaymentId::uuid),
        report.provider,
        report.payment_id,
        report.provider_dispute_id,
        report.money.amount,
        report.money.currency.code(),
        report.state.as_str(),
        report.state_text,
        told_at.map(sql) as _,
        sql(at)
    )
    .fetch_one(&mut **tx)
    .await?;
    if let Some(order) = payment.order {
        append_events(tx, order, &dispute, before, at).await?;
    }
    update_attribution(tx, &payment, at).await?;
    if let (Some(order), DisputeState::Won) = (payment.order, dispute.state) {
        refunds::refund_cancelled_after_won_dispute(tx, order, at).await?;
        refunds::refund_exceptions_after_won_dispute(tx, &payment, at).await?;
    }
    Ok((before != Some(report.state)).then_some(report.state))
}

/// Tells of what became of a dispute. One whose end is told before its beginning began all the same.
async fn append_events(
    tx: &mut Tx,
    order: OrderId,
    dispute: &Dispute,
    before: Option<DisputeState>,
    at: Timestamp,
) -> Result<()> {
    let data = || event::Dispute {
        dispute_id: dispute.provider_dispute_id.clone(),
        money: Money::new(dispute.amount, dispute.currency),
        state_text: dispute.state_text.clone(),
    };
    let began = before.is_none().then(|| OrderEvent::PaymentDisputed(data()));
    let ended = match dispute.state {
        state if before == Some(state) => None,
        DisputeState::Open => None,
        DisputeState::Won => Some(OrderEvent::DisputeWon(data())),
        DisputeState::Lost => Some(OrderEvent::DisputeLost(data())),
    };
    let events: Vec<_> = began.into_iter().chain(ended).collect();
    order_events::append(tx, order, at, &events).await
}

/// Gives disputes that were told before their capture to the order whose money it was.
pub(crate) async fn assign_to_order(
    tx: &mut Tx,
    captured: &PaymentRef<'_>,
    order: OrderId,
    at: Timestamp,
) -> Result<()> {
    let disputes = sqlx::query_as!(
        Dispute,
        "UPDATE disputes SET order_id = $3, payment_id = $4
         WHERE provider = $1 AND provider_payment_id = $2 AND payment_id IS NULL
         RETURNING provider_dispute_id, amount, currency, state, state_text, told_at",
        captured.provider,
        captured.provider_payment_id,
        order.uuid(),
        captured.payment.map(PaymentId::uuid)
    )
    .fetch_all(&mut **tx)
    .await?;
    for dispute in disputes {
        append_events(tx, order, &dispute, None, at).await?;
    }
    Ok(())
}
