//! What is known about an exception, for the person who is to decide.

use domain::{
    ExceptionId, OrderId, Timestamp, exception::Kind, money::Currency, provider_event::EventOutcome,
};

use super::{Error, Exception, read};
use crate::{
    Db, SqlTime,
    timeline::{self, Entry},
};

/// So many events and lines of a statement are shown, the oldest: more tell nothing new.
const MAX_SHOWN: i64 = 20;
/// So much of an event is shown.
const MAX_BODY_BYTES: i32 = 16 * 1024;

/// A provider's event, as it came.
#[derive(Debug, Clone)]
pub struct Told {
    pub event_id: String,
    pub kind: String,
    pub outcome: Option<EventOutcome>,
    pub amount: Option<i64>,
    pub currency: Option<Currency>,
    pub received_at: Timestamp,
    pub settled_at: Option<Timestamp>,
    /// How it began, as it was sent.
    pub body: String,
}

/// A line of a provider's statement.
#[derive(Debug, Clone)]
pub struct Line {
    pub kind: String,
    pub reference: String,
    pub amount: i64,
    pub currency: Currency,
    pub fee: Option<i64>,
    pub at: Timestamp,
    pub matched: bool,
}

/// What others have told of it.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    pub events: Vec<Told>,
    pub lines: Vec<Line>,
}

/// An exception.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(db: &Db, id: ExceptionId) -> Result<Exception, Error> {
    read(db.pool(), id).await
}

/// What the provider has told of it, by its events and by its statement. Oldest first.
#[tracing::instrument(name = "sql exceptions.evidence", skip_all, err(level = "debug"))]
pub async fn evidence(db: &Db, exception: &Exception) -> Result<Evidence, Error> {
    let Some(provider) = exception.provider.as_deref() else { return Ok(Evidence::default()) };
    let event_id = exception.data["event_id"].as_str().filter(|_| exception.kind == Kind::UnreadableEvent);
    let events = sqlx::query!(
        r#"SELECT event_id, type AS kind, outcome AS "outcome: EventOutcome", amount,
                  currency AS "currency: Currency", received_at, settled_at,
                  substring(body FOR $6) AS "body!"
           FROM inbox
           WHERE id = ANY(ARRAY(
                     SELECT id FROM inbox WHERE provider = $1 AND event_id = $2
                     UNION ALL
                     SELECT id FROM inbox WHERE order_id = $3 AND provider = $1 AND payment_id = $4
                     UNION ALL
                     SELECT id FROM inbox WHERE order_id IS NULL AND provider = $1 AND payment_id = $4))
           ORDER BY id LIMIT $5"#,
        provider,
        event_id,
        exception.order_id.map(OrderId::uuid),
        exception.provider_payment_id,
        MAX_SHOWN,
        MAX_BODY_BYTES
    )
    .fetch_all(db.pool())
    .await?;
    let lines = sqlx::query!(
        r#"SELECT kind, reference, amount, currency AS "currency: Currency", fee, at, matched
           FROM provider_movements WHERE provider = $1 AND payment = $2 ORDER BY at, kind LIMIT $3"#,
        provider,
        exception.provider_payment_id,
        MAX_SHOWN
    )
    .fetch_all(db.pool())
    .await?;
    let told = events.into_iter().map(|it| Told {
        event_id: it.event_id,
        kind: it.kind,
        outcome: it.outcome,
        amount: it.amount,
        currency: it.currency,
        received_at: it.received_at.to_jiff(),
        settled_at: it.settled_at.map(SqlTime::to_jiff),
        body: String::from_utf8_lossy(&it.body).into_owned(),
    });
    let line = lines.into_iter().map(|it| Line {
        kind: it.kind,
        reference: it.reference,
        amount: it.amount,
        currency: it.currency,
        fee: it.fee,
        at: it.at.to_jiff(),
        matched: it.matched,
    });
    Ok(Evidence { events: told.collect(), lines: line.collect() })
}

/// Whether the money was less than what was due when it came: the order's total, less the parts that counted
/// by then. None: the order's timeline does not tell, or no money came: a part was taken back.
#[tracing::instrument(name = "sql exceptions.was_too_little", skip_all, err(level = "debug"))]
pub async fn was_too_little(db: &Db, exception: &Exception, total: i64) -> Result<Option<bool>, Error> {
    let Some(order) = exception.order_id else { return Ok(None) };
    let taken_back = sqlx::query_scalar!(
        "SELECT id FROM exceptions
         WHERE order_id = $1 AND kind = 'wrong_amount' AND (refund_id IS NOT NULL OR dispute_id IS NOT NULL)",
        order.uuid()
    )
    .fetch_all(db.pool())
    .await?;
    let taken_back: Vec<String> = taken_back.iter().map(ExceptionId::to_string).collect();
    let entries = timeline::of_order(db, order).await?;
    Ok(is_too_little(&entries, &exception.id.to_string(), &taken_back, total))
}

/// The amount stands on the timeline as it was raised; that of an open exception falls as money goes back.
fn is_too_little(entries: &[Entry], id: &str, taken_back: &[String], total: i64) -> Option<bool> {
    let mut due = total;
    for Entry { kind, data, .. } in entries {
        let is_of = |id: &str| data["exception_id"] == id;
        match kind.as_str() {
            "payment.applied" => due = data["amount_due"].as_i64()?,
            "exception.raised" if taken_back.iter().any(|taken| is_of(taken)) => {
                due += data["amount"].as_i64()?;
            }
            "exception.raised" if is_of(id) => return Some(data["amount"].as_i64()? < due),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use serde_json::json;

    use super::*;

    fn entry(kind: &str, data: serde_json::Value) -> Entry {
        Entry { at: Timestamp::UNIX_EPOCH, kind: kind.to_owned(), by: None, data }
    }

    #[test]
    fn what_was_due_is_what_the_parts_had_left() {
        let raised = |id: &str, amount: i64| {
            entry("exception.raised", json!({"exception_id": id, "kind": "wrong_amount", "amount": amount}))
        };
        let applied =
            |amount: i64, due: i64| entry("payment.applied", json!({"amount": amount, "amount_due": due}));
        let told = [
            raised("first", 24),
            applied(20, 5),
            raised("second", 7),
            raised("gone", 20), // the part was lost in a dispute: all is due again
            raised("third", 7),
            applied(25, 0),
        ];
        let was = |id: &str| is_too_little(&told, id, &["gone".to_owned()], 25);
        assert_eq!(["first", "second", "third"].map(was), [Some(true), Some(false), Some(true)]);
        assert_eq!(["gone", "unknown"].map(was), [None, None]);
        let old = [entry("payment.applied", json!({"amount": 20})), raised("first", 7)];
        assert_eq!(is_too_little(&old, "first", &[], 25), None);
    }
}
