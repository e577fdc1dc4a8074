//! Which request causes what is written. It goes with the task that does the work, as its span does, and
//! stands in the events that come of it ([`domain::public_event::Cause`]).

use std::{collections::HashMap, sync::Arc};

use domain::{OrderId, public_event::Cause};
use opentelemetry::global;

/// The cause of all that a task writes, unless an order has one of its own among many.
#[derive(Debug, Clone, Default)]
struct Causes {
    of_task: Arc<Cause>,
    of_orders: Arc<HashMap<OrderId, Arc<Cause>>>,
}

tokio::task_local! {
    static CAUSES: Causes;
}

/// Does work that a request causes.
pub async fn caused_by<T>(cause: Arc<Cause>, work: impl Future<Output = T>) -> T {
    CAUSES.scope(Causes { of_task: cause, of_orders: Arc::default() }, work).await
}

/// Does work for many orders in one transaction, each with a cause of its own.
pub(crate) async fn caused_each<T>(causes: HashMap<OrderId, Arc<Cause>>, work: impl Future<Output = T>) -> T {
    CAUSES.scope(Causes { of_task: Arc::default(), of_orders: Arc::new(causes) }, work).await
}

/// What causes what this task does, at the place of its span in the trace.
pub fn current() -> Arc<Cause> {
    let said = CAUSES.try_with(|causes| causes.of_task.clone()).unwrap_or_default();
    match traceparent() {
        None => said,
        Some(here) => Arc::new(Cause { traceparent: Some(here), headers: said.headers.clone() }),
    }
}

/// What causes a change of this order.
pub(crate) fn of_order(order: OrderId) -> Arc<Cause> {
    let of_order = CAUSES.try_with(|causes| causes.of_orders.get(&order).cloned());
    of_order.ok().flatten().unwrap_or_else(current)
}

/// Where the task is in its trace, if traces are taken.
fn traceparent() -> Option<String> {
    let mut carrier = HashMap::<String, String>::new();
    global::get_text_map_propagator(|propagator| propagator.inject(&mut carrier));
    carrier.remove("traceparent")
}
