//! What is believed of an answer.

use providers::{AttemptState, Error, Provider as _, wechatpay::WechatPay};

use crate::{
    config, hex,
    keys::{NEXT_PLATFORM, PLATFORM, PUBLIC_KEY},
    new_attempt, reference, rotating,
    standin::{Fault, StandIn},
    start,
};

#[tokio::test]
async fn an_answer_that_wechat_pay_did_not_sign_just_so_and_now_tells_nothing() {
    let (standin, wechat) = start().await;
    let new = new_attempt(1);
    wechat.create(&new).await.unwrap();
    standin.pay(&hex(new.payment));
    for fault in [
        Fault::Unsigned,
        Fault::BodyChanged,
        Fault::NonceChanged,
        Fault::Old,
        Fault::UnknownSerial,
        Fault::SignTest,
    ] {
        standin.with(|world| world.fault = fault);
        assert!(matches!(wechat.look_up(&reference(&new)).await, Err(Error::Unavailable(_))));
        assert!(matches!(wechat.create(&new_attempt(2)).await, Err(Error::Unavailable(_))));
        assert!(matches!(
            wechat.cancel(&reference(&new)).await,
            Err(Error::Unavailable(_) | Error::Refused { .. })
        ));
    }
    standin.with(|world| world.fault = Fault::Endless);
    let error = wechat.look_up(&reference(&new)).await.unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
    standin.with(|world| world.fault = Fault::None);
    assert_eq!(wechat.look_up(&reference(&new)).await.unwrap().state, AttemptState::Succeeded);
}

#[tokio::test]
async fn errors_are_sorted_into_those_that_pass_and_those_that_stay() {
    let (standin, wechat) = start().await;
    let new = new_attempt(1);
    let ask = async |status, body| {
        standin.with(|world| world.fault = Fault::Says(status, body));
        wechat.look_up(&reference(&new)).await.unwrap_err()
    };
    assert!(matches!(ask(404, r#"{"code":"ORDER_NOT_EXIST","message":"x"}"#).await, Error::NotFound));
    assert!(matches!(ask(403, r#"{"code":"NO_AUTH","message":"x"}"#).await, Error::Refused { .. }));
    for (status, body) in [
        (500, r#"{"code":"SYSTEM_ERROR","message":"x"}"#),
        (429, r#"{"code":"FREQUENCY_LIMITED","message":"x"}"#),
        (502, "<html>bad gateway</html>"),
        (404, "<html>not here</html>"),
        (302, ""),
        (200, "{}"),
        (
            200,
            r#"{"mchid":"1900000001","out_trade_no":"another","trade_state":"SUCCESS","amount":{"total":1}}"#,
        ),
    ] {
        assert!(matches!(ask(status, body).await, Error::Unavailable(_)), "{status} {body}");
    }
}

#[tokio::test]
async fn nobody_there_is_unavailable_and_a_wrong_key_is_refused() {
    let closed = config("http://127.0.0.1:9".to_owned());
    let error = WechatPay::new(closed).unwrap().look_up(&reference(&new_attempt(1))).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(why) if !why.contains("mchid")), "{error}");

    let standin = StandIn::start().await;
    let mut stranger = config(standin.address());
    stranger.merchant_key = PLATFORM.private_pem.clone();
    match WechatPay::new(stranger).unwrap().create(&new_attempt(1)).await {
        Err(Error::Refused { code, .. }) => assert_eq!(code, "SIGN_ERROR"),
        other => panic!("{other:?}"),
    }
    assert!(standin.with(|world| world.orders.is_empty()));
}

#[tokio::test]
async fn silence_ends() {
    let (standin, wechat) = start().await;
    let new = new_attempt(1);
    wechat.create(&new).await.unwrap();
    standin.with(|world| world.fault = Fault::Silent);
    // The clock jumps to the next timeout when nothing else is to do.
    tokio::time::pause();
    let error = wechat.look_up(&reference(&new)).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(why) if why.contains("in time")), "{error}");
}

#[tokio::test]
async fn keys_rotate_without_a_gap() {
    let (standin, old) = start().await;
    let new = new_attempt(1);
    old.create(&new).await.unwrap();
    assert_eq!(standin.with(|world| world.asked_serials.pop().unwrap()), None);

    let both = WechatPay::new(rotating(standin.address())).unwrap();
    assert!(both.look_up(&reference(&new)).await.is_ok());
    assert_eq!(standin.with(|world| world.asked_serials.pop().unwrap()), Some(PUBLIC_KEY.to_owned()));

    standin.with(|world| world.signer = &NEXT_PLATFORM);
    assert!(both.look_up(&reference(&new)).await.is_ok());
    assert!(matches!(old.look_up(&reference(&new)).await, Err(Error::Unavailable(_))));
}
