//! WeChat Pay against a stand-in that is as strict as the original, with real keys.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]
#![expect(clippy::disallowed_methods, reason = "a test is an edge: its clock is the machine's")]

mod answers;
mod attempts;
mod bills;
mod keys;
mod refunds;
mod routes;
mod standin;
mod webhooks;

use std::collections::BTreeMap;

use domain::{
    OrderId, PaymentId, Timestamp,
    money::{Currency, Money},
};
use providers::{
    AttemptRef, NewAttempt,
    wechatpay::{Config, Method, WechatPay},
};

use keys::{API_V3_KEY, CERTIFICATE, MERCHANT, NEXT_PLATFORM, PLATFORM, PUBLIC_KEY};
use standin::{MERCHANT_ID, StandIn};

/// A merchant who knows the certificate only.
fn config(base_url: String) -> Config {
    Config {
        app_id: "wxd678efh567hg6787".to_owned(),
        merchant_id: MERCHANT_ID.to_owned(),
        merchant_serial: MERCHANT.serial.to_owned(),
        merchant_key: MERCHANT.private_pem.clone(),
        api_v3_key: API_V3_KEY.to_owned(),
        platform_keys: BTreeMap::from([(CERTIFICATE.to_owned(), PLATFORM.certificate(CERTIFICATE))]),
        notify_url: "https://shop.test/v1/webhooks/wechatpay".to_owned(),
        base_url,
        method: Method::Native,
    }
}

/// While keys rotate: the certificate and the public key.
fn rotating(base_url: String) -> Config {
    let mut config = config(base_url);
    config.platform_keys.insert(PUBLIC_KEY.to_owned(), NEXT_PLATFORM.public_pem.clone());
    config
}

async fn start() -> (StandIn, WechatPay) {
    let standin = StandIn::start().await;
    let wechat = WechatPay::new(config(standin.address())).unwrap();
    (standin, wechat)
}

fn cny(amount: i64) -> Money {
    Money::new(amount, Currency::parse("CNY").unwrap())
}

fn new_attempt(random: u8) -> NewAttempt {
    let now = Timestamp::from_second(1_709_300_000).unwrap();
    NewAttempt {
        order: OrderId::new(now, [random; 10]),
        payment: PaymentId::new(now, [random; 10]),
        money: cny(1250),
        expires_at: "2024-03-02T10:00:00.75Z".parse().unwrap(),
        description: "两件 T恤".repeat(20),
        payer: None,
    }
}

fn hex(payment: PaymentId) -> String {
    payment.to_string().trim_start_matches("pay_").to_owned()
}

fn reference(new: &NewAttempt) -> AttemptRef {
    AttemptRef { payment: new.payment, provider_payment_id: hex(new.payment) }
}

#[test]
fn a_wrong_configuration_is_refused_and_secrets_are_not_shown() {
    let good = config(Config::default_base_url());
    let shown = format!("{good:?} {:?}", WechatPay::new(good.clone()).unwrap());
    assert!(shown.contains(MERCHANT_ID) && shown.contains("api.mch.weixin.qq.com"));
    assert!(!shown.contains(API_V3_KEY) && !shown.contains("PRIVATE") && !shown.contains("MII"), "{shown}");

    let refused = |change: &dyn Fn(&mut Config)| {
        let mut config = good.clone();
        change(&mut config);
        let why = WechatPay::new(config).unwrap_err().to_string();
        assert!(!why.contains("PRIVATE KEY"), "{why}");
        why
    };
    assert!(refused(&|config| config.api_v3_key.push('x')).contains("32 bytes"));
    assert!(refused(&|config| config.merchant_key = PLATFORM.public_pem.clone()).contains("merchant's key"));
    assert!(refused(&|config| config.platform_keys.clear()).contains("platform key"));
    assert!(refused(&|config| config.base_url = "api.example".to_owned()).contains("base URL"));
    assert!(refused(&|config| config.merchant_id = "19\",x=\"".to_owned()).contains("letters"));
    assert!(
        refused(&|config| {
            config.platform_keys.insert("AB".to_owned(), "pem".to_owned());
        })
        .contains("AB")
    );
    // A certificate under the serial number of another.
    let other = PLATFORM.certificate("5157F09E");
    assert!(
        refused(&|config| {
            config.platform_keys.insert(CERTIFICATE.to_owned(), other.clone());
        })
        .contains("serial")
    );
}
