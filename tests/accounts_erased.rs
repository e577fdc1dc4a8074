//! What becomes of an account's orders when it is erased.

use domain::Timestamp;
use serde_json::json;

use crate::{
    accounts::{PASSWORD, Person},
    harness::{Shop, documents::Order, send},
};

/// Another process has erased it: this one has placed an order for it a moment ago, and believes that no
/// more.
#[tokio::test]
async fn an_account_that_is_erased_elsewhere_places_nothing_more() {
    let shop = Shop::with_tea(5).await;
    let (_, _, ann) = Person::signed_in(&shop).await;
    let body = json!({"currency": "EUR", "lines": [{"sku": "tea", "quantity": 1}]});
    let order: Order = ann.post_as("k", "/v1/orders", &body).await.of().is(201);
    let db = store::Db::open(&shop.database_url, 2).unwrap();
    store::accounts::delete(&db, order.customer.id.parse().unwrap(), order.placed_at).await.unwrap();
    for key in ["k", "another"] {
        ann.post_as(key, "/v1/orders", &body).await.problem(401, "unauthorized");
    }
    let held: i64 = shop.query("SELECT held FROM stock_levels").await;
    assert_eq!(held, 1);
}

/// An account is erased while its order is open: who placed it is erased when that ends unpaid.
#[tokio::test]
async fn what_ends_after_its_account_forgets_who_placed_it() {
    let shop = Shop::with_tea(5).await;
    let (_, _, ann) = Person::signed_in(&shop).await;
    let body = json!({"currency": "EUR", "lines": [{"sku": "tea", "quantity": 1}]});
    let order: Order = ann.post_as("k", "/v1/orders", &body).await.of().is(201);
    send(ann.request(reqwest::Method::DELETE, "/v1/accounts/me").json(&json!({"password": PASSWORD})))
        .await
        .done();
    assert_ne!(shop.order(&order.id).await.customer.email, "erased@erased.invalid");
    shop.cancel(&order.id).await.is(200);
    let db = store::Db::open(&shop.database_url, 2).unwrap();
    #[expect(clippy::disallowed_methods, reason = "when the sweeper comes by")]
    let later = Timestamp::now() + jiff::SignedDuration::from_hours(2);
    store::accounts::forget(&db, later).await.unwrap();
    assert_eq!(shop.order(&order.id).await.customer.email, "erased@erased.invalid");
    let left: i64 = shop.query("SELECT count(*) FROM erasures").await;
    assert_eq!(left, 0);
}
