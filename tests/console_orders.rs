//! The console's pages of one order, and of exceptions: what they say is so, and what cannot be had now keeps
//! nobody from the rest.

use serde_json::json;
use sqlx::Executor as _;

use crate::{
    api_keys::key,
    console::visitor,
    harness::{
        Shop,
        visitor::{Page, Visitor},
        wait_until,
    },
    hosted_page,
    underpayment::{accumulate, until_paid},
};

/// Does something with an order, as its page asks for it.
async fn act(visitor: &Visitor, order: &str, name: &str, fields: &[(&str, &str)]) -> Page {
    let path = format!("/console/orders/{order}/{name}");
    let page = visitor.get(&path).await.is(200);
    let key = page.hidden("key");
    let mut all = fields.to_vec();
    all.push(("key", &key));
    visitor.fill_in(&page, &path, &all).await
}

#[tokio::test]
async fn what_goes_back_is_what_is_left() {
    let shop = Shop::with_tea(10).await;
    let visitor = visitor(&shop).await;
    let order = shop.sell_by_attempt(&[("tea", 2)], json!({"fulfilment": "manual"}), "paid").await;
    let says = async |name: &str, text: &str| {
        visitor.get(&format!("/console/orders/{order}/{name}")).await.is(200).shows(text);
    };
    says("cancel", "All that was paid goes back to the payer: 25.00 EUR.").await;
    says("refund", "All that was paid can go back: 25.00 EUR.").await;
    act(&visitor, &order, "refund", &[("reason", "scratched"), ("amount", "5.00")]).await.leads_to();
    shop.until_refunds(&order, &["succeeded"]).await;
    says("cancel", "20.00 EUR go back to the payer: the rest of the 25.00 EUR that were paid went back")
        .await;
    let payment = shop.provider_payment(&order).await;
    shop.provider.dispute(&payment, json!({"amount": 300})).await;
    shop.until_told(&order, "payment.disputed").await;
    says("refund", "17.00 EUR can go back: the rest of the 25.00 EUR that were paid went back").await;
    assert_eq!(shop.refundable(&order).await, 1700);

    // Who may not see payments is told no sum.
    let (issued, _) = key(&shop.api, "clerk", &["orders:read", "orders:write"]).await;
    let clerk = Visitor::with_key(shop.api.address(), &issued.key).await;
    let page = clerk.get(&format!("/console/orders/{order}/cancel")).await.is(200);
    page.shows("What is left of the 25.00 EUR that were paid goes back to the payer.");

    act(&visitor, &order, "refund", &[("reason", "all of it"), ("amount", "17.00")]).await.leads_to();
    shop.until_refunds(&order, &["succeeded", "succeeded"]).await;
    let page = visitor.get(&format!("/console/orders/{order}")).await.is(200);
    assert!(!page.html.contains(&format!("/console/orders/{order}/refund\"")), "nothing can go back");
    shop.close();
}

#[tokio::test]
async fn parts_of_an_order_that_waits_are_not_offered_to_go_back() {
    let shop = Shop::with_tea(10).await;
    let visitor = visitor(&shop).await;
    let order = shop.place_with(&[("tea", 2)], accumulate()).await;
    shop.pay_with(&order, json!({"amount": 2000})).await;
    until_paid(&shop, &order, 2000).await;
    let page = visitor.get(&format!("/console/orders/{order}")).await.is(200);
    assert!(!page.html.contains(&format!("/console/orders/{order}/refund\"")), "{}", page.html);
    let page = visitor.get(&format!("/console/orders/{order}/cancel")).await.is(200);
    page.shows("What came towards it so far, 20.00 EUR, is money for an ended order then");
    let page = visitor.get(&format!("/console/orders/{order}/refund")).await.is(200);
    page.shows("Nothing can go back yet");
    shop.close();
}

#[tokio::test]
async fn what_was_asked_is_seen_until_it_is_decided_and_after() {
    let mut shop = Shop::with_tea(10).await;
    let visitor = visitor(&shop).await;
    let order = shop.place_started(&[("tea", 1)]).await;
    let address = format!("/console/orders/{order}");
    assert!(!visitor.get(&address).await.html.contains("What was asked of it"));
    shop.kill_worker();
    let asked = act(&visitor, &order, "cancel", &[("reason", "no more wanted")]).await;
    assert_eq!(asked.leads_to(), format!("{address}?done=accepted"));
    let page = visitor.get(asked.leads_to()).await.is(200);
    for text in ["It is stored, and not decided yet", "What was asked of it", ">pending<"] {
        page.shows(text);
    }
    shop.start_worker();
    shop.until(&order, "cancelled").await;
    act(&visitor, &order, "fulfil", &[]).await.is(409);
    let page = visitor.get(&address).await.is(200);
    for text in ["fulfil", ">refused<", "The order is cancelled."] {
        page.shows(text);
    }
    assert!(!page.html.contains(">pending<"), "{}", page.html);
    shop.close();
}

#[tokio::test]
async fn what_cannot_be_had_is_missing_and_the_rest_is_there() {
    let shop = Shop::with_tea(10).await;
    let order = shop.place_started(&[("tea", 1)]).await;
    let limits = ("HOLDFAST_RATE_LIMITS", "reads=4/3600".to_owned());
    let (api, _process) = shop.start_api(&[limits]).await;
    let visitor = Visitor::signed_in(api.address()).await;
    let page = visitor.get(&format!("/console/orders/{order}")).await.is(200);
    assert_eq!(page.html.matches("cannot be shown now.").count(), 6, "{}", page.html);
    page.shows("12.50 EUR");
    visitor.get(&format!("/console/orders/{order}")).await.is(429); // not even the order

    // What they have no right to is not asked for, and no refusal is counted.
    let (issued, _) = key(&shop.api, "reader", &["orders:read"]).await;
    let reader = Visitor::with_key(shop.api.address(), &issued.key).await;
    let refused = async || {
        let figures = shop.figures().await;
        figures.lines().find(|line| line.contains("reason=\"scope_missing\"")).map(str::to_owned)
    };
    let before = refused().await;
    let page = reader.get(&format!("/console/orders/{order}")).await.is(200);
    assert!(!page.html.contains("Payments") && !page.html.contains("cannot be shown"), "{}", page.html);
    assert_eq!(refused().await, before);
    shop.close();
}

/// A hundred of them are shown, the newest, and where the others are.
#[tokio::test]
async fn long_lists_of_an_order_go_on() {
    let shop = Shop::with_env(vec![("HOLDFAST_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8".to_owned())]).await;
    shop.stock("tea", 1250, 10).await;
    let hook = json!({"url": "http://127.0.0.1:1/hook"});
    shop.api.post("/v1/webhook-endpoints", &hook).await.is(201);
    let order = shop.place_started(&[("tea", 1)]).await;
    shop.until_true("it is to be delivered", "SELECT count(*) > 0 FROM webhook_deliveries").await;
    let copies =
        "INSERT INTO webhook_deliveries (endpoint_id, event, salt, order_id, subject, type, at, state,
                                                  created_at)
                  SELECT endpoint_id, event + 1000000 + n, salt, order_id, subject, type, at, 'delivered',
                         created_at
                  FROM webhook_deliveries, generate_series(1, 150) AS n WHERE type = 'order.placed'";
    shop.sql().await.execute(copies).await.unwrap();
    let visitor = visitor(&shop).await;
    let address = format!("/console/orders/{order}");
    let page = visitor.get(&address).await.is(200);
    page.shows("Webhooks about it, newest first");
    let link = format!("href=\"{address}?deliveries_after=");
    let (_, rest) = page.html.split_once(&link).unwrap_or_else(|| panic!("no more:\n{}", page.html));
    let after = rest.split('"').next().unwrap();
    let rows = |page: &Page| page.html.matches("/console/events/whe_").count();
    assert_eq!(rows(&page), 100);
    let rest = visitor.get(&format!("{address}?deliveries_after={after}")).await.is(200);
    assert!(rows(&rest) >= 51 && !rest.html.contains(&link), "{}", rest.html);
    rest.shows(&format!("{address}/sections?deliveries_after={after}"));
    shop.close();
}

/// What is refused of one keeps nobody from deciding about the others. Who presses twice has done it once.
#[tokio::test]
async fn of_many_exceptions_those_are_decided_that_can_be() {
    let shop = Shop::with_tea(10).await;
    let visitor = visitor(&shop).await;
    let (ended, open) = (shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await);
    let mut exceptions = Vec::new();
    for order in [&ended, &open] {
        shop.pay_with(order, json!({"amount": 100})).await;
        exceptions.push(shop.until_exception(order, "wrong_amount").await);
    }
    shop.cancel(&ended).await.is(200);
    let path = "/console/exceptions/all/wrong_amount";
    let page = visitor.get(path).await.is(200);
    let ids = page.hidden("ids");
    assert_eq!(ids, format!("{} {}", exceptions[0].id, exceptions[1].id));
    // One more that was not shown is not decided about.
    shop.pay_with(&open, json!({"amount": 101})).await;
    shop.until_told_times(&open, "exception.raised", 2).await;

    let fields = [("action", "apply"), ("note", "as agreed"), ("ids", ids.as_str())];
    let none = [("action", "apply"), ("note", ""), ("ids", ids.as_str())];
    visitor.fill_in(&page, path, &none).await.is(422).shows("aria-invalid=\"true\"");
    let partly = visitor.fill_in(&page, path, &fields).await.is(409);
    for text in ["Decided, and on record: 1.", "These were refused", "it can be paid no more", "as agreed"] {
        partly.shows(text);
    }
    partly.shows(&format!("href=\"/console/exceptions/{}\"", exceptions[0].id));
    assert_eq!(partly.hidden("ids"), exceptions[0].id);
    let again = visitor.fill_in(&page, path, &fields).await.is(409); // pressed twice
    again.shows("Decided, and on record: 1.");
    let ids = again.hidden("ids");
    let fields = [("action", "dismiss"), ("note", "it stays"), ("ids", ids.as_str())];
    let done = visitor.fill_in(&again, path, &fields).await;
    assert_eq!(done.leads_to(), "/console/exceptions?done=all&count=1");
    visitor.get(done.leads_to()).await.shows("Decided, and on record: 1.");

    let last = shop.until_exception(&open, "wrong_amount").await;
    let path = format!("/console/exceptions/{}", last.id);
    let page = visitor.get(&path).await.is(200);
    for _ in 0..2 {
        let fields = [("action", "accept"), ("note", "tips")];
        let done = visitor.fill_in(&page, &format!("{path}/resolve"), &fields).await;
        assert_eq!(done.leads_to(), format!("{path}?done=resolved"));
    }
    // Another decision is another matter.
    let fields = [("action", "refund"), ("note", "after all")];
    visitor.fill_in(&page, &format!("{path}/resolve"), &fields).await.is(409);
    wait_until("what was applied counts", async || shop.order(&open).await.amount_paid == 100).await;
    shop.close();
}

#[tokio::test]
async fn links_that_were_mailed_are_revoked() {
    let shop = Shop::with_env(hosted_page::env()).await;
    shop.stock("tea", 1250, 100).await;
    let (order, mail) = hosted_page::reminded(&shop, "en").await;
    let link = hosted_page::link(&mail);
    assert_eq!(hosted_page::get(&shop, &link).await.status, 200);
    let visitor = visitor(&shop).await;
    visitor.get(&format!("/console/orders/{order}")).await.shows("Revoke the links in its mails");
    let done = act(&visitor, &order, "revoke-links", &[]).await;
    assert_eq!(done.leads_to(), format!("/console/orders/{order}?done=revoke-links"));
    visitor.get(done.leads_to()).await.shows("The links in its mails are good no more.");
    assert_eq!(hosted_page::get(&shop, &link).await.status, 404);
    shop.close();
}
