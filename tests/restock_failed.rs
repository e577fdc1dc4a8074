//! Refunds that were to bring something back, and failed: what comes back does so once, with its money.

use serde_json::json;

use crate::restock::shop;

/// The money of a refund goes back in the dashboard, or by the very refund that it replaces: it fails, and
/// what it was to bring back comes back all the same, whichever is told first.
#[tokio::test]
async fn what_a_refund_was_to_bring_back_comes_back_with_its_money_however_that_went() {
    let shop = shop().await;
    let lines = json!([{"sku": "tea", "quantity": 2}]);
    for dashboard_is_first in [true, false] {
        let id = shop.sell_by_attempt(&[("tea", 2)], json!({}), "completed").await;
        if dashboard_is_first {
            shop.provider.outage().await;
            shop.bring_back(&id, lines.clone()).await.is(201);
            shop.refund_in_dashboard(&id, 2000).await;
            shop.until_refunds(&id, &["requested", "succeeded"]).await;
            shop.provider.no_faults().await;
        } else {
            shop.provider.faults(json!({"refunds": "fail"})).await;
            shop.bring_back(&id, lines.clone()).await.is(201);
            shop.until_exception(&id, "refund_failed").await;
            shop.provider.no_faults().await;
            shop.refund_in_dashboard(&id, 2000).await;
        }
        shop.until_refunds(&id, &["failed", "succeeded"]).await;
        assert_eq!(shop.until_back(&id, 1).await, std::slice::from_ref(&lines));
        assert_eq!(shop.list_exceptions("state=open").await, []);
        // Nothing of it is there a second time.
        assert_eq!(shop.ledger_returned(&id).await, [("tea".to_owned(), 2)]);
    }

    // Refused, asked for again, and the first one is settled by hand meanwhile.
    let id = shop.sell_by_attempt(&[("tea", 2), ("mug", 1)], json!({}), "completed").await;
    let lines = json!([{"sku": "tea", "quantity": 1}]);
    shop.provider.faults(json!({"refunds": "fail"})).await;
    let first = shop.bring_back(&id, lines.clone()).await.is(201);
    let failed = shop.until_exception(&id, "refund_failed").await;
    shop.provider.faults(json!({"refunds": "pend"})).await;
    shop.resolve(&failed, "refund").await.is(200);
    let both = shop.until_refunds(&id, &["failed", "pending"]).await;
    for (refund, state) in [(&first, "succeeded"), (&both[1], "failed")] {
        shop.provider.settle(&refund.id, state).await;
    }
    shop.until_refunds(&id, &["succeeded", "failed"]).await;
    assert_eq!(shop.until_back(&id, 1).await, [lines]);
    assert_eq!(shop.ledger_returned(&id).await, [("tea".to_owned(), 1)]);
    assert_eq!(shop.list_exceptions("state=open").await, []);
    shop.close();
}

/// A refund that fails is asked for again: nothing comes back while the money is here, and what comes back
/// does so once.
#[tokio::test]
async fn what_is_asked_for_again_comes_back_once() {
    let shop = shop().await;
    let lines = json!([{"sku": "tea", "quantity": 2}]);
    let id = shop.sell_by_attempt(&[("tea", 2)], json!({"fulfilment": "manual"}), "paid").await;
    shop.provider.faults(json!({"refunds": "fail"})).await;
    for failed in [&["failed"][..], &["failed", "failed"]] {
        shop.bring_back(&id, lines.clone()).await.is(201);
        shop.until_refunds(&id, failed).await;
    }
    assert_eq!((shop.level("tea").await, shop.returned(&id).await), ((8, 0), vec![0]));
    shop.fulfil(&id).await.is(200);

    // Two that fail side by side are two pieces, and each comes back when its refund is made again.
    let id = shop.sell_by_attempt(&[("tea", 2)], json!({}), "completed").await;
    let single = json!([{"sku": "tea", "quantity": 1}]);
    for failed in [&["failed"][..], &["failed", "failed"]] {
        shop.bring_back(&id, single.clone()).await.is(201);
        shop.until_refunds(&id, failed).await;
    }
    shop.provider.no_faults().await;
    for exception in shop.list_exceptions(&format!("state=open&order={id}")).await {
        shop.resolve(&exception, "refund").await.is(200);
    }
    shop.until_money(&id, "refunded").await;
    shop.until_back(&id, 2).await;
    assert_eq!(shop.returned(&id).await, [2]);
    assert_eq!(shop.level("tea").await, (8, 0));

    // One of two pieces, for all the money.
    shop.provider.faults(json!({"refunds": "fail"})).await;
    let id = shop.sell_by_attempt(&[("tea", 2)], json!({}), "completed").await;
    let one = json!({"reason": "x", "amount": 2000, "lines": [{"sku": "tea", "quantity": 1}]});
    shop.ask_refund(&id, &one).await.is(201);
    shop.until_refunds(&id, &["failed"]).await;
    shop.provider.no_faults().await;
    shop.ask_refund(&id, &one).await.is(201);
    shop.until_money(&id, "refunded").await;
    shop.until_back(&id, 1).await;
    assert_eq!((shop.level("tea").await, shop.returned(&id).await), ((7, 0), vec![1]));
    shop.close();
}
