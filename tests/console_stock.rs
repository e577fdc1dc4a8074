//! Stock and catalogue in the console: what an operator does with them, without a browser.

use serde_json::{Value, json};

use crate::{
    api_keys::key,
    console::visitor,
    harness::{Shop, visitor::Visitor},
};

#[tokio::test]
async fn an_operator_sees_to_stock() {
    let shop = Shop::with_tea(10).await;
    let visitor = visitor(&shop).await;
    let page = visitor.get("/console/stock/tea").await.is(200);
    page.shows("Ledger, newest first");
    let adjust = async |key: &str, delta: &str| {
        let fields = [("kind", "received"), ("delta", delta), ("reason", "a delivery"), ("key", key)];
        visitor.fill_in(&page, "/console/stock/tea/adjust", &fields).await
    };
    let (before, _) = shop.level("tea").await;
    let key = page.hidden("key");
    adjust(&key, "5").await.leads_to();
    adjust(&key, "5").await.leads_to(); // pressed twice
    assert_eq!(shop.level("tea").await.0, before + 5);
    adjust("another", "some").await.is(422);
    adjust("a third", "-1").await.is(422);

    thresholds_and_nights(&shop, &visitor).await;
    shop.close();
}

/// Of goods it is said at how much others are told; of nights, what they cost.
async fn thresholds_and_nights(shop: &Shop, visitor: &Visitor) {
    let page = visitor.get("/console/stock/tea").await.is(200);
    let path = "/console/stock/tea/threshold";
    for (given, now) in [("4", json!(4)), ("", Value::Null)] {
        visitor.fill_in(&page, path, &[("threshold", given)]).await.leads_to();
        let level = shop.api.get("/v1/inventory/tea").await.is(200);
        assert_eq!(level["low_stock_threshold"], now);
    }
    visitor.fill_in(&page, path, &[("threshold", "0")]).await.is(422).shows("must be between 1 and");
    visitor.fill_in(&page, path, &[("threshold", "few")]).await.is(422).shows("must be a whole number");
    shop.rooms("room", 3).await;
    let nights = visitor.get("/console/stock/room").await.is(200);
    nights.shows("80.00 EUR</td>");
    assert!(!nights.html.contains("/threshold"), "{}", nights.html);
}

#[tokio::test]
async fn an_operator_sees_to_the_catalogue() {
    let shop = Shop::with_tea(10).await;
    let visitor = visitor(&shop).await;
    let page = visitor.get("/console/catalogue/tea").await.is(200);
    let version = page.hidden("version");
    let fields =
        [("version", version.as_str()), ("name", "Fine tea"), ("price", "13.00"), ("currency", "EUR")];
    visitor.fill_in(&page, "/console/catalogue/tea", &fields).await.leads_to();
    let product = shop.product("tea").await;
    assert_eq!((product.name.as_str(), product.unit_price, product.active), ("Fine tea", 1300, false));
    // Pressed twice: it is as it is to be. Something else is not saved over what somebody else has saved.
    visitor.fill_in(&page, "/console/catalogue/tea", &fields).await.leads_to();
    let other = [("version", version.as_str()), ("name", "Tea"), ("price", "13.00"), ("currency", "EUR")];
    let stale = visitor.fill_in(&page, "/console/catalogue/tea", &other).await.is(412);
    stale.shows("nothing was done");
    assert_eq!(shop.product("tea").await.name, "Fine tea");
    let new = visitor.get("/console/catalogue-new").await.is(200);
    let fields = [("sku", "mug"), ("name", "Mug"), ("price", "9"), ("currency", "EUR"), ("active", "on")];
    visitor.fill_in(&new, "/console/catalogue-new", &fields).await.leads_to();
    visitor.fill_in(&new, "/console/catalogue-new", &fields).await.is(422).shows("is another product");
    assert_eq!(shop.product("mug").await.unit_price, 900);

    // Who may only write adds one, too: the API itself sees to it that there is none.
    let (issued, _) = key(&shop.api, "writer", &["catalogue:write"]).await;
    let writer = Visitor::with_key(shop.api.address(), &issued.key).await;
    let fields = [("sku", "jug"), ("name", "Jug"), ("price", "19"), ("currency", "EUR"), ("active", "on")];
    let new = writer.get("/console/catalogue-new").await.is(200);
    writer.fill_in(&new, "/console/catalogue-new", &fields).await.leads_to();
    writer.fill_in(&new, "/console/catalogue-new", &fields).await.is(422).shows("is another product");

    // Retired is what was shown, once that is confirmed.
    let path = "/console/catalogue/jug/retire";
    visitor.get("/console/catalogue/jug").await.is(200).shows(&format!("href=\"{path}\""));
    let page = visitor.get(path).await.is(200);
    page.shows("found, listed and sold no more");
    visitor.fill_in(&page, path, &[("version", &page.hidden("version"))]).await.leads_to();
    visitor.get("/console/catalogue/jug").await.shows("retired");
    shop.close();
}
