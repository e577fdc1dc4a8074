//! Whole documents and mails, as they are, in `tests/snapshots`. Whatever changes in them shows in one of
//! these files, where somebody has to look at it: `INSTA_UPDATE=always cargo test --test blackbox snapshots`
//! writes them anew.

use jiff::{Timestamp, civil::Date};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Mail, Shop, send},
    stays::{code, day},
};

/// Compares with the file of this name.
fn check(name: &str, text: &str) {
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn check_documents(shop: &Shop, name: &str, documents: Value) {
    check(name, &serde_json::to_string_pretty(&steady(shop, documents)).unwrap());
}

/// The same, but what differs from run to run is named by what it is.
fn steady(shop: &Shop, document: Value) -> Value {
    match document {
        Value::String(text) => json!(steady_text(shop, &text)),
        Value::Array(items) => items.into_iter().map(|item| steady(shop, item)).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, steady(shop, value))).collect()
        }
        other => other,
    }
}

fn steady_text(shop: &Shop, text: &str) -> String {
    if let Some(named) = time_or_date(text) {
        return named.to_owned();
    }
    let words = text.split(' ').map(|word| match time_or_date(word.trim_end_matches(['.', ','])) {
        Some(named) => word.replace(word.trim_end_matches(['.', ',']), named),
        None => word.to_owned(),
    });
    let text = words.collect::<Vec<_>>().join(" ");
    let text = text.replace(&shop.email, "[email]").replace(shop.sandbox.url(), "[sandbox]");
    let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let words = text.split_inclusive(is_end).map(|word| {
        let (word, end) = word.split_at(word.trim_end_matches(is_end).len());
        match word.rsplit_once('_') {
            Some((kind, id)) if is_id(kind, id) => format!("[{kind}]{end}"),
            _ => format!("{word}{end}"),
        }
    });
    words.collect()
}

fn time_or_date(text: &str) -> Option<&'static str> {
    let is_time = text.parse::<Timestamp>().is_ok();
    is_time.then_some("[time]").or_else(|| text.parse::<Date>().is_ok().then_some("[date]"))
}

/// `ord_` and 32 digits, and the like.
fn is_id(kind: &str, id: &str) -> bool {
    id.contains(|c: char| c.is_ascii_digit()) && (id.len() >= 16 || kind == "mov")
}

async fn get(shop: &Shop, path: &str) -> Value {
    shop.api.get(path).await.is(200)
}

async fn order(shop: &Shop, id: &str) -> Value {
    get(shop, &format!("/v1/orders/{id}")).await
}

async fn data(shop: &Shop, path: &str) -> Value {
    get(shop, path).await["data"].take()
}

/// An order that is paid by an attempt; a part of that comes back, and the bank wants to have some of it.
async fn sold(shop: &Shop) -> String {
    let mut body = shop.order_body(&[("tea", 2), ("mug", 1)]);
    body["metadata"] = json!({"basket": "b-7"});
    let id = shop.try_place(&body).await.is(201).id;
    shop.until_told(&id, "workflow.started").await;
    let awaiting = order(shop, &id).await;
    let attempt = shop.attempt(&id).await;
    let open = data(shop, &format!("/v1/orders/{id}/payments")).await;
    shop.provider.capture(&attempt.id, json!({})).await.is(200);
    shop.until_told(&id, "mail.sent").await;
    let paid = data(shop, &format!("/v1/orders/{id}/payments")).await;
    let refund = json!({"reason": "torn", "lines": [{"sku": "tea", "quantity": 1}]});
    shop.refund(&id, refund).await;
    shop.until_told_times(&id, "mail.sent", 2).await;
    let dispute = shop.provider.dispute(&attempt.provider_payment_id, json!({"amount": 500})).await;
    shop.until_told(&id, "payment.disputed").await;
    shop.provider.close_dispute(&dispute, "won").await;
    shop.until_told(&id, "dispute.won").await;
    let refunded = order(shop, &id).await;
    check_documents(shop, "order_sold", json!({"awaiting": awaiting, "partially refunded": refunded}));
    check_documents(shop, "payments", json!({"open": open, "paid": paid}));
    check_documents(shop, "refunds", data(shop, &format!("/v1/orders/{id}/refunds")).await);
    check_documents(shop, "timeline_sold", data(shop, &format!("/v1/orders/{id}/timeline")).await);
    id
}

/// Orders that end unpaid: one with money that does not fit, one after more time to pay.
async fn unpaid(shop: &Shop) -> String {
    let cancelled = shop.place_started_with(&[("tea", 1)], json!({"reminders": []})).await;
    for amount in [7, 8] {
        shop.pay_with(&cancelled, json!({"amount": amount})).await;
        let exception = shop.until_exception(&cancelled, "wrong_amount").await;
        if amount == 7 {
            shop.resolve(&exception, "accept").await.is(200);
        }
    }
    shop.change(&cancelled, "cancel", &json!({"reason": "changed my mind"})).await.is(200);
    shop.until_told(&cancelled, "mail.sent").await;
    let expired = shop.place_started(&[("tea", 1)]).await;
    let due = shop.order(&expired).await.payment_due_at;
    shop.extend(&expired, due + jiff::SignedDuration::from_hours(1)).await.is(200);
    shop.until_told(&expired, "mail.sent").await;
    shop.fast_forward(&expired, "PT26H").await;
    shop.until_told_times(&expired, "mail.sent", 2).await;
    let orders = json!({"cancelled": order(shop, &cancelled).await, "expired": order(shop, &expired).await});
    check_documents(shop, "order_unpaid", orders);
    check_documents(shop, "exceptions", data(shop, &format!("/v1/exceptions?order={cancelled}")).await);
    check_documents(shop, "changes", data(shop, &format!("/v1/orders/{expired}/changes")).await);
    for (name, id) in [("timeline_cancelled", &cancelled), ("timeline_expired", &expired)] {
        check_documents(shop, name, data(shop, &format!("/v1/orders/{id}/timeline")).await);
    }
    cancelled
}

/// Two rooms, one night at another price, with extras, until the guests are in.
async fn stay(shop: &Shop) {
    shop.offer("room", 4, 5, json!({"capacity": 5, "unit_price": 9999})).await.is(200);
    let mut body = shop.stay_body("room", 3, 6);
    body["lines"][0]["extras"] = json!([{"code": "parking"}, {"code": "breakfast"}]);
    body["lines"][0]["quantity"] = json!(2);
    body["lines"][0]["guests"] = json!(5);
    let id = shop.try_place(&body).await.is(201).id;
    shop.until_told(&id, "workflow.started").await;
    let mail = shop.pay_stay(&id).await;
    let paid = order(shop, &id).await;
    let early = shop.check_in(&id, &code(&mail)).await;
    let wrong = if code(&mail).starts_with('2') { "32222222" } else { "22222222" };
    let wrong = shop.check_in(&id, wrong).await;
    shop.fast_forward(&id, "P4D").await;
    shop.check_in(&id, &code(&mail)).await.is(200);
    check_documents(shop, "order_stay", json!({"paid": paid, "used": order(shop, &id).await}));
    check_documents(shop, "timeline_stay", data(shop, &format!("/v1/orders/{id}/timeline")).await);
    let nights = format!("/v1/products/room/nights?from={}&to={}", day(3), day(6));
    let offered = json!({"terms": get(shop, "/v1/products/room/stay").await,
                         "nights": data(shop, &nights).await,
                         "product": get(shop, "/v1/products/room").await,
                         "history": data(shop, "/v1/products/room/history").await});
    check_documents(shop, "stay_on_offer", offered);
    let below = shop.offer("room", 4, 5, json!({"capacity": 1})).await;
    let problems = json!({"early": problem(early), "wrong": problem(wrong), "below": problem(below)});
    check_documents(shop, "problems_of_stays", problems);
}

fn problem<T>(answer: Answer<T>) -> Value
where
    T: serde::de::DeserializeOwned,
{
    assert!(answer.status.is_client_error(), "{}", answer.status);
    answer.of().json()
}

async fn problems(shop: &Shop, sold: &str, exception: &str) {
    let post = |path: &str| shop.api.request(Method::POST, path).json(&shop.order_body(&[("tea", 1)]));
    let decision = json!({"action": "apply", "note": "x"});
    let lines = json!({"reason": "x", "lines": [{"sku": "tea", "quantity": 2}]});
    let product = json!({"name": "", "unit_price": -1, "currency": "EUR"});
    let wanted = shop.api.request(Method::GET, "/v1/products/tea").header("if-match", "\"9\"");
    let problems = json!({
        "stranger": problem(send(shop.api.bare(Method::GET, "/v1/orders")).await),
        "unknown": problem(shop.api.get("/v1/orders/x").await),
        "fields": problem(shop.api.put("/v1/products/x", &product).await),
        "shortage": problem(shop.try_place(&shop.order_body(&[("tea", 99)])).await),
        "status": problem(shop.cancel(sold).await),
        "money": problem(shop.ask_refund(sold, &json!({"amount": 9999, "reason": "x"})).await),
        "pieces": problem(shop.ask_refund(sold, &lines).await),
        "no key": problem(send(post("/v1/orders")).await),
        "version": problem(send(wanted).await),
        "media": problem(send(post("/v1/orders").header("content-type", "text/plain")).await),
        "decided": problem(shop.api.post(&format!("/v1/exceptions/{exception}/resolve"), &decision).await),
    });
    check_documents(shop, "problems", problems);
}

#[tokio::test]
async fn documents_are_as_they_were() {
    let shop = Shop::with_tea(10).await;
    shop.stock("mug", 990, 10).await;
    shop.rooms("room", 5).await;
    let sold = sold(&shop).await;
    let cancelled = unpaid(&shop).await;
    stay(&shop).await;
    let (whole, said) = shop.reconcile().await;
    assert!(whole, "{said}");
    check_documents(&shop, "settlements", data(&shop, "/v1/settlements").await);
    let stock = json!({"product": get(&shop, "/v1/products/tea").await,
                       "level": get(&shop, "/v1/inventory/tea").await,
                       "ledger": data(&shop, "/v1/ledger?sku=tea").await});
    check_documents(&shop, "stock", stock);
    let resolved = shop.list_exceptions(&format!("state=resolved&order={cancelled}")).await;
    problems(&shop, &sold, &resolved.last().unwrap().id).await;
    shop.close();
}

/// Every mail there is, with its text and its HTML. Each tells what is due, unless nothing is.
#[tokio::test]
async fn mails_are_as_they_were() {
    let shop = Shop::with_tea(10).await;
    shop.rooms("room", 2).await;
    let sold = shop.place_with(&[("tea", 2)], json!({"fulfilment": "manual"})).await;
    shop.fast_forward(&sold, "PT5H").await;
    shop.pay(&sold).await;
    shop.until_mailed(&sold, "paid").await;
    shop.fulfil(&sold).await.is(200);
    shop.until_mailed(&sold, "completed").await;
    shop.refund(&sold, json!({"amount": 100, "reason": "late"})).await;
    shop.until_told_times(&sold, "mail.sent", 3).await;
    let stay = shop.book("room", 1, 2).await;
    shop.pay_stay(&stay).await;
    shop.api.post(&format!("/v1/orders/{stay}/check-in-code"), &json!({})).await.is(200);
    shop.until_mailed(&stay, "new_check_in_code").await;
    let cancelled = shop.place(&[("tea", 1)]).await;
    shop.cancel(&cancelled).await.is(200);
    shop.until_mailed(&cancelled, "cancelled").await;
    let expired = shop.place_with(&[("tea", 1)], json!({"reminders": []})).await;
    let due = shop.order(&expired).await.payment_due_at;
    shop.extend(&expired, due + jiff::SignedDuration::from_hours(1)).await.is(200);
    shop.until_mailed(&expired, "extended").await;
    shop.fast_forward(&expired, "PT26H").await;
    shop.until_mailed(&expired, "expired").await;

    for (name, id) in [("sold", sold), ("stay", stay), ("cancelled", cancelled), ("expired", expired)] {
        let due = shop.order(&id).await.payment_due_at.in_tz("Europe/Vienna").unwrap();
        let due = due.strftime("%A, %-d %B %Y at %H:%M %:z (Europe/Vienna)").to_string();
        let mails: Vec<String> = shop.mails(&id).await.iter().map(whole).collect();
        let date = |n| day(n).strftime("%-d %B %Y").to_string();
        let text =
            mails.join("\n").replace(&due, "[due]").replace(&date(1), "[day 1]").replace(&date(2), "[day 2]");
        check(&format!("mails_{name}"), &steady_text(&shop, &text));
    }
    shop.close();
}

fn whole(mail: &Mail) -> String {
    let Mail { to, subject, message_id, text, html, .. } = mail;
    // Without what nobody is to guess.
    let (id, domain) = message_id.split_once('@').unwrap();
    let (id, _) = id.rsplit_once('.').unwrap();
    let message_id = format!("{id}@{domain}");
    let whole =
        format!("---- {message_id}\nTo: {to}\nSubject: {subject}\n\n{text}\n{html}").replace("\r\n", "\n");
    let is_code = mail.kind().ends_with("check_in") || mail.kind().ends_with("check_in_code");
    if is_code { whole.replace(&code(mail), "[code]") } else { whole }
}
