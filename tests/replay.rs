//! Histories of orders that ran on earlier versions of the workflows, in `tests/histories`. A change
//! that cannot replay them would break orders that sleep while it is deployed: use
//! `ctx.patched(...)`, and record new ones beside them.
//!
//! Record with `cargo test --test blackbox -- --ignored record_histories`.

use std::{fs, path::PathBuf};

use serde_json::json;
use temporalio_client::{WorkflowFetchHistoryOptions, WorkflowHistory};
use temporalio_sdk::workflow_replayer::{WorkflowReplayer, WorkflowReplayerOptions};
use workflows::{LatePaymentWorkflow, OrderWorkflow};

use crate::harness::{Setup, Shop};

fn histories() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/histories")
}

#[tokio::test]
async fn recorded_histories_replay() {
    let options = WorkflowReplayerOptions::new()
        .register_workflow::<OrderWorkflow>()
        .unwrap()
        .register_workflow::<LatePaymentWorkflow>()
        .unwrap()
        .build();
    let replayer = WorkflowReplayer::new(options).unwrap();
    let mut replayed = 0;
    for entry in fs::read_dir(histories()).unwrap() {
        let path = entry.unwrap().path();
        let history = WorkflowHistory::from_json(&fs::read(&path).unwrap()).unwrap();
        replayer.replay_workflow(history).await.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        replayed += 1;
    }
    assert!(replayed >= 6, "{replayed} histories");
}

#[tokio::test]
#[ignore = "writes tests/histories anew"]
async fn record_histories() {
    let shop = Shop::with(Setup { without_payload_key: true, ..Setup::default() }).await;
    shop.stock("tea", 1250, 100).await;
    let placed = async |policy| {
        let id = shop.place_with(&[("tea", 1)], policy).await;
        shop.until_told(&id, "workflow.started").await;
        id
    };
    let happy = placed(json!(null)).await;
    shop.pay(&happy).await;
    let expired = placed(json!(null)).await;
    shop.fast_forward(&expired, "PT25H").await;
    let cancelled = placed(json!(null)).await;
    shop.cancel(&cancelled).await.is(200);
    let manual = placed(json!({"fulfilment": "manual"})).await;
    shop.pay(&manual).await;
    shop.until(&manual, "paid").await;
    shop.fulfil(&manual).await.is(200);
    let mixed = placed(json!(null)).await;
    shop.pay_with(&mixed, json!({"amount": 1})).await;
    let due = crate::harness::time(&shop.order(&mixed).await, "payment_due_at");
    shop.extend(&mixed, due + jiff::SignedDuration::from_hours(12)).await.is(200);
    shop.fast_forward(&mixed, "PT13H").await;
    shop.pay(&mixed).await;
    for (name, id) in [
        ("happy", happy),
        ("expired", expired),
        ("cancelled", cancelled),
        ("manual", manual),
        ("mixed", mixed),
    ] {
        record(&shop, name, &id).await;
    }
    let waiting = placed(json!(null)).await;
    shop.fast_forward(&waiting, "PT5H").await;
    write(&shop, "waiting", &waiting).await;
    shop.close();
}

async fn record(shop: &Shop, name: &str, id: &str) {
    shop.temporal.until_closed(id).await;
    write(shop, name, id).await;
}

async fn write(shop: &Shop, name: &str, id: &str) {
    let history = shop.temporal.order(id).await.fetch_history(WorkflowFetchHistoryOptions::default());
    fs::create_dir_all(histories()).unwrap();
    fs::write(histories().join(format!("{name}.json")), history.to_json().await.unwrap()).unwrap();
}
