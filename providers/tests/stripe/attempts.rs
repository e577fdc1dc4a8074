//! Attempts: opened, paid, declined, cancelled, lost.

use std::time::Duration;

use http::Method;
use providers::{Error, Opened, RefundRef};

use super::*;

/// A direct debit that is declined after half a second of `processing`.
const DECLINED_IBAN: &str = "DE62370400440532013001";

#[tokio::test]
async fn an_attempt_is_opened_paid_and_looked_up() {
    let it = Setup::new().await;
    let new = new_attempt(euros(2550));
    let Opened { attempt, client } = it.stripe.create(&new).await.expect("opened");
    assert_eq!((attempt.state, attempt.state_text.as_str()), (AttemptState::Open, "requires_payment_method"));
    assert_eq!((attempt.money, attempt.captured_at), (euros(2550), None));
    let secret = client["client_secret"].as_str().expect("a client secret");
    assert!(secret.starts_with(&attempt.provider_payment_id));
    assert_eq!(client["publishable_key"], "pk_test_holdfast");

    let attempt = AttemptRef { payment: new.payment, provider_payment_id: attempt.provider_payment_id };
    assert_eq!(it.payer.pay(&attempt, VISA).await, 200);
    let found = it.stripe.look_up(&attempt).await.expect("known");
    assert_eq!((found.state, found.state_text.as_str()), (AttemptState::Succeeded, "succeeded"));
    assert_eq!(found.money, euros(2550));
    let age = found.captured_at.expect("a time").duration_until(Timestamp::now());
    assert!(age.abs() < SignedDuration::from_mins(1), "{age}");

    let there = it.payer.get(&format!("/v1/payment_intents/{}", attempt.provider_payment_id)).await;
    assert_eq!(there["metadata"]["order_id"], new.order.to_string());
    assert_eq!(there["metadata"]["payment_id"], new.payment.to_string());
}

#[tokio::test]
async fn every_call_is_authorized_and_versioned_and_every_post_has_a_key() {
    let it = Setup::new().await;
    let (new, attempt) = it.paid(euros(1000)).await;
    it.stripe.cancel(&attempt).await.expect("the truth");
    it.stripe.refund(&new_refund(new.order, &attempt, 1000, 1000)).await.expect("refunded");
    let calls = it.gateway.calls();
    assert!(calls[0].body.contains("&description=Two+teas+%26+a+mug"), "{}", calls[0].body);
    assert!(calls.iter().any(|call| call.method == Method::GET));
    for call in calls {
        assert_eq!(call.headers["authorization"], format!("Bearer {KEY}"));
        assert_eq!(call.headers["stripe-version"], "2026-10-28.endive");
        let posted = call.method == Method::POST;
        assert_eq!(call.headers.contains_key("idempotency-key"), posted, "{} {}", call.method, call.path);
    }
}

#[tokio::test]
async fn an_attempt_whose_answer_was_lost_is_opened_once() {
    let it = Setup::new().await;
    let new = new_attempt(euros(1000));
    it.gateway.lose_the_answer_to_the_next_post();
    assert!(matches!(it.stripe.create(&new).await, Err(Error::Unavailable(_))));
    let first = it.stripe.create(&new).await.expect("opened");
    let second = it.stripe.create(&new).await.expect("opened");
    assert_eq!(first, second);
    let all = it.payer.get("/v1/payment_intents?limit=10").await;
    assert_eq!(all["data"].as_array().map(Vec::len), Some(1));

    let other_amount = NewAttempt { money: euros(2000), ..new };
    let refused = it.stripe.create(&other_amount).await;
    assert!(matches!(refused, Err(Error::Refused { code, .. }) if code == "idempotency_error"));
}

#[tokio::test]
async fn after_a_decline_the_payer_may_try_again() {
    let it = Setup::new().await;
    let (_, attempt) = it.open(euros(1000)).await;
    assert_eq!(it.payer.pay(&attempt, DECLINED).await, 402);
    assert_eq!(it.state(&attempt).await, (AttemptState::Open, "requires_payment_method".to_owned()));
    assert_eq!(it.payer.pay(&attempt, VISA).await, 200);
    assert_eq!(it.state(&attempt).await.0, AttemptState::Succeeded);
}

#[tokio::test]
async fn a_cancelled_attempt_cannot_be_paid_and_cancelling_again_says_the_same() {
    let it = Setup::new().await;
    let (_, attempt) = it.open(euros(1000)).await;
    for _ in 0..2 {
        let cancelled = it.stripe.cancel(&attempt).await.expect("cancelled");
        assert_eq!((cancelled.state, cancelled.state_text.as_str()), (AttemptState::Cancelled, "canceled"));
    }
    assert_eq!(it.payer.pay(&attempt, VISA).await, 400);
    assert_eq!(it.state(&attempt).await.0, AttemptState::Cancelled);
}

#[tokio::test]
async fn cancelling_what_was_paid_tells_that_it_was_paid() {
    let it = Setup::new().await;
    let (_, attempt) = it.paid(euros(1000)).await;
    let cancelled = it.stripe.cancel(&attempt).await.expect("the truth");
    assert_eq!((cancelled.state, cancelled.money), (AttemptState::Succeeded, euros(1000)));
    assert!(cancelled.captured_at.is_some());
}

#[tokio::test]
async fn cancelling_what_is_processing_is_not_certain_until_it_ends() {
    let it = Setup::new().await;
    let (_, attempt) = it.open(euros(1000)).await;
    let debit = json!({ "type": "sepa_debit", "sepa_debit": { "iban": DECLINED_IBAN } });
    let (_, debit) = it.payer.post("/v1/payment_methods", debit).await;
    it.payer.pay(&attempt, debit["id"].as_str().expect("an id")).await;
    let early = it.stripe.cancel(&attempt).await;
    assert!(matches!(&early, Err(Error::Unavailable(why)) if why.contains("processing")), "{early:?}");
    while it.state(&attempt).await.1 == "processing" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(it.stripe.cancel(&attempt).await.expect("cancelled").state, AttemptState::Cancelled);
}

#[tokio::test]
async fn what_stripe_does_not_know_is_not_found_and_a_wrong_key_may_be_put_right() {
    let it = Setup::new().await;
    for id in ["pi_unknown", "../charges", ""] {
        let payment = PaymentId::from_uuid(Uuid::now_v7());
        let attempt = AttemptRef { payment, provider_payment_id: id.to_owned() };
        assert!(matches!(it.stripe.look_up(&attempt).await, Err(Error::NotFound)), "{id}");
        assert!(matches!(it.stripe.cancel(&attempt).await, Err(Error::NotFound)), "{id}");
    }
    let refund = RefundRef { refund: None, provider_refund_id: "re_unknown".to_owned() };
    assert!(matches!(it.stripe.look_up_refund(&refund).await, Err(Error::NotFound)));

    let new = new_attempt(euros(1000));
    let locked_out = stripe_at(&it.gateway.url, "not_a_key").create(&new).await;
    assert!(matches!(locked_out, Err(Error::Unavailable(_))), "{locked_out:?}");
    let nobody_there = stripe_at("http://127.0.0.1:9", KEY).create(&new).await;
    assert!(matches!(nobody_there, Err(Error::Unavailable(_))), "{nobody_there:?}");
}

#[test]
fn debug_shows_no_secret_and_an_unsafe_configuration_is_refused() {
    let config = Config::new("sk_live_abc", vec!["whsec_abc".to_owned()]);
    let shown = format!("{config:?}");
    assert!(!shown.contains("sk_live") && !shown.contains("whsec_"), "{shown}");
    for secrets in [vec![], vec![String::new()], vec!["whsec_abc".to_owned(), " ".to_owned()]] {
        assert!(Stripe::new(Config::new("sk_live_abc", secrets)).is_err());
    }
}

#[tokio::test]
async fn an_endless_answer_and_a_redirect_are_no_answer() {
    let endless = axum::routing::any(async || vec![b' '; 9 * 1024 * 1024]);
    let elsewhere = axum::routing::any(async || axum::response::Redirect::temporary("/endless"));
    let app = axum::Router::new()
        .route("/endless/v1/payment_intents", endless)
        .route("/moved/v1/payment_intents", elsewhere);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    for (path, reason) in [("endless", "more than"), ("moved/", "HTTP 307")] {
        let failed = stripe_at(&format!("{url}/{path}"), KEY).create(&new_attempt(euros(1000))).await;
        assert!(matches!(&failed, Err(Error::Unavailable(why)) if why.contains(reason)), "{failed:?}");
    }
}
