//! Mails that came back: the order's others are not sent, and the shop sees why.

use serde_json::{Value, json};

use crate::{
    console::visitor,
    harness::{Answer, Mail, Shop, webhook::Webhook},
    stays::code,
};

/// Sends a report as a mail server's script does.
pub async fn send(shop: &Shop, report: &[u8]) -> Answer {
    signed(report).send(&shop.api).await
}

fn signed(report: &[u8]) -> Webhook {
    Webhook { provider: "bounces".to_owned(), ..Webhook::raw(report.to_vec()) }
}

/// As Postfix writes them.
fn report(message_id: &str, action: &str, status: &str) -> Vec<u8> {
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
         Final-Recipient: rfc822; gone@example.org\r\nAction: {action}\r\nStatus: {status}\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 <gone@example.org>: unknown\r\n\r\n\
         --XYZ/mx.test\r\nContent-Description: Undelivered Message\r\nContent-Type: message/rfc822\r\n\r\n\
         From: Shop <orders@shop.test>\r\nTo: gone@example.org\r\nMessage-ID: <{message_id}>\r\n\
         Subject: Please pay\r\n\r\nHello\r\n\r\n--XYZ/mx.test--\r\n"
    )
    .into_bytes()
}

async fn bounce(shop: &Shop, mail: &Mail) -> Value {
    send(shop, &report(&mail.message_id, "failed", "5.1.1")).await.is(200)["result"].clone()
}

#[tokio::test]
async fn an_order_whose_mail_came_back_gets_no_others() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 1)]).await;
    shop.fast_forward(&id, "PT5H").await;
    let mail = shop.mail(&id, "reminder_1").await;
    let result = async |report: &[u8]| send(&shop, report).await.is(200)["result"].clone();
    assert_eq!(result(&report(&mail.message_id, "delayed", "4.4.1")).await, "ignored");
    assert_eq!(result(&report(&mail.message_id, "failed", "4.2.2")).await, "ignored");
    assert_eq!(result(b"Subject: I am away\r\n\r\nBack on Monday.\r\n").await, "ignored");
    let others = mail.message_id.replace("shop.test", "else.test");
    assert_eq!(result(&report(&others, "failed", "5.1.1")).await, "unknown");
    let unsent = mail.message_id.replace("reminder_1", "paid");
    assert_eq!(result(&report(&unsent, "failed", "5.1.1")).await, "unknown");
    assert_eq!(shop.told(&id, "mail.rejected").await, [""; 0]);

    assert_eq!(bounce(&shop, &mail).await, "noted");
    assert_eq!(bounce(&shop, &mail).await, "known");
    shop.pay(&id).await;
    shop.until_told_times(&id, "mail.rejected", 2).await;
    shop.temporal.until_closed(&id).await;
    let rejected = |kind: &str, reason: &str| json!({"kind": kind, "code": null, "reason": reason});
    let told = [rejected("reminder_1", "bounced"), rejected("paid", "address_bounces")];
    assert_eq!(shop.told(&id, "mail.rejected").await, told);
    let became: Value = shop.api.get(&format!("/v1/orders/{id}/mails")).await.is(200)["data"].clone();
    let became = became.as_array().unwrap().iter().map(|mail| [&mail["kind"], &mail["state"]]);
    let became: Vec<_> = became.collect();
    assert_eq!(became.len(), 2, "{became:?}");
    assert!(became.contains(&[&json!("reminder_1"), &json!("bounced")]), "{became:?}");
    assert!(became.contains(&[&json!("paid"), &json!("rejected")]), "{became:?}");
    assert_eq!(shop.mails(&id).await.len(), 1);

    let mut forged = signed(&report(&mail.message_id, "failed", "5.1.1"));
    forged.body.push(b' ');
    forged.send(&shop.api).await.problem(400, "bad_signature");
    let none = [("HOLDFAST_BOUNCE_WEBHOOK_SECRET", String::new())];
    let (api, _process) = shop.start_api(&none).await;
    signed(b"x").send(&api).await.problem(404, "provider_not_found");
    shop.close();
}

/// The guests do not have their code: that is a matter for a person.
#[tokio::test]
async fn a_code_that_came_back_is_an_exception() {
    let shop = Shop::open().await;
    shop.rooms("room", 1).await;
    let id = shop.book("room", 2, 4).await;
    let mail = shop.pay_stay(&id).await;
    assert_eq!(bounce(&shop, &mail).await, "noted");
    shop.until_exception(&id, "check_in_code_undelivered").await;
    let page = visitor(&shop).await.get(&format!("/console/orders/{id}/new-code")).await.is(200);
    page.shows("Mails to this address came back: this is tried all the same.");
    assert!(!shop.timeline(&id).await.iter().any(|entry| entry.data.to_string().contains(&code(&mail))));
    shop.audit();
    shop.close();
}
