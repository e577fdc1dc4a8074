//! What became of deliveries, for those who look.

use domain::{
    OrderId, Timestamp, WebhookEndpointId,
    public_event::{EventId, PublicEventType},
    webhook::DeliveryState,
};

use crate::{Db, Result, SqlTime};

/// One event for one endpoint.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub endpoint: WebhookEndpointId,
    pub event: EventId,
    pub event_type: PublicEventType,
    pub subject: String,
    /// When it happened.
    pub at: Timestamp,
    pub state: DeliveryState,
    pub attempts: i32,
    /// When it is tried next. None: it came to its end, or waits for an earlier one of its subject.
    pub due_at: Option<Timestamp>,
    pub answer_code: Option<i16>,
    pub answer: Option<String>,
    pub error: Option<String>,
    pub tried_at: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
}

struct Row {
    endpoint_id: WebhookEndpointId,
    event: i64,
    salt: i64,
    r#type: PublicEventType,
    subject: String,
    at: SqlTime,
    state: DeliveryState,
    attempts: i32,
    due_at: Option<SqlTime>,
    answer_code: Option<i16>,
    answer: Option<String>,
    error: Option<String>,
    tried_at: Option<SqlTime>,
    delivered_at: Option<SqlTime>,
}

impl From<Row> for Delivery {
    fn from(row: Row) -> Self {
        Self {
            endpoint: row.endpoint_id,
            event: EventId::new(row.event, row.salt),
            event_type: row.r#type,
            subject: row.subject,
            at: row.at.to_jiff(),
            state: row.state,
            attempts: row.attempts,
            due_at: row.due_at.map(|at| at.to_jiff()),
            answer_code: row.answer_code,
            answer: row.answer,
            error: row.error,
            tried_at: row.tried_at.map(|at| at.to_jiff()),
            delivered_at: row.delivered_at.map(|at| at.to_jiff()),
        }
    }
}

/// Deliveries that a condition is true for, of endpoints that are not deleted.
macro_rules! deliveries {
    ($condition:literal, $($argument:expr),+) => {
        sqlx::query_as!(
            Row,
            "SELECT d.endpoint_id, d.event, d.salt, d.type, d.subject, d.at, d.state, d.attempts, d.due_at,
                    d.answer_code, d.answer, d.error, d.tried_at, d.delivered_at
             FROM webhook_deliveries d WHERE " + $condition,
            $($argument),+
        )
    };
}

/// Of an endpoint, the newest event first, those before the given one.
pub async fn list(
    db: &Db,
    endpoint: WebhookEndpointId,
    state: Option<DeliveryState>,
    before: Option<EventId>,
    limit: i64,
) -> Result<Vec<Delivery>> {
    let before = before.map_or(i64::MAX, EventId::position);
    let found = match state {
        None => {
            let all = deliveries!(
                "d.endpoint_id = $1 AND d.event < $2 ORDER BY d.event DESC LIMIT $3",
                endpoint.uuid(),
                before,
                limit
            );
            all.fetch_all(db.pool()).await?
        }
        Some(state) => {
            let in_state = deliveries!(
                "d.endpoint_id = $1 AND d.state = $4 AND d.event < $2 ORDER BY d.event DESC LIMIT $3",
                endpoint.uuid(),
                before,
                limit,
                state.as_str()
            );
            in_state.fetch_all(db.pool()).await?
        }
    };
    Ok(found.into_iter().map(Delivery::from).collect())
}

/// Of an order's events, newest first, those before the given one.
pub async fn newest_of_order(
    db: &Db,
    order: OrderId,
    before: Option<(EventId, WebhookEndpointId)>,
    limit: i64,
) -> Result<Vec<Delivery>> {
    let (event, endpoint) =
        before.map_or((i64::MAX, uuid::Uuid::max()), |(event, endpoint)| (event.position(), endpoint.uuid()));
    let found = deliveries!(
        "d.order_id = $1 AND (d.event, d.endpoint_id) < ($2, $3)
         AND EXISTS (SELECT FROM webhook_endpoints w WHERE w.id = d.endpoint_id AND w.deleted_at IS NULL)
         ORDER BY d.event DESC, d.endpoint_id DESC LIMIT $4",
        order.uuid(),
        event,
        endpoint,
        limit
    );
    Ok(found.fetch_all(db.pool()).await?.into_iter().map(Delivery::from).collect())
}

/// Of an order's events, oldest first, those after the given one.
pub async fn of_order(
    db: &Db,
    order: OrderId,
    after: Option<(EventId, WebhookEndpointId)>,
    limit: i64,
) -> Result<Vec<Delivery>> {
    let (event, endpoint) =
        after.map_or((i64::MIN, uuid::Uuid::nil()), |(event, endpoint)| (event.position(), endpoint.uuid()));
    let found = deliveries!(
        "d.order_id = $1 AND (d.event, d.endpoint_id) > ($2, $3)
         AND EXISTS (SELECT FROM webhook_endpoints w WHERE w.id = d.endpoint_id AND w.deleted_at IS NULL)
         ORDER BY d.event, d.endpoint_id LIMIT $4",
        order.uuid(),
        event,
        endpoint,
        limit
    );
    Ok(found.fetch_all(db.pool()).await?.into_iter().map(Delivery::from).collect())
}

/// What waits at endpoints that are enabled, counted so far, and since when; and how many are disabled.
#[derive(Debug, Clone, Copy)]
pub struct Backlog {
    pub pending: i64,
    pub oldest: Option<Timestamp>,
    pub disabled_endpoints: i64,
}

/// Looks at what waits, for `/metrics`.
pub async fn backlog(db: &Db, counted_at_most: i64) -> Result<Backlog> {
    let found = sqlx::query!(
        r#"SELECT
             (SELECT count(*) FROM (
                 SELECT FROM webhook_endpoints w
                 CROSS JOIN LATERAL (SELECT FROM webhook_deliveries d
                                     WHERE d.endpoint_id = w.id AND d.state = 'pending'
                                     ORDER BY d.event LIMIT $1) AS d
                 WHERE w.status = 'enabled' AND w.deleted_at IS NULL LIMIT $1) AS p) AS "pending!",
             (SELECT min(d.created_at) FROM webhook_endpoints w
              CROSS JOIN LATERAL (SELECT d.created_at FROM webhook_deliveries d
                                  WHERE d.endpoint_id = w.id AND d.state = 'pending'
                                  ORDER BY d.event LIMIT 1) AS d
              WHERE w.status = 'enabled' AND w.deleted_at IS NULL) AS "oldest: SqlTime",
             (SELECT count(*) FROM webhook_endpoints WHERE status = 'disabled' AND deleted_at IS NULL)
             AS "disabled!""#,
        counted_at_most
    )
    .fetch_one(db.pool())
    .await?;
    Ok(Backlog {
        pending: found.pending,
        oldest: found.oldest.map(|at| at.to_jiff()),
        disabled_endpoints: found.disabled,
    })
}
