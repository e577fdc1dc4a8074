//! Parts of an order's money that go back while it waits for the rest, or nearly do.

use reqwest::Method;
use serde_json::json;

use crate::underpayment::{accumulate, shop, stands, until_paid};

/// Part of what counts goes back in the provider's dashboard: it is due again.
#[tokio::test]
async fn a_part_that_goes_back_at_the_provider_is_due_again() {
    let shop = shop().await;
    let id = shop.place_with(&[("tea", 1)], accumulate()).await;
    shop.pay_with(&id, json!({"amount": 600})).await;
    until_paid(&shop, &id, 600).await;
    let payment = shop.books(&id).await[0]["id"].as_str().unwrap().to_owned();
    for (amount, left) in [(100, 500), (100, 400)] {
        let path = format!("/dashboard/payments/{payment}/refunds");
        shop.provider(Method::POST, &path, &json!({"amount": amount})).await.is(200);
        until_paid(&shop, &id, left).await;
    }
    shop.pay(&id).await; // what is due
    shop.until(&id, "completed").await;
    assert_eq!(shop.balance(&id).await, (1200, 200, 2));
    shop.ask_refund(&id, &json!({"reason": "x"})).await.is(201);
    shop.until_payment_status(&id, "refunded").await;
    assert_eq!(shop.balance(&id).await.1, 1200);
    shop.close();
}

/// Its going back fails, or the bank gives it to the shop after all: nothing was ever missing, whichever is told first.
#[tokio::test]
async fn a_part_that_only_nearly_went_back_counts() {
    let shop = shop().await;
    for (by_dispute, rest_is_first) in [(true, true), (true, false), (false, true), (false, false)] {
        let id = shop.place_with(&[("tea", 1)], accumulate()).await;
        shop.pay_with(&id, json!({"amount": 600})).await;
        until_paid(&shop, &id, 600).await;
        let payment = shop.books(&id).await[0]["id"].as_str().unwrap().to_owned();
        shop.faults("", json!({"refunds": "pend"})).await;
        let (path, end, state) = match by_dispute {
            true => (format!("/dashboard/payments/{payment}/disputes"), "disputes", "won"),
            false => (format!("/dashboard/payments/{payment}/refunds"), "refunds", "failed"),
        };
        let taken = shop.provider(Method::POST, &path, &json!({"amount": 600})).await.is(200);
        let verb = if by_dispute { "close" } else { "settle" };
        let path = format!("/dashboard/{end}/{}/{verb}", taken["id"].as_str().unwrap());
        match by_dispute {
            true => drop(shop.until_told(&id, "payment.disputed").await),
            false => drop(shop.until_refunds(&id, &["pending"]).await),
        }
        let stays = async || {
            shop.provider(Method::POST, &path, &json!({"state": state})).await.is(200);
            match by_dispute {
                true => drop(shop.until_told(&id, "dispute.won").await),
                false => drop(shop.until_refunds(&id, &["failed"]).await),
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
        shop.until_payment_status(&id, "paid").await;
        // Somebody wanted it to go back, and a person looks at that.
        let told: &[_] = if by_dispute { &["disputed"] } else { &["refund_failed"] };
        assert_eq!(shop.exceptions(&id).await, told);
    }
    shop.close();
}
