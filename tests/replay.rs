//! Histories of orders that ran on earlier versions of the workflows, in `tests/histories`. A change
//! that cannot replay them would break orders that sleep while it is deployed: use
//! `ctx.patched(...)`, and record new ones beside them.
//!
//! Those named `..._awake` are from when an order's first task came right after its placement (ADR 24),
//! `..._by_update` and some others from when changes were updates (ADR 25).
//!
//! Record with `cargo test --test blackbox -- --ignored record_histories` (or `record_money`,
//! `record_stays`, `record_codes`, `record_mails`).

use std::{fs, path::PathBuf};

use serde_json::json;
use temporalio_client::{WorkflowFetchHistoryOptions, WorkflowHistory, WorkflowStartOptions};
use temporalio_common::protos::temporal::api::enums::v1::EventType;
use temporalio_sdk::workflow_replayer::{WorkflowReplayer, WorkflowReplayerOptions};
use workflows::{LatePaymentWorkflow, OrderWorkflow, ReconcileWorkflow, RefundWorkflow};

use crate::{
    harness::{Setup, Shop, Smtp, eventually, unique},
    stays::code,
};

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
        .register_workflow::<RefundWorkflow>()
        .unwrap()
        .register_workflow::<ReconcileWorkflow>()
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
    assert!(replayed >= 28, "{replayed} histories");
}

#[tokio::test]
#[ignore = "writes tests/histories anew"]
async fn record_histories() {
    let shop = Shop::in_clear().await;
    shop.stock("tea", 1250, 100).await;
    let placed = async |policy| shop.place_started_with(&[("tea", 1)], policy).await;
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
    let due = shop.order(&mixed).await.payment_due_at;
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
    // Changed so often that it goes on in a new run, whose history is written.
    let continued = placed(json!({"reminders": []})).await;
    let due = shop.order(&continued).await.payment_due_at;
    for minutes in 1..=40 {
        shop.extend(&continued, due + jiff::SignedDuration::from_mins(minutes)).await.is(200);
    }
    eventually("it sleeps", async || {
        let history = shop.temporal.history(&continued).await;
        (history.last()?.event_type() == EventType::TimerStarted).then_some(())
    })
    .await;
    write(&shop, "continued", &continued).await;
    let waiting = placed(json!(null)).await;
    shop.fast_forward(&waiting, "PT5H").await;
    write(&shop, "waiting", &waiting).await;
    shop.close();
}

#[tokio::test]
#[ignore = "writes tests/histories anew"]
async fn record_money() {
    let shop = Shop::in_clear().await;
    shop.stock("tea", 1250, 100).await;
    let faults = async |faults| shop.provider.faults(faults).await;
    let placed = async || shop.place_started(&[("tea", 1)]).await;
    // An attempt, superseded by another, both closed at the deadline; the provider is down at first.
    let attempts_expired = placed().await;
    shop.attempt(&attempts_expired).await;
    shop.attempt(&attempts_expired).await;
    faults(json!({"outage": {"answer": "unavailable", "calls": 3}})).await;
    shop.fast_forward(&attempts_expired, "PT25H").await;
    shop.until(&attempts_expired, "expired").await;
    faults(json!({})).await;
    // Paid past its attempt, which is then closed.
    let attempts_paid = placed().await;
    shop.attempt(&attempts_paid).await;
    shop.pay(&attempts_paid).await;
    shop.until(&attempts_paid, "completed").await;
    for (name, id) in [("attempts_expired", &attempts_expired), ("attempts_paid", &attempts_paid)] {
        record(&shop, name, id).await;
    }

    // A refund that is pending, until its webhook wakes it.
    faults(json!({"refunds": "pend"})).await;
    let refund = shop.refund(&attempts_paid, json!({"amount": 250, "reason": "late"})).await.id;
    shop.until_refunds(&attempts_paid, &["pending"]).await;
    shop.provider.settle(&refund, "succeeded").await;
    record(&shop, "refund", &refund).await;
    faults(json!({})).await;

    let late = placed().await;
    shop.cancel(&late).await.is(200);
    shop.temporal.until_closed(&late).await;
    let paid = shop.api.post(&format!("/v1/sandbox/orders/{late}/pay"), &json!({})).await.is(200);
    let payment = paid["payment_id"].as_str().unwrap();
    shop.until_money(&late, "refunded").await;
    record(&shop, "late_payment", &format!("{late}/late-payment/sandbox/{payment}")).await;

    // Books with a capture of which we have not heard; one try to read them fails, or all.
    for (name, calls) in [("reconcile", json!(1)), ("reconcile_unread", json!(null))] {
        faults(json!({"webhooks": "lose"})).await;
        shop.provider.pay("?", 1, json!({})).await;
        faults(json!({"outage": {"answer": "unavailable", "calls": calls}})).await;
        let id = format!("reconcile-{}", unique());
        let options = WorkflowStartOptions::new(&shop.task_queue, &id).build();
        shop.temporal.client().await.start_workflow(ReconcileWorkflow::run, (), options).await.unwrap();
        record(&shop, name, &id).await;
    }
    shop.close();
}

#[tokio::test]
#[ignore = "writes tests/histories anew"]
async fn record_stays() {
    let shop = Shop::in_clear().await;
    shop.rooms("room", 5).await;
    let paid = async || {
        let id = shop.book("room", 3, 5).await;
        shop.until_told(&id, "workflow.started").await;
        let mail = shop.pay_stay(&id).await;
        (id, code(&mail))
    };
    let (used, code) = paid().await;
    shop.check_in(&used, &code).await.problem(409, "check_in_too_early");
    shop.fast_forward(&used, "P4D").await;
    shop.check_in(&used, &code).await.is(200);
    record(&shop, "stay_used", &used).await;
    let (unused, _) = paid().await;
    shop.fast_forward(&unused, "P8D").await;
    record(&shop, "stay_unused", &unused).await;
    let (waiting, _) = paid().await;
    write(&shop, "stay_waiting", &waiting).await;
    shop.close();
}

/// A code that is replaced, and used.
#[tokio::test]
#[ignore = "writes tests/histories anew"]
async fn record_codes() {
    let shop = Shop::in_clear().await;
    shop.rooms("room", 5).await;
    let id = shop.book("room", 3, 5).await;
    shop.pay_stay(&id).await;
    shop.api.post(&format!("/v1/orders/{id}/check-in-code"), &json!({})).await.is(200);
    let code = code(&shop.mail(&id, "new_check_in_code").await);
    shop.fast_forward(&id, "P4D").await;
    shop.check_in(&id, &code).await.is(200);
    record(&shop, "stay_new_code", &id).await;
    shop.close();
}

/// A mail that was tried in vain until the next one was due.
#[tokio::test]
#[ignore = "writes tests/histories anew"]
async fn record_mails() {
    let smtp = Smtp::start().await;
    let setup = Setup { smtp_url: Some(smtp.url.clone()), without_payload_key: true, ..Setup::default() };
    let shop = Shop::with(setup).await;
    shop.stock("tea", 1250, 10).await;
    smtp.refuse("RCPT TO", "450 4.2.0 come back later");
    let policy = json!({"payment_window": "PT40M", "reminders": ["PT10M", "PT20M"]});
    let id = shop.place_with(&[("tea", 1)], policy).await;
    shop.fast_forward(&id, "PT21M").await;
    shop.until_told(&id, "mail.rejected").await;
    smtp.relent();
    shop.pay(&id).await;
    shop.until(&id, "completed").await;
    record(&shop, "mail_given_up", &id).await;
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
