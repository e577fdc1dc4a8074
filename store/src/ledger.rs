//! Reading the ledger. It is written by [`crate::stock`] alone.

use domain::{
    MovementId, OrderId, Timestamp,
    stock::{self, Sku},
};
use sqlx::{Postgres, QueryBuilder};

use crate::{Db, Result, SqlTime};

/// Which movements to list; absent fields do not filter.
#[derive(Debug, Default, Clone)]
pub struct Filter {
    pub sku: Option<Sku>,
    pub order: Option<OrderId>,
    /// Only movements older than this one: the last id of the page before.
    pub after: Option<MovementId>,
}

/// A movement of stock, as the ledger has it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Movement {
    pub id: MovementId,
    pub sku: Sku,
    pub kind: stock::Movement,
    /// Pieces; below zero only where stock was corrected downwards.
    pub quantity: i64,
    pub on_hand_delta: i64,
    pub held_delta: i64,
    pub on_hand_after: i64,
    pub held_after: i64,
    pub order_id: Option<OrderId>,
    pub reason: Option<String>,
    /// Who received or adjusted it.
    pub asked_by: Option<String>,
    #[sqlx(try_from = "SqlTime")]
    pub at: Timestamp,
}

/// Newest first. Each filter has its index: `(sku, id)`, and `(order_id, sku, kind)` for the few rows of an
/// order.
#[tracing::instrument(name = "sql ledger.list", skip_all, err(level = "debug"))]
pub async fn list(db: &Db, filter: &Filter, limit: i64) -> Result<Vec<Movement>> {
    let mut query = QueryBuilder::<Postgres>::new(
        "SELECT id, sku, kind, quantity, on_hand_delta, held_delta, on_hand_after, held_after, order_id,
                reason, asked_by, at
         FROM stock_movements WHERE true",
    );
    if let Some(sku) = &filter.sku {
        query.push(" AND sku = ").push_bind(sku);
    }
    if let Some(order) = filter.order {
        query.push(" AND order_id = ").push_bind(order);
    }
    if let Some(after) = filter.after {
        query.push(" AND id < ").push_bind(after);
    }
    query.push(" ORDER BY id DESC LIMIT ").push_bind(limit);
    Ok(query.build_query_as().persistent(false).fetch_all(db.pool()).await?)
}
