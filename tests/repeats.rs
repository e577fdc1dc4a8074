//! A step that was done, by a worker that died before it could say so, is done again. It must change
//! nothing and give the same answer: that answer is what the order's workflow goes on with.

use std::{str::FromStr as _, time::Duration};

use domain::{
    OrderId, change::ChangeOutcome, exception, mail::MailKind, order::Status, payment::PaymentReport,
    settlement::Settled,
};
use jiff::{Timestamp, ToSpan as _};
use serde_json::json;
use store::{
    Db, SettlementBatcher,
    mails::{self, Rejection, Unneeded},
    orders,
};

use crate::{
    harness::{
        Shop, eventually,
        test_process::money,
        wait_until,
        webhook::{Webhook, paid},
    },
    stays::{day, midnight},
};

/// A shop without a worker, and its database: the test is the worker.
async fn by_hand() -> (Shop, Db, SettlementBatcher) {
    let shop = Shop::without_worker().await;
    shop.stock("tea", 1250, 10).await;
    let db = Db::open(&shop.database_url, 2).unwrap();
    let settlements = SettlementBatcher::open(&db).unwrap();
    (shop, db, settlements)
}

#[tokio::test]
async fn a_payment_that_paid_still_paid_when_it_is_settled_again() {
    let (shop, _, settlements) = by_hand().await;
    let now = Timestamp::now();
    for (policy, status) in
        [(json!(null), Status::Completed), (json!({"fulfilment": "manual"}), Status::Paid)]
    {
        let id = shop.place_with(&[("tea", 1)], policy).await;
        shop.until_told(&id, "workflow.started").await;
        let order: OrderId = id.parse().unwrap();
        let settle = async |payment: &str, amount| {
            let report = money(payment, amount);
            let (settlement, is_news) = settlements.settle(order, &report, now).await.unwrap();
            (settlement.settled, is_news)
        };
        assert!(matches!(settle("wrong", 1).await, (Settled::Unmatched(_), true)));
        assert_eq!(settle("right", 1250).await, (Settled::Paid(status), true));
        let story = shop.story(&id).await;
        assert_eq!(settle("right", 1250).await, (Settled::Paid(status), false));
        assert_eq!(settle("wrong", 1).await, (Settled::Known, false));
        assert!(matches!(settle("second", 1250).await, (Settled::Unmatched(_), true)));
        assert_eq!(settle("second", 1250).await, (Settled::Known, false));
        assert_eq!(shop.story(&id).await[..story.len()], story);
        assert_eq!(shop.order(&id).await.status, status.as_str());
    }
    assert_eq!(shop.level("tea").await, (8, 0));
    shop.close();
}

/// Placement and payment come so close that one workflow task does both, and its worker dies with the
/// payment settled: the next worker finds a completed order, and a customer who was not told.
#[tokio::test]
async fn a_worker_that_finds_its_work_done_still_tells_the_customer() {
    let (mut shop, _, settlements) = by_hand().await;
    let id = shop.place(&[("tea", 1)]).await;
    let event = paid(&id, 1250);
    Webhook::new(&event).send(&shop.api).await.is(200);
    let report = money(event["data"]["payment_id"].as_str().unwrap(), 1250);
    let (settlement, _) = settlements.settle(id.parse().unwrap(), &report, Timestamp::now()).await.unwrap();
    assert_eq!(settlement.settled, Settled::Paid(Status::Completed));

    shop.start_worker();
    assert_eq!(shop.until_mailed(&id, "paid").await, ["paid"]);
    shop.temporal.until_closed(&id).await;
    let query = format!("WorkflowId = '{id}' AND HoldfastOrderStatus = 'completed'");
    wait_until(&query, async || shop.temporal.count(&query).await == 1).await;
    shop.close();
}

/// The engine was down when the day of arrival ended: the order waits still, and its money is late all the
/// same.
#[tokio::test]
async fn money_after_the_day_of_arrival_does_not_pay_what_has_not_expired_yet() {
    let (shop, db, settlements) = by_hand().await;
    shop.rooms("room", 2).await;
    let stay = OrderId::from_str(&shop.book("room", 1, 3).await).unwrap();
    let goods = OrderId::from_str(&shop.place(&[("tea", 1)]).await).unwrap();
    let end = midnight(day(2));
    for (order, at, settled) in [
        (stay, end, Settled::Unmatched(exception::Kind::OrderClosed)),
        (stay, end + 48.hours(), Settled::Unmatched(exception::Kind::OrderClosed)),
        (goods, end + 48.hours(), Settled::Paid(Status::Completed)),
    ] {
        let report = PaymentReport {
            event_id: format!("evt_{at}"),
            ..money(&format!("{order}{at}"), total(&shop, order).await)
        };
        let again = if let Settled::Paid(_) = settled { settled } else { Settled::Known };
        for told in [(settled, true), (again, false)] {
            let (settlement, is_news) = settlements.settle(order, &report, at).await.unwrap();
            assert_eq!((settlement.settled, is_news), told);
        }
    }
    let refused = store::payments::begin(&db, stay, "sandbox", None, end).await;
    assert!(
        matches!(refused, Err(store::payments::Error::WrongStatus(Status::AwaitingPayment))),
        "{refused:?}"
    );
    let due = shop.order(&stay.to_string()).await.payment_due_at;
    assert_eq!(settlements.expire(stay, false, due - 1.seconds()).await.unwrap(), ChangeOutcome::NotDue(due));
    assert_eq!(settlements.expire(stay, false, end).await.unwrap(), ChangeOutcome::Done);
    assert_eq!(shop.nights("room", 1, 3).await, [(0, 0), (0, 0)]);
    assert_eq!(shop.exceptions(&stay.to_string()).await, ["order_closed"; 2]);
    shop.close();
}

async fn total(shop: &Shop, order: OrderId) -> i64 {
    shop.order(&order.to_string()).await.total
}

/// At the last moment before the mail server is asked, the order is looked at again.
#[tokio::test]
async fn a_mail_is_claimed_once_and_a_reminder_only_while_it_makes_sense() {
    let (shop, db, settlements) = by_hand().await;
    let (first, second) = (shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await);
    let claim = async |id: &str, kind| {
        mails::claim(&db, id.parse().unwrap(), kind, "<id>", Duration::from_secs(1)).await.unwrap()
    };
    // What was claimed and dropped is free once its transaction is over.
    let claim_again = async |id: &str, kind| {
        eventually("nobody else has the mail", async || {
            let claimed = claim(id, kind).await;
            (claimed.as_ref().err() != Some(&Unneeded::UnderWay)).then_some(claimed)
        })
        .await
    };
    let now = Timestamp::now();
    let first_try = claim(&first, MailKind::Reminder(1)).await.unwrap();
    assert_eq!(claim(&first, MailKind::Reminder(1)).await.err(), Some(Unneeded::UnderWay));
    drop(first_try); // it failed
    claim_again(&first, MailKind::Reminder(1)).await.unwrap().sent(now).await.unwrap();
    assert_eq!(claim(&first, MailKind::Reminder(1)).await.err(), Some(Unneeded::AlreadySent));
    assert!(claim(&first, MailKind::Reminder(2)).await.is_ok());

    // A mail has one Message-ID, also if the shop writes from another domain since. It was written about the
    // order as it was.
    let slot = eventually("nobody else has the mail", async || {
        let (first, within) = (first.parse().unwrap(), Duration::from_secs(1));
        mails::claim(&db, first, MailKind::Reminder(2), "<another>", within).await.unwrap().ok()
    })
    .await;
    assert_eq!(slot.message_id(), "<id>");
    let mut order = orders::get(&db, first.parse().unwrap()).await.unwrap().unwrap();
    assert!(slot.asks_as(&order));
    order.parts_paid += 1;
    assert!(!slot.asks_as(&order));
    drop(slot);

    let given_up = Rejection { code: None, reason: "given_up" };
    claim(&second, MailKind::Reminder(2)).await.unwrap().rejected(&given_up, now).await.unwrap();
    assert_eq!(claim(&second, MailKind::Reminder(2)).await.err(), Some(Unneeded::AlreadyRejected));

    // Money counts from the moment its webhook was stored, also before the workflow has seen it.
    shop.pay_with(&first, json!({"amount": 1})).await;
    assert!(claim_again(&first, MailKind::Reminder(2)).await.is_ok());
    shop.pay(&first).await;
    assert_eq!(claim_again(&first, MailKind::Reminder(2)).await.err(), Some(Unneeded::Moot));
    assert!(claim(&first, MailKind::Paid).await.is_ok());
    settlements.cancel(second.parse().unwrap(), "x", false, now).await.unwrap();
    assert_eq!(claim(&second, MailKind::Reminder(1)).await.err(), Some(Unneeded::Moot));
    shop.close();
}

/// A cancellation is decided, and the task that decided it is thrown away: the workflow sleeps on and
/// learns of the end when money comes, or at the deadline. Either way the customer is told.
#[tokio::test]
async fn a_decision_that_the_engine_lost_is_found_again() {
    let (mut shop, _, settlements) = by_hand().await;
    shop.start_worker();
    let policy = json!({"reminders": []});
    let ids =
        [shop.place_with(&[("tea", 1)], policy.clone()).await, shop.place_with(&[("tea", 1)], policy).await];
    for id in &ids {
        shop.until_told(id, "workflow.started").await;
        settlements.cancel(id.parse().unwrap(), "lost", false, Timestamp::now()).await.unwrap();
    }
    shop.pay(&ids[0]).await;
    shop.fast_forward(&ids[1], "PT25H").await;
    for id in &ids {
        assert_eq!(shop.until_mailed(id, "cancelled").await[0], "cancelled"); // perhaps of the refund, too
        shop.temporal.until_closed(id).await;
        assert_eq!(shop.order(id).await.close_reason, "lost");
    }
    assert_eq!(shop.exceptions(&ids[0]).await, ["order_closed"]);
    shop.close();
}

#[tokio::test]
async fn an_end_is_the_same_end_when_it_is_repeated() {
    let (shop, db, settlements) = by_hand().await;
    let place = async || shop.place(&[("tea", 2)]).await;
    let (cancelled, expired, extended) = (place().await, place().await, place().await);
    for order in [&cancelled, &expired, &extended] {
        shop.until_told(order, "workflow.started").await;
    }
    let id = |text: &str| text.parse::<OrderId>().unwrap();
    let due = shop.order(&expired).await.payment_due_at;
    let placed_at = due - 24.hours();
    assert_eq!(settlements.expire(id(&expired), false, placed_at).await.unwrap(), ChangeOutcome::NotDue(due));
    for _ in 0..3 {
        assert_eq!(settlements.cancel(id(&cancelled), "x", false, due).await.unwrap(), ChangeOutcome::Done);
        assert_eq!(settlements.expire(id(&expired), false, due).await.unwrap(), ChangeOutcome::Done);
        orders::extend(&db, id(&extended), due + 9.hours(), placed_at).await.unwrap();
    }
    assert_eq!(
        settlements.expire(id(&cancelled), false, due).await.unwrap(),
        ChangeOutcome::Refused(Status::Cancelled)
    );
    assert_eq!(
        settlements.cancel(id(&expired), "x", false, due).await.unwrap(),
        ChangeOutcome::Refused(Status::Expired)
    );
    assert_eq!(shop.story(&cancelled).await[3..], ["order.cancelled", "stock.released"]);
    assert_eq!(shop.story(&expired).await[3..], ["order.expired", "stock.released"]);
    assert_eq!(shop.story(&extended).await[3..], ["order.extended"]);
    assert_eq!(shop.level("tea").await, (10, 2));
    shop.close();
}

#[tokio::test]
async fn what_is_fulfilled_again_was_fulfilled_once() {
    let (shop, db, settlements) = by_hand().await;
    let id = shop.place_started_with(&[("tea", 1)], json!({"fulfilment": "manual"})).await;
    let (order, now) = (id.parse().unwrap(), Timestamp::now());
    let unpaid = orders::fulfil(&db, order, now).await.unwrap();
    assert_eq!(unpaid, ChangeOutcome::Refused(Status::AwaitingPayment));
    settlements.settle(order, &money("right", 1250), now).await.unwrap();
    for _ in 0..3 {
        assert_eq!(orders::fulfil(&db, order, now).await.unwrap(), ChangeOutcome::Done);
    }
    let story = shop.story(&id).await;
    assert_eq!(story.iter().filter(|told| *told == "order.completed").count(), 1, "{story:?}");
    shop.close();
}

/// The same of a stay: the engine loses the decision, and the workflow learns of the end when the stay is
/// over.
#[tokio::test]
async fn guests_are_in_when_they_check_in_again() {
    let shop = Shop::open().await;
    shop.rooms("room", 2).await;
    let db = Db::open(&shop.database_url, 2).unwrap();
    let (used, unused) = (shop.book("room", 1, 2).await, shop.book("room", 1, 2).await);
    let id = |text: &str| text.parse::<OrderId>().unwrap();
    for order in [&used, &unused] {
        shop.pay_stay(order).await;
    }
    let begins = midnight(day(1));
    let early = orders::check_in(&db, id(&used), begins - 1.seconds()).await.unwrap();
    assert_eq!(early, ChangeOutcome::NotDue(begins));
    for _ in 0..3 {
        assert_eq!(orders::check_in(&db, id(&used), begins).await.unwrap(), ChangeOutcome::Done);
        assert_eq!(orders::end_stay(&db, id(&used), begins).await.unwrap(), ChangeOutcome::Done);
        assert_eq!(orders::end_stay(&db, id(&unused), begins).await.unwrap(), ChangeOutcome::Done);
        let late = orders::check_in(&db, id(&unused), begins).await.unwrap();
        assert_eq!(late, ChangeOutcome::Refused(Status::Completed));
    }
    for (order, reason, told) in [(&used, "used", "order.checked_in"), (&unused, "unused", "stay.unused")] {
        assert_eq!(shop.order(order).await.close_reason, reason);
        shop.fast_forward(order, "P4D").await;
        shop.temporal.until_closed(order).await;
        assert_eq!(shop.story(order).await[8..], [told, "order.completed"]);
    }
    shop.close();
}
