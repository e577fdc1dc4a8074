//! What each aggregate of the store refuses, as clients see it.

use domain::change::Kind;
use store::{
    Fault, changes, check_ins, exceptions, orders::place, payments, products, refunds, stays, stock,
};

use super::Problem;
use crate::{
    details::{Details, NightDocument, ReturnDocument},
    extract::{order_not_found, product_not_found},
};

/// Faults are logged here, once, with their chain.
impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Busy => {
                Self::unavailable("busy", "Too many orders are waiting; nothing was done. Try again.")
            }
            Fault::ReportsBusy => {
                Self::unavailable("busy", "Too many reports are running; nothing was done. Try again.")
            }
            fault if fault.is_outage() => {
                tracing::error!(error = %fault, "the database does not answer");
                let detail = "The database does not answer; nothing was done.";
                Self::unavailable("database_unavailable", detail)
            }
            fault => {
                tracing::error!(error = %fault, "request failed");
                Self::internal()
            }
        }
    }
}

impl From<place::Error> for Problem {
    fn from(error: place::Error) -> Self {
        use place::Error;
        match error {
            Error::KeyReused => Self::key_reused(),
            Error::NoAccount => Self::account_gone(),
            Error::Invalid(errors) => Self::invalid(errors),
            Error::Shortage(shortages) => {
                let detail = "There is not enough stock for this order; nothing was held.";
                Self::conflict("insufficient_stock", detail).with(Details::Shortages(shortages))
            }
            Error::Fault(fault) => fault.into(),
        }
    }
}

impl From<changes::Error> for Problem {
    fn from(error: changes::Error) -> Self {
        use changes::Error;
        match error {
            Error::NotFound => order_not_found(),
            Error::KeyReused => Self::key_reused(),
            Error::TooManyWaiting => Self::too_many_changes(),
            Error::Fault(fault) => fault.into(),
        }
    }
}

impl From<payments::Error> for Problem {
    fn from(error: payments::Error) -> Self {
        use payments::Error;
        match error {
            Error::NotFound => order_not_found(),
            Error::WrongStatus(status) => Self::wrong_status("order_not_payable", status),
            Error::KeyReused => Self::key_reused(),
            Error::Fault(fault) => fault.into(),
        }
    }
}

impl From<check_ins::Error> for Problem {
    fn from(error: check_ins::Error) -> Self {
        use check_ins::Error;
        match error {
            Error::NotFound => order_not_found(),
            Error::WrongStatus(status) => Self::wrong_status(Kind::CheckIn.problem_code(), status),
            Error::Fault(fault) => fault.into(),
        }
    }
}

impl From<refunds::Error> for Problem {
    fn from(error: refunds::Error) -> Self {
        use refunds::Error;
        match error {
            Error::NotFound => order_not_found(),
            Error::Invalid(errors) => Self::invalid(errors),
            Error::KeyReused => Self::key_reused(),
            Error::BeyondCaptured(refundable) => {
                let detail = format!("At most {refundable} minor units can still go back.");
                Self::conflict("refund_exceeds_captured", detail).with(Details::Refundable(refundable))
            }
            Error::BeyondSold(returnable) => {
                let detail = "That is more than was sold and is still there; nothing was done.";
                let returnable = returnable.into_iter().map(ReturnDocument::from).collect();
                Self::conflict("restock_exceeds_sold", detail).with(Details::Returnable(returnable))
            }
            Error::Fault(fault) => fault.into(),
        }
    }
}

impl From<exceptions::Error> for Problem {
    fn from(error: exceptions::Error) -> Self {
        use exceptions::Error;
        match error {
            Error::NotFound => Self::not_found("exception_not_found", "There is no exception with this id."),
            Error::AlreadyResolved => {
                Self::conflict("exception_resolved", "Somebody has decided about this exception before.")
            }
            Error::NotApplicable { why, status } => Self {
                details: status.map(Details::CurrentStatus),
                ..Self::conflict("exception_not_applicable", why)
            },
            Error::Refund(refused) => refused.into(),
            Error::Fault(fault) => fault.into(),
        }
    }
}

impl From<stock::Error> for Problem {
    fn from(error: stock::Error) -> Self {
        use stock::Error;
        match error {
            Error::NotFound => product_not_found(),
            Error::NotGoods => Self::conflict(
                "product_not_goods",
                "This product is sold by the night: its stock is the capacity of its nights.",
            ),
            Error::Invalid(invalid) => invalid.into(),
            Error::BelowHeld => {
                Self::conflict("stock_below_held", "That would leave less stock than is held for orders.")
            }
            Error::KeyReused => Self::key_reused(),
            Error::Fault(fault) => fault.into(),
        }
    }
}

impl From<products::Error> for Problem {
    fn from(error: products::Error) -> Self {
        use products::Error;
        match error {
            Error::NotFound => product_not_found(),
            Error::Invalid(invalid) => invalid.into(),
            Error::Stale(version) => Self::stale(version),
            Error::Fault(fault) => fault.into(),
        }
    }
}

impl From<stays::Error> for Problem {
    fn from(error: stays::Error) -> Self {
        use stays::Error;
        match error {
            Error::NotFound => product_not_found(),
            Error::NotAStay => Self::conflict("product_not_a_stay", "This product is not sold by the night."),
            Error::CapacityBelowSold(nights) => {
                let detail = "More of these nights is held and sold already; nothing was changed.";
                let nights = nights.iter().map(NightDocument::from).collect();
                Self::conflict("capacity_below_sold", detail).with(Details::Nights(nights))
            }
            Error::Product(error) => error.into(),
            Error::Fault(fault) => fault.into(),
        }
    }
}

impl From<identity::Busy> for Problem {
    fn from(_: identity::Busy) -> Self {
        Self::unavailable("busy", "Too many are signing in; nothing was done. Try again.")
    }
}
