//! Why a change of an order was not made, as clients see it.

use domain::{
    Invalid,
    change::{Answer, Kind},
    order::{CloseReason, Order, Status},
};

use crate::{details::Details, error::Problem};

/// Why a change was not made.
pub fn refusal(change: Kind, answer: Answer) -> Problem {
    let Some((code, detail)) = answer.refusal(change) else {
        return Problem::internal(); // it was made
    };
    match answer {
        Answer::WrongStatus(status) => Problem::wrong_status(code, status),
        Answer::NotLater(due) => Invalid::new("payment_due_at", format!("must be later than {due}")).into(),
        Answer::NotYet(opens_at) => Problem::conflict(code, detail).with(Details::OpensAt(opens_at)),
        Answer::CancellationClosed(at) => Problem::conflict(code, detail).with(Details::ClosedAt(at)),
        Answer::Done | Answer::Refunded => Problem::conflict(code, detail),
    }
}

/// What an order that waits for no guests says, whatever the code.
pub fn check_in_not_possible(order: &Order) -> Problem {
    if order.stays_end_at().is_none() {
        return Problem::conflict("order_has_no_stay", "Nobody checks in with this order.");
    }
    if order.status == Status::Completed && order.close_reason.as_deref() == Some(CloseReason::Used.as_str())
    {
        return Problem::conflict("already_checked_in", "The guests of this order have checked in before.");
    }
    Problem::wrong_status(Kind::CheckIn.problem_code(), order.status)
}
