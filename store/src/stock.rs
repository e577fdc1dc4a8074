//! Stock: levels, and the ledger they are the sum of. Both are written in one transaction, always
//! with the level's row locked and SKUs taken in ascending order, so no two writers deadlock.

use domain::{
    Invalid, OrderId, RefundId, Timestamp,
    product::Kind,
    returns::Units,
    stock::{self, ByHand, Level, Movement, Sku},
};

use crate::{Db, Fault, Idempotency, Result, Tx, locks, or_fault, retry::retry, sql};

/// Why a level was not told, or moved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no such product")]
    NotFound,
    /// It is sold by the night: its stock is the capacity of its nights.
    #[error("the product is sold by the night")]
    NotGoods,
    #[error("the adjustment is out of range")]
    Invalid(Invalid),
    #[error("the adjustment would leave less on hand than is held")]
    BelowHeld,
    #[error("the idempotency key was used before with another request")]
    KeyReused,
    #[error(transparent)]
    Fault(Fault),
}
or_fault!(Error);

/// A level, at how much and less others are told that there is little, and the kind of its product.
macro_rules! level {
    ($lock:literal, $sku:expr) => {
        sqlx::query!(
            "SELECT on_hand, held, low_stock_threshold, kind
             FROM stock_levels s JOIN products p ON p.sku = s.product
             WHERE s.sku = $1"
                + $lock,
            $sku.as_str()
        )
        .map(|it| (Level { on_hand: it.on_hand, held: it.held }, it.low_stock_threshold, it.kind))
    };
}

/// What there is of a SKU, and at how much and less others are told that there is little of it; none if
/// nobody wants to be told.
#[tracing::instrument(name = "sql stock.level", skip_all, err(level = "debug"))]
pub async fn level(db: &Db, sku: &Sku) -> Result<(Level, Option<i64>), Error> {
    of_goods(level!("", sku).fetch_optional(db.pool()).await?)
}

/// What there is of a product that is sold by the piece.
#[derive(Debug, Clone)]
pub struct Stocked {
    pub sku: Sku,
    pub name: String,
    pub level: Level,
    /// At how much and less others are told that there is little.
    pub low_stock_threshold: Option<i64>,
}

/// What there is of the products in the catalogue that are sold by the piece, in SKU order, those after
/// `after`.
#[tracing::instrument(name = "sql stock.list", skip_all, err(level = "debug"))]
pub async fn list(db: &Db, after: Option<&Sku>, limit: i64) -> Result<Vec<Stocked>> {
    let rows = sqlx::query!(
        r#"SELECT p.sku, p.name, s.on_hand, s.held, s.low_stock_threshold
           FROM products p JOIN stock_levels s ON s.sku = p.sku
           WHERE p.retired_at IS NULL AND p.kind = 'goods' AND p.sku > coalesce($1, '')
           ORDER BY p.sku LIMIT $2"#,
        after.map(Sku::as_str),
        limit
    );
    let stocked = rows.map(|it| Stocked {
        sku: it.sku,
        name: it.name,
        level: Level { on_hand: it.on_hand, held: it.held },
        low_stock_threshold: it.low_stock_threshold,
    });
    Ok(stocked.fetch_all(db.pool()).await?)
}

/// Sets at how much that is. What is so already is told of when the level crosses it the next time.
#[tracing::instrument(name = "sql stock.set_low_stock_threshold", skip_all, err(level = "debug"))]
pub async fn set_low_stock_threshold(db: &Db, sku: &Sku, threshold: Option<i64>) -> Result<(), Error> {
    level(db, sku).await?;
    let set = sqlx::query!(
        "UPDATE stock_levels SET low_stock_threshold = $2 WHERE sku = $1",
        sku.as_str(),
        threshold
    );
    set.execute(db.pool()).await?;
    Ok(())
}

fn of_goods(found: Option<(Level, Option<i64>, Kind)>) -> Result<(Level, Option<i64>), Error> {
    match found.ok_or(Error::NotFound)? {
        (.., Kind::Stay) => Err(Error::NotGoods),
        (level, threshold, Kind::Goods) => Ok((level, threshold)),
    }
}

/// A correction, or a delivery.
#[derive(Debug, Clone, Copy)]
pub struct Adjustment<'a> {
    pub kind: ByHand,
    pub delta: i64,
    pub reason: &'a str,
    /// Who makes it: the name of an API key.
    pub by: &'a str,
}

/// Moves the stock on hand. The same key and request gives the first answer again.
#[tracing::instrument(name = "sql stock.adjust", skip_all, err(level = "debug"))]
pub async fn adjust(
    db: &Db,
    sku: &Sku,
    adjustment: &Adjustment<'_>,
    idempotency: Option<&Idempotency>,
    at: Timestamp,
) -> Result<(Level, Replayed), Error> {
    let Adjustment { kind, delta, reason, by } = *adjustment;
    retry(|| async {
        let mut tx = db.begin().await?;
        let level = lock(&mut tx, sku).await?;
        if let Some(idempotency) = idempotency
            && let Some(level) = replay(&mut tx, idempotency).await?
        {
            return Ok((level, true));
        }
        let on_hand = stock::adjusted(level.on_hand, delta).map_err(Error::Invalid)?;
        let after = Level { on_hand, ..level };
        if after.available() < 0 {
            return Err(Error::BelowHeld);
        }
        sqlx::query!("UPDATE stock_levels SET on_hand = $2 WHERE sku = $1", sku.as_str(), after.on_hand)
            .execute(&mut *tx)
            .await?;
        let movement = Movement::from(kind);
        let (on_hand_delta, held_delta) = movement.deltas(delta);
        let inserted = sqlx::query!(
            "INSERT INTO stock_movements (sku, kind, on_hand_delta, held_delta, on_hand_after, held_after,
                                          reason, idempotency_key, request_hash, at, asked_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (idempotency_key) DO NOTHING",
            sku.as_str(),
            movement.as_str(),
            on_hand_delta,
            held_delta,
            after.on_hand,
            after.held,
            reason,
            idempotency.map(|it| it.key.as_str()),
            idempotency.map(|it| it.request_hash.as_slice()),
            sql(at) as _,
            by
        )
        .execute(&mut *tx)
        .await?;
        if inserted.rows_affected() == 0 {
            return Err(Error::KeyReused); // by an adjustment of another SKU, a moment ago
        }
        tx.commit().await?;
        Ok((after, false))
    })
    .await
}

/// Whether an answer repeats an earlier one.
pub type Replayed = bool;

async fn lock(tx: &mut Tx, sku: &Sku) -> Result<Level, Error> {
    let (level, _) = of_goods(level!(" FOR NO KEY UPDATE OF s", sku).fetch_optional(&mut **tx).await?)?;
    Ok(level)
}

async fn replay(tx: &mut Tx, idempotency: &Idempotency) -> Result<Option<Level>, Error> {
    let movement = sqlx::query!(
        r#"SELECT on_hand_after, held_after, request_hash AS "request_hash!" FROM stock_movements
           WHERE idempotency_key = $1"#,
        idempotency.key
    )
    .fetch_optional(&mut **tx)
    .await?;
    match movement {
        None => Ok(None),
        Some(it) if it.request_hash != idempotency.request_hash => Err(Error::KeyReused),
        Some(it) => Ok(Some(Level { on_hand: it.on_hand_after, held: it.held_after })),
    }
}

/// A line of a new order, put on hold.
#[derive(Debug)]
pub(crate) struct Held {
    pub order: OrderId,
    pub sku: Sku,
    pub quantity: i64,
    /// The SKU's level once it is held.
    pub level: Level,
    pub at: Timestamp,
}

/// Puts lines of new orders on hold: levels, holds and ledger. The caller has locked the levels and made sure
/// that there is enough; the ledger keeps the order of `held`.
pub(crate) async fn hold(tx: &mut Tx, held: &[Held]) -> Result<()> {
    sqlx::query!(
        "WITH line AS (
             SELECT order_id, sku, quantity, on_hand, held, at, position
             FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[])
                 WITH ORDINALITY AS l (order_id, sku, quantity, on_hand, held, at, position)
         ), level AS (
             UPDATE stock_levels s SET held = s.held + taken.quantity
             FROM (SELECT sku, sum(quantity)::bigint AS quantity FROM line GROUP BY sku) AS taken
             WHERE s.sku = taken.sku
         ), hold AS (
             INSERT INTO holds (order_id, sku, quantity, state)
             SELECT order_id, sku, quantity, 'held' FROM line
         )
         INSERT INTO stock_movements (order_id, sku, kind, on_hand_delta, held_delta,
                                      on_hand_after, held_after, at)
         SELECT order_id, sku, 'held', 0, quantity, on_hand, held, at FROM line ORDER BY position",
        held.iter().map(|it| it.order).collect::<Vec<_>>() as _,
        held.iter().map(|it| &it.sku).collect::<Vec<_>>() as _,
        &held.iter().map(|it| it.quantity).collect::<Vec<_>>(),
        &held.iter().map(|it| it.level.on_hand).collect::<Vec<_>>(),
        &held.iter().map(|it| it.level.held).collect::<Vec<_>>(),
        held.iter().map(|it| sql(it.at)).collect::<Vec<_>>() as _
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Puts what a refund had claimed of an order, or what was left of one that ended, back on the shelf, once:
/// the ledger refuses a second time. That no more comes back than was sold is the hold's own rule.
pub(crate) async fn take_back(
    tx: &mut Tx,
    order: OrderId,
    refund: Option<RefundId>,
    units: &Units,
    at: Timestamp,
) -> Result<()> {
    let skus: Vec<&Sku> = units.keys().collect();
    locks::levels(tx, &skus).await?;
    sqlx::query!(
        "WITH back AS (
             SELECT sku, quantity FROM unnest($1::text[], $2::bigint[]) AS u (sku, quantity)
         ), level AS (
             UPDATE stock_levels s SET on_hand = s.on_hand + back.quantity
             FROM back WHERE s.sku = back.sku
         )
         INSERT INTO stock_movements (order_id, refund_id, sku, kind, on_hand_delta, held_delta,
                                      on_hand_after, held_after, at)
         -- a table is joined as it was before this statement
         SELECT $3, $4, sku, $5, back.quantity, 0, s.on_hand + back.quantity, s.held, $6
         FROM back JOIN stock_levels s USING (sku) ORDER BY sku",
        skus as _,
        &units.values().copied().collect::<Vec<_>>(),
        order.uuid(),
        refund.map(RefundId::uuid),
        Movement::Returned.as_str(),
        sql(at)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The end of an order's holds: committed (sold) or released (given back).
#[derive(Debug)]
pub(crate) struct End {
    pub order: OrderId,
    pub movement: Movement,
    pub at: Timestamp,
}

/// Ends every open hold of these orders, each named once. Safe to repeat: a hold moves once, and what is not
/// `held` is left alone. The ledger keeps the order of `ends`.
pub(crate) async fn end_holds(tx: &mut Tx, ends: &[End]) -> Result<()> {
    if ends.is_empty() {
        return Ok(());
    }
    let orders: Vec<_> = ends.iter().map(|end| end.order.uuid()).collect();
    locks::levels_held_by(tx, &orders).await?;
    let (on_hand_signs, held_signs): (Vec<i64>, Vec<i64>) =
        ends.iter().map(|end| end.movement.deltas(1)).unzip();
    sqlx::query!(
        "WITH hold AS (
             UPDATE holds h SET state = e.kind
             FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::timestamptz[])
                  WITH ORDINALITY AS e (order_id, kind, on_hand_sign, held_sign, at, position)
             WHERE h.order_id = e.order_id AND h.state = 'held'
             RETURNING h.order_id, h.sku, e.kind, e.on_hand_sign * h.quantity AS on_hand,
                       e.held_sign * h.quantity AS held, e.at, e.position
         ), level AS (
             UPDATE stock_levels s SET on_hand = s.on_hand + moved.on_hand, held = s.held + moved.held
             FROM (SELECT sku, sum(on_hand)::bigint AS on_hand, sum(held)::bigint AS held
                   FROM hold GROUP BY sku) AS moved
             WHERE s.sku = moved.sku
         )
         INSERT INTO stock_movements (order_id, sku, kind, on_hand_delta, held_delta,
                                      on_hand_after, held_after, at)
         SELECT order_id, sku, kind, hold.on_hand, hold.held,
                -- the level as it was before this statement, and all that has moved up to here
                s.on_hand + sum(hold.on_hand) OVER so_far, s.held + sum(hold.held) OVER so_far, at
         FROM hold JOIN stock_levels s USING (sku)
         WINDOW so_far AS (PARTITION BY sku ORDER BY position)
         ORDER BY position, sku",
        &orders,
        ends.iter().map(|end| end.movement).collect::<Vec<_>>() as _,
        &on_hand_signs,
        &held_signs,
        ends.iter().map(|end| sql(end.at)).collect::<Vec<_>>() as _
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
