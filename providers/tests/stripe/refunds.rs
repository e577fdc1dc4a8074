//! Money back, and the books.

use domain::{payment::RefundState, statement::LineKind};
use http::Method;
use providers::{Error, RefundRef};

use super::*;

#[tokio::test]
async fn refunds_in_full_and_in_part_are_made_and_looked_up() {
    let it = Setup::new().await;
    let (new, attempt) = it.paid(euros(1000)).await;
    for amount in [300, 700] {
        let refund = new_refund(new.order, &attempt, amount, 1000);
        let made = it.stripe.refund(&refund).await.expect("refunded");
        assert_eq!((made.refund, made.state), (Some(refund.refund), RefundState::Succeeded));
        assert_eq!(made.money, euros(amount));
        assert_eq!(made.payment_id, attempt.provider_payment_id);
        let by_id = RefundRef { refund: None, provider_refund_id: made.provider_refund_id.clone() };
        assert_eq!(it.stripe.look_up_refund(&by_id).await.expect("known"), made);
    }
    // Refunded or not, it was captured.
    let found = it.stripe.look_up(&attempt).await.expect("known");
    assert_eq!((found.state, found.money), (AttemptState::Succeeded, euros(1000)));
}

#[tokio::test]
async fn a_refund_repeated_within_a_day_or_later_gives_money_back_once() {
    let it = Setup::new().await;
    let (new, attempt) = it.paid(euros(1000)).await;
    let refund = new_refund(new.order, &attempt, 400, 1000);
    it.gateway.lose_the_answer_to_the_next_post();
    assert!(matches!(it.stripe.refund(&refund).await, Err(Error::Unavailable(_))));
    let first = it.stripe.refund(&refund).await.expect("refunded");
    it.gateway.forget_keys();
    assert_eq!(it.stripe.refund(&refund).await.expect("refunded"), first);
    assert_eq!(refunds_there(&it, &attempt).await, 1);
    let posted = it.gateway.calls().into_iter().filter(|call| call.method == Method::POST);
    let keys: Vec<_> = posted.filter(|call| call.path == "/v1/refunds").collect();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].headers["idempotency-key"], refund.refund.to_string());
}

/// Both look before either has refunded; the key is what holds them then.
#[tokio::test]
async fn a_refund_asked_twice_at_once_gives_money_back_once() {
    let it = Setup::new().await;
    let (new, attempt) = it.paid(euros(1000)).await;
    let refund = new_refund(new.order, &attempt, 400, 1000);
    it.gateway.hide_refunds();
    let first = it.stripe.refund(&refund).await.expect("refunded");
    assert_eq!(it.stripe.refund(&refund).await.expect("refunded"), first);
    assert_eq!(refunds_there(&it, &attempt).await, 1);
}

async fn refunds_there(it: &Setup, attempt: &AttemptRef) -> usize {
    let path = format!("/v1/refunds?payment_intent={}", attempt.provider_payment_id);
    it.payer.get(&path).await["data"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn what_cannot_be_refunded_is_refused() {
    let it = Setup::new().await;
    let (new, attempt) = it.open(euros(1000)).await;
    it.payer.pay(&attempt, DECLINED).await;
    let unpaid = it.stripe.refund(&new_refund(new.order, &attempt, 1000, 1000)).await;
    assert!(matches!(unpaid, Err(Error::Refused { .. })), "{unpaid:?}");
    let mut other_currency = new_refund(new.order, &attempt, 1000, 1000);
    other_currency.money.currency = Currency::parse("USD").expect("known");
    let refused = it.stripe.refund(&other_currency).await;
    assert!(matches!(refused, Err(Error::Refused { code, .. }) if code == "wrong_currency"));
}

/// The black-box tests have no gateway between.
#[tokio::test]
async fn localstripe_by_itself_will_do() {
    let it = Setup::new().await;
    let stripe = stripe_at(&it.payer.url, KEY);
    let new = new_attempt(euros(1000));
    let provider_payment_id = stripe.create(&new).await.expect("opened").attempt.provider_payment_id;
    let attempt = AttemptRef { payment: new.payment, provider_payment_id };
    assert_eq!(it.payer.pay(&attempt, VISA).await, 200);
    let refund = new_refund(new.order, &attempt, 1000, 1000);
    let first = stripe.refund(&refund).await.expect("refunded");
    assert_eq!(stripe.refund(&refund).await.expect("refunded"), first);
    let (now, minute) = (Timestamp::now(), SignedDuration::from_mins(1));
    assert_eq!(stripe.statement(now - minute, now + minute).await.expect("a statement").lines.len(), 2);
}

#[tokio::test]
async fn the_statement_has_every_capture_and_refund_over_several_pages() {
    let it = Setup::new().await;
    let before = Timestamp::now() - SignedDuration::from_secs(1);
    let (new, attempt) = it.paid(euros(1000)).await;
    let refund = new_refund(new.order, &attempt, 400, 1000);
    let made = it.stripe.refund(&refund).await.expect("refunded");
    for _ in 0..100 {
        it.paid(euros(500)).await;
    }
    let after = Timestamp::now() + SignedDuration::from_secs(1);

    let all = it.stripe.statement(before, after).await.expect("a statement").lines;
    assert_eq!(all.len(), 102);
    assert!(all.is_sorted_by_key(|movement| movement.at));
    assert!(all.iter().all(|movement| movement.fee == Some(0)));
    let of_order: Vec<_> = all.iter().filter(|movement| movement.order == Some(new.order)).collect();
    let refunded =
        LineKind::Refunded { refund: Some(refund.refund), provider_refund_id: made.provider_refund_id };
    assert_eq!(of_order.len(), 2);
    assert!(of_order.iter().all(|movement| movement.provider_payment_id == attempt.provider_payment_id));
    assert!(of_order.iter().any(|it| it.kind == LineKind::Captured && it.money == euros(1000)));
    assert!(of_order.iter().any(|movement| movement.kind == refunded && movement.money == euros(400)));

    let hour = SignedDuration::from_hours(1);
    assert!(it.stripe.statement(before - hour, before).await.expect("a statement").lines.is_empty());
    assert!(it.stripe.statement(after, after + hour).await.expect("a statement").lines.is_empty());
}

/// A Stripe that filters, as the real one does: localstripe with what it lacks done by the gateway.
#[tokio::test]
async fn the_statement_asks_for_its_window_and_no_more() {
    let it = Setup::new().await;
    it.paid(euros(1000)).await;
    it.gateway.drop_filters();
    let (from, until) = (Timestamp::now() - SignedDuration::from_mins(1), Timestamp::now());
    let until = until + SignedDuration::from_mins(1);
    assert_eq!(it.stripe.statement(from, until).await.expect("a statement").lines.len(), 1);
    let asked = it.gateway.calls().into_iter().filter(|call| call.path.contains("balance_transactions"));
    let asked: Vec<_> = asked.map(|call| call.path).collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    let since = format!("created%5Bgte%5D={}", from.as_second());
    let before = format!("created%5Blt%5D={}", until.as_second() + 1);
    assert!(asked[0].contains(&since) && asked[0].contains(&before), "{}", asked[0]);
}
