//! A whole order over WeChat Pay, played by the stand-in of the providers' tests: it checks every request and
//! signs and encrypts what it says, with keys made for this run.

#[allow(dead_code, reason = "the providers' tests use the rest")]
#[path = "../providers/tests/wechatpay/keys.rs"]
mod keys;
#[allow(dead_code, reason = "the providers' tests use the rest")]
#[path = "../providers/tests/wechatpay/routes.rs"]
mod routes;
#[allow(dead_code, reason = "the providers' tests use the rest")]
#[path = "../providers/tests/wechatpay/standin.rs"]
mod standin;

use std::fs;

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Shop, eventually, send, test_dir, unique},
    hosted_page,
};
use keys::{API_V3_KEY, CERTIFICATE, MERCHANT, PLATFORM, encrypt};
use standin::{MERCHANT_ID, StandIn};

/// A shop that sells for yuan.
async fn open_shop(wechat: &StandIn) -> Shop {
    let dir = test_dir();
    let (merchant, platform) = (dir.join("apiclient_key.pem"), dir.join("platform.pem"));
    fs::write(&merchant, &MERCHANT.private_pem).unwrap();
    fs::write(&platform, PLATFORM.certificate(CERTIFICATE)).unwrap();
    let env = [
        ("HOLDFAST_WECHATPAY_APP_ID", "wxd678efh567hg6787".to_owned()),
        ("HOLDFAST_WECHATPAY_MERCHANT_ID", MERCHANT_ID.to_owned()),
        ("HOLDFAST_WECHATPAY_MERCHANT_SERIAL", MERCHANT.serial.to_owned()),
        ("HOLDFAST_WECHATPAY_MERCHANT_KEY_FILE", merchant.display().to_string()),
        ("HOLDFAST_WECHATPAY_API_V3_KEY", API_V3_KEY.to_owned()),
        ("HOLDFAST_WECHATPAY_PLATFORM_KEY_FILES", format!("{CERTIFICATE}={}", platform.display())),
        ("HOLDFAST_WECHATPAY_NOTIFY_URL", "https://shop.test/v1/webhooks/wechatpay".to_owned()),
        ("HOLDFAST_WECHATPAY_URL", wechat.address()),
        ("HOLDFAST_PAYMENT_METHOD", "wechatpay".to_owned()),
    ];
    let shop = Shop::with_env(env.into_iter().chain(hosted_page::env()).collect()).await;
    let product = json!({"name": "Tea", "unit_price": 1250, "currency": "CNY"});
    shop.put_product("tea", &product).await.is(201);
    shop.adjust("tea", 10).await.is(201);
    shop
}

/// Tells the shop as WeChat Pay does: encrypted, then signed. `change` spoils what was signed.
async fn call_back(shop: &Shop, kind: &str, resource: &Value, change: impl FnOnce(&mut String)) -> Answer {
    let (nonce, about) = ("fdasflkja484", kind.split('.').next().unwrap().to_lowercase());
    let ciphertext = encrypt(API_V3_KEY, nonce, &about, &resource.to_string());
    let mut body = json!({
        "id": format!("EV-{}", unique()), "create_time": "2024-03-01T20:15:31+08:00", "summary": "some words",
        "resource_type": "encrypt-resource", "event_type": kind,
        "resource": {"algorithm": "AEAD_AES_256_GCM", "original_type": about, "associated_data": about,
                     "nonce": nonce, "ciphertext": ciphertext},
    })
    .to_string();
    let at = Timestamp::now().as_second();
    let signature = PLATFORM.sign(format!("{at}\nnonce\n{body}\n").as_bytes());
    change(&mut body);
    let request = shop.api.bare(Method::POST, "/v1/webhooks/wechatpay");
    let request = request
        .header("wechatpay-serial", PLATFORM.serial)
        .header("wechatpay-nonce", "nonce")
        .header("wechatpay-timestamp", at)
        .header("wechatpay-signature", signature);
    send(request.body(body)).await
}

#[tokio::test]
async fn an_order_is_paid_and_refunded_over_wechat_pay() {
    let wechat = StandIn::start().await;
    let shop = open_shop(&wechat).await;
    let mut body = shop.order_body(&[("tea", 1)]);
    body["currency"] = json!("CNY");
    let order = shop.try_place(&body).await.is(201).id;
    let attempt = shop.attempt(&order).await;
    let id = &attempt.provider_payment_id;
    assert_eq!(attempt.client["code_url"], format!("weixin://wxpay/bizpayurl?pr={id}"), "{attempt:?}");

    wechat.pay(id);
    let paid = wechat.with(|world| routes::transaction(id, &world.orders[id]));
    let spoil = |body: &mut String| *body = body.replacen("some words", "some wordz", 1);
    call_back(&shop, "TRANSACTION.SUCCESS", &paid, spoil).await.problem(400, "bad_signature");
    assert_eq!(shop.order(&order).await.status, "awaiting_payment");
    assert!(call_back(&shop, "TRANSACTION.SUCCESS", &paid, |_| ()).await.status.is_success());
    shop.until(&order, "completed").await;
    shop.until_mailed(&order, "paid").await;

    shop.refund(&order, json!({"amount": 1000, "reason": "cold"})).await;
    shop.until_money(&order, "refund_pending").await;
    let refund = eventually("WeChat Pay has the refund", async || {
        wechat.with(|world| world.refunds.values().next().cloned())
    })
    .await;
    let mut told = refund.clone();
    told["mchid"] = json!(MERCHANT_ID);
    told["refund_status"] = json!("SUCCESS");
    told["success_time"] = json!(routes::PAID_AT);
    told.as_object_mut().unwrap().remove("status");
    told["amount"]["payer_total"] = told["amount"]["total"].clone();
    told["amount"]["payer_refund"] = told["amount"]["refund"].clone();
    assert!(call_back(&shop, "REFUND.SUCCESS", &told, |_| ()).await.status.is_success());
    shop.until_money(&order, "partially_refunded").await;
    assert!(shop.open_exceptions().await.is_empty());
    shop.close();
}

/// The link in the mail leads to a code that the phone scans.
#[tokio::test]
async fn a_phone_scans_how_an_order_is_paid() {
    let wechat = StandIn::start().await;
    let shop = open_shop(&wechat).await;
    let mut body = shop.order_body(&[("tea", 1)]);
    body["currency"] = json!("CNY");
    body["customer"]["locale"] = json!("zh-CN");
    let order = shop.try_place(&body).await.is(201).id;
    shop.fast_forward(&order, "PT5H").await;
    let path = hosted_page::link(&shop.mail(&order, "reminder_1").await);
    let page = hosted_page::html(&hosted_page::get(&shop, &path).await, 200);
    assert!(page.contains("<html lang=\"zh-Hans") && !page.contains("<svg"), "{page}");
    hosted_page::back(&hosted_page::press(&shop, &format!("{path}/pay")).await, &path);
    let page = hosted_page::html(&hosted_page::get(&shop, &path).await, 200);
    assert!(page.contains("<svg") && page.contains("role=\"img\""), "{page}");

    let attempt = shop.payments(&order).await.remove(0);
    let id = &attempt.provider_payment_id;
    wechat.pay(id);
    let paid = wechat.with(|world| routes::transaction(id, &world.orders[id]));
    assert!(call_back(&shop, "TRANSACTION.SUCCESS", &paid, |_| ()).await.status.is_success());
    shop.until(&order, "completed").await;
    let page = hosted_page::html(&hosted_page::get(&shop, &path).await, 200);
    assert!(!page.contains("<svg") && !page.contains("<form"), "{page}");
    shop.close();
}

#[tokio::test]
async fn what_is_sold_for_other_money_than_yuan_is_not_placed_over_wechat_pay() {
    let wechat = StandIn::start().await;
    let shop = open_shop(&wechat).await;
    shop.stock("mug", 990, 10).await;
    let mut body = shop.order_body(&[("mug", 1)]);
    assert_eq!(shop.try_place(&body).await.bad_fields(), ["payment_method"]);
    body["payment_method"] = json!("sandbox");
    shop.try_place(&body).await.is(201);
    shop.close();
}

#[tokio::test]
async fn an_order_that_is_cancelled_is_closed_at_wechat_pay() {
    let wechat = StandIn::start().await;
    let shop = open_shop(&wechat).await;
    let mut body = shop.order_body(&[("tea", 1)]);
    body["currency"] = json!("CNY");
    let order = shop.try_place(&body).await.is(201).id;
    let id = shop.attempt(&order).await.provider_payment_id;
    shop.cancel(&order).await.is(200);
    shop.until(&order, "cancelled").await;
    assert_eq!(wechat.with(|world| world.orders[&id]["trade_state"].clone()), "CLOSED");
    assert_eq!(shop.payments(&order).await[0].state, "cancelled");
    shop.close();
}
