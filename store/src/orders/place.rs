//! Placing orders: ONE transaction takes the holds and writes orders, price snapshots, timelines and public
//! events. It decides any number of placements in order of their arrival: all lines of an order or none.
//! [`crate::placement_batcher`] brings together what arrives at the same time.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use domain::{
    AccountId, Invalid, OrderId, Timestamp,
    collect::Collects,
    event::{EventLine, OrderEvent},
    metadata::Metadata,
    order::{Line, Order, Placement},
    public_event::Cause,
    stock::{Level, Shortage},
};
use serde_json::{Value, json};

use super::{
    pay::pay,
    price::{StockSnapshot, price_order},
};
use crate::{
    Db, Fault, Idempotency, Result, SqlTime, Tx, accounts, cause, locks, or_fault, order_events,
    retry::retry,
    sql,
    stock::{self, Held},
};

/// A placement under the client's idempotency key.
#[derive(Debug, Clone)]
pub struct PlaceOrder {
    pub id: OrderId,
    pub placement: Placement,
    /// The account of ours that places it, with a token that may be older than its end.
    pub account: Option<AccountId>,
    /// What its payment method can collect in its currency.
    pub collects: Collects,
    pub idempotency: Idempotency,
    pub at: Timestamp,
    /// The request that places it ([`crate::cause::current`]).
    pub cause: Arc<Cause>,
}

/// The answer to a placement.
#[derive(Debug)]
pub enum Placed {
    New(Box<Order>),
    /// The key was used before for the same request; this is the order of then.
    Replayed(OrderId),
}

/// Why an order was not placed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the idempotency key was used before with another request")]
    KeyReused,
    #[error("the account that places it was erased")]
    NoAccount,
    #[error("the request does not fit the catalogue")]
    Invalid(Vec<Invalid>),
    #[error("not enough stock")]
    Shortage(Vec<Shortage>),
    #[error(transparent)]
    Fault(Fault),
}
or_fault!(Error);

/// Places one order by itself.
#[tracing::instrument(name = "sql orders.place", skip_all, err(level = "debug"))]
pub async fn place(db: &Db, command: PlaceOrder) -> Result<Placed, Error> {
    let command = std::slice::from_ref(&command);
    let answers = match place_all(db, command).await? {
        // The same key, for other SKUs, was committed between our look and our insert: look again.
        None => place_all(db, command).await?,
        answers => answers,
    };
    let answer = answers.and_then(|mut answers| answers.pop());
    answer.unwrap_or_else(|| Err(Fault::corrupt("a key is taken by an order that is not there").into()))
}

/// Places many orders in one transaction; one answer each, in the same order. A fault means that nothing at
/// all was done; so does none: a key was taken since it was looked up.
///
/// Keys are looked up after the stock is locked: of twenty equal requests for the last piece, the nineteen
/// that waited for the lock must find the first one's order, not an empty shelf.
pub(crate) async fn place_all(
    db: &Db,
    commands: &[PlaceOrder],
) -> Result<Option<Vec<Result<Placed, Error>>>> {
    retry(|| async {
        let mut tx = db.begin().await?;
        let accounts = accounts_of(&mut tx, commands).await?;
        let mut snapshot = StockSnapshot::lock(&mut tx, commands).await?;
        let mut known = known_keys(&mut tx, commands).await?;
        let mut answers = Vec::with_capacity(commands.len());
        let mut holds = Vec::new();
        for command in commands {
            let is_gone = command.account.is_some_and(|account| !accounts.contains(&account));
            answers.push(match is_gone {
                true => Err(Error::NoAccount),
                false => decide(command, &mut snapshot, &mut known, &mut holds),
            });
        }
        let placed = answers.iter().zip(commands).filter_map(|(answer, command)| match answer {
            Ok(Placed::New(order)) => Some((&**order, command)),
            _ => None,
        });
        let placed: Vec<(&Order, &PlaceOrder)> = placed.collect();
        if placed.is_empty() {
            return Ok(Some(answers));
        }
        if !insert(&mut tx, &placed).await? {
            return Ok(None);
        }
        let causes = placed.iter().map(|(order, command)| (order.id, command.cause.clone())).collect();
        let told = async {
            begin_timelines(&mut tx, &placed).await?;
            stock::hold(&mut tx, &holds).await?;
            pay_free(&mut tx, placed.iter().map(|(order, _)| *order)).await
        };
        cause::caused_each(causes, Box::pin(told)).await?;
        tx.commit().await?;
        Ok(Some(answers))
    })
    .await
}

/// The accounts that place something and are still there. It is asked before anything is locked; one that is
/// erased meanwhile is remembered until its orders are erased, too. Without accounts it costs nothing.
async fn accounts_of(tx: &mut Tx, commands: &[PlaceOrder]) -> Result<HashSet<AccountId>> {
    let placing: HashSet<AccountId> = commands.iter().filter_map(|command| command.account).collect();
    match placing.is_empty() {
        true => Ok(placing),
        false => accounts::there(tx, placing).await,
    }
}

/// Which order a key made, and of what request.
type Known = HashMap<String, (OrderId, Vec<u8>)>;

async fn known_keys(tx: &mut Tx, commands: &[PlaceOrder]) -> Result<Known> {
    let keys: Vec<&str> = commands.iter().map(|command| command.idempotency.key.as_str()).collect();
    let known = sqlx::query!(
        "SELECT idempotency_key, id, request_hash FROM orders WHERE idempotency_key = ANY($1)",
        keys as _
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(known.into_iter().map(|order| (order.idempotency_key, (order.id, order.request_hash))).collect())
}

/// Decides one placement against what is left after those before it, and takes its stock.
fn decide(
    command: &PlaceOrder,
    snapshot: &mut StockSnapshot,
    known: &mut Known,
    holds: &mut Vec<Held>,
) -> Result<Placed, Error> {
    let Idempotency { key, request_hash } = &command.idempotency;
    if let Some((id, hash)) = known.get(key) {
        return if hash == request_hash { Ok(Placed::Replayed(*id)) } else { Err(Error::KeyReused) };
    }
    let order = price_order(command, snapshot)?;
    for (unit, quantity) in
        order.lines.iter().flat_map(|line| line.units().into_iter().map(|unit| (unit, line.quantity)))
    {
        if let Some(stock) = snapshot.units.get_mut(&unit) {
            stock.held += quantity;
            let level = Level { on_hand: stock.on_hand, held: stock.held };
            holds.push(Held { order: order.id, sku: unit, quantity, level, at: command.at });
        }
    }
    known.insert(key.clone(), (order.id, request_hash.clone()));
    Ok(Placed::New(Box::new(order)))
}

/// Writes orders with their lines, whatever their number. Each begins unpaid, also one that is free.
/// False, and nothing to be committed, if a key was taken since it was looked up.
async fn insert(tx: &mut Tx, orders: &[(&Order, &PlaceOrder)]) -> Result<bool> {
    let times = |of: fn(&Order) -> SqlTime| orders.iter().map(|(order, _)| of(order)).collect::<Vec<_>>();
    let texts = |of: fn(&Order) -> &str| orders.iter().map(|(order, _)| of(order)).collect::<Vec<_>>();
    let lines: Vec<(OrderId, &Line)> =
        orders.iter().flat_map(|(order, _)| order.lines.iter().map(|line| (order.id, line))).collect();
    let inserted = sqlx::query_scalar!(
        r#"WITH placed AS (
             INSERT INTO orders (id, status, payment_status, version, currency, total, customer_id, customer,
                                 policy, metadata, placed_at, payment_due_at, idempotency_key, request_hash,
                                 payment_method, metadata_sent, cause)
             SELECT id, 'awaiting_payment', 'unpaid', 1, currency, total, customer_id, customer,
                    policy, metadata, placed_at, payment_due_at, idempotency_key, request_hash,
                    payment_method, metadata_sent::json, cause
             FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::jsonb[], $6::jsonb[],
                         $7::jsonb[], $8::timestamptz[], $9::timestamptz[], $10::text[], $11::bytea[],
                         $12::text[], $13::text[], $20::jsonb[])
                  AS o (id, currency, total, customer_id, customer, policy,
                        metadata, placed_at, payment_due_at, idempotency_key, request_hash,
                        payment_method, metadata_sent, cause)
             ON CONFLICT (idempotency_key) DO NOTHING
             RETURNING id
         ), line AS (
             INSERT INTO order_lines (order_id, sku, name, quantity, unit_price, stay)
             SELECT order_id, sku, name, quantity, unit_price, stay
             FROM unnest($14::uuid[], $15::text[], $16::text[], $17::bigint[], $18::bigint[], $19::jsonb[])
                  AS l (order_id, sku, name, quantity, unit_price, stay)
             WHERE (SELECT count(*) FROM placed) = cardinality($1)
         )
         SELECT count(*) AS "count!" FROM placed"#,
        orders.iter().map(|(order, _)| order.id).collect::<Vec<_>>() as _,
        texts(|order| order.currency.code()) as _,
        &orders.iter().map(|(order, _)| order.total).collect::<Vec<_>>(),
        texts(|order| order.customer.id()) as _,
        orders.iter().map(|(order, _)| &order.customer).collect::<Vec<_>>() as _,
        orders.iter().map(|(order, _)| &order.policy).collect::<Vec<_>>() as _,
        &orders.iter().map(|(order, _)| for_the_version_before(&order.metadata)).collect::<Vec<_>>(),
        times(|order| sql(order.placed_at)) as _,
        times(|order| sql(order.payment_due_at)) as _,
        orders.iter().map(|(_, command)| command.idempotency.key.as_str()).collect::<Vec<_>>() as _,
        orders.iter().map(|(_, it)| it.idempotency.request_hash.as_slice()).collect::<Vec<_>>() as _,
        orders.iter().map(|(order, _)| order.payment_method.as_deref()).collect::<Vec<_>>() as _,
        texts(|order| order.metadata.as_str()) as _,
        lines.iter().map(|(order, _)| *order).collect::<Vec<_>>() as _,
        lines.iter().map(|(_, line)| &line.sku).collect::<Vec<_>>() as _,
        lines.iter().map(|(_, line)| line.name.as_str()).collect::<Vec<_>>() as _,
        &lines.iter().map(|(_, line)| line.quantity).collect::<Vec<_>>(),
        &lines.iter().map(|(_, line)| line.unit_price).collect::<Vec<_>>(),
        lines.iter().map(|(_, line)| line.stay.as_ref()).collect::<Vec<_>>() as _,
        orders.iter().map(|(_, command)| command.cause.unless_empty()).collect::<Vec<_>>() as _
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(inserted == orders.len() as i64)
}

/// Metadata as the version before reads it, which may run beside this one: in jsonb. With numbers that would
/// become many digits there, it is nothing.
fn for_the_version_before(metadata: &Metadata) -> Value {
    let value = serde_json::from_str(metadata.as_str()).ok().filter(is_short_in_jsonb);
    value.unwrap_or_else(|| json!({}))
}

fn is_short_in_jsonb(value: &Value) -> bool {
    match value {
        Value::Number(number) => match number.as_f64().map(f64::abs) {
            Some(size) => number.is_i64() || number.is_u64() || size == 0.0 || (1e-15..1e15).contains(&size),
            None => false,
        },
        Value::Array(items) => items.iter().all(is_short_in_jsonb),
        Value::Object(fields) => fields.values().all(is_short_in_jsonb),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

async fn begin_timelines(tx: &mut Tx, orders: &[(&Order, &PlaceOrder)]) -> Result<()> {
    let mut events = Vec::with_capacity(2 * orders.len());
    for (order, _) in orders {
        let lines: Vec<EventLine> = order.lines.iter().map(EventLine::from).collect();
        let placed = OrderEvent::OrderPlaced {
            total: order.total,
            currency: order.currency,
            in_place_of: None,
            customer_id: order.customer.id().to_owned(),
            lines: lines.clone(),
        };
        events.push((order.id, order.placed_at, placed));
        events.push((order.id, order.placed_at, OrderEvent::StockHeld { lines }));
    }
    order_events::begin(tx, &events).await
}

/// Pays the new orders that are free, by the step that pays every other. What is not free costs no statement.
async fn pay_free(tx: &mut Tx, placed: impl Iterator<Item = &Order>) -> Result<()> {
    let free: Vec<&Order> = placed.filter(|order| order.is_free()).collect();
    if free.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = free.iter().map(|order| order.id).collect();
    let locked = locks::orders(tx, &ids).await?;
    let lock_of = |order: &Order| locked.get(&order.id).map(|locked| (locked, order.placed_at));
    let orders: Option<Vec<_>> = free.into_iter().map(lock_of).collect();
    let mut ends = Vec::new();
    let orders = orders.ok_or_else(|| Fault::corrupt("a new order is not there"))?;
    pay(tx, &mut ends, &orders, Vec::new()).await?;
    stock::end_holds(tx, &ends).await
}
