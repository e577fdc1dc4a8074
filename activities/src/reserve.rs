//! The workflow's first step. An order that came through the door has its hold already; one that
//! was started by hand is placed here, by the same operation under the same key.

use domain::order::Placement;
use store::{
    Db, Error, Idempotency,
    orders::{self, Placed},
};
use workflows::contract::{Facts, ReserveInput, Reserved};

pub(crate) async fn reserve(db: &Db, input: ReserveInput) -> Result<Reserved, Error> {
    let ReserveInput { order: id, at, placement } = input;
    let order = match (orders::get(db, id).await, placement) {
        (Err(Error::NotFound), Some(placement)) => {
            let placement = match check(placement) {
                Ok(placement) => placement,
                Err(why) => return Ok(Reserved::Refused(why)),
            };
            let key = Idempotency { key: id.to_string(), request_hash: Vec::new() };
            match orders::place(db, id, &placement, &key, at).await {
                Ok(Placed::New(order)) => order,
                Ok(Placed::Replayed(id)) => orders::get(db, id).await?,
                Err(error) => return refusal(error),
            }
        }
        (Err(Error::NotFound), None) => return Ok(Reserved::Refused(format!("there is no order {id}"))),
        (order, _) => order?,
    };
    orders::mark_started(None, db, &[id], at).await?;
    Ok(Reserved::Held(Facts {
        status: order.status,
        total: order.total(),
        payment_due_at: order.payment_due_at,
        reminders_at: order.policy.reminders_at(order.placed_at),
        customer_id: order.customer.id,
    }))
}

/// What came by hand was not parsed at the door: parse it here.
fn check(placement: Placement) -> Result<Placement, String> {
    let say = |invalids: Vec<domain::Invalid>| {
        invalids.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let Placement { customer, currency, lines, policy, metadata } = placement;
    let customer = customer.parse().map_err(say)?;
    let lines: Vec<_> = lines.into_iter().collect();
    Placement::new(customer, currency, &lines, policy, metadata).map_err(say)
}

/// An answer ends the workflow; a fault is tried again.
fn refusal(error: Error) -> Result<Reserved, Error> {
    match error {
        Error::Shortage(_) | Error::Invalid(_) | Error::KeyReused => Ok(Reserved::Refused(error.to_string())),
        fault => Err(fault),
    }
}
