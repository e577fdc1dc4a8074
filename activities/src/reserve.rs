//! The workflow's first step: the order that was placed, as the workflow needs to know it. An order that the
//! API did not place does not exist.

use store::{Db, Fault, mails, orders};
use workflows::contract::{Facts, ReserveInput, Reserved};

pub(crate) async fn reserve(db: &Db, input: ReserveInput) -> Result<Reserved, Fault> {
    let ReserveInput { order: id, at } = input;
    let Some((order, is_started)) = orders::get_for_workflow(db, id).await? else {
        return Ok(Reserved::Refused(format!("there is no order {id}")));
    };
    if !is_started {
        orders::note_started(db, &[id], at).await?;
    }
    let mut reminders_at = order.policy.reminders_at(order.placed_at, order.payment_due_at);
    let mut reminders_sent = 0;
    if reminders_at.first().is_some_and(|first| *first < at) {
        // Perhaps there was a workflow before this one.
        let (sent, last) = mails::reminders_sent(db, id).await?;
        reminders_sent = sent;
        reminders_at = order.policy.reminders_to_come(order.placed_at, order.payment_due_at, last);
    }
    Ok(Reserved::Held(Facts {
        status: order.status,
        total: order.total(),
        still_due: Some(order.amount_due()),
        payment_due_at: order.payment_due_at,
        reminders_at,
        reminders_sent,
        grace: order.policy.money.grace.get(),
        stays_end_at: order.stays_end_at(),
        due_by: order.policy.due_by,
        customer_id: order.customer.id().to_owned(),
    }))
}
