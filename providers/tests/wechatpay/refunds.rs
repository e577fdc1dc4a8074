//! Refunds.

use domain::{RefundId, Timestamp, payment::RefundState};
use providers::{Error, NewAttempt, NewRefund, Provider as _, RefundRef};
use serde_json::json;

use crate::{cny, hex, new_attempt, reference, start};

fn new_refund(attempt: &NewAttempt, random: u8, amount: i64) -> NewRefund {
    NewRefund {
        order: attempt.order,
        refund: RefundId::new(Timestamp::from_second(1_709_300_000).unwrap(), [random; 10]),
        attempt: reference(attempt),
        money: cny(amount),
        captured: attempt.money,
        reason: "订单已过期".repeat(10),
    }
}

#[tokio::test]
async fn money_goes_back_once_and_the_end_is_found() {
    let (standin, wechat) = start().await;
    let attempt = new_attempt(1);
    wechat.create(&attempt).await.unwrap();
    standin.pay(&hex(attempt.payment));

    let new = new_refund(&attempt, 1, 1000);
    let refund = wechat.refund(&new).await.unwrap();
    assert_eq!(refund.refund, Some(new.refund));
    assert_eq!(refund.provider_refund_id, new.refund.to_string().trim_start_matches("re_"));
    assert_eq!(refund.payment_id, hex(attempt.payment));
    assert_eq!((refund.state, refund.money), (RefundState::Pending, cny(1000)));
    let asked = standin.last_body();
    assert_eq!(asked["amount"], json!({ "refund": 1000, "total": 1250, "currency": "CNY" }));
    assert!(asked["reason"].as_str().unwrap().len() <= 80);
    assert_eq!(asked["notify_url"], "https://shop.test/v1/webhooks/wechatpay");

    assert_eq!(wechat.refund(&new).await.unwrap(), refund);
    assert_eq!(standin.with(|world| world.refunds.len()), 1);
    let too_much = wechat.refund(&new_refund(&attempt, 2, 251)).await;
    assert!(matches!(too_much, Err(Error::Refused { .. })), "{too_much:?}");
    wechat.refund(&new_refund(&attempt, 3, 250)).await.unwrap();

    let known = RefundRef { refund: refund.refund, provider_refund_id: refund.provider_refund_id };
    for (word, state) in [
        ("SUCCESS", RefundState::Succeeded),
        ("ABNORMAL", RefundState::Failed),
        ("CLOSED", RefundState::Failed),
        ("PROCESSING", RefundState::Pending),
    ] {
        standin
            .with(|world| world.refunds.get_mut(&known.provider_refund_id).unwrap()["status"] = json!(word));
        let found = wechat.look_up_refund(&known).await.unwrap();
        assert_eq!((found.state, found.state_text.as_str()), (state, word));
    }
}

#[tokio::test]
async fn what_wechat_pay_does_not_know_is_not_found() {
    let (_standin, wechat) = start().await;
    let attempt = new_attempt(1);
    assert!(matches!(wechat.refund(&new_refund(&attempt, 1, 5)).await, Err(Error::NotFound)));
    let unknown = RefundRef { refund: None, provider_refund_id: "no-such".to_owned() };
    assert!(matches!(wechat.look_up_refund(&unknown).await, Err(Error::NotFound)));
}
