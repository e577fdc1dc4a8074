//! Attempts: opened, looked up, closed.

use domain::money::{Currency, Money};
use providers::{
    AttemptRef, AttemptState, Error, Provider as _,
    wechatpay::{Method, WechatPay},
};
use serde_json::{Value, json};

use crate::{
    cny, config, hex,
    keys::MERCHANT,
    new_attempt, reference,
    routes::{OPENID, PAID_AT},
    standin::StandIn,
    start,
};

#[tokio::test]
async fn a_native_attempt_is_opened_once_and_found_in_each_state() {
    let (standin, wechat) = start().await;
    let new = new_attempt(1);
    let id = hex(new.payment);
    assert!(matches!(wechat.look_up(&reference(&new)).await, Err(Error::NotFound)));

    let opened = wechat.create(&new).await.unwrap();
    assert_eq!(opened.client, json!({ "code_url": format!("weixin://wxpay/bizpayurl?pr={id}") }));
    assert_eq!(opened.attempt.provider_payment_id, id);
    assert_eq!((opened.attempt.state, opened.attempt.money), (AttemptState::Open, cny(1250)));
    let asked = standin.last_body();
    assert_eq!(asked["out_trade_no"], id);
    assert_eq!(asked["attach"], new.order.to_string());
    assert_eq!(asked["time_expire"], "2024-03-02T18:00:00+08:00");
    assert_eq!(asked["amount"], json!({ "total": 1250, "currency": "CNY" }));
    assert!(asked["description"].as_str().unwrap().len() <= 127 && asked.get("payer").is_none());

    assert_eq!(wechat.create(&new).await.unwrap(), opened);
    assert_eq!(standin.with(|world| world.orders.len()), 1);

    let found = wechat.look_up(&reference(&new)).await.unwrap();
    assert_eq!((found.state, found.state_text.as_str()), (AttemptState::Open, "NOTPAY"));
    standin.pay(&id);
    let found = wechat.look_up(&reference(&new)).await.unwrap();
    assert_eq!((found.state, found.money), (AttemptState::Succeeded, cny(1250)));
    assert_eq!(found.captured_at, Some(PAID_AT.parse().unwrap()));
    standin.set_state(&id, "REFUND");
    let found = wechat.look_up(&reference(&new)).await.unwrap();
    assert_eq!((found.state, found.state_text.as_str()), (AttemptState::Succeeded, "REFUND"));
    standin.set_state(&id, "SOMETHING_NEW");
    assert!(matches!(wechat.look_up(&reference(&new)).await, Err(Error::Unavailable(_))));
}

#[tokio::test]
async fn an_attempt_that_was_paid_before_we_heard_of_it_is_found_when_it_is_opened_again() {
    let (standin, wechat) = start().await;
    let new = new_attempt(2);
    wechat.create(&new).await.unwrap();
    standin.pay(&hex(new.payment));
    let again = wechat.create(&new).await.unwrap();
    assert_eq!((again.attempt.state, again.client), (AttemptState::Succeeded, Value::Null));

    // Other facts under the same id are refused, as long as it is open.
    let mut other = new_attempt(3);
    wechat.create(&other).await.unwrap();
    other.money = cny(1);
    match wechat.create(&other).await {
        Err(Error::Refused { code, .. }) => assert_eq!(code, "OUT_TRADE_NO_USED"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_payer_in_wechat_gets_what_request_payment_wants_signed() {
    let standin = StandIn::start().await;
    let mut config = config(standin.address());
    config.method = Method::Jsapi;
    let wechat = WechatPay::new(config).unwrap();

    let mut new = new_attempt(1);
    assert!(matches!(wechat.create(&new).await, Err(Error::Refused { .. })));
    new.payer = Some(OPENID.to_owned());
    let client = wechat.create(&new).await.unwrap().client;
    let text = |name: &str| client[name].as_str().unwrap();
    assert_eq!(text("package"), format!("prepay_id=wx{}", hex(new.payment)));
    assert_eq!((text("signType"), client.as_object().unwrap().len()), ("RSA", 6));
    let message =
        format!("{}\n{}\n{}\n{}\n", text("appId"), text("timeStamp"), text("nonceStr"), text("package"));
    assert!(MERCHANT.signed(&message, text("paySign")));
    assert_eq!(standin.last_body()["payer"], json!({ "openid": OPENID }));

    // A refusal that quotes the payer's id does not carry it on.
    let mut other = new_attempt(2);
    other.payer = Some("oSomebodyElse".to_owned());
    let refusal = wechat.create(&other).await.unwrap_err();
    assert!(matches!(&refusal, Error::Refused { code, .. } if code == "PARAM_ERROR"));
    assert!(!format!("{refusal:?}").contains("oSomebodyElse") && !format!("{refusal:?}").contains(OPENID));
}

#[tokio::test]
async fn only_yuan_are_taken() {
    let (standin, wechat) = start().await;
    let mut new = new_attempt(1);
    new.money = Money::new(1250, Currency::parse("EUR").unwrap());
    assert!(matches!(wechat.create(&new).await, Err(Error::Refused { .. })));
    assert!(standin.with(|world| world.seen.is_empty()));
}

#[tokio::test]
async fn a_closed_attempt_is_closed_for_certain() {
    let (standin, wechat) = start().await;
    let new = new_attempt(1);
    // Closing is answered 204, but there is no such order.
    assert!(matches!(wechat.cancel(&reference(&new)).await, Err(Error::NotFound)));

    wechat.create(&new).await.unwrap();
    for _ in 0..2 {
        let closed = wechat.cancel(&reference(&new)).await.unwrap();
        assert_eq!((closed.state, closed.state_text.as_str()), (AttemptState::Cancelled, "CLOSED"));
    }
    let again = wechat.create(&new).await.unwrap();
    assert_eq!((again.attempt.state, again.client), (AttemptState::Cancelled, Value::Null));

    let paid = new_attempt(2);
    wechat.create(&paid).await.unwrap();
    standin.pay(&hex(paid.payment));
    let faster = wechat.cancel(&reference(&paid)).await.unwrap();
    assert_eq!((faster.state, faster.money), (AttemptState::Succeeded, cny(1250)));

    let paying = new_attempt(3);
    wechat.create(&paying).await.unwrap();
    standin.set_state(&hex(paying.payment), "USERPAYING");
    assert!(matches!(wechat.cancel(&reference(&paying)).await, Err(Error::Unavailable(_))));
    standin.set_state(&hex(paying.payment), "PAYERROR");
    assert_eq!(wechat.look_up(&reference(&paying)).await.unwrap().state, AttemptState::Open);
    assert_eq!(wechat.cancel(&reference(&paying)).await.unwrap().state, AttemptState::Failed);
}

#[tokio::test]
async fn an_id_that_cannot_be_wechat_pays_is_not_even_asked_for() {
    let (standin, wechat) = start().await;
    for id in ["", "../refunds", "a?b", "a/b", "号"] {
        let attempt = AttemptRef { provider_payment_id: id.to_owned(), ..reference(&new_attempt(1)) };
        assert!(matches!(wechat.look_up(&attempt).await, Err(Error::NotFound)));
    }
    assert!(standin.with(|world| world.seen.is_empty()));
}
