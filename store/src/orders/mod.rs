//! Orders: placing, reading, and each change of status, one file each.

mod change;
mod close;
mod command;
mod extend;
mod parts;
mod pay;
pub mod place;
mod price;
mod read;
mod reinstate;
mod start;
mod stay;

pub(crate) use change::refusal;
pub use close::fulfil;
pub use command::refuse_ended;
pub(crate) use command::{CommandResult, OrderCommand, Submitted, decide, decide_all};
pub use extend::extend;
pub use parts::Applied;
pub(crate) use parts::{apply, take_back};
pub use pay::raise_unknown_order;
pub(crate) use pay::{Capture, unknown_order};
pub(crate) use place::place_all;
pub use place::{PlaceOrder, Placed, place};
pub(crate) use read::read;
pub use read::{Filter, get, get_for_workflow, is_of, list, placed_under};
pub(crate) use start::starts_of;
pub use start::{Start, claim_unstarted, mark_started, note_started, put_off_start, start_of};
pub(crate) use stay::USED;
pub use stay::{check_in, end_stay};

use domain::{
    OrderId, Timestamp,
    money::{Currency, Money},
    order::Status,
    policy::Policy,
};

use crate::{Fault, Result, Tx, refunds::payment_status, sql};

/// The part of an order that decisions need, its row locked until the transaction ends.
pub(crate) struct Locked {
    pub(crate) id: OrderId,
    pub(crate) status: Status,
    pub(crate) version: i32,
    pub(crate) total: i64,
    /// What came towards it, while it awaits payment.
    pub(crate) parts_paid: i64,
    pub(crate) currency: Currency,
    pub(crate) customer_id: String,
    pub(crate) policy: Policy,
    pub(crate) placed_at: Timestamp,
    pub(crate) payment_due_at: Timestamp,
}

impl Locked {
    /// What it is once it is paid.
    fn status_when_paid(&self) -> Status {
        self.policy.fulfilment.status_once_paid()
    }

    /// Nobody can pay it any more, also if its expiry is not written yet.
    pub(crate) fn is_too_late(&self, at: Timestamp) -> bool {
        self.policy.is_too_late(at)
    }

    /// It expired since its first night had begun, whatever a clock says that somebody has set.
    fn expired_with_its_stay(&self) -> bool {
        self.status == Status::Expired && self.is_too_late(self.expires_at())
    }

    /// What is still to come of an order that awaits payment.
    pub(crate) fn due(&self) -> Money {
        Money::new(self.total - self.parts_paid, self.currency)
    }

    /// From here on the order may expire.
    fn expires_at(&self) -> Timestamp {
        self.policy.expires_at(self.payment_due_at)
    }
}

/// A new status, and when the order came to it.
struct Change<'a> {
    order: &'a Locked,
    status: Status,
    close_reason: Option<&'a str>,
    at: Timestamp,
}

/// Writes new statuses, each of another order, and what its payments and refunds add up to. The version makes
/// a lost update impossible even if a lock were forgotten.
async fn set_status(tx: &mut Tx, changes: &[Change<'_>]) -> Result<()> {
    let is_paid = |it: &Change| {
        it.order.status == Status::AwaitingPayment && matches!(it.status, Status::Paid | Status::Completed)
    };
    let written = payment_status!(query!(
        "UPDATE orders o SET status = c.status, version = o.version + 1,
                paid_at = CASE WHEN c.is_paid THEN c.at ELSE o.paid_at END,
                closed_at = CASE WHEN c.is_closed THEN c.at END,
                close_reason = coalesce(c.close_reason, o.close_reason), parts_paid = 0, payment_status = ",
        "FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::boolean[], $6::boolean[],
                     $7::timestamptz[]) AS c (id, version, status, close_reason, is_paid, is_closed, at)
         WHERE o.id = c.id AND o.version = c.version",
        &changes.iter().map(|it| it.order.id.uuid()).collect::<Vec<_>>(),
        &changes.iter().map(|it| it.order.version).collect::<Vec<_>>(),
        changes.iter().map(|it| it.status).collect::<Vec<_>>() as _,
        changes.iter().map(|it| it.close_reason).collect::<Vec<_>>() as _,
        &changes.iter().map(is_paid).collect::<Vec<_>>(),
        &changes.iter().map(|it| it.status.is_terminal()).collect::<Vec<_>>(),
        changes.iter().map(|it| sql(it.at)).collect::<Vec<_>>() as _
    ))
    .execute(&mut **tx)
    .await?;
    match written.rows_affected() == changes.len() as u64 {
        true => Ok(()),
        false => Err(Fault::corrupt("an order changed under its lock")),
    }
}
