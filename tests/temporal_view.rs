//! What people see and do in Temporal itself.

use serde_json::{Value, json};
use sqlx::Executor as _;
use temporalio_client::{
    UntypedQuery, UntypedWorkflow, WorkflowExecutionStatus, WorkflowQueryOptions, WorkflowStartOptions,
    WorkflowTerminateOptions,
};
use temporalio_common::data_converters::RawValue;
use workflows::{OrderInput, OrderWorkflow};

use crate::harness::{Api, NAME, Shop, wait_until};

/// Payloads in clear, as a person with the CLI sees them.
async fn open_shop() -> Shop {
    let shop = Shop::in_clear().await;
    shop.stock("tea", 1250, 10).await;
    shop
}

#[tokio::test]
async fn orders_are_found_and_say_what_they_wait_for() {
    let shop = open_shop().await;
    let (paid, waiting) = (shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 2)]).await);
    for id in [&paid, &waiting] {
        shop.until_told(id, "workflow.started").await;
    }
    shop.pay(&paid).await;
    shop.until(&paid, "completed").await;
    for (filter, found) in [
        ("HoldfastCustomerId = 'cust-42'", 2),
        ("HoldfastCustomerId = 'cust-43'", 0),
        ("HoldfastCustomerId = 'cust-42' AND HoldfastOrderStatus = 'awaiting_payment'", 1),
        ("HoldfastOrderStatus = 'completed' AND ExecutionStatus = 'Completed'", 1),
    ] {
        let query = format!("TaskQueue = '{}' AND {filter}", shop.task_queue);
        wait_until(&query, async || shop.temporal.count(&query).await == found).await;
    }
    // It has had no task yet.
    let description = shop.temporal.describe(&waiting).await;
    assert_eq!(description.static_summary(), Some("Order of 25.00 EUR for customer cust-42"));
    let order = shop.order(&waiting).await;
    let due = order.payment_due_at.to_string();
    let reminder = (order.placed_at + jiff::SignedDuration::from_hours(4)).to_string();
    let details = description.static_details().unwrap();
    for told in ["waiting for a payment of 25.00 EUR", &due, &reminder] {
        assert!(details.contains(told), "{told}: {details}");
    }
    shop.fast_forward(&waiting, "PT5H").await;
    let state = shop.temporal.order(&waiting).await;
    let state =
        state.query(OrderWorkflow::state, (), WorkflowQueryOptions::default()).await.unwrap().unwrap();
    assert_eq!(state.payment_due_at.to_string(), due);
    assert!(state.next_reminder_at.unwrap() < state.payment_due_at);
    for details in [state.details, current_details(&shop, &waiting).await] {
        assert!(
            details.contains("Waiting for a payment of 25.00 EUR") && details.contains(&due),
            "{details}"
        );
    }
    shop.close();
}

/// What the Temporal UI shows as the workflow's current details.
async fn current_details(shop: &Shop, id: &str) -> String {
    let workflow = shop.temporal.client().await.get_workflow_handle::<UntypedWorkflow>(id);
    let query = UntypedQuery::new("__temporal_workflow_metadata");
    let answer = workflow.query(query, RawValue::empty(), WorkflowQueryOptions::default()).await.unwrap();
    let metadata: Value = serde_json::from_slice(&answer.payloads[0].data).unwrap();
    metadata["currentDetails"].as_str().unwrap_or_else(|| panic!("{metadata}")).to_owned()
}

/// Started from the Temporal CLI with whatever its starter thinks of: an order is placed by the API, or does
/// not exist.
#[tokio::test]
async fn an_order_that_was_not_placed_does_not_exist() {
    let shop = open_shop().await;
    let id = format!("ord_{:032x}", 0x0192_0000_0000_7000_8000_0000_0000_0000_u128);
    let placement = json!({"customer": {"id": "cust-42", "email": shop.email, "name": NAME},
                           "currency": "EUR", "lines": {"tea": 3},
                           "policy": {"payment_window": "PT1000000H", "reminders": []}});
    let input: Value = json!({"order": id, "placement": placement});
    let input: OrderInput = serde_json::from_value(input).unwrap();
    assert!(!serde_json::to_string(&input).unwrap().contains("placement"));
    let options = WorkflowStartOptions::new(&shop.task_queue, &id).build();
    shop.temporal.client().await.start_workflow(OrderWorkflow::run, input, options).await.unwrap();
    assert_eq!(shop.temporal.until_closed(&id).await, WorkflowExecutionStatus::Completed);
    let result = String::from_utf8_lossy(&result_of(&shop, &id).await).into_owned();
    assert!(result.contains("there is no order"), "{result}");
    shop.api.get(&format!("/v1/orders/{id}")).await.problem(404, "order_not_found");
    assert_eq!(shop.level("tea").await, (10, 0));
    shop.close();
}

async fn result_of(shop: &Shop, id: &str) -> Vec<u8> {
    use prost::Message as _;
    shop.temporal.history(id).await.last().unwrap().encode_to_vec()
}

#[tokio::test]
async fn an_order_whose_workflow_was_terminated_takes_money_all_the_same() {
    let shop = open_shop().await;
    let id = shop.place_started(&[("tea", 1)]).await;
    shop.temporal.order(&id).await.terminate(WorkflowTerminateOptions::default()).await.unwrap();
    assert_eq!(shop.temporal.until_closed(&id).await, WorkflowExecutionStatus::Terminated);
    shop.pay(&id).await;
    shop.until(&id, "completed").await;
    assert_eq!(shop.until_mailed(&id, "paid").await, ["paid"]);
    shop.close();
}

/// The signal is in the history of a workflow that somebody terminated before it acted on it, and the
/// order would be swept up as overdue at its deadline: both come back by themselves.
#[tokio::test]
async fn money_and_orders_that_a_terminated_workflow_took_with_it_come_back() {
    let mut shop = open_shop().await;
    let (paid, overdue) = (shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await);
    for id in [&paid, &overdue] {
        shop.until_told(id, "workflow.started").await;
    }
    shop.kill_worker();
    shop.pay(&paid).await;
    let noted = "SELECT bool_and(dispatched_at IS NOT NULL) FROM inbox";
    shop.until_true("the engine has the event", noted).await;
    for id in [&paid, &overdue] {
        shop.temporal.order(id).await.terminate(WorkflowTerminateOptions::default()).await.unwrap();
    }
    // Time passes: the sweepers have patience with what the engine has.
    let later = "WITH i AS (UPDATE inbox SET dispatched_at = dispatched_at - interval '11 minutes')
                 UPDATE orders SET payment_due_at = now() - interval '11 minutes',
                                   workflow_started_at = workflow_started_at - interval '1 day'
                 WHERE id NOT IN (SELECT order_id FROM inbox)";
    shop.sql().await.execute(later).await.unwrap();
    shop.start_worker();
    shop.until(&paid, "completed").await;
    shop.until(&overdue, "expired").await;
    assert_eq!(shop.level("tea").await, (9, 0));
    shop.close();
}

/// With a payload key even what is not personal is sealed, except what people read in the Temporal UI.
#[tokio::test]
async fn payloads_are_sealed_with_a_key() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place_started(&[("tea", 1)]).await;
    shop.pay_with(&id, json!({"event_id": "evt_recognisable"})).await;
    shop.until(&id, "completed").await;
    shop.temporal.until_closed(&id).await;
    let history = shop.temporal.history(&id).await;
    let history: Value = serde_json::to_value(&history).unwrap();
    let text = history.to_string();
    // Base64 of the payload's own metadata; the event's id would be readable in clear payloads.
    assert!(text.contains("YmluYXJ5L2VuY3J5cHRlZA"), "{text}");
    use prost::Message as _;
    let bytes: Vec<u8> =
        shop.temporal.history(&id).await.iter().flat_map(|event| event.encode_to_vec()).collect();
    assert!(!String::from_utf8_lossy(&bytes).contains("recognisable"));
    let waiting = shop.place_started(&[("tea", 1)]).await;
    shop.fast_forward(&waiting, "PT5H").await;
    assert!(current_details(&shop, &waiting).await.contains("Waiting for a payment of 12.50 EUR"));
    shop.close();
}

/// The Temporal UI and CLI read payloads by asking a worker, on an address of its own.
#[tokio::test]
async fn a_worker_opens_and_seals_payloads_for_operators() {
    let shop = Shop::open().await;
    let address = format!("127.0.0.1:{}", devstack::free_port());
    let worker = shop.another_worker(&[("HOLDFAST_CODEC_LISTEN", address.clone())]).await;
    let codec = Api::new(&address);
    let payload = |data: &str| json!({"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": data});
    let clear = json!({"payloads": [payload("IjQyIg=="), payload("")]});
    let sealed = codec.post("/encode", &clear).await.is(200);
    assert_eq!(sealed["payloads"][0]["metadata"]["encoding"], "YmluYXJ5L2VuY3J5cHRlZA==");
    assert_eq!(codec.post("/decode", &sealed).await.is(200), clear);
    let forged = json!({"payloads": [{"metadata": sealed["payloads"][0]["metadata"], "data": "AAAA"}]});
    assert_eq!(codec.post("/decode", &forged).await.status, 400);
    drop(worker);
    shop.close();
}
