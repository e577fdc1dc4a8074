//! Changes of an order (cancel, extend, fulfil, check-in): stored before they are told, decided once, never
//! forgotten.

use std::collections::BTreeSet;

use domain::{ChangeId, OrderId, change::Kind};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde_json::{Value, json};
use store::{Db, SettlementBatcher};
use temporalio_client::{WorkflowExecutionStatus, WorkflowSignalOptions};
use workflows::{ChangeNotice, OrderWorkflow};

use crate::{
    harness::{Shop, documents::Change, eventually, wait_until},
    stays::code,
};

#[tokio::test]
async fn equal_changes_share_an_answer_and_a_key_gets_the_first_one_again() {
    let shop = Shop::with_tea(100).await;
    let id = shop.place(&[("tea", 1)]).await;
    let body = json!({"reason": "changed my mind"});
    let keys: Vec<String> = (0..40).map(|n| format!("cancel-{}", n % 20)).collect();
    let answers = join_all(keys.iter().map(|key| shop.change_as(key, &id, "cancel", &body))).await;
    // Those who came when it was decided are told so; whoever asks under the same key hears the same.
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert!(
        statuses.contains(&200) && statuses.iter().all(|status| [200, 409].contains(status)),
        "{statuses:?}"
    );
    assert_eq!(statuses[..20], statuses[20..]);
    assert_eq!(shop.until_mailed(&id, "cancelled").await, ["cancelled"]);
    shop.temporal.until_closed(&id).await;

    let done = statuses.iter().position(|status| *status == 200).unwrap();
    let again = shop.change_as(&keys[done], &id, "cancel", &body).await;
    assert!(again.is_replayed());
    assert_eq!(again.is(200).close_reason, "changed my mind");
    shop.change_as("cancel-3", &id, "cancel", &json!({})).await.problem(422, "idempotency_key_reused");
    shop.change_as("cancel-3", &id, "fulfil", &json!({})).await.problem(422, "idempotency_key_reused");
    // A refusal is an answer, too.
    let other = shop.place_with(&[("tea", 1)], json!({"fulfilment": "manual"})).await;
    let fulfil = async || shop.change_as("cancel-3", &other, "fulfil", &json!({})).await;
    fulfil().await.problem(409, "order_not_fulfillable");
    shop.pay(&other).await;
    shop.until(&other, "paid").await;
    let again = fulfil().await;
    assert!(again.is_replayed());
    assert_eq!(again.problem(409, "order_not_fulfillable").current_status, "awaiting_payment");
    shop.fulfil(&other).await.is(200);
    shop.close();
}

#[tokio::test]
async fn changes_of_one_order_are_bounded() {
    let mut shop = Shop::with_tea(100).await;
    let id = shop.place_started(&[("tea", 1)]).await;
    shop.kill_worker();
    let due = shop.order(&id).await.payment_due_at;
    let path = format!("/v1/orders/{id}/extend");
    let api = shop.api.impatient();
    let extend = async |hours: i64| api.post(&path, &json!({"payment_due_at": due + hours.hours()})).await;
    let answers = join_all((1..=25).map(extend)).await;
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(202), count(429)), (10, 15));
    for answer in answers.into_iter().filter(|answer| answer.status == 429) {
        assert!(answer.header("retry-after").is_some());
        answer.problem(429, "too_many_changes");
    }
    assert_eq!(shop.changes(&id).await.len(), 10);
    shop.start_worker();
    wait_until("all are decided", async || {
        let changes = shop.changes(&id).await;
        changes.iter().all(|change| change.state != "pending")
    })
    .await;
    for change in shop.changes(&id).await.into_iter().filter(|change| change.state == "refused") {
        assert_eq!(change.problem["code"], "invalid_request", "{change:?}");
    }
    assert!(shop.order(&id).await.payment_due_at > due);
    shop.cancel(&id).await.is(200);
    shop.close();
}

/// A code is shown, and another takes its place before that is decided: the one that was shown is worth
/// nothing any more.
#[tokio::test]
async fn a_code_that_was_replaced_meanwhile_lets_nobody_in() {
    let mut shop = Shop::open().await;
    shop.rooms("room", 1).await;
    let id = shop.book("room", 3, 5).await;
    let mail = shop.pay_stay(&id).await;
    shop.fast_forward(&id, "P4D").await;
    shop.kill_worker();
    let api = shop.api.impatient();
    let ask = async |what: &str, body: &Value| api.post(&format!("/v1/orders/{id}/{what}"), body).await;
    ask("check-in-code", &json!({})).await.is(202);
    let shown = ask("check-in", &json!({"code": code(&mail)})).await.is(202);
    shop.start_worker();
    let path = format!("/v1/orders/{id}/changes/{}", shown["id"].as_str().unwrap());
    let decided = eventually("it is decided", async || {
        let change: Change = shop.api.get(&path).await.of().is(200);
        (change.state != "pending").then_some(change)
    })
    .await;
    assert_eq!(decided.state, "refused", "{decided:?}");
    assert_eq!(decided.problem["code"], "check_in_not_possible", "{decided:?}");
    let mail = shop.mail(&id, "new_check_in_code").await;
    shop.check_in(&id, &code(&mail)).await.is(200);
    shop.close();
}

/// A step has committed, and its worker dies before the workflow's task ends: whoever carries on finds it
/// done, finishes, and gives the same answer. For every kind of change there is.
#[tokio::test]
async fn what_a_step_has_committed_its_workflow_comes_to_know() {
    let mut shop = Shop::with_tea(100).await;
    shop.rooms("room", 5).await;
    for kind in Kind::ALL {
        let story = prepare(&shop, kind).await;
        shop.kill_worker();
        let id = story.id.as_str();
        let ask = async {
            match &story.ask {
                Some((path, body)) => Some(shop.api.post(&format!("/v1/orders/{id}/{path}"), body).await),
                None => None,
            }
        };
        let (answer, ()) = tokio::join!(ask, commit(&shop, id, kind, story.at));
        if let Some(answer) = answer {
            answer.is(200);
        }
        shop.start_worker();
        if kind == Kind::Extend {
            shop.fast_forward(id, "P3D").await;
            shop.until(id, "expired").await;
        }
        if kind == Kind::NewCheckInCode {
            shop.until_mailed(id, "new_check_in_code").await;
            shop.fast_forward(id, "P7D").await; // nobody comes
        }
        let status = shop.temporal.until_closed(id).await;
        assert_eq!(status, WorkflowExecutionStatus::Completed, "{kind:?}");
        let last = story.mails.last().unwrap();
        assert_eq!(shop.until_mailed(id, last).await, story.mails, "{kind:?}");
        assert!(shop.changes(id).await.iter().all(|change| change.state == "done"), "{kind:?}");
    }
    shop.close();
}

/// An order to which a change can happen.
struct Prepared {
    id: String,
    /// None: Holdfast itself asks.
    ask: Option<(&'static str, Value)>,
    mails: Vec<&'static str>,
    /// When the step commits.
    at: Timestamp,
}

async fn prepare(shop: &Shop, kind: Kind) -> Prepared {
    let manual = json!({"fulfilment": "manual", "reminders": []});
    let now = Timestamp::now();
    match kind {
        Kind::Cancel => {
            let id = shop.place_started(&[("tea", 1)]).await;
            Prepared { id, ask: Some(("cancel", json!({}))), mails: vec!["cancelled"], at: now }
        }
        Kind::Extend => {
            let id = shop.place_started_with(&[("tea", 1)], json!({"reminders": []})).await;
            let due = shop.order(&id).await.payment_due_at + 24.hours();
            let ask = Some(("extend", json!({"payment_due_at": due})));
            Prepared { id, ask, mails: vec!["extended", "expired"], at: now }
        }
        Kind::Fulfil | Kind::EndRefunded => {
            let id = shop.place_with(&[("tea", 1)], manual).await;
            shop.pay(&id).await;
            shop.until(&id, "paid").await;
            shop.until_mailed(&id, "paid").await;
            if kind == Kind::Fulfil {
                return Prepared {
                    id,
                    ask: Some(("fulfil", json!({}))),
                    mails: vec!["paid", "completed"],
                    at: now,
                };
            }
            Prepared { id, ask: None, mails: vec!["paid", "cancelled"], at: now }
        }
        Kind::NewCheckInCode => {
            let id = shop.book("room", 3, 5).await;
            shop.pay_stay(&id).await;
            let mails = vec!["paid", "check_in", "new_check_in_code"];
            Prepared { id, ask: Some(("check-in-code", json!({}))), mails, at: now }
        }
        Kind::CheckIn => {
            let id = shop.book("room", 3, 5).await;
            let mail = shop.pay_stay(&id).await;
            shop.fast_forward(&id, "P4D").await;
            let ask = Some(("check-in", json!({"code": code(&mail)})));
            let at = now + SignedDuration::from_hours(4 * 24);
            Prepared { id, ask, mails: vec!["paid", "check_in"], at }
        }
    }
}

/// The worker's step, without a worker.
async fn commit(shop: &Shop, id: &str, kind: Kind, at: Timestamp) {
    let order: OrderId = id.parse().unwrap();
    let db = Db::open(&shop.database_url, 2).unwrap();
    let settlements = SettlementBatcher::open(&db).unwrap();
    if kind == Kind::EndRefunded {
        shop.refund_in_dashboard(id, 1250).await;
        shop.until_money(id, "refunded").await;
    }
    let change = eventually("the change is stored", async || {
        let changes = shop.changes(id).await;
        changes.first().map(|change| change.id.parse::<ChangeId>().unwrap())
    })
    .await;
    if kind == Kind::EndRefunded {
        // The sweeper has told the workflow: no step is taken before.
        let workflow = shop.temporal.order(id).await;
        let notice = ChangeNotice { change };
        workflow.signal(OrderWorkflow::change, notice, WorkflowSignalOptions::default()).await.unwrap();
    }
    settlements.change(order, change, false, at).await.unwrap();
}

/// However often an order is changed, it goes on in new runs, each with a short history.
#[tokio::test]
async fn an_order_that_is_changed_again_and_again_goes_on_in_new_runs() {
    let shop = Shop::with_tea(100).await;
    let id = shop.place(&[("tea", 1)]).await;
    let due = shop.order(&id).await.payment_due_at;
    let mut runs = BTreeSet::new();
    for minutes in 1..=60 {
        shop.extend(&id, due + minutes.minutes()).await.is(200);
        runs.insert(shop.temporal.describe(&id).await.run_id().to_owned());
    }
    assert!(runs.len() > 1, "{runs:?}");
    assert!(shop.temporal.history(&id).await.len() < 400);
    assert_eq!(shop.order(&id).await.payment_due_at, due + 60.minutes());
    shop.fast_forward(&id, "PT23H30M").await;
    assert_eq!(shop.order(&id).await.status, "awaiting_payment");
    shop.pay(&id).await;
    shop.until(&id, "completed").await;
    shop.temporal.until_closed(&id).await;
    let mails = shop.until_mailed(&id, "paid").await;
    let reminders: Vec<_> = mails.iter().filter(|mail| mail.starts_with("reminder")).collect();
    assert_eq!(reminders, ["reminder_1", "reminder_2", "reminder_3"]);
    shop.close();
}

#[tokio::test]
async fn reminders_follow_the_new_deadline_and_a_mail_tells_it() {
    let shop = Shop::with_tea(100).await;
    let id = shop.place(&[("tea", 1)]).await;
    let due = shop.order(&id).await.payment_due_at;
    shop.fast_forward(&id, "PT23H").await;
    assert_eq!(shop.until_mailed(&id, "reminder_3").await, ["reminder_1", "reminder_2", "reminder_3"]);
    shop.extend(&id, due + 24.hours()).await.is(200);
    let mail = shop.mail(&id, "extended").await;
    let day = (due + 24.hours()).in_tz("Europe/Vienna").unwrap().strftime("%-d %B %Y").to_string();
    assert!(mail.text.contains(&day), "{}", mail.text);
    // 20, 12 and 2 hours before the new deadline, as before the old one.
    shop.fast_forward(&id, "PT24H30M").await;
    assert_eq!(shop.order(&id).await.status, "awaiting_payment");
    let all =
        ["reminder_1", "reminder_2", "reminder_3", "extended", "reminder_4", "reminder_5", "reminder_6"];
    assert_eq!(shop.until_mailed(&id, "reminder_6").await, all);
    shop.fast_forward(&id, "PT1H").await;
    shop.until(&id, "expired").await;
    shop.close();
}
