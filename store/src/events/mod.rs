//! The stream of public events: how they are read, in the order of their positions (docs/adr/0039). How they
//! are written: [`crate::order_events`], and [`append`] for those that are of no order.

mod cursor;
mod horizon;
mod prune;

use domain::{
    OrderId, Timestamp,
    public_event::{Cause, EventId, PublicData, PublicEvent, PublicEventType},
};

pub use cursor::{advance, begin_at, lease, release};
pub use horizon::{Horizon, newest};
pub use prune::{prune, pruned};

use crate::{Db, Result, Tx, cause, random, sql};

/// So many events are looked through at once for those of some types.
const LOOKED_THROUGH: i64 = 20_000;

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those of all types if it is empty.
    pub types: Vec<PublicEventType>,
    pub subject: Option<String>,
}

impl Filter {
    /// How far is looked at once, so that what is rare keeps nobody for long: types have no index.
    pub fn window(&self, after: i64, up_to: i64) -> i64 {
        match self.subject.is_none() && !self.types.is_empty() {
            true => up_to.min(after.saturating_add(LOOKED_THROUGH)),
            false => up_to,
        }
    }

    /// Whether it lets an event through.
    pub fn wants(&self, event: &PublicEvent) -> bool {
        (self.types.is_empty() || self.types.contains(&event.event_type))
            && self.subject.as_ref().is_none_or(|subject| *subject == event.subject)
    }
}

/// A part of the stream: after one position, and up to another that the [`Horizon`] has reached.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    pub after: i64,
    pub up_to: i64,
    pub limit: i64,
}

/// Events that a condition is true for.
macro_rules! events {
    ($condition:literal, $($argument:expr),+) => {
        sqlx::query!(
            "SELECT position, salt, order_id, subject, sequence, type, version, at, data, cause
             FROM events WHERE "
                + $condition,
            $($argument),+
        )
        .map(|row| PublicEvent {
            id: EventId::new(row.position, row.salt),
            event_type: row.r#type,
            version: row.version,
            subject: row.order_id.map_or_else(|| row.subject.unwrap_or_default(), |order| order.to_string()),
            sequence: row.sequence,
            at: row.at.to_jiff(),
            cause: row.cause.unwrap_or_default(),
            data: row.data,
        })
    };
}

/// Reads on in the stream.
#[tracing::instrument(name = "sql events.read", skip_all, err(level = "debug"))]
pub async fn read(db: &Db, range: Range, filter: &Filter) -> Result<Vec<PublicEvent>> {
    let Range { after, up_to, limit } = range;
    let types = &filter.types[..];
    let events = match &filter.subject {
        None if types.is_empty() => {
            let all =
                events!("position > $1 AND position <= $2 ORDER BY position LIMIT $3", after, up_to, limit);
            all.fetch_all(db.pool()).await
        }
        None => {
            let of_types = events!(
                "position > $1 AND position <= $2 AND type = ANY($4) ORDER BY position LIMIT $3",
                after,
                up_to,
                limit,
                types as _
            );
            of_types.fetch_all(db.pool()).await
        }
        Some(subject) => of_subject(db, range, subject, types).await,
    };
    Ok(events?)
}

/// Those at some positions, as far as they are kept.
pub(crate) async fn at(db: &Db, positions: &[i64]) -> Result<Vec<PublicEvent>> {
    match positions.is_empty() {
        true => Ok(Vec::new()),
        false => Ok(events!("position = ANY($1)", positions).fetch_all(db.pool()).await?),
    }
}

async fn of_subject(
    db: &Db,
    Range { after, up_to, limit }: Range,
    subject: &str,
    types: &[PublicEventType],
) -> sqlx::Result<Vec<PublicEvent>> {
    let any = types.is_empty();
    match subject.parse::<OrderId>() {
        Ok(order) => {
            let of_order = events!(
                "order_id = $4 AND position > $1 AND position <= $2 AND ($5 OR type = ANY($6))
                 ORDER BY position LIMIT $3",
                after,
                up_to,
                limit,
                order.uuid(),
                any,
                types as _
            );
            of_order.fetch_all(db.pool()).await
        }
        Err(_) => {
            let of_subject = events!(
                "subject = $4 AND position > $1 AND position <= $2 AND ($5 OR type = ANY($6))
                 ORDER BY position LIMIT $3",
                after,
                up_to,
                limit,
                subject,
                any,
                types as _
            );
            of_subject.fetch_all(db.pool()).await
        }
    }
}

/// Writes an event that is of no order. Whoever does so holds what its subject's events are numbered under.
pub(crate) async fn append(
    tx: &mut Tx,
    subject: &str,
    sequence: i32,
    at: Timestamp,
    data: &PublicData,
) -> Result<()> {
    let cause = cause::current();
    sqlx::query!(
        "INSERT INTO events (subject, sequence, type, at, data, cause, salt) VALUES ($1, $2, $3, $4, $5, $6,
         $7)",
        subject,
        sequence,
        data.event_type().as_str(),
        sql(at),
        serde_json::json!(data),
        cause.unless_empty() as Option<&Cause>,
        salt()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What tells an event from another with its number.
pub(crate) fn salt() -> i64 {
    i64::from_le_bytes(random())
}
