//! Why a change of an order was not made, as clients see it.

use domain::{
    Invalid,
    change::{Answer, Kind},
    order::{CloseReason, Order, Status},
};

use crate::{details::Details, error::Problem};

/// Why a change was not made.
pub fn refusal(change: Kind, answer: Answer) -> Problem {
    match answer {
        Answer::Done => Problem::internal(), // it was made
        Answer::WrongStatus(status) => Problem::wrong_status(change.problem_code(), status),
        Answer::NotLater(due) => Invalid::new("payment_due_at", format!("must be later than {due}")).into(),
        Answer::NotYet(opens_at) => {
            Problem::conflict("check_in_too_early", format!("The stay begins at {opens_at}."))
                .with(Details::OpensAt(opens_at))
        }
        Answer::CancellationClosed(closed_at) => Problem::conflict(
            "cancellation_closed",
            format!("The order could be cancelled until {closed_at}."),
        )
        .with(Details::ClosedAt(closed_at)),
        Answer::Refunded => Problem::conflict(
            "order_refunded",
            "Nothing is left: the order's money went back, or what was sold with it.",
        ),
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
