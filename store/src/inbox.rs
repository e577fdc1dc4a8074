//! Provider events, stored before they are answered. Whoever stored one tries to hand it to the
//! engine at once; the sweeper hands over what a crash or an outage left.

mod waiting;

use domain::{
    OrderId, RefundId, SignedDuration, Timestamp,
    money::Money,
    payment::{DisputeReport, Outcome, PaymentReport, RefundReport},
    provider_event::{EventOutcome, Notice, ProviderEvent},
};

use sqlx::PgExecutor;
pub(crate) use waiting::money_that_waits;
pub use waiting::waiting_money;

use crate::{Db, Fault, Lease, Result, Tx, exceptions, lease::put_off, orders, retry::retry, sql};

/// What a stored event says that nobody has acted on yet.
#[derive(Debug, Clone)]
pub struct Pending {
    pub id: i64,
    pub notice: Notice,
}

/// What became of an event.
#[derive(Debug)]
pub enum Stored {
    /// Known already; nothing was done.
    Repeated,
    /// Kept; nothing is to be done about it.
    Kept,
    /// Kept. It tells of money for no order of ours, which is an exception now.
    UnknownOrder,
    /// Kept, and to be handed to the engine.
    Pending(Pending),
}

/// Stores an event. Money that names no order of ours becomes an exception at once.
#[tracing::instrument(name = "sql inbox.store", skip_all, err(level = "debug"))]
pub async fn store(db: &Db, event: &ProviderEvent, at: Timestamp) -> Result<Stored> {
    let notice = match &event.notice {
        Some(Notice::Payment { order: None, report }) if report.outcome == Outcome::Succeeded => {
            return store_of_unknown_order(db, event, report, at).await;
        }
        notice => notice.as_ref().filter(|notice| !asks_for_nothing(Some(notice))),
    };
    Ok(match (retry(|| insert(db.pool(), event, at)).await?, notice) {
        (None, _) => Stored::Repeated,
        (Some(_), None) => Stored::Kept,
        (Some(id), Some(notice)) => Stored::Pending(Pending { id, notice: notice.clone() }),
    })
}

async fn store_of_unknown_order(
    db: &Db,
    event: &ProviderEvent,
    report: &PaymentReport,
    at: Timestamp,
) -> Result<Stored> {
    retry(|| async {
        let mut tx = db.begin().await?;
        if insert(&mut *tx, event, at).await?.is_none() {
            return Ok(Stored::Repeated);
        }
        orders::unknown_order(&mut tx, report, at).await?;
        tx.commit().await?;
        Ok(Stored::UnknownOrder)
    })
    .await
}

/// Stores a genuine event that we cannot read, which is an exception: it may have told of money. False if it
/// is known already.
#[tracing::instrument(name = "sql inbox.store_unreadable", skip_all, err(level = "debug"))]
pub async fn store_unreadable(db: &Db, event: &ProviderEvent, why: &str, at: Timestamp) -> Result<bool> {
    retry(|| async {
        let mut tx = db.begin().await?;
        if insert(&mut *tx, event, at).await?.is_none() {
            return Ok(false);
        }
        exceptions::raise_unreadable(&mut tx, event, why, at).await?;
        tx.commit().await?;
        Ok(true)
    })
    .await
}

/// Whether a payment of this provider's is one of ours, or money of which we took note.
pub async fn knows_payment(db: &Db, provider: &str, provider_payment_id: &str) -> Result<bool> {
    let is_known = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM payments WHERE provider = $1 AND provider_payment_id = $2)
               OR EXISTS (SELECT 1 FROM exceptions WHERE kind = 'unknown_order' AND source = $3)
               AS "is_known!""#,
        provider,
        provider_payment_id,
        exceptions::source_of_unknown(provider, provider_payment_id)
    );
    Ok(is_known.fetch_one(db.pool()).await?)
}

/// Stores an event of our own about money that was captured before: its order's workflow comes to know what
/// was decided about it, as it comes to know of money.
pub(crate) async fn store_own(
    tx: &mut Tx,
    order: OrderId,
    report: PaymentReport,
    kind: &str,
    at: Timestamp,
) -> Result<Pending> {
    let event = ProviderEvent {
        provider: report.provider.clone(),
        event_id: report.event_id.clone(),
        kind: kind.to_owned(),
        body: Vec::new(),
        told_at: None,
        notice: Some(Notice::Payment { order: Some(order), report: report.clone() }),
    };
    let id = insert(&mut **tx, &event, at)
        .await?
        .ok_or_else(|| Fault::corrupt("an event of our own came twice"))?;
    Ok(Pending { id, notice: Notice::Payment { order: Some(order), report } })
}

/// A failed try to pay no order of ours, or nothing about money at all.
const fn asks_for_nothing(notice: Option<&Notice>) -> bool {
    matches!(notice, None | Some(Notice::Payment { order: None, .. }))
}

/// None if the event is known already. One that asks for nothing is settled as it is stored.
async fn insert(on: impl PgExecutor<'_>, event: &ProviderEvent, at: Timestamp) -> Result<Option<i64>> {
    let notice = event.notice.as_ref();
    let (refund, dispute) = match notice {
        Some(Notice::Refund { report, .. }) => (Some(report), None),
        Some(Notice::Dispute(report)) => (None, Some(report)),
        Some(Notice::Payment { .. }) | None => (None, None),
    };
    let state_text = refund.map(|it| &*it.state_text).or_else(|| dispute.map(|it| &*it.state_text));
    let id = sqlx::query_scalar!(
        "INSERT INTO inbox (provider, event_id, type, body, received_at, order_id, payment_id, outcome,
                            amount, currency, settled_at, refund_id, provider_refund_id, state_text,
                            provider_dispute_id, told_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
         ON CONFLICT (provider, event_id) DO NOTHING RETURNING id",
        event.provider,
        event.event_id,
        event.kind,
        event.body,
        sql(at),
        notice.and_then(|it| it.order()).map(OrderId::uuid),
        notice.map(|it| it.payment_id()),
        notice.map(|it| it.outcome().as_str()),
        notice.map(|it| it.money().amount),
        notice.map(|it| it.money().currency.code()),
        asks_for_nothing(notice).then(|| sql(at)),
        refund.and_then(|it| it.refund).map(RefundId::uuid),
        refund.map(|it| &*it.provider_refund_id),
        state_text,
        dispute.map(|it| &*it.provider_dispute_id),
        event.told_at.map(sql)
    )
    .fetch_optional(on)
    .await?;
    Ok(id)
}

/// An event that the engine had for this long without settling it was lost there: somebody terminated
/// the workflow that should have done so.
const LOST: SignedDuration = SignedDuration::from_mins(10);

/// Leases events that nobody has acted on. A refund or a dispute waits until the money that it is
/// about is settled.
pub async fn claim_pending(db: &Db, lease: &Lease) -> Result<Vec<Pending>> {
    let lost = lease.now.saturating_sub(LOST).unwrap_or(lease.now);
    let rows = sqlx::query!(
        r#"WITH due AS (
               SELECT id FROM inbox
               WHERE settled_at IS NULL AND received_at < $2 AND coalesce(dispatch_after, received_at) < $1
                 AND (dispatched_at IS NULL OR dispatched_at < $3)
                 AND (outcome IN ('succeeded', 'failed') OR NOT EXISTS (
                     SELECT 1 FROM inbox c
                     WHERE c.settled_at IS NULL AND c.provider = inbox.provider
                       AND c.payment_id = inbox.payment_id AND c.outcome = 'succeeded'))
               ORDER BY coalesce(dispatch_after, received_at) LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED
           )
           UPDATE inbox SET dispatch_after = $5 WHERE id = ANY(ARRAY(SELECT id FROM due))
           RETURNING id, order_id, provider, event_id, payment_id AS "payment_id!", outcome AS "outcome!",
                     amount AS "amount!", currency AS "currency!", refund_id,
                     provider_refund_id, provider_dispute_id, state_text"#,
        sql(lease.now),
        sql(lease.older_than),
        sql(lost),
        lease.limit,
        sql(lease.until)
    )
    .fetch_all(db.pool())
    .await?;
    let pending = rows.into_iter().map(|row| {
        let money = Money::new(row.amount, row.currency);
        let (provider, event_id, payment_id) = (row.provider, row.event_id, row.payment_id);
        let state_text = row.state_text.unwrap_or_default();
        let notice = match row.outcome {
            EventOutcome::Payment(outcome) => Notice::Payment {
                order: row.order_id,
                report: PaymentReport { provider, event_id, payment_id, outcome, money },
            },
            EventOutcome::Refund(state) => Notice::Refund {
                order: row.order_id,
                report: RefundReport {
                    provider,
                    event_id,
                    refund: row.refund_id,
                    provider_refund_id: row.provider_refund_id.unwrap_or_default(),
                    payment_id,
                    state,
                    state_text,
                    money,
                },
            },
            EventOutcome::Dispute(state) => Notice::Dispute(DisputeReport {
                provider,
                event_id,
                provider_dispute_id: row.provider_dispute_id.unwrap_or_default(),
                payment_id,
                state,
                state_text,
                money,
            }),
        };
        Pending { id: row.id, notice }
    });
    Ok(pending.collect())
}

/// Gives leased events back, to be taken again after `until`.
pub async fn put_off(db: &Db, ids: &[i64], until: Timestamp) -> Result<()> {
    put_off!("inbox", ids, until).execute(db.pool()).await?;
    Ok(())
}

/// What is noted of an event (of a provider, by its id). A report that came by another way has none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Noted {
    /// When it was stored.
    pub received_at: Option<Timestamp>,
    pub is_settled: bool,
    /// The provider's own time of what it tells.
    pub told_at: Option<Timestamp>,
}

pub(crate) async fn event(tx: &mut Tx, provider: &str, event_id: &str) -> Result<Noted> {
    let noted = sqlx::query!(
        "SELECT received_at, settled_at, told_at FROM inbox WHERE provider = $1 AND event_id = $2",
        provider,
        event_id
    )
    .map(|event| Noted {
        received_at: Some(event.received_at.to_jiff()),
        is_settled: event.settled_at.is_some(),
        told_at: event.told_at.map(|at| at.to_jiff()),
    });
    Ok(noted.fetch_optional(&mut **tx).await?.unwrap_or_default())
}

/// Whether a capture was reported that nobody has settled yet.
pub(crate) async fn capture_is_under_way(
    tx: &mut Tx,
    provider: &str,
    provider_payment_id: &str,
) -> Result<bool> {
    let is_under_way = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT 1 FROM inbox WHERE settled_at IS NULL AND provider = $1 AND payment_id = $2
                                                AND outcome = 'succeeded') AS "is_under_way!""#,
        provider,
        provider_payment_id
    );
    Ok(is_under_way.fetch_one(&mut **tx).await?)
}

/// Notes that the engine has these events, as far as they are not settled already. Never waits: who has one
/// locked is settling it.
pub async fn note_dispatched(db: &Db, ids: &[i64], at: Timestamp) -> Result<()> {
    sqlx::query!(
        "UPDATE inbox SET dispatched_at = $2
         WHERE id = ANY(ARRAY(SELECT id FROM inbox WHERE id = ANY($1) AND settled_at IS NULL
                      FOR NO KEY UPDATE SKIP LOCKED))",
        ids,
        sql(at)
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Notes that what these events (of a provider, by its id) say was acted on. A report that came by another
/// way has no event.
pub(crate) async fn mark_settled(tx: &mut Tx, events: &[(&str, &str, Timestamp)]) -> Result<()> {
    let (providers, ids, times): (Vec<_>, Vec<_>, Vec<_>) =
        events.iter().map(|(provider, event, at)| (*provider, *event, sql(*at))).collect();
    sqlx::query!(
        "UPDATE inbox i SET settled_at = e.at
         FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS e (provider, event_id, at)
         WHERE i.provider = e.provider AND i.event_id = e.event_id AND i.settled_at IS NULL",
        providers as _,
        ids as _,
        times as _
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
