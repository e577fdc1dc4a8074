//! The providers' statements, as far as they were read, matched with what we have.

use domain::{
    OrderId, PaymentId, Timestamp,
    exception::Kind,
    money::{Currency, MAX_AMOUNT, Money},
    payment::DisputeState,
    statement::StatementLine,
};

use crate::{
    Db, Result,
    exceptions::{self, About},
    refunds::PaymentRef,
    retry::retry,
    sql,
};

/// What we have of that of which a statement's line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// The same: the payment (or refund) is known, with that amount.
    Same,
    /// Nothing yet.
    Missing,
    /// The payment (or refund) is known, with another amount or another end.
    Different,
}

/// A query with whether we have the same as the line `m`, from what stands in it before that and after.
macro_rules! matched {
    ($query:ident!($($record:ident,)? $before:literal, $after:literal $(, $argument:expr)* $(,)?)) => {
        sqlx::$query!($($record,)? $before + "(CASE m.kind WHEN 'captured' THEN
              EXISTS (SELECT 1 FROM payments p
                      WHERE p.provider = m.provider AND p.provider_payment_id = m.payment
                        AND p.state = 'succeeded' AND p.amount = m.amount AND p.currency = m.currency)
              OR EXISTS (SELECT 1 FROM exceptions e
                         WHERE e.provider = m.provider AND e.provider_payment_id = m.payment
                           AND e.kind = 'unknown_order' AND e.amount = m.amount AND e.currency = m.currency)
          WHEN 'refunded' THEN
              EXISTS (SELECT 1 FROM refunds r
                       WHERE r.provider = m.provider AND r.provider_refund_id = m.reference
                         AND r.state = 'succeeded' AND r.amount = m.amount AND r.currency = m.currency)
          ELSE EXISTS (SELECT 1 FROM disputes d
                       WHERE d.provider = m.provider AND d.provider_dispute_id = m.reference
                         AND d.state = m.state AND d.amount = m.amount
                         AND d.currency = m.currency) END)" + $after
            $(, $argument)*)
    };
}

/// Stores a line of a provider's statement, and compares it with what we have.
pub async fn record_line(db: &Db, provider: &str, line: &StatementLine) -> Result<Match> {
    let stored = matched!(query!(
        "WITH m AS (SELECT $1::text AS provider, $2::text AS kind, $3::text AS reference, $4::text AS payment,
                           $6::bigint AS amount, $7::char(3) AS currency, $10::text AS state)
         INSERT INTO provider_movements AS line (provider, kind, reference, payment, order_id, amount,
                                                 currency, fee, at, state, matched)
         SELECT provider, kind, reference, payment, $5::uuid, amount,
                currency, $8::bigint, $9::timestamptz, state, ",
        r#" FROM m
         ON CONFLICT (provider, kind, reference) DO UPDATE
             SET fee = coalesce(excluded.fee, line.fee), matched = excluded.matched, state = excluded.state
         RETURNING matched,
                   CASE kind WHEN 'captured' THEN
                       EXISTS (SELECT 1 FROM payments p WHERE p.provider = line.provider
                                   AND p.provider_payment_id = line.payment AND p.state = 'succeeded')
                   WHEN 'refunded' THEN EXISTS (SELECT 1 FROM refunds r WHERE r.provider = line.provider
                                    AND r.provider_refund_id = line.reference
                                    AND r.state IN ('succeeded', 'failed'))
                   -- What a dispute is by now is taken up anew whenever it changes.
                   ELSE false END AS "known!""#,
        provider,
        line.kind.as_str(),
        line.reference(),
        line.provider_payment_id,
        line.order.map(OrderId::uuid),
        line.money.amount,
        line.money.currency.code(),
        line.fee,
        sql(line.at),
        line.kind.dispute_state().map(DisputeState::as_str)
    ))
    .fetch_one(db.pool())
    .await?;
    Ok(match (stored.matched, stored.known) {
        (true, _) => Match::Same,
        (false, true) => Match::Different,
        (false, false) => Match::Missing,
    })
}

/// Raises an exception for each capture between `from` and `until` that we have and the provider's statement
/// has not. The money itself, if there is any, is what its order makes of it: the exception is about
/// none. Gives how many are new.
pub async fn raise_captures_not_in_statement(
    db: &Db,
    provider: &str,
    from: Timestamp,
    until: Timestamp,
    at: Timestamp,
) -> Result<u64> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let missing = sqlx::query!(
            r#"SELECT p.id AS "id: PaymentId", p.order_id AS "order: OrderId",
                      p.provider_payment_id AS "provider_payment_id!", p.currency AS "currency: Currency"
               FROM payments p
               WHERE p.provider = $1 AND p.state = 'succeeded' AND p.captured_at >= $2 AND p.captured_at < $3
                 AND NOT EXISTS (SELECT 1 FROM provider_movements m WHERE m.provider = p.provider
                                     AND m.kind = 'captured' AND m.reference = p.provider_payment_id)
                 AND NOT EXISTS (SELECT 1 FROM exceptions e WHERE e.payment_id = p.id AND e.kind = $4)
               ORDER BY p.id"#,
            provider,
            sql(from),
            sql(until),
            Kind::NotInBooks.as_str()
        )
        .fetch_all(&mut *tx)
        .await?;
        let mut raised = 0;
        for payment in missing {
            let payment_ref = PaymentRef {
                provider,
                provider_payment_id: &payment.provider_payment_id,
                payment: Some(payment.id),
                order: Some(payment.order),
            };
            let about = About::all(payment_ref, Money::new(0, payment.currency));
            raised += u64::from(exceptions::raise(&mut tx, Kind::NotInBooks, &about, at).await?.is_some());
        }
        tx.commit().await?;
        Ok(raised)
    })
    .await
}

/// Up to when a provider's statement was read.
pub async fn read_until(db: &Db, provider: &str) -> Result<Option<Timestamp>> {
    let until = sqlx::query_scalar!("SELECT until FROM reconciliations WHERE provider = $1", provider)
        .fetch_optional(db.pool())
        .await?;
    Ok(until.map(|t| t.to_jiff()))
}

/// Notes up to which time a provider's statements have been read.
pub async fn note_read_until(db: &Db, provider: &str, until: Timestamp) -> Result<()> {
    sqlx::query!(
        "INSERT INTO reconciliations (provider, until) VALUES ($1, $2)
         ON CONFLICT (provider) DO UPDATE SET until = greatest(reconciliations.until, excluded.until)",
        provider,
        sql(until)
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// What a provider settled on one day (UTC) in one currency. Minor units; sums beyond [`MAX_AMOUNT`] are
/// given as that.
#[derive(Debug, Clone)]
pub struct Settlement {
    pub day: String,
    pub provider: String,
    pub currency: Currency,
    pub captured: i64,
    pub refunded: i64,
    /// None if the provider does not say.
    pub fees: Option<i64>,
    /// Lines of which we have nothing, or something else (yet).
    pub unmatched: i64,
    /// Captured that day, still an open exception, and still with us.
    pub open: i64,
    /// Taken by disputes, less what was given back when they were won.
    pub disputed: i64,
}

/// Newest day first, those before the given (day, provider, currency).
pub async fn list(db: &Db, before: Option<&(String, String, String)>, limit: i64) -> Result<Vec<Settlement>> {
    let (day, provider, currency) = match before {
        Some((day, provider, currency)) => (Some(day), Some(provider), Some(currency)),
        None => (None, None, None),
    };
    let settlements = matched!(query_as!(
        Settlement,
        "WITH back AS (
             SELECT provider, payment,
                    sum(CASE kind WHEN 'captured' THEN 0 WHEN 'dispute_reversed' THEN -amount
                                  ELSE amount END) AS amount
             FROM provider_movements GROUP BY provider, payment
         ), line AS (
             SELECT m.provider, m.kind, m.amount, m.currency, m.fee,
                    m.matched OR ",
        r#" AS matched, -- healed since, perhaps
                    to_char(m.at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day,
                    -- No more than is there, by the provider's statement as well as by our books.
                    (SELECT least(coalesce(sum(e.amount - e.back), 0), greatest(0, m.amount - greatest(
                                (SELECT amount FROM back
                                 WHERE (back.provider, back.payment) = (m.provider, m.payment)),
                                (SELECT sum(amount) FROM refunds r
                                 WHERE r.provider_payment_id = m.payment AND r.provider = m.provider
                                   AND r.state = 'succeeded'))))
                     FROM exceptions e
                     WHERE m.kind = 'captured' AND e.state = 'open' AND e.provider_payment_id = m.payment
                       AND e.provider = m.provider AND (e.kind = 'refund_failed' OR e.kind = ANY($6))) AS open
             FROM provider_movements m
         ), settlement AS (
             SELECT day, provider, currency::text AS currency,
                    coalesce(sum(amount) FILTER (WHERE kind = 'captured'), 0) AS captured,
                    coalesce(sum(amount) FILTER (WHERE kind = 'refunded'), 0) AS refunded,
                    sum(fee) AS fees,
                    count(*) FILTER (WHERE NOT matched) AS unmatched,
                    coalesce(sum(open), 0) AS open,
                    coalesce(sum(CASE kind WHEN 'disputed' THEN amount
                                           WHEN 'dispute_reversed' THEN -amount END), 0) AS disputed
             FROM line GROUP BY day, provider, currency
         )
         SELECT day AS "day!", provider, currency AS "currency!: Currency", unmatched AS "unmatched!",
                least(captured, $5::bigint)::bigint AS "captured!",
                least(refunded, $5)::bigint AS "refunded!", least(open, $5)::bigint AS "open!",
                greatest(-$5, least(disputed, $5))::bigint AS "disputed!",
                CASE WHEN fees IS NOT NULL THEN greatest(-$5, least(fees, $5))::bigint END AS fees
         FROM settlement
         WHERE $1::text IS NULL OR (day, provider, currency) < ($1, $2, $3)
         ORDER BY day DESC, provider DESC, currency DESC LIMIT $4"#,
        day,
        provider,
        currency,
        limit,
        MAX_AMOUNT,
        &Kind::holding_money()
    ))
    .fetch_all(&mut *db.begin_report().await?)
    .await?;
    Ok(settlements)
}

/// A line of a provider's statement of which we have nothing, or something else.
#[derive(Debug, Clone)]
pub struct Unmatched {
    pub provider: String,
    pub kind: String,
    pub reference: String,
    pub payment: String,
    pub order: Option<OrderId>,
    pub amount: i64,
    pub currency: Currency,
    pub fee: Option<i64>,
    pub at: Timestamp,
}

/// Where a line stands among others.
#[derive(Debug, Clone)]
pub struct Place {
    pub at: Timestamp,
    pub provider: String,
    pub kind: String,
    pub reference: String,
}

/// Those that have waited longest first, behind a place.
#[tracing::instrument(name = "sql settlements.unmatched", skip_all, err(level = "debug"))]
pub async fn unmatched(db: &Db, after: Option<&Place>, limit: i64) -> Result<Vec<Unmatched>> {
    let lines = matched!(query!(
        r#"SELECT m.provider, m.kind, m.reference, m.payment, m.order_id AS "order: OrderId", m.amount,
                  m.currency AS "currency: Currency", m.fee, m.at
           FROM provider_movements m
           WHERE ($1::timestamptz IS NULL OR (m.at, m.provider, m.kind, m.reference) > ($1, $2, $3, $4))
             AND NOT m.matched AND NOT "#,
        " -- healed since, perhaps
           ORDER BY m.at, m.provider, m.kind, m.reference LIMIT $5",
        after.map(|place| sql(place.at)) as _,
        after.map(|place| place.provider.as_str()),
        after.map(|place| place.kind.as_str()),
        after.map(|place| place.reference.as_str()),
        limit
    ))
    .fetch_all(db.pool())
    .await?;
    let line = lines.into_iter().map(|it| Unmatched {
        provider: it.provider,
        kind: it.kind,
        reference: it.reference,
        payment: it.payment,
        order: it.order,
        amount: it.amount,
        currency: it.currency,
        fee: it.fee,
        at: it.at.to_jiff(),
    });
    Ok(line.collect())
}
