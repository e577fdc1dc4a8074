//! Mails that came back: the order's others are not sent, and the shop sees why.

use std::{fs, process::Stdio};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{
    console::visitor,
    harness::{
        Answer, Mail, Shop,
        programs::repository,
        test_dir,
        webhook::{SECRET, Webhook},
    },
    stays::code,
};

/// Sends a report as a mail server's script does.
pub async fn send(shop: &Shop, report: &[u8]) -> Answer {
    signed(report).send(&shop.api).await
}

fn signed(report: &[u8]) -> Webhook {
    Webhook { provider: "bounces".to_owned(), ..Webhook::raw(report.to_vec()) }
}

/// As Postfix writes them, of a mail to `recipient`.
fn report_of(recipient: &str, message_id: &str, action: &str, status: &str) -> Vec<u8> {
    format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.test (Mail Delivery System)\r\nTo: orders@shop.test\r\n\
         Subject: Undelivered Mail Returned to Sender\r\nAuto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"XYZ/mx.test\"\r\n\r\n\
         This is a MIME-encapsulated message.\r\n\r\n--XYZ/mx.test\r\nContent-Description: Notification\r\n\
         Content-Type: text/plain; charset=us-ascii\r\n\r\nI'm sorry to have to inform you.\r\n\r\n\
         --XYZ/mx.test\r\nContent-Description: Delivery report\r\n\
         Content-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.test\r\nArrival-Date: Fri, 27 Nov 2026 10:00:00 +0000\r\n\r\n\
         Final-Recipient: rfc822; {recipient}\r\nAction: {action}\r\nStatus: {status}\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 <{recipient}>: unknown\r\n\r\n\
         --XYZ/mx.test\r\nContent-Description: Undelivered Message\r\nContent-Type: message/rfc822\r\n\r\n\
         From: Shop <orders@shop.test>\r\nTo: {recipient}\r\nMessage-ID: <{message_id}>\r\n\
         Subject: Please pay\r\n\r\nHello\r\n\r\n--XYZ/mx.test--\r\n"
    )
    .into_bytes()
}

/// What is answered to a report of a mail to the shop's customer.
async fn result(shop: &Shop, message_id: &str, action: &str, status: &str) -> Value {
    answered(shop, &report_of(&shop.email, message_id, action, status)).await
}

async fn answered(shop: &Shop, report: &[u8]) -> Value {
    send(shop, report).await.is(200)["result"].clone()
}

async fn bounce(shop: &Shop, mail: &Mail) -> Value {
    result(shop, &mail.message_id, "failed", "5.1.1").await
}

fn rejected(kind: &str, reason: &str) -> Value {
    json!({"kind": kind, "code": null, "reason": reason})
}

#[tokio::test]
async fn an_order_whose_mail_came_back_gets_no_others() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 1)]).await;
    shop.fast_forward(&id, "PT5H").await;
    shop.until_told(&id, "reminder.sent").await;
    let mail = shop.mail(&id, "reminder_1").await;
    assert_eq!(result(&shop, &mail.message_id, "delayed", "4.4.1").await, "ignored");
    assert_eq!(result(&shop, &mail.message_id, "failed", "4.2.2").await, "ignored");
    assert_eq!(answered(&shop, b"Subject: I am away\r\n\r\nBack on Monday.\r\n").await, "ignored");
    let guessed = format!("{id}.reminder_1@shop.test");
    let others = mail.message_id.replace("shop.test", "else.test");
    let unsent = mail.message_id.replace("reminder_1", "paid");
    for message_id in [guessed, others, unsent] {
        assert_eq!(result(&shop, &message_id, "failed", "5.1.1").await, "unknown", "{message_id}");
    }
    // A copy that the customer has forwarded to nobody.
    let forwarded = report_of("gone@example.org", &mail.message_id, "failed", "5.1.1");
    assert_eq!(answered(&shop, &forwarded).await, "unknown");
    assert_eq!(shop.told(&id, "mail.rejected").await, [""; 0]);

    let shouted = report_of(&shop.email.to_uppercase(), &mail.message_id, "failed", "5.1.1");
    assert_eq!(answered(&shop, &shouted).await, "noted");
    assert_eq!(bounce(&shop, &mail).await, "known");
    shop.pay(&id).await;
    shop.until_told_times(&id, "mail.rejected", 2).await;
    shop.temporal.until_closed(&id).await;
    let told = [rejected("reminder_1", "bounced"), rejected("paid", "address_bounces")];
    assert_eq!(shop.told(&id, "mail.rejected").await, told);
    let became: Value = shop.api.get(&format!("/v1/orders/{id}/mails")).await.is(200)["data"].clone();
    let became = became.as_array().unwrap().iter().map(|mail| [&mail["kind"], &mail["state"]]);
    let became: Vec<_> = became.collect();
    assert_eq!(became.len(), 2, "{became:?}");
    assert!(became.contains(&[&json!("reminder_1"), &json!("bounced")]), "{became:?}");
    assert!(became.contains(&[&json!("paid"), &json!("rejected")]), "{became:?}");
    assert_eq!(shop.mails(&id).await.len(), 1);

    let mut forged = signed(&report_of(&shop.email, &mail.message_id, "failed", "5.1.1"));
    forged.body.push(b' ');
    forged.send(&shop.api).await.problem(400, "bad_signature");
    let none = [("HOLDFAST_BOUNCE_WEBHOOK_SECRET", String::new())];
    let (api, _process) = shop.start_api(&none).await;
    signed(b"x").send(&api).await.problem(404, "provider_not_found");
    shop.close();
}

/// A day of a broken signature, or a mailbox that is full, is no word on the mails to come.
#[tokio::test]
async fn only_a_mailbox_that_is_not_there_stops_the_others() {
    let shop = Shop::with_tea(10).await;
    for status in ["5.7.26", "5.1.8", "5.2.2"] {
        let id = shop.place(&[("tea", 1)]).await;
        shop.fast_forward(&id, "PT5H").await;
        shop.until_told(&id, "reminder.sent").await;
        let mail = shop.mail(&id, "reminder_1").await;
        assert_eq!(result(&shop, &mail.message_id, "failed", status).await, "noted", "{status}");
        assert_eq!(result(&shop, &mail.message_id, "failed", status).await, "known", "{status}");
        shop.pay(&id).await;
        shop.until_mailed(&id, "paid").await;
        assert_eq!(shop.told(&id, "mail.rejected").await, [rejected("reminder_1", "bounced")], "{status}");
    }
    shop.close();
}

/// The guests do not have their code: that is a matter for a person, who asks for another.
#[tokio::test]
async fn a_code_that_came_back_is_an_exception_until_another_is_sent() {
    let shop = Shop::open().await;
    shop.rooms("room", 1).await;
    let id = shop.book("room", 2, 4).await;
    let first = shop.pay_stay(&id).await;
    assert_eq!(bounce(&shop, &first).await, "noted");
    shop.until_exception(&id, "check_in_code_undelivered").await;
    let page = visitor(&shop).await.get(&format!("/console/orders/{id}/new-code")).await.is(200);
    page.shows("Mails to this address came back: this is tried all the same.");
    assert!(!shop.timeline(&id).await.iter().any(|entry| entry.data.to_string().contains(&code(&first))));

    let ask = async || shop.api.post(&format!("/v1/orders/{id}/check-in-code"), &json!({})).await.is(200);
    ask().await;
    let second = shop.mail(&id, "new_check_in_code").await;
    assert_ne!(code(&first), code(&second));
    shop.until_told(&id, "exception.resolved").await;
    assert_eq!(shop.open_exceptions().await, [""; 0]);
    // The report of the first one comes again: its code is not the one any more.
    assert_eq!(bounce(&shop, &first).await, "known");
    assert_eq!(shop.open_exceptions().await, [""; 0]);

    // That one comes back, too, as often as it is asked for.
    assert_eq!(bounce(&shop, &second).await, "noted");
    shop.until_exception(&id, "check_in_code_undelivered").await;
    ask().await;
    shop.until_told_times(&id, "exception.resolved", 2).await;
    assert_eq!(shop.open_exceptions().await, [""; 0]);
    shop.fast_forward(&id, "P3D").await;
    shop.check_in(&id, &code(&shop.mail(&id, "new_check_in_code").await)).await.is(200);
    shop.audit();
    shop.close();
}

/// The script of `docs/mails.md`: Postfix is told to try again (75) as long as nobody has taken the report.
#[tokio::test]
async fn a_mail_server_hands_reports_over_by_the_script_of_the_documentation() {
    let shop = Shop::with_tea(10).await;
    let id = shop.sell(&[("tea", 1)]).await;
    shop.until_told(&id, "mail.sent").await;
    let mail = shop.mail(&id, "paid").await;
    let report = report_of(&shop.email, &mail.message_id, "failed", "5.1.1");
    let page = fs::read_to_string(repository().join("docs/mails.md")).unwrap();
    let script = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = test_dir();
    let (file, secret) = (folder.join("bounced"), folder.join("secret"));
    let script = script
        .replace("https://api.shop.example", &format!("http://{}", shop.api.address()))
        .replace("/etc/holdfast/bounce-secret", secret.to_str().unwrap());
    fs::write(&file, script).unwrap();
    let run = async || {
        let mut command = Command::new("python3");
        let command = command.arg(&file).stdin(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut program = command.spawn().unwrap();
        program.stdin.take().unwrap().write_all(&report).await.unwrap();
        program.wait().await.unwrap().code()
    };
    assert_eq!(run().await, Some(75), "it has no secret");
    fs::write(&secret, "whsec_b3RoZXI=\n").unwrap();
    assert_eq!(run().await, Some(75), "it has another secret");
    assert_eq!(shop.told(&id, "mail.rejected").await, [""; 0]);
    fs::write(&secret, format!("{SECRET}\n")).unwrap();
    assert_eq!(run().await, Some(0));
    assert_eq!(shop.told(&id, "mail.rejected").await, [rejected("paid", "bounced")]);
    shop.close();
}
