//! What waits, in figures: for those who run Holdfast. Each is read by an index of the few rows that wait,
//! and counted no further than an operator needs.

use std::time::Duration;

use domain::Timestamp;

use crate::{Db, Result, webhook_endpoints::deliveries};

/// Who looks at figures does not wait long for them.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Beyond this a figure says "very many".
const COUNTED_AT_MOST: i64 = 10_000;

/// What waits for somebody: the sweeper, or a person.
#[derive(Debug, Clone, Copy)]
pub struct Backlog {
    /// Orders that the engine does not know yet.
    pub unstarted_orders: i64,
    pub open_exceptions: i64,
    pub unpublished_events: i64,
    /// When the oldest event came of which nothing is done yet.
    pub oldest_unsettled: Option<Timestamp>,
}

/// Counts what waits, for `/metrics`.
pub async fn backlog(db: &Db) -> Result<Backlog> {
    let query = sqlx::query!(
        // Each in the order of its index, so that no plan walks through the table.
        r#"SELECT
             (SELECT count(*) FROM (
                 SELECT FROM orders WHERE workflow_started_at IS NULL
                 ORDER BY coalesce(dispatch_after, placed_at) LIMIT $1) AS o)
             AS "unstarted_orders!",
             (SELECT count(*) FROM (
                 SELECT FROM exceptions WHERE state = 'open' ORDER BY id DESC LIMIT $1) AS e)
             AS "open_exceptions!",
             (SELECT count(*) FROM (
                 SELECT FROM events WHERE position > (SELECT min(c.position) FROM event_cursors c
                                                      WHERE c.name <> 'pruned')
                 ORDER BY position LIMIT $1) AS u)
             AS "unpublished_events!",
             (SELECT min(received_at) FROM (
                 SELECT received_at FROM inbox WHERE settled_at IS NULL
                 ORDER BY coalesce(dispatch_after, received_at) LIMIT $1) AS i)
             AS oldest_unsettled"#,
        COUNTED_AT_MOST
    );
    let read = query.fetch_one(db.pool());
    let found = tokio::time::timeout(TIMEOUT, read).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    Ok(Backlog {
        unstarted_orders: found.unstarted_orders,
        open_exceptions: found.open_exceptions,
        unpublished_events: found.unpublished_events,
        oldest_unsettled: found.oldest_unsettled.map(|at| at.to_jiff()),
    })
}

/// Counts what waits to be delivered, for `/metrics`.
pub async fn webhooks(db: &Db) -> Result<deliveries::Backlog> {
    let read = deliveries::backlog(db, COUNTED_AT_MOST);
    tokio::time::timeout(TIMEOUT, read).await.map_err(|_| sqlx::Error::PoolTimedOut)?
}

/// The pool's connections: at work, open, and how many there may be.
#[derive(Debug, Clone, Copy)]
pub struct Connections {
    pub in_use: u32,
    pub open: u32,
    pub max: u32,
}

/// Looks at the pool, for `/metrics`.
pub fn connections(db: &Db) -> Connections {
    let pool = &db.pool;
    let open = pool.size();
    let idle = u32::try_from(pool.num_idle()).unwrap_or(open);
    Connections { in_use: open.saturating_sub(idle), open, max: pool.options().get_max_connections() }
}
