//! The workflow's first step. An order that came through the door has its hold already; one that
//! was started by hand is placed here, by the same operation under the same key.

use domain::{
    Invalid, Invalids,
    collect::Collects,
    order::{self, Placement},
    stay,
};
use store::{
    Db, Error, Idempotency,
    orders::{self, Ask, Placed},
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
            let idempotency = Idempotency { key: id.to_string(), request_hash: Vec::new() };
            match orders::place(db, Ask { id, placement, collects: Collects::Anything, idempotency, at })
                .await
            {
                Ok(Placed::New(order)) => *order,
                Ok(Placed::Replayed(id)) => orders::get(db, id).await?,
                Err(error) => return refusal(error),
            }
        }
        (Err(Error::NotFound), None) => return Ok(Reserved::Refused(format!("there is no order {id}"))),
        (order, _) => order?,
    };
    orders::note_started(db, &[id], at).await?;
    Ok(Reserved::Held(Facts {
        status: order.status,
        total: order.total(),
        payment_due_at: order.payment_due_at,
        reminders_at: order.policy.reminders_at(order.placed_at),
        grace: order.policy.money.grace,
        stays_end_at: order.stays_end_at(),
        due_by: order.policy.due_by,
        customer_id: order.customer.id,
    }))
}

/// What came by hand was not parsed at the door: parse it here.
fn check(placement: Placement) -> Result<Placement, String> {
    let mut invalids = Invalids::default();
    let customer = placement.customer.clone().parse();
    customer.map_err(|errors| errors.into_iter().for_each(|e| invalids.push(e))).ok();
    order::lines(placement.lines.iter().map(|(sku, quantity)| (sku.as_str(), *quantity)), &mut invalids);
    let stays =
        placement.lines.iter().map(|(sku, rooms)| (sku.as_str(), *rooms, placement.stays.get(sku).cloned()));
    if stay::bookings(stays, &mut invalids) != placement.stays {
        invalids.push(Invalid::new("stays", "must each have a line with its rooms"));
    }
    invalids.check(order::metadata(&placement.metadata));
    match invalids.is_empty() {
        true => Ok(placement),
        false => Err(invalids.into_vec().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    }
}

/// An answer ends the workflow; a fault is tried again.
fn refusal(error: Error) -> Result<Reserved, Error> {
    match error {
        Error::Shortage(_) | Error::Invalid(_) | Error::KeyReused => Ok(Reserved::Refused(error.to_string())),
        fault => Err(fault),
    }
}
