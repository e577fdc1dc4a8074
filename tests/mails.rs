//! What mails say, and what becomes of those that the mail server will not take.

use std::time::Duration;

use domain::mail::MailKind;
use serde_json::{Value, json};
use sqlx::Executor as _;
use store::{Db, mails};

use crate::{
    harness::{GREETING, Setup, Shop, Smtp, documents::Order, eventually, wait_until},
    stays::code,
};

/// A shop whose mail server refuses what the test says.
async fn with_whims() -> (Shop, Smtp) {
    let smtp = Smtp::start().await;
    let shop = Shop::with(Setup { smtp_url: Some(smtp.url.clone()), ..Setup::default() }).await;
    shop.stock("tea", 1250, 100).await;
    (shop, smtp)
}

/// Whoever has paid something else than what was due is not asked for all of it again.
#[tokio::test]
async fn a_reminder_knows_what_has_come() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 2)]).await;
    shop.pay_with(&id, json!({"amount": 2400})).await;
    shop.until_exception(&id, "wrong_amount").await;
    shop.fast_forward(&id, "PT5H").await;
    shop.until_mailed(&id, "reminder_1").await;
    let due = shop.order(&id).await.payment_due_at;
    shop.extend(&id, due + jiff::SignedDuration::from_hours(1)).await.is(200);
    shop.until_mailed(&id, "extended").await;
    for mail in shop.mails(&id).await {
        for part in [&mail.text, &mail.html] {
            assert!(part.contains("€24.00 reached us") && part.contains("not the €25.00"), "{part}");
            assert!(part.contains("do not pay again") && !part.contains("Please pay"), "{part}");
        }
    }
    shop.close();
}

/// The account was erased while the mail waited: the address that stands in its order now is nobody's.
#[tokio::test]
async fn who_is_erased_gets_no_mail() {
    let (shop, _smtp) = with_whims().await;
    let id = shop.place_started(&[("tea", 1)]).await;
    let erase = "UPDATE orders SET customer = jsonb_build_object('id', customer_id, 'email',
                                                                 'erased@erased.invalid')";
    shop.sql().await.execute(erase).await.unwrap();
    shop.cancel(&id).await.is(200);
    shop.temporal.until_closed(&id).await;
    let mails: i64 = shop.query("SELECT count(*) FROM mails").await;
    assert_eq!((mails, shop.told(&id, "mail.sent").await), (0, Vec::new()));
    shop.close();
}

#[tokio::test]
async fn a_mail_that_is_refused_for_good_is_told() {
    let (shop, smtp) = with_whims().await;
    let id = shop.place(&[("tea", 1)]).await;
    smtp.refuse("RCPT TO", "550 5.1.1 no such user here");
    shop.fast_forward(&id, "PT5H").await;
    shop.until_told(&id, "mail.rejected").await;
    shop.pay(&id).await;
    shop.until(&id, "completed").await;
    shop.until_told_times(&id, "mail.rejected", 2).await;
    shop.temporal.until_closed(&id).await;
    let rejected = shop.told(&id, "mail.rejected").await;
    let refused = |kind| json!({"kind": kind, "code": 550, "reason": "refused"});
    assert_eq!(rejected, [refused("reminder_1"), refused("paid")]);
    assert_eq!(shop.open_exceptions().await, [""; 0], "a receipt is no matter for a person");

    // Refused with its content, after the address was taken.
    smtp.relent();
    smtp.refuse("DATA", "554 5.7.1 looks like spam");
    let other = shop.place(&[("tea", 1)]).await;
    shop.pay(&other).await;
    shop.until_told(&other, "mail.rejected").await;
    assert_eq!(shop.told(&other, "mail.rejected").await[0]["code"], 554);
    shop.close();
}

/// What passes is tried again: a greylisted mail, and whatever a server has against us, not against the mail.
/// Many say that only when they hear of the recipient.
#[tokio::test]
async fn a_mail_that_is_refused_for_now_goes_out_later() {
    let (shop, smtp) = with_whims().await;
    for (to, answer) in [
        (GREETING, "554 5.7.1 you are on a list"),
        (GREETING, "554 no"),
        ("EHLO", "550 5.7.1 another name, please"),
        ("MAIL FROM", "550 5.1.8 your address does not exist"),
        ("MAIL FROM", "550 5.7.1 sender not verified"),
        ("MAIL FROM", "553 sender not allowed"),
        ("RCPT TO", "450 4.2.0 greylisted"),
        ("RCPT TO", "530 5.7.0 authentication required"),
        ("RCPT TO", "554 5.7.1 relaying denied"),
        ("RCPT TO", "550 5.1.8 your address does not exist"),
        ("RCPT TO", "421 busy"),
        ("DATA", "550 5.7.26 your domain signs nothing"),
    ] {
        smtp.refuse("NOOP", "421 connect again");
        smtp.refuse(to, answer);
        let asked = smtp.commands(to).len();
        let id = shop.sell(&[("tea", 1)]).await;
        wait_until("it was tried", async || smtp.commands(to).len() > asked).await;
        assert_eq!(shop.told(&id, "mail.rejected").await, [""; 0], "{answer}");
        smtp.relent();
        shop.fast_forward(&id, "PT20M").await;
        assert_eq!(shop.until_mailed(&id, "paid").await, ["paid"], "{answer}");
        shop.temporal.until_closed(&id).await;
        assert_eq!(shop.told(&id, "mail.rejected").await, [""; 0], "{answer}");
    }
    shop.close();
}

/// No mail is tried for ever, and none is lost without a word. The mails of what is due are given up soonest.
#[tokio::test]
async fn a_mail_that_is_refused_for_too_long_is_told() {
    let (shop, smtp) = with_whims().await;
    smtp.refuse("RCPT TO", "450 4.2.0 come back later");
    let policy = json!({"payment_window": "PT40M", "reminders": ["PT10M", "PT20M"]});
    let id = shop.place_with(&[("tea", 1)], policy).await;
    shop.fast_forward(&id, "PT21M").await;
    shop.until_told(&id, "mail.rejected").await;
    let given_up = |kind: &str| json!({"kind": kind, "code": null, "reason": "given_up"});
    assert_eq!(shop.told(&id, "mail.rejected").await, [given_up("reminder_1")], "the second one is due");
    smtp.relent();
    shop.fast_forward(&id, "PT5M").await;
    assert_eq!(shop.until_mailed(&id, "reminder_2").await, ["reminder_2"]);
    shop.pay(&id).await;
    shop.until_mailed(&id, "paid").await;
    assert_eq!(shop.told(&id, "mail.rejected").await.len(), 1);
    shop.close();
}

/// Who gives up waiting for the answer to a mail's last line sends it twice.
#[tokio::test]
async fn a_mail_that_the_server_takes_its_time_with_is_sent_once() {
    let (shop, smtp) = with_whims().await;
    smtp.ponder(Duration::from_secs(22));
    let id = shop.place(&[("tea", 1)]).await;
    shop.pay(&id).await;
    shop.until_mailed(&id, "paid").await;
    let other = shop.place(&[("tea", 1)]).await;
    shop.pay(&other).await;
    shop.until_told(&other, "mail.sent").await;
    assert_eq!(shop.told(&id, "mail.sent").await, [""; 0], "another is not kept waiting");
    shop.until_told(&id, "mail.sent").await;
    let answered = "SELECT max(sent_at - paid_at) > interval '20 seconds'
                    FROM mails JOIN orders ON id = order_id";
    assert!(shop.query::<bool>(answered).await, "it is sent when the server says so, not when it was asked");
    shop.fast_forward(&id, "PT20M").await;
    shop.temporal.until_closed(&id).await;
    assert_eq!(shop.until_mailed(&id, "paid").await, ["paid"]);
    assert_eq!(smtp.commands("DATA").len(), 2);
    shop.close();
}

/// An ordinary end of the worker waits for the answer, as long as its drain lasts.
#[tokio::test]
async fn a_worker_that_ends_waits_for_the_mail_that_is_on_its_way() {
    let (mut shop, smtp) = with_whims().await;
    smtp.ponder(Duration::from_secs(11));
    let id = shop.place(&[("tea", 1)]).await;
    shop.pay(&id).await;
    wait_until("it is on its way", async || !smtp.commands("DATA").is_empty()).await;
    shop.stop_worker().await;
    shop.until_told(&id, "mail.sent").await;
    shop.start_worker();
    shop.temporal.until_closed(&id).await;
    assert_eq!(shop.until_mailed(&id, "paid").await, ["paid"]);
    assert_eq!(smtp.commands("DATA").len(), 1);
    shop.close();
}

/// A mailbox of ours in letters that the server does not take is no word on the mail.
#[tokio::test]
async fn a_sender_that_the_server_does_not_take_waits() {
    let smtp = Smtp::start().await;
    smtp.forget_utf8();
    let env = vec![("HOLDFAST_MAIL_FROM", "Shop <b\u{fc}ro@shop.example>".to_owned())];
    let shop = Shop::with(Setup { smtp_url: Some(smtp.url.clone()), env, ..Setup::default() }).await;
    shop.stock("tea", 1250, 10).await;
    let id = shop.sell(&[("tea", 1)]).await;
    wait_until("it was tried", async || smtp.commands("EHLO").len() > 1).await;
    assert_eq!(shop.told(&id, "mail.rejected").await, [""; 0]);
    assert!(shop.worker.as_ref().unwrap().log().contains("HOLDFAST_MAIL_FROM"));
    shop.close();
}

/// The code is looked at when its mail's turn has come, not before: a dead one must not arrive after the new
/// one.
#[tokio::test]
async fn a_code_that_was_replaced_is_mailed_no_more() {
    let (shop, smtp) = with_whims().await;
    shop.rooms("room", 1).await;
    smtp.refuse("RCPT TO", "450 4.2.0 greylisted");
    let id = shop.book("room", 2, 4).await;
    shop.pay(&id).await;
    shop.until(&id, "paid").await;
    let db = Db::open(&shop.database_url, 2).unwrap();
    let claim = async || {
        mails::claim(&db, id.parse().unwrap(), MailKind::CheckIn, "<id>", Duration::from_secs(20))
            .await
            .unwrap()
    };
    let mut slot = eventually("nobody else sends it", async || claim().await.ok()).await;
    assert!(slot.unsent_code().await.unwrap().is_some());
    shop.api.post(&format!("/v1/orders/{id}/check-in-code"), &json!({})).await.is(200);
    assert!(slot.unsent_code().await.unwrap().is_none());
    drop(slot);
    smtp.relent();
    shop.fast_forward(&id, "PT20M").await;
    let mails = shop.until_mailed(&id, "new_check_in_code").await;
    assert!(!mails.contains(&"check_in".to_owned()), "{mails:?}");
    shop.close();
}

#[tokio::test]
async fn a_code_that_nobody_got_is_an_exception_until_another_is_sent() {
    let (shop, smtp) = with_whims().await;
    shop.rooms("room", 1).await;
    smtp.refuse("RCPT TO", "550 5.1.1 no such user here");
    let id = shop.book("room", 2, 4).await;
    shop.pay(&id).await;
    shop.until_told(&id, "exception.raised").await;
    let kinds: Vec<Value> =
        shop.told(&id, "mail.rejected").await.iter().map(|data| data["kind"].clone()).collect();
    assert_eq!(kinds, ["paid", "check_in"]);
    let exception = shop.until_exception(&id, "check_in_code_undelivered").await;
    assert_eq!((exception.amount, exception.currency.as_str()), (0, ""));
    shop.audit();
    let settlements = shop.api.get("/v1/settlements").await.is(200).to_string();
    assert!(!settlements.contains("undelivered"), "{settlements}");
    shop.resolve(&exception, "refund").await.problem(409, "refund_exceeds_captured");
    shop.resolve(&exception, "apply").await.problem(409, "exception_not_applicable");

    // The next one is refused, too: one more. The third arrives, and settles what was open.
    new_code(&shop, &id).await;
    shop.until_told_times(&id, "exception.raised", 2).await;
    shop.resolve(&exception, "dismiss").await.is(200);
    assert_eq!(shop.open_exceptions().await, ["check_in_code_undelivered"]);
    smtp.relent();
    new_code(&shop, &id).await;
    assert_eq!(shop.until_mailed(&id, "new_check_in_code").await, ["new_check_in_code"]);
    shop.until_told_times(&id, "exception.resolved", 2).await;
    assert_eq!(shop.open_exceptions().await, [""; 0]);
    shop.fast_forward(&id, "P3D").await;
    let mail = shop.mail(&id, "new_check_in_code").await;
    shop.check_in(&id, &code(&mail)).await.is(200);
    shop.close();
}

async fn new_code(shop: &Shop, id: &str) {
    shop.api.post(&format!("/v1/orders/{id}/check-in-code"), &json!({})).await.is(200);
}

#[tokio::test]
async fn a_lost_code_is_replaced() {
    let shop = Shop::open().await;
    shop.rooms("room", 1).await;
    let id = shop.book("room", 1, 2).await;
    let path = format!("/v1/orders/{id}/check-in-code");
    let ask = async |key: &str| shop.api.post_as(key, &path, &json!({})).await.of::<Order>();
    ask("early").await.problem(409, "check_in_not_possible");
    let first = code(&shop.pay_stay(&id).await);
    shop.fast_forward(&id, "P2D").await;
    let wrong = if first.starts_with('2') { "32222222" } else { "22222222" };
    for _ in 0..6 {
        shop.check_in(&id, wrong).await;
    }
    shop.check_in(&id, &first).await.problem(409, "check_in_locked");

    let answer = ask("k-1").await.is(200);
    assert_eq!(answer.status, "paid");
    shop.until_mailed(&id, "new_check_in_code").await;
    // The old one is wrong now, and counts as such; the key brings no second code.
    let left = shop.check_in(&id, &first).await.problem(422, "check_in_code_wrong").attempts_left;
    assert_eq!(left, Some(4));
    let again = ask("k-1").await;
    assert!(again.is_replayed());
    again.is(200);
    let mails = shop.mails(&id).await;
    let kinds: Vec<&str> = mails.iter().map(|mail| mail.kind()).collect();
    assert_eq!(kinds, ["paid", "check_in", "new_check_in_code"]);
    let mail = mails.last().unwrap();
    let second = code(mail);
    assert!(second != first && !mail.subject.contains(&second), "{}", mail.subject);
    assert!(mail.text.contains("not good any more") && mail.html.contains("Your new check-in code"));
    let timeline = shop.api.get(&format!("/v1/orders/{id}/timeline")).await.is(200).to_string();
    assert!(timeline.contains("check_in.code_renewed"), "{timeline}");
    assert!(!timeline.contains(&second) && !format!("{answer:?}").contains(&second));
    assert_eq!(shop.query::<Option<String>>("SELECT code FROM check_ins").await, None);

    shop.check_in(&id, &second).await.is(200);
    ask("late").await.problem(409, "already_checked_in");
    assert_eq!(shop.mails(&id).await.len(), 3);

    // Orders that nobody checks in with.
    shop.stock("tea", 1250, 10).await;
    let tea = shop.sell_by_hand(&[("tea", 1)]).await;
    let path = format!("/v1/orders/{tea}/check-in-code");
    shop.api.post(&path, &json!({})).await.problem(409, "order_has_no_stay");
    let unknown = "/v1/orders/ord_00000000000000000000000000000000/check-in-code";
    shop.api.post(unknown, &json!({})).await.problem(404, "order_not_found");
    shop.close();
}
