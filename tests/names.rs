//! Who and what can be named: addresses, locales, the shop's own ids, SKUs (docs/adr/0033).

use std::collections::BTreeSet;

use prost::Message as _;
use serde_json::json;

use crate::{
    harness::{
        Mail, Setup, Shop, Smtp,
        documents::{Movement, Order, Product, ProductEvent},
        encoded, unique, wait_until,
    },
    stays::day,
};

async fn with_smtp() -> (Shop, Smtp) {
    let smtp = Smtp::start().await;
    let shop = Shop::with(Setup { smtp_url: Some(smtp.url.clone()), ..Setup::default() }).await;
    shop.stock("tea", 1250, 100).await;
    (shop, smtp)
}

/// Places an order for this address, and pays it. Gives its id.
async fn paid_by(shop: &Shop, email: &str) -> String {
    let mut body = shop.order_body(&[("tea", 1)]);
    body["customer"]["email"] = json!(email);
    let order = shop.try_place(&body).await.is(201);
    assert_eq!(order.customer.email, email, "shown as it was given");
    let id = order.id;
    shop.pay(&id).await;
    shop.until(&id, "completed").await;
    id
}

#[tokio::test]
async fn mails_reach_every_address_that_is_taken() {
    let (shop, smtp) = with_smtp().await;
    let name = unique();
    for (email, recipient) in [
        (format!("{name}..a.@docomo.ne.jp"), format!("\"{name}..a.\"@docomo.ne.jp")),
        (format!(".{name}@ezweb.ne.jp"), format!("\".{name}\"@ezweb.ne.jp")),
        (format!("\"{name}.b.\"@docomo.ne.jp"), format!("\"{name}.b.\"@docomo.ne.jp")),
        (format!("{name}+tea/1=x@EXAMPLE.org"), format!("{name}+tea/1=x@example.org")),
        (format!("{name}@grün.example"), format!("{name}@xn--grn-ioa.example")),
        (format!("{name}.2@gru\u{308}n.example"), format!("{name}.2@xn--grn-ioa.example")),
        (format!("{name}@例え.テスト"), format!("{name}@xn--r8jz45g.xn--zckzah")),
        (format!("jürgen.{name}@example.org"), format!("jürgen.{name}@example.org")),
        (format!("संपर्क{name}@डाटा.example"), format!("संपर्क{name}@xn--c2bd1gb.example")),
        (format!("用户{name}..@例子.广告"), format!("\"用户{name}..\"@xn--fsqu00a.xn--4rr70v")),
    ] {
        let id = paid_by(&shop, &email).await;
        assert_eq!(shop.until_mailed(&id, "paid").await, ["paid"], "{email}");
        let command = format!("RCPT TO:<{recipient}>");
        assert_eq!(smtp.commands(&command).len(), 1, "{email}: {:?}", smtp.commands("RCPT"));
        let from = smtp.commands("MAIL FROM").pop().unwrap();
        assert_eq!(from.contains("SMTPUTF8"), !recipient.is_ascii(), "{email}: {from}");
        let Mail { to, .. } = shop.mails(&id).await.remove(0);
        assert_eq!(to.replace('"', ""), recipient.replace('"', ""), "{email}");
    }
    shop.close();
}

#[tokio::test]
async fn a_mailbox_that_the_mail_server_cannot_write_is_told() {
    let (shop, smtp) = with_smtp().await;
    smtp.forget_utf8();
    smtp.refuse("NOOP", "421 connect again"); // the worker has asked at its start what the server can do
    let id = paid_by(&shop, "jürgen@example.org").await;
    shop.until_told(&id, "mail.rejected").await;
    let told = json!({"kind": "paid", "code": null, "reason": "smtputf8_missing"});
    assert_eq!(shop.told(&id, "mail.rejected").await, [told]);
    assert!(!format!("{:?}", shop.timeline(&id).await).contains("jürgen"));
    // A domain in other letters needs nothing of the server.
    let email = format!("{}@grün.example", unique());
    let id = paid_by(&shop, &email).await;
    shop.until_mailed(&id, "paid").await;

    // An order from before an address was looked at so closely.
    let old = shop.place(&[("tea", 1)]).await;
    let spoilt = "UPDATE orders SET customer = customer || '{\"email\": \"a b\"}' WHERE id = $1";
    let uuid = uuid_of(&old);
    sqlx::query(spoilt).bind(uuid).execute(&mut shop.sql().await).await.unwrap();
    shop.pay(&old).await;
    shop.until_told(&old, "mail.rejected").await;
    shop.close();
}

fn uuid_of(id: &str) -> sqlx::types::Uuid {
    id.trim_start_matches("ord_").parse().unwrap()
}

/// What a mail server says may quote the address: neither a log nor the engine gets it.
#[tokio::test]
async fn nobody_hears_what_a_mail_server_says_of_an_address() {
    let smtp = Smtp::start().await;
    let setup = Setup { smtp_url: Some(smtp.url.clone()), without_payload_key: true, ..Setup::default() };
    let shop = Shop::with(setup).await;
    shop.stock("tea", 1250, 100).await;
    smtp.refuse("RCPT TO", &format!("450 4.2.0 <{}> greylisted", shop.email));
    let id = paid_by(&shop, &shop.email).await;
    wait_until("it was tried twice", async || smtp.commands("RCPT TO").len() > 1).await;
    smtp.relent();
    shop.fast_forward(&id, "PT20M").await;
    shop.until_mailed(&id, "paid").await;
    smtp.refuse("RCPT TO", &format!("550 5.1.1 <{}> is unknown", shop.email));
    let rejected = paid_by(&shop, &shop.email).await;
    shop.until_told(&rejected, "mail.rejected").await;
    for id in [&id, &rejected] {
        shop.temporal.until_closed(id).await;
        let history: Vec<u8> =
            shop.temporal.history(id).await.iter().flat_map(|event| event.encode_to_vec()).collect();
        assert!(!String::from_utf8_lossy(&history).contains(&shop.email));
        let timeline = format!("{:?}", shop.timeline(id).await);
        assert!(!timeline.contains(&shop.email), "{timeline}");
    }
    shop.close();
}

#[tokio::test]
async fn what_is_no_address_is_refused_at_the_door() {
    let shop = Shop::with_tea(100).await;
    for email in [
        "ann",
        "@example.org",
        "ann@",
        "..@example.org",
        "a b@example.org",
        "Ann <ann@example.org>",
        "a@b@example.org",
        "ann@example..org",
        "ann@example.org.",
        "ann@-example.org",
        "ann@[127.0.0.1]",
        "ann@127.0.0.1",
        "a\u{200b}nn@example.org",
        "ann@exa\u{ad}mple.org",
        "ann\n@example.org",
        "ann@xn--a.example",
    ] {
        let mut body = shop.order_body(&[("tea", 1)]);
        body["customer"]["email"] = json!(email);
        assert_eq!(shop.try_place(&body).await.bad_fields(), ["customer.email"], "{email:?}");
    }
    shop.close();
}

#[tokio::test]
async fn locales_are_understood_as_programs_write_them() {
    let shop = Shop::with_tea(100).await;
    for (written, locale) in
        [("de_AT", "de-AT"), ("de-at", "de-AT"), ("de_AT.UTF-8", "de-AT"), ("zh_hant_TW", "zh-Hant-TW")]
    {
        let mut body = shop.order_body(&[("tea", 1)]);
        body["customer"]["locale"] = json!(written);
        let order = shop.try_place(&body).await.is(201);
        assert_eq!(order.customer.locale, locale);
    }
    shop.close();
}

#[tokio::test]
async fn customers_have_the_shops_own_ids() {
    let shop = Shop::with_tea(100).await;
    let mark = unique();
    let long = "x".repeat(128);
    for id in ["auth0|abc", "gid://shop/Customer/1", "a+b/c==&x=1%20#?", "Kunde 7 Wörther", "{3F25}", &long]
    {
        let customer = if id == long { long.clone() } else { format!("{id}{mark}") };
        let mut body = shop.order_body(&[("tea", 1)]);
        body["customer"]["id"] = json!(customer);
        let order = shop.try_place(&body).await.is(201);
        assert_eq!(order.customer.id, customer);
        let list = shop.api.list::<Order>(&format!("/v1/orders?customer={}", encoded(&customer))).await.data;
        assert_eq!(list, [shop.order(&order.id).await], "{customer}");
        shop.until_told(&order.id, "workflow.started").await;
        shop.pay(&order.id).await;
        shop.until(&order.id, "completed").await;
    }
    for bad in ["", "-", " a", "a\u{202e}b", "a\nb", "a@example.org", &format!("{long}x")] {
        let mut body = shop.order_body(&[("tea", 1)]);
        body["customer"]["id"] = json!(bad);
        assert_eq!(shop.try_place(&body).await.bad_fields(), ["customer.id"], "{bad:?}");
    }
    shop.close();
}

#[tokio::test]
async fn skus_with_space_slash_and_plus_work_everywhere() {
    let shop = Shop::open().await;
    let product = json!({"name": "Odd", "unit_price": 1250, "currency": "EUR"});
    // Each is a product of its own: nothing is split, and a plus is no space.
    let skus = ["a/b", "a", "b", "a b", "a+b", "a/b/history", "a/../b", "12/3 +x", "A/B"];
    for sku in skus {
        let path = encoded(sku);
        assert_eq!(shop.put_product(&path, &product).await.is(201).sku, sku);
        assert_eq!(shop.adjust(&path, 5).await.is(201).sku, sku);
    }
    for sku in skus {
        let path = encoded(sku);
        assert_eq!(shop.product(&path).await.sku, sku);
        assert_eq!(shop.level(&path).await, (5, 0));
        let history = shop.api.list::<ProductEvent>(&format!("/v1/products/{path}/history")).await.data;
        assert_eq!(history.len(), 1);
        let ledger = shop.api.list::<Movement>(&format!("/v1/ledger?sku={path}")).await.data;
        assert_eq!((ledger.len(), ledger[0].sku.as_str()), (1, sku));
    }
    assert_eq!(shop.product("a%2fb").await.sku, "a/b");
    assert_eq!(shop.product("a+b").await.sku, "a+b");
    assert_eq!(shop.api.get("/v1/products/a/b").await.status, 404);
    for bad in ["%20a", "a%20", "%20", "%2F", "a%3Fb", "a%40b", "a%0Ab", "a%C3%A9", "%2B%2F"] {
        let put = shop.put_product(bad, &product).await;
        assert_eq!(put.bad_fields(), ["sku"], "{bad}");
    }

    // Lists go on after them, and they are found by their beginning.
    let listed = shop.api.pages::<Product>("/v1/products?limit=2").await.concat();
    assert_eq!(listed.len(), skus.len());
    let listed: BTreeSet<&str> = listed.iter().map(|product| product.sku.as_str()).collect();
    assert_eq!(listed, BTreeSet::from(skus));
    let found = shop.api.list::<Product>(&format!("/v1/products?limit=1&q={}", encoded("12/3 +"))).await;
    assert_eq!(found.data[0].sku, "12/3 +x");

    // Ordered, paid, and one of two brought back.
    let id = shop.sell(&[("a/b", 2), ("a+b", 1), ("a b", 1)]).await;
    let lines = json!([{"sku": "a/b", "quantity": 1}, {"sku": "a b", "quantity": 1}]);
    shop.refund(&id, json!({"lines": lines, "reason": "broken"})).await;
    shop.until_money(&id, "partially_refunded").await;
    for (sku, on_hand) in [("a/b", 4), ("a b", 5), ("a+b", 4), ("a", 5)] {
        wait_until(sku, async || shop.level(&encoded(sku)).await == (on_hand, 0)).await;
    }
    shop.close();
}

#[tokio::test]
async fn nights_of_such_a_sku_are_its_own() {
    let shop = Shop::open().await;
    let sku = "room 1/2 +";
    let path = encoded(sku);
    shop.rooms(&path, 2).await;
    let id = shop.book(sku, 2, 4).await;
    shop.pay_stay(&id).await;
    assert_eq!(shop.nights(&path, 2, 4).await, [(0, 1), (0, 1)]);
    let night = format!("{sku}@{}", day(2));
    let ledger = shop.api.list::<Movement>(&format!("/v1/ledger?sku={}", encoded(&night))).await.data;
    assert!(ledger.len() > 2 && ledger.iter().all(|it| it.sku == night), "{ledger:?}");
    assert_eq!(shop.try_place(&shop.order_body(&[(&night, 1)])).await.bad_fields(), ["lines[0].sku"]);
    shop.close();
}
