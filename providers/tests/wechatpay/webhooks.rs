//! Webhooks: what is genuine, and what is read of it.

use domain::{
    RefundId, Timestamp,
    payment::{Outcome, RefundState},
    provider_event::Notice,
};
use http::HeaderMap;
use providers::{
    Provider as _, WebhookError,
    wechatpay::{Config, WechatPay},
};
use serde_json::{Value, json};

use crate::{
    cny, config, hex,
    keys::{API_V3_KEY, NEXT_PLATFORM, PLATFORM, Pair, encrypt},
    new_attempt, rotating,
    routes::{OPENID, transaction},
    standin::MERCHANT_ID,
};

const NOW_S: i64 = 1_709_300_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW_S).unwrap()
}

fn wechat() -> WechatPay {
    WechatPay::new(config(Config::default_base_url())).unwrap()
}

fn notification(kind: &str, resource: &Value, key: &str) -> String {
    let (nonce, about) = ("fdasflkja484", kind.split('.').next().unwrap().to_lowercase());
    json!({
        "id": "EV-2018022511223320873", "create_time": "2024-03-01T20:15:31+08:00",
        "resource_type": "encrypt-resource", "event_type": kind, "summary": "some words",
        "resource": {
            "algorithm": "AEAD_AES_256_GCM", "original_type": about, "associated_data": about, "nonce": nonce,
            "ciphertext": encrypt(key, nonce, &about, &resource.to_string()),
        },
    })
    .to_string()
}

fn sign(pair: &Pair, body: &str) -> HeaderMap {
    let signature = pair.sign(format!("{NOW_S}\nEcZ9Cmy4Xyx1i6RlJQzLcCyEqDa26NBz\n{body}\n").as_bytes());
    let pairs = [
        ("Wechatpay-Serial", pair.serial),
        ("Wechatpay-Nonce", "EcZ9Cmy4Xyx1i6RlJQzLcCyEqDa26NBz"),
        ("Wechatpay-Timestamp", &NOW_S.to_string()),
        ("Wechatpay-Signature", &signature),
    ];
    pairs.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn payment(state: &str) -> Value {
    let new = new_attempt(1);
    let request = json!({ "mchid": MERCHANT_ID, "attach": new.order, "amount": { "total": 1250 } });
    transaction(&hex(new.payment), &json!({ "trade_state": state, "request": request }))
}

fn refund(status: &str) -> Value {
    json!({
        "mchid": MERCHANT_ID, "transaction_id": "1008", "out_trade_no": hex(new_attempt(1).payment),
        "refund_id": "502", "out_refund_no": "018df9f2c4e07aaa8aaaaaaaaaaaaaaa", "refund_status": status,
        "success_time": "2024-03-01T20:15:31+08:00", "user_received_account": "招商银行信用卡0403",
        "amount": { "total": 1250, "refund": 1000, "payer_total": 1250, "payer_refund": 1000 },
    })
}

fn malformed(body: &str) -> String {
    match wechat().webhook(&sign(&PLATFORM, body), body.as_bytes(), now()) {
        Err(WebhookError::Malformed(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_payment_is_reported_under_the_id_that_it_was_opened_with() {
    let body = notification("TRANSACTION.SUCCESS", &payment("SUCCESS"), API_V3_KEY);
    let event = wechat().webhook(&sign(&PLATFORM, &body), body.as_bytes(), now()).unwrap();
    assert_eq!(
        (event.event_id.as_str(), event.kind.as_str()),
        ("EV-2018022511223320873", "TRANSACTION.SUCCESS")
    );
    assert!(!format!("{event:?}").contains(OPENID));
    let Some(Notice::Payment { order, report }) = event.notice else { panic!() };
    let new = new_attempt(1);
    assert_eq!((order, report.payment_id.as_str()), (Some(new.order), hex(new.payment).as_str()));
    assert_eq!((report.outcome, report.money), (Outcome::Succeeded, cny(1250)));
    assert_eq!((report.provider.as_str(), report.event_id), ("wechatpay", event.event_id));
}

#[test]
fn refunds_are_told_apart() {
    for (status, state) in [
        ("SUCCESS", RefundState::Succeeded),
        ("ABNORMAL", RefundState::Failed),
        ("CLOSED", RefundState::Failed),
    ] {
        let body = notification(&format!("REFUND.{status}"), &refund(status), API_V3_KEY);
        let event = wechat().webhook(&sign(&PLATFORM, &body), body.as_bytes(), now()).unwrap();
        let Some(Notice::Refund { order: None, report: refund }) = event.notice else { panic!("{event:?}") };
        assert_eq!((refund.state, refund.state_text.as_str(), refund.money), (state, status, cny(1000)));
        let id: RefundId = "re_018df9f2c4e07aaa8aaaaaaaaaaaaaaa".parse().unwrap();
        assert_eq!((refund.refund, refund.payment_id), (Some(id), hex(new_attempt(1).payment)));
    }
    // An event about something else is genuine, and says nothing about money.
    let body = notification("COUPON.USE", &json!({}), API_V3_KEY);
    let event = wechat().webhook(&sign(&PLATFORM, &body), body.as_bytes(), now()).unwrap();
    assert_eq!((event.kind.as_str(), event.notice), ("COUPON.USE", None));
}

#[test]
fn one_byte_changed_anywhere_is_not_genuine() {
    let wechat = wechat();
    let body = notification("TRANSACTION.SUCCESS", &payment("SUCCESS"), API_V3_KEY);
    let good = sign(&PLATFORM, &body);
    let genuine = |headers: &HeaderMap, body: &[u8]| match wechat.webhook(headers, body, now()) {
        Ok(_) => true,
        Err(WebhookError::NotGenuine(_)) => false,
        Err(WebhookError::Malformed(why)) => panic!("{why}"),
    };
    assert!(genuine(&good, body.as_bytes()));
    for at in 0..body.len() {
        let mut changed = body.clone().into_bytes();
        changed[at] ^= 1;
        assert!(!genuine(&good, &changed), "byte {at} of the body");
    }
    assert!(!genuine(&good, &body.as_bytes()[1..]) && !genuine(&good, format!("{body}\n").as_bytes()));
    for name in good.keys() {
        let value = good[name].as_bytes();
        for at in 0..value.len() {
            let mut changed = value.to_vec();
            changed[at] ^= 1;
            let Ok(changed) = changed.as_slice().try_into() else { continue };
            let mut headers = good.clone();
            headers.insert(name.clone(), changed);
            assert!(!genuine(&headers, body.as_bytes()), "byte {at} of {name}");
        }
        let mut headers = good.clone();
        headers.remove(name);
        assert!(!genuine(&headers, body.as_bytes()), "without {name}");
    }
}

#[test]
fn old_future_probing_and_unknown_are_not_genuine() {
    let body = notification("TRANSACTION.SUCCESS", &payment("SUCCESS"), API_V3_KEY);
    let good = sign(&PLATFORM, &body);
    let at = |offset_s: i64, headers: &HeaderMap| {
        wechat().webhook(headers, body.as_bytes(), Timestamp::from_second(NOW_S + offset_s).unwrap())
    };
    for offset_s in [-300, 0, 300] {
        assert!(at(offset_s, &good).is_ok());
    }
    for offset_s in [-301, 301, 1_000_000] {
        assert!(matches!(at(offset_s, &good), Err(WebhookError::NotGenuine(_))));
    }
    let mut probe = good.clone();
    let signature = format!("WECHATPAY/SIGNTEST/{}", good["wechatpay-signature"].to_str().unwrap());
    probe.insert("wechatpay-signature", signature.parse().unwrap());
    assert!(matches!(at(0, &probe), Err(WebhookError::NotGenuine(_))));
    // Signed well by a key of WeChat Pay's that this merchant was not told of, and then was.
    let next = sign(&NEXT_PLATFORM, &body);
    assert!(matches!(at(0, &next), Err(WebhookError::NotGenuine(_))));
    let rotating = WechatPay::new(rotating(Config::default_base_url())).unwrap();
    for headers in [&good, &next] {
        assert!(rotating.webhook(headers, body.as_bytes(), now()).is_ok());
    }
    // One key under the name of the other.
    let mut swapped = next.clone();
    swapped.insert("wechatpay-serial", good["wechatpay-serial"].clone());
    assert!(matches!(rotating.webhook(&swapped, body.as_bytes(), now()), Err(WebhookError::NotGenuine(_))));
}

#[test]
fn genuine_but_not_to_be_understood_says_nothing_of_the_payer() {
    let body = notification("TRANSACTION.SUCCESS", &payment("SUCCESS"), API_V3_KEY);
    // Signed, but the resource was changed, its nonce, or what goes with it.
    for (field, value) in [
        ("nonce", "fdasflkja485"),
        ("nonce", "short"),
        ("associated_data", "refund"),
        ("ciphertext", "AAAA"),
        ("ciphertext", "?"),
        ("algorithm", "AEAD_SM4_GCM"),
    ] {
        let mut changed: Value = serde_json::from_str(&body).unwrap();
        changed["resource"][field] = json!(value);
        malformed(&changed.to_string());
    }
    let mut wrong = vec![
        notification("TRANSACTION.SUCCESS", &payment("SUCCESS"), "another APIv3 key of 32 bytes..."),
        notification("TRANSACTION.SUCCESS", &json!({ "payer": OPENID }), API_V3_KEY),
        notification("TRANSACTION.SUCCESS", &payment("SOMETHING_NEW"), API_V3_KEY),
        notification("REFUND.SUCCESS", &payment("SUCCESS"), API_V3_KEY),
        "{}".to_owned(),
        "not JSON".to_owned(),
    ];
    for (field, value) in [("mchid", json!("1900000002")), ("trade_state", json!({ "openid": OPENID }))] {
        let mut about = payment("SUCCESS");
        about[field] = value;
        wrong.push(notification("TRANSACTION.SUCCESS", &about, API_V3_KEY));
    }
    for body in wrong {
        let why = malformed(&body);
        assert!(!why.contains(OPENID), "{why}");
    }
}
