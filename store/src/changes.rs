//! Changes that were asked of orders, stored before the order's workflow is told, and answered in the transaction that
//! decides about them. Whoever stored one tells the workflow at once; the sweeper tells what a crash or an outage left.

use domain::{
    ChangeId, OrderId, Timestamp,
    change::{Answer, Kind, Request},
};
use sqlx::types::Json;

use crate::{
    Db, Error, Idempotency, Lease, Result, SqlTime, Tx,
    lease::{GRACE, put_off},
    orders::{self, Start},
    random,
    retry::retry,
    sql,
};

/// Different changes of one order that may wait at the same time.
pub const MAX_WAITING: usize = 10;
/// Rows of one order that may wait, equal ones under different keys included.
const MAX_WAITING_ROWS: usize = 1000;

/// A change that was asked for.
#[derive(Debug, Clone)]
pub struct Change {
    pub id: ChangeId,
    pub order: OrderId,
    pub request: Request,
    pub requested_at: Timestamp,
    /// None: it is not decided yet.
    pub answer: Option<Answer>,
    pub decided_at: Option<Timestamp>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: uuid::Uuid,
    order_id: uuid::Uuid,
    request: Json<Request>,
    requested_at: SqlTime,
    answer: Option<Json<Answer>>,
    decided_at: Option<SqlTime>,
}

impl From<Row> for Change {
    fn from(row: Row) -> Self {
        Self {
            id: ChangeId::from_uuid(row.id),
            order: OrderId::from_uuid(row.order_id),
            request: row.request.0,
            requested_at: row.requested_at.to_jiff(),
            answer: row.answer.map(|Json(answer)| answer),
            decided_at: row.decided_at.map(|at| at.to_jiff()),
        }
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, order_id, request, requested_at, answer, decided_at FROM order_changes ", $rest)
    };
}

/// How a change came to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Its workflow is to be told of it.
    New,
    /// An equal one waits, and its answer is this one's, too.
    Joined,
    /// The key was used for it before.
    Replayed,
}

/// Stores a change, to be told to the order's workflow. The same key and request gives the same change again; an equal
/// one that waits already is joined. What the order as it stands forbids is answered at once.
///
/// # Errors
/// [`Error::TooManyWaiting`] if so many changes of this order wait that the workflow should be let catch up.
#[tracing::instrument(name = "sql changes.request", skip_all, err(level = "debug"))]
pub async fn request(
    db: &Db,
    order: OrderId,
    request: &Request,
    asked: &Idempotency,
    is_keyed: bool,
    at: Timestamp,
) -> Result<(Change, Asked)> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let locked = orders::lock(&mut tx, order).await?;
        if is_keyed && let Some(known) = replay(&mut tx, order, asked).await? {
            return Ok((known, Asked::Replayed));
        }
        let answer = orders::refusal(&mut tx, &locked, request, at).await?;
        let equal = match answer {
            None => join(&mut tx, order, asked).await?.filter(|_| may_join(request)),
            Some(_) => None,
        };
        let how = if equal.is_some() { Asked::Joined } else { Asked::New };
        if let (Some(equal), false) = (equal, is_keyed) {
            return Ok((equal, how));
        }
        let new = Change {
            id: ChangeId::new(at, random()),
            order,
            request: request.clone(),
            requested_at: at,
            answer,
            decided_at: answer.map(|_| at),
        };
        // A refusal is kept only for those who may ask for it again.
        if answer.is_none() || is_keyed {
            insert(&mut tx, &new, asked, is_keyed).await?;
            tx.commit().await?;
        }
        Ok((new, how))
    })
    .await
}

/// Whoever shows a code second is to hear that it was used.
fn may_join(request: &Request) -> bool {
    request.kind() != Kind::CheckIn
}

/// What was answered under this key before, or is waiting.
pub async fn find(db: &Db, order: OrderId, asked: &Idempotency) -> Result<Option<Change>> {
    replay(&mut db.begin().await?, order, asked).await
}

async fn replay(tx: &mut Tx, order: OrderId, asked: &Idempotency) -> Result<Option<Change>> {
    let hash: Option<Vec<u8>> = sqlx::query_scalar(
        "SELECT request_hash FROM order_changes WHERE order_id = $1 AND idempotency_key = $2",
    )
    .bind(order.uuid())
    .bind(&asked.key)
    .fetch_optional(&mut **tx)
    .await?;
    match hash {
        None => Ok(None),
        Some(hash) if hash != asked.request_hash => Err(Error::KeyReused),
        Some(_) => {
            let row = sqlx::query_as::<_, Row>(select!("WHERE order_id = $1 AND idempotency_key = $2"));
            let row = row.bind(order.uuid()).bind(&asked.key).fetch_one(&mut **tx).await?;
            Ok(Some(row.into()))
        }
    }
}

/// The equal change that waits, if there is one; if not, there must be room for another.
async fn join(tx: &mut Tx, order: OrderId, asked: &Idempotency) -> Result<Option<Change>> {
    let waiting: Vec<(uuid::Uuid, Vec<u8>)> = sqlx::query_as(
        "SELECT id, request_hash FROM order_changes WHERE order_id = $1 AND decided_at IS NULL ORDER BY id",
    )
    .bind(order.uuid())
    .fetch_all(&mut **tx)
    .await?;
    let mut hashes: Vec<&[u8]> = waiting.iter().map(|(_, hash)| hash.as_slice()).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let equal = waiting.iter().find(|(_, hash)| *hash == asked.request_hash);
    if waiting.len() >= MAX_WAITING_ROWS || (equal.is_none() && hashes.len() >= MAX_WAITING) {
        return Err(Error::TooManyWaiting);
    }
    let Some((id, _)) = equal else { return Ok(None) };
    let row = sqlx::query_as::<_, Row>(select!("WHERE id = $1")).bind(id).fetch_one(&mut **tx).await?;
    Ok(Some(row.into()))
}

async fn insert(tx: &mut Tx, new: &Change, asked: &Idempotency, is_keyed: bool) -> Result<()> {
    sqlx::query(
        "INSERT INTO order_changes (id, order_id, kind, request, request_hash, idempotency_key, requested_at,
                                    dispatch_after, answer, decided_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(new.id.uuid())
    .bind(new.order.uuid())
    .bind(new.request.kind().as_str())
    .bind(Json(&new.request))
    .bind(&asked.request_hash)
    .bind(is_keyed.then_some(&asked.key))
    .bind(sql(new.requested_at))
    .bind(sql(new.requested_at.saturating_add(GRACE).unwrap_or(new.requested_at)))
    .bind(new.answer.map(Json))
    .bind(new.decided_at.map(sql))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Asks for the end of a paid order whose money has all gone back, in the transaction that recorded so. The workflow is
/// told by the sweeper.
pub(crate) async fn end_if_refunded(tx: &mut Tx, order: OrderId, at: Timestamp) -> Result<()> {
    sqlx::query(
        "INSERT INTO order_changes (id, order_id, kind, request, request_hash, requested_at, dispatch_after)
         SELECT $2, id, $3, $4, ''::bytea, $5, $6 FROM orders
         WHERE id = $1 AND status = 'paid' AND payment_status = 'refunded'
           AND NOT EXISTS (SELECT 1 FROM order_changes
                           WHERE order_id = $1 AND kind = $3 AND decided_at IS NULL)",
    )
    .bind(order.uuid())
    .bind(ChangeId::new(at, random()).uuid())
    .bind(Request::EndRefunded.kind().as_str())
    .bind(Json(Request::EndRefunded))
    .bind(sql(at))
    .bind(sql(Timestamp::now())) // by the machine's clock, as the sweeper goes
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// One change of an order.
pub async fn get(db: &Db, order: OrderId, id: ChangeId) -> Result<Change> {
    let row = sqlx::query_as::<_, Row>(select!("WHERE id = $1 AND order_id = $2"));
    let row = row.bind(id.uuid()).bind(order.uuid()).fetch_optional(db.pool()).await?;
    row.map(Change::from).ok_or(Error::NotFound)
}

/// All changes that were asked of an order, oldest first.
pub async fn of_order(db: &Db, order: OrderId) -> Result<Vec<Change>> {
    let rows = sqlx::query_as::<_, Row>(select!("WHERE order_id = $1 ORDER BY id"));
    let rows = rows.bind(order.uuid()).fetch_all(db.pool()).await?;
    Ok(rows.into_iter().map(Change::from).collect())
}

/// What is to be decided, its orders being locked.
pub(crate) async fn load(tx: &mut Tx, ids: &[ChangeId]) -> Result<Vec<Change>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as::<_, Row>(select!("WHERE id = ANY($1)")).bind(ids).fetch_all(&mut **tx).await?;
    Ok(rows.into_iter().map(Change::from).collect())
}

/// Writes answers down, also for equal changes of the same order that wait, and may share one.
pub(crate) async fn answer(tx: &mut Tx, answers: &[(ChangeId, Answer, Timestamp)]) -> Result<()> {
    if answers.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE order_changes c SET answer = a.answer, decided_at = a.at
         FROM unnest($1::uuid[], $2::jsonb[], $3::timestamptz[]) AS a (id, answer, at)
         JOIN order_changes asked USING (id)
         WHERE c.order_id = asked.order_id AND c.request_hash = asked.request_hash AND c.kind = asked.kind
           AND c.decided_at IS NULL AND (c.id = asked.id OR c.kind <> 'check_in')",
    )
    .bind(answers.iter().map(|(id, ..)| id.uuid()).collect::<Vec<_>>())
    .bind(answers.iter().map(|(_, answer, _)| Json(*answer)).collect::<Vec<_>>())
    .bind(answers.iter().map(|(.., at)| sql(*at)).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Leases changes that wait to be told to their workflows, and gives what it takes to tell them.
pub async fn claim_undecided(db: &Db, lease: &Lease) -> Result<Vec<(ChangeId, Start)>> {
    let rows: Vec<(uuid::Uuid, uuid::Uuid)> = sqlx::query_as(
        "UPDATE order_changes SET dispatch_after = $2
         WHERE id = ANY(ARRAY(SELECT id FROM order_changes WHERE decided_at IS NULL AND dispatch_after <= $1
                      ORDER BY dispatch_after LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED))
         RETURNING id, order_id",
    )
    .bind(sql(lease.now))
    .bind(sql(lease.until))
    .bind(lease.limit)
    .fetch_all(db.pool())
    .await?;
    let starts = orders::starts_of(db, rows.iter().map(|(_, order)| *order).collect()).await?;
    let change = |(id, order): &(uuid::Uuid, uuid::Uuid)| {
        let start = starts.iter().find(|start| start.id.uuid() == *order)?;
        Some((ChangeId::from_uuid(*id), start.clone()))
    };
    Ok(rows.iter().filter_map(change).collect())
}

/// Notes that the engine has these changes. One that stays undecided all the same (an attempt to pay cannot be closed, or
/// somebody terminated the workflow) is told again, ever more seldom.
pub async fn note_told(db: &Db, ids: &[ChangeId], at: Timestamp) -> Result<()> {
    sqlx::query(
        "UPDATE order_changes
         SET dispatch_after = $2::timestamptz + greatest(interval '30 seconds', $2::timestamptz - requested_at)
         WHERE id = ANY(ARRAY(SELECT id FROM order_changes WHERE id = ANY($1) AND decided_at IS NULL
                      FOR NO KEY UPDATE SKIP LOCKED))",
    )
    .bind(ids.iter().map(|id| id.uuid()).collect::<Vec<_>>())
    .bind(sql(at))
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Gives leased changes back, to be taken again after `until`.
pub async fn put_off(db: &Db, ids: &[ChangeId], until: Timestamp) -> Result<()> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    put_off!("order_changes", &ids, until).execute(db.pool()).await?;
    Ok(())
}
