//! Changes that were asked of orders, stored before the order's workflow is told, and answered in the
//! transaction that decides about them. Whoever stored one tells the workflow at once; the sweeper tells what
//! a crash or an outage left.

use domain::{
    ChangeId, OrderId, Timestamp,
    change::{Answer, Kind, OrderChange},
    public_event::Cause,
};
use sqlx::types::Json;

use crate::{
    Db, Fault, Idempotency, Lease, Result, Tx, cause,
    lease::{GRACE, put_off},
    locks, or_fault,
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
    pub request: OrderChange,
    pub requested_at: Timestamp,
    /// None: nobody did; see `migrations/0022_by.sql`.
    pub by: Option<String>,
    /// None: it is not decided yet.
    pub answer: Option<Answer>,
    pub decided_at: Option<Timestamp>,
    /// The request that asked for it.
    pub cause: Cause,
}

/// The changes of which a condition is true.
macro_rules! select {
    ($condition:literal, $($arguments:expr),+) => {
        sqlx::query!(
            "SELECT id, order_id, request, requested_at, asked_by, answer, decided_at, cause
             FROM order_changes WHERE "
                + $condition,
            $($arguments),+
        )
        .map(|row| Change {
            id: row.id,
            order: row.order_id,
            request: row.request.0,
            requested_at: row.requested_at.to_jiff(),
            by: row.asked_by,
            answer: row.answer.map(|Json(answer)| answer),
            decided_at: row.decided_at.map(|at| at.to_jiff()),
            cause: row.cause.unwrap_or_default(),
        })
    };
}

/// Why a change was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no such order")]
    NotFound,
    #[error("the idempotency key was used before with another request")]
    KeyReused,
    /// So many changes of this order wait that its workflow should be let catch up; nothing was done.
    #[error("too many changes of the order are waiting")]
    TooManyWaiting,
    #[error(transparent)]
    Fault(Fault),
}
or_fault!(Error);

/// How a change came to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submission {
    /// Its workflow is to be told of it.
    New,
    /// An equal one waits, and its answer is this one's, too.
    Joined,
    /// The key was used for it before.
    Replayed,
}

/// Stores a change, to be told to the order's workflow. The same key and request gives the same change again;
/// an equal one that waits already is joined. What the order as it stands forbids is answered at once.
///
/// # Errors
/// [`Error::TooManyWaiting`] if so many changes of this order wait that the workflow should be let catch up.
#[tracing::instrument(name = "sql changes.request", skip_all, err(level = "debug"))]
pub async fn request(
    db: &Db,
    order: OrderId,
    request: &OrderChange,
    asked: &Idempotency,
    is_keyed: bool,
    by: &str,
    at: Timestamp,
) -> Result<(Change, Submission), Error> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let locked = locks::order_if_known(&mut tx, order).await?.ok_or(Error::NotFound)?;
        if is_keyed && let Some(known) = replay(&mut tx, order, asked).await? {
            return Ok((known, Submission::Replayed));
        }
        let answer = orders::refusal(&mut tx, &locked, request, at).await?;
        let equal = match answer {
            None => join(&mut tx, order, asked).await?.filter(|_| may_join(request)),
            Some(_) => None,
        };
        let how = if equal.is_some() { Submission::Joined } else { Submission::New };
        if let (Some(equal), false) = (equal, is_keyed) {
            return Ok((equal, how));
        }
        let new = Change {
            id: ChangeId::new(at, random()),
            order,
            request: request.clone(),
            requested_at: at,
            by: Some(by.to_owned()),
            answer,
            decided_at: answer.map(|_| at),
            cause: (*cause::current()).clone(),
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
fn may_join(request: &OrderChange) -> bool {
    request.kind() != Kind::CheckIn
}

/// What was answered under this key before, or is waiting.
pub async fn find(db: &Db, order: OrderId, asked: &Idempotency) -> Result<Option<Change>, Error> {
    replay(&mut db.begin().await?, order, asked).await
}

async fn replay(tx: &mut Tx, order: OrderId, asked: &Idempotency) -> Result<Option<Change>, Error> {
    let hash = sqlx::query_scalar!(
        "SELECT request_hash FROM order_changes WHERE order_id = $1 AND idempotency_key = $2",
        order.uuid(),
        asked.key
    )
    .fetch_optional(&mut **tx)
    .await?;
    match hash {
        None => Ok(None),
        Some(hash) if hash != asked.request_hash => Err(Error::KeyReused),
        Some(_) => {
            let known = select!("order_id = $1 AND idempotency_key = $2", order.uuid(), asked.key);
            Ok(Some(known.fetch_one(&mut **tx).await?))
        }
    }
}

/// The equal change that waits, if there is one; if not, there must be room for another.
async fn join(tx: &mut Tx, order: OrderId, asked: &Idempotency) -> Result<Option<Change>, Error> {
    let waiting = sqlx::query!(
        "SELECT id, request_hash FROM order_changes WHERE order_id = $1 AND decided_at IS NULL ORDER BY id",
        order.uuid()
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut hashes: Vec<&[u8]> = waiting.iter().map(|change| change.request_hash.as_slice()).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let equal = waiting.iter().find(|change| change.request_hash == asked.request_hash);
    if waiting.len() >= MAX_WAITING_ROWS || (equal.is_none() && hashes.len() >= MAX_WAITING) {
        return Err(Error::TooManyWaiting);
    }
    let Some(equal) = equal else { return Ok(None) };
    Ok(Some(select!("id = $1", equal.id.uuid()).fetch_one(&mut **tx).await?))
}

async fn insert(tx: &mut Tx, new: &Change, asked: &Idempotency, is_keyed: bool) -> Result<()> {
    sqlx::query!(
        "INSERT INTO order_changes (id, order_id, kind, request, request_hash, idempotency_key, requested_at,
                                    dispatch_after, answer, decided_at, asked_by, cause)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        new.id.uuid(),
        new.order.uuid(),
        new.request.kind().as_str(),
        Json(&new.request) as _,
        asked.request_hash,
        is_keyed.then_some(&asked.key),
        sql(new.requested_at),
        sql(new.requested_at.saturating_add(GRACE).unwrap_or(new.requested_at)),
        new.answer.map(Json) as _,
        new.decided_at.map(sql) as _,
        new.by,
        new.cause.unless_empty() as Option<&Cause>
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Asks for the end of a paid order whose money has all gone back, in the transaction that recorded so. The
/// workflow is told by the sweeper.
pub(crate) async fn end_if_refunded(tx: &mut Tx, order: OrderId, at: Timestamp) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the sweeper, too, goes by the machine's clock")]
    let dispatch_after = Timestamp::now();
    sqlx::query!(
        "INSERT INTO order_changes (id, order_id, kind, request, request_hash, requested_at, dispatch_after)
         SELECT $2, id, $3, $4, ''::bytea, $5, $6 FROM orders
         WHERE id = $1 AND status = 'paid' AND payment_status = 'refunded'
           AND NOT EXISTS (SELECT 1 FROM order_changes
                           WHERE order_id = $1 AND kind = $3 AND decided_at IS NULL)",
        order.uuid(),
        ChangeId::new(at, random()).uuid(),
        OrderChange::EndRefunded.kind().as_str(),
        Json(OrderChange::EndRefunded) as _,
        sql(at),
        sql(dispatch_after)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// One change of an order.
pub async fn get(db: &Db, order: OrderId, id: ChangeId) -> Result<Option<Change>> {
    let change = select!("id = $1 AND order_id = $2", id.uuid(), order.uuid());
    Ok(change.fetch_optional(db.pool()).await?)
}

/// All changes that were asked of an order, oldest first.
pub async fn of_order(db: &Db, order: OrderId) -> Result<Vec<Change>> {
    Ok(select!("order_id = $1 ORDER BY id", order.uuid()).fetch_all(db.pool()).await?)
}

/// What is to be decided, its orders being locked.
pub(crate) async fn load(tx: &mut Tx, ids: &[ChangeId]) -> Result<Vec<Change>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    Ok(select!("id = ANY($1)", &ids).fetch_all(&mut **tx).await?)
}

/// Writes answers down, also for equal changes of the same order that wait, and may share one.
pub(crate) async fn answer(tx: &mut Tx, answers: &[(ChangeId, Answer, Timestamp)]) -> Result<()> {
    if answers.is_empty() {
        return Ok(());
    }
    let (ids, answers, times): (Vec<_>, Vec<_>, Vec<_>) =
        answers.iter().map(|(id, answer, at)| (id.uuid(), Json(*answer), sql(*at))).collect();
    sqlx::query!(
        "UPDATE order_changes c SET answer = a.answer, decided_at = a.at
         FROM unnest($1::uuid[], $2::jsonb[], $3::timestamptz[]) AS a (id, answer, at)
         JOIN order_changes asked USING (id)
         WHERE c.order_id = asked.order_id AND c.request_hash = asked.request_hash AND c.kind = asked.kind
           AND c.decided_at IS NULL AND (c.id = asked.id OR c.kind <> 'check_in')",
        &ids,
        answers as _,
        times as _
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Leases changes that wait to be told to their workflows, and gives what it takes to tell them.
pub async fn claim_undecided(db: &Db, lease: &Lease) -> Result<Vec<(ChangeId, Start)>> {
    let changes = sqlx::query!(
        "UPDATE order_changes SET dispatch_after = $2
         WHERE id = ANY(ARRAY(SELECT id FROM order_changes WHERE decided_at IS NULL AND dispatch_after <= $1
                      ORDER BY dispatch_after LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED))
         RETURNING id, order_id",
        sql(lease.now),
        sql(lease.until),
        lease.limit
    )
    .fetch_all(db.pool())
    .await?;
    let orders = changes.iter().map(|change| change.order_id.uuid()).collect();
    let starts = orders::starts_of(db, orders).await?;
    let start = |order| starts.iter().find(|start| start.id == order).cloned();
    Ok(changes.iter().filter_map(|change| Some((change.id, start(change.order_id)?))).collect())
}

/// Notes that the engine has these changes. One that stays undecided all the same (an attempt to pay cannot
/// be closed, or somebody terminated the workflow) is told again, ever more seldom.
pub async fn note_told(db: &Db, ids: &[ChangeId], at: Timestamp) -> Result<()> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    sqlx::query!(
        "UPDATE order_changes
         SET dispatch_after = $2::timestamptz
                            + greatest(interval '30 seconds', $2::timestamptz - requested_at)
         WHERE id = ANY(ARRAY(SELECT id FROM order_changes WHERE id = ANY($1) AND decided_at IS NULL
                      FOR NO KEY UPDATE SKIP LOCKED))",
        &ids,
        sql(at)
    )
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
