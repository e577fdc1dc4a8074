//! Ids and names that are visible in the Temporal UI. None of them may hold personal data: they
//! are stored in clear.

use domain::{AccountCodeId, OrderId, RefundId, payment::PaymentReport};
use temporalio_common::search_attributes::SearchAttributeKey;

pub const DEFAULT_TASK_QUEUE: &str = "holdfast";

/// Where the order stands, as in the API: `awaiting_payment`, `completed`...
pub const ORDER_STATUS: SearchAttributeKey<String> = SearchAttributeKey::keyword("HoldfastOrderStatus");
/// The shop's own id for the customer.
pub const CUSTOMER_ID: SearchAttributeKey<String> = SearchAttributeKey::keyword("HoldfastCustomerId");

/// The workflow of an order has the order's id.
pub fn order_workflow(order: OrderId) -> String {
    order.to_string()
}

/// One workflow per event about money that came after its order had ended. Not per payment: that may fail
/// before it succeeds, and each event is to be settled.
pub fn late_payment_workflow(order: OrderId, report: &PaymentReport) -> String {
    format!("{order}/late-payment/{}/{}", report.provider, report.event_id)
}

/// The workflow of a refund has the refund's id.
pub fn refund_workflow(refund: RefundId) -> String {
    refund.to_string()
}

/// A refund that had failed and succeeded after all has a second workflow, which tells the customer.
pub fn refund_again_workflow(refund: RefundId) -> String {
    format!("{refund}/again")
}

/// The workflow of a code has the code's id, which is not the code.
pub fn account_code_workflow(code: AccountCodeId) -> String {
    code.to_string()
}

/// The schedule of the reconciliation, one per task queue: several Holdfasts may share a namespace.
pub fn reconcile_schedule(task_queue: &str) -> String {
    format!("{task_queue}-reconcile")
}
