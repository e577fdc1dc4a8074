//! Parts of an order's money that go back while it waits for the rest, or nearly do.

use serde_json::json;

use crate::underpayment::{accumulate, shop, stands, until_paid};

/// Part of what counts goes back in the provider's dashboard: it is due again.
#[tokio::test]
async fn a_part_that_goes_back_at_the_provider_is_due_again() {
    let shop = shop().await;
    let id = shop.place_with(&[("tea", 1)], accumulate()).await;
    shop.pay_with(&id, json!({"amount": 600})).await;
    until_paid(&shop, &id, 600).await;
    let payment = shop.provider.payments(&id).await.remove(0).id;
    for (amount, left) in [(100, 500), (100, 400)] {
        shop.provider.refund(&payment, amount).await;
        until_paid(&shop, &id, left).await;
    }
    shop.pay(&id).await; // what is due
    shop.until(&id, "completed").await;
    assert_eq!(shop.provider.balance(&id).await, (1200, 200, 2));
    shop.ask_refund(&id, &json!({"reason": "x"})).await.is(201);
    shop.until_money(&id, "refunded").await;
    assert_eq!(shop.provider.balance(&id).await.1, 1200);
    shop.close();
}

/// Its going back fails, or the bank gives it to the shop after all: nothing was ever missing, whichever is
/// told first.
#[tokio::test]
async fn a_part_that_only_nearly_went_back_counts() {
    let shop = shop().await;
    for (by_dispute, rest_is_first) in [(true, true), (true, false), (false, true), (false, false)] {
        let id = shop.place_with(&[("tea", 1)], accumulate()).await;
        shop.pay_with(&id, json!({"amount": 600})).await;
        until_paid(&shop, &id, 600).await;
        let payment = shop.provider.payments(&id).await.remove(0).id;
        shop.provider.faults(json!({"refunds": "pend"})).await;
        let taken = match by_dispute {
            true => shop.provider.dispute(&payment, json!({"amount": 600})).await,
            false => shop.provider.refund(&payment, 600).await,
        };
        match by_dispute {
            true => drop(shop.until_told(&id, "payment.disputed").await),
            false => drop(shop.until_refunds(&id, &["pending"]).await),
        }
        let stays = async || {
            if by_dispute {
                shop.provider.close_dispute(&taken, "won").await;
                shop.until_told(&id, "dispute.won").await;
            } else {
                shop.provider.settle(&taken, "failed").await;
                shop.until_refunds(&id, &["failed"]).await;
            }
        };
        if !rest_is_first {
            stays().await;
        }
        shop.pay_with(&id, json!({"amount": 400})).await;
        shop.until(&id, "completed").await;
        if rest_is_first {
            stays().await;
        }
        assert_eq!(stands(&shop, &id).await, (1000, 0));
        shop.until_money(&id, "paid").await;
        // Somebody wanted it to go back, and a person looks at that.
        let told: &[_] = if by_dispute { &["disputed"] } else { &["refund_failed"] };
        assert_eq!(shop.exceptions(&id).await, told);
    }
    shop.close();
}

/// The order ends while part of its money is in dispute: the rest goes back, and the disputed part once it is
/// won.
#[tokio::test]
async fn disputed_parts_of_an_order_that_ends_go_back_once() {
    let shop = shop().await;
    for state in ["won", "lost"] {
        let id = shop.place_with(&[("tea", 1)], accumulate()).await;
        shop.pay_with(&id, json!({"amount": 600})).await;
        until_paid(&shop, &id, 600).await;
        let payment = shop.provider.payments(&id).await.remove(0).id;
        let dispute = shop.provider.dispute(&payment, json!({"amount": 250})).await;
        shop.until_told(&id, "payment.disputed").await;
        shop.cancel(&id).await.is(200);
        let refunds = shop.until_refunds(&id, &["succeeded"]).await;
        assert_eq!(refunds[0].amount, 350);
        shop.provider.close_dispute(&dispute, state).await;
        shop.until_money(&id, "refunded").await;
        let expected: &[_] = if state == "won" { &["succeeded"; 2] } else { &["succeeded"] };
        shop.until_refunds(&id, expected).await;
        assert_eq!(shop.provider.balance(&id).await.1, if state == "won" { 600 } else { 350 });
        assert_eq!(shop.open_of(&id).await, []);
    }
    shop.close();
}

/// Two refunds in the dashboard are told before the part that they are of: what is left of it counts.
#[tokio::test]
async fn what_went_back_of_a_part_before_it_was_told_does_not_count() {
    let shop = shop().await;
    let id = shop.place_with(&[("tea", 1)], accumulate()).await;
    shop.provider.faults(json!({"webhooks": "hold"})).await;
    shop.provider.pay(&id, 600, json!({})).await.is(200);
    let payment = shop.provider.payments(&id).await.remove(0).id;
    shop.provider.no_faults().await;
    for amount in [100, 120] {
        shop.provider.refund(&payment, amount).await;
    }
    let known = "SELECT count(*) = 2 FROM refunds WHERE order_id IS NULL";
    shop.until_true("both refunds are known", known).await;
    shop.provider.release(json!({"order_id": id})).await;
    until_paid(&shop, &id, 380).await;
    assert_eq!(shop.list_exceptions("state=open").await, []);
    shop.pay(&id).await;
    shop.until(&id, "completed").await;
    assert_eq!(shop.provider.balance(&id).await, (1220, 220, 2));
    shop.close();
}
