//! The console without a browser: who gets in, what forms do, and what pages never do.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::{
    api_keys::key,
    harness::{
        Shop, eventually,
        visitor::{Page, Visitor, read},
        wait_until,
    },
    update::documented,
};

/// In the middle of text, markup that does something.
const MARKED: &str = "<b id=marked onclick='x()'>\"&'";

async fn visitor(shop: &Shop) -> Visitor {
    Visitor::signed_in(shop.api.address()).await
}

#[tokio::test]
async fn whoever_has_a_key_signs_in_and_out() {
    let shop = Shop::without_worker().await;
    let mut visitor = Visitor::new(shop.api.address());
    let page = visitor.get("/console/orders?status=paid").await;
    assert_eq!(page.leads_to(), "/console/sign-in?next=%2Fconsole%2Forders%3Fstatus%3Dpaid");
    visitor.get("/console/sign-in").await.is(200).shows("API key");
    for wrong in ["", "wrong", &format!("hf_{}", "0".repeat(38)), "a.b.c"] {
        let page = visitor.sign_in(wrong).await.is(401);
        assert_eq!(page.header("set-cookie"), "");
        page.shows("This is no API key of this shop.");
    }

    // A token that somebody has planted before is no session, and does not become one.
    let planted = format!("holdfast-console={}", "A".repeat(43));
    visitor.cookie = Some(planted.clone());
    let page = visitor.sign_in(crate::harness::http::API_KEY).await;
    assert_eq!(page.leads_to(), "/console");
    let set = page.header("set-cookie").to_owned();
    assert!(
        set.starts_with("holdfast-console=") && set.ends_with("Path=/; HttpOnly; SameSite=Strict"),
        "{set}"
    );
    let first = visitor.cookie.clone().unwrap();
    assert_ne!(first, planted);
    assert_eq!(visitor.get("/console").await.leads_to(), "/console/today");
    visitor.sign_in(crate::harness::http::API_KEY).await;
    let second = visitor.cookie.clone().unwrap();
    assert_ne!(first, second, "each sign-in has a session of its own");
    visitor.cookie = Some(planted);
    visitor.get("/console/orders").await.leads_to();

    // Of a token there is nothing in the database by which it could be used.
    let stored: i64 =
        shop.query("SELECT count(*) FROM console_sessions WHERE octet_length(token_hash) = 32").await;
    assert_eq!(stored, 2);
    visitor.cookie = Some(second.clone());
    let page = visitor.get("/console/orders").await.is(200);
    let out = visitor.fill_in(&page, "/console/sign-out", &[]).await;
    assert_eq!(out.leads_to(), "/console/sign-in");
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    visitor.get("/console/orders").await.leads_to(); // the old cookie is worth nothing
    visitor.cookie = Some(first);
    visitor.get("/console/orders").await.is(200); // the other session goes on
    shop.close();
}

#[tokio::test]
async fn by_tls_the_cookie_is_the_hosts_alone() {
    let shop = Shop::without_worker().await;
    let visitor = Visitor::new(shop.api.address());
    let fields = [("key", crate::harness::http::API_KEY)];
    let request = visitor.form("/console/sign-in", &fields).header("x-forwarded-proto", "https");
    let set = visitor.send(request).await;
    let cookie = set.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-holdfast-console="), "{cookie}");
    assert!(cookie.ends_with("Path=/; HttpOnly; SameSite=Strict; Secure"), "{cookie}");
    // One without the prefix may come from a neighbour of the host's.
    let value = cookie.split(['=', ';']).nth(1).unwrap();
    for (name, status) in [("__Host-holdfast-console", 200), ("holdfast-console", 303)] {
        let request = visitor.request(Method::GET, "/console/orders").header("x-forwarded-proto", "https");
        read(request.header("cookie", format!("{name}={value}"))).await.is(status);
    }
    shop.close();
}

#[tokio::test]
async fn a_session_ends_with_its_time_and_with_its_key() {
    let shop = Shop::without_worker().await;
    let visitor = visitor(&shop).await;
    visitor.get("/console/orders").await.is(200);
    for (ended, restored) in [
        ("ends_at = ends_at - interval '12 hours'", "ends_at = ends_at + interval '12 hours'"),
        ("seen_at = seen_at - interval '61 minutes'", "seen_at = seen_at + interval '61 minutes'"),
    ] {
        let set = |what: &str| format!("UPDATE console_sessions SET {what}");
        shop.sql().await.execute(sqlx::AssertSqlSafe(set(ended))).await.unwrap();
        visitor.get("/console/orders").await.leads_to();
        shop.sql().await.execute(sqlx::AssertSqlSafe(set(restored))).await.unwrap();
        visitor.get("/console/orders").await.is(200);
    }

    let (issued, _) = key(&shop.api, "ann", &["orders:read", "events:read"]).await;
    let ann = Visitor::with_key(shop.api.address(), &issued.key).await;
    ann.get("/console/orders").await.is(200).shows("Signed in as <b>ann</b>");
    let stream = ann.request(Method::GET, "/console/stream").send().await.unwrap();
    assert_eq!(stream.status(), 200);
    shop.api.delete(&format!("/v1/keys/{}", issued.id)).await.is(200);
    ann.get("/console/orders").await.leads_to();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(30), stream.bytes()).await;
    assert!(ended.is_ok(), "the stream of a session ends with its key");
    let mut again = Visitor::new(shop.api.address());
    again.sign_in(&issued.key).await.is(401).shows("This API key was revoked.");

    // A key of the environment that is taken away.
    let other = ("HOLDFAST_API_KEY", "another-key-of-the-environment".to_owned());
    let (api, _process) = shop.start_api(&[other]).await;
    let mut elsewhere = Visitor::new(api.address());
    elsewhere.cookie = visitor.cookie.clone();
    elsewhere.get("/console/orders").await.leads_to();
    shop.close();
}

#[tokio::test]
async fn forms_of_others_do_nothing() {
    let shop = Shop::with_tea(10).await;
    let order = shop.place_started(&[("tea", 1)]).await;
    let (visitor, other) = (visitor(&shop).await, visitor(&shop).await);
    let path = format!("/console/orders/{order}/cancel");
    let page = visitor.get(&path).await.is(200);
    page.shows("What is set aside for the order is for sale again.");
    let (token, key) = (page.hidden("form_token"), page.hidden("key"));
    let of_other = other.get(&path).await.hidden("form_token");
    let own = format!("http://{}", shop.api.address());
    let cases: Vec<(&str, Option<&str>, Option<(&str, &str)>)> = vec![
        ("no proof", None, Some(("origin", &own))),
        ("an empty proof", Some(""), Some(("origin", &own))),
        ("a wrong proof", Some("AAAA"), Some(("origin", &own))),
        ("the proof of another session", Some(&of_other), Some(("origin", &own))),
        ("no origin", Some(&token), None),
        ("another origin", Some(&token), Some(("origin", "http://evil.example"))),
        ("no origin to tell", Some(&token), Some(("origin", "null"))),
        ("another site", Some(&token), Some(("sec-fetch-site", "cross-site"))),
        ("a neighbour", Some(&token), Some(("sec-fetch-site", "same-site"))),
    ];
    for (what, token, header) in cases {
        let mut fields = vec![("key", key.as_str())];
        fields.extend(token.map(|token| ("form_token", token)));
        let request = visitor.form(&path, &fields);
        let request = match header {
            Some((name, value)) => request.header(name, value),
            None => request,
        };
        let page = read(request).await;
        assert_eq!(page.status, 403, "{what}: {}", page.html);
    }
    // Also to sign in or out.
    let sign_in = visitor.form("/console/sign-in", &[("key", crate::harness::http::API_KEY)]);
    read(sign_in.header("origin", "http://evil.example")).await.is(403);
    visitor.send(visitor.form("/console/sign-out", &[])).await.is(403);
    assert_eq!(shop.order(&order).await.status, "awaiting_payment");

    let fields = [("key", key.as_str()), ("reason", "no more wanted")];
    let done = visitor.fill_in(&page, &path, &fields).await;
    assert_eq!(done.leads_to(), format!("/console/orders/{order}?done=cancel"));
    let again = visitor.fill_in(&page, &path, &fields).await; // pressed twice
    assert_eq!(again.leads_to(), done.leads_to());
    assert_eq!(shop.order(&order).await.close_reason, "no more wanted");
    let changes = shop.changes(&order).await;
    assert_eq!((changes.len(), changes[0].by.as_deref()), (1, Some("api")));
    visitor.get(done.leads_to()).await.is(200).shows("The order is cancelled.");
    // What cannot be done any more is said on the page.
    let page = visitor.get(&path).await;
    let late = visitor.fill_in(&page, &path, &[("key", &page.hidden("key"))]).await.is(409);
    late.shows("The order is cancelled.");
    shop.close();
}

#[tokio::test]
async fn rights_are_those_of_the_key() {
    let shop = Shop::with_tea(10).await;
    let order = shop.place_started(&[("tea", 1)]).await;
    let (issued, _) = key(&shop.api, "reader", &["orders:read"]).await;
    let reader = Visitor::with_key(shop.api.address(), &issued.key).await;
    let page = reader.get(&format!("/console/orders/{order}")).await.is(200);
    for (text, is_there) in [
        ("href=\"/console/orders\"", true),
        ("href=\"/console/exceptions\"", false),
        ("href=\"/console/keys\"", false),
        ("/cancel\"", false),
        ("/refund\"", false),
    ] {
        assert_eq!(page.html.contains(text), is_there, "{text}");
    }
    for place in ["today", "exceptions", "stock", "catalogue", "money", "events", "keys"] {
        reader.get(&format!("/console/{place}")).await.is(403).shows("You do not have the scope");
    }
    let path = format!("/console/orders/{order}/cancel");
    reader.fill_in(&page, &path, &[("key", "k")]).await.is(403).shows("`orders:write`");
    assert_eq!(shop.order(&order).await.status, "awaiting_payment");

    let (issued, _) = key(&shop.api, "clerk", &["orders:read", "orders:write"]).await;
    let clerk = Visitor::with_key(shop.api.address(), &issued.key).await;
    let page = clerk.get(&path).await.is(200);
    clerk.fill_in(&page, &path, &[("key", &page.hidden("key"))]).await.leads_to();
    assert_eq!(shop.changes(&order).await[0].by.as_deref(), Some("clerk"));
    shop.close();
}

/// Each page that there is outside `dev`, with what is in its address.
fn pages(order: &str, exception: &str, endpoint: &str, key: &str) -> Vec<String> {
    let all = [
        "/",
        "/console/sign-in",
        "/console/today",
        "/console/today?hours=48",
        "/console/orders",
        "/console/orders?status=lost",
        "/console/orders?id=x",
        "/console/orders/{order}",
        "/console/orders/{order}?done=cancel",
        "/console/orders/{order}/sections",
        "/console/orders/{order}/cancel",
        "/console/orders/{order}/extend",
        "/console/orders/{order}/fulfil",
        "/console/orders/{order}/refund",
        "/console/orders/{order}/new-code",
        "/console/orders/{order}/nothing",
        "/console/orders/nothing",
        "/console/exceptions",
        "/console/exceptions?state=resolved",
        "/console/exceptions/{exception}",
        "/console/exceptions/all/wrong_amount",
        "/console/stock",
        "/console/stock/tea",
        "/console/stock/room",
        "/console/catalogue",
        "/console/catalogue?q=nice",
        "/console/catalogue-new",
        "/console/catalogue/tea",
        "/console/money",
        "/console/events",
        "/console/events/{endpoint}",
        "/console/keys",
        "/console/keys/{key}/revoke",
        "/console/nothing",
    ];
    let fill = |path: &str| {
        path.replace("{order}", order)
            .replace("{exception}", exception)
            .replace("{endpoint}", endpoint)
            .replace("{key}", key)
    };
    all.map(fill).to_vec()
}

/// A shop in which strangers have written what they could.
async fn marked() -> (Shop, Vec<String>) {
    let env = vec![("HOLDFAST_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8".to_owned())];
    let shop = Shop::with_env(env).await;
    let name = format!("Nice {MARKED}");
    let product = json!({"name": name, "description": MARKED, "unit_price": 1250, "currency": "EUR"});
    shop.put_product("tea", &product).await.is(201);
    shop.adjust("tea", 100).await.is(201);
    let adjusted = json!({"delta": 1, "reason": MARKED});
    shop.api.post("/v1/inventory/tea/adjustments", &adjusted).await.is(201);
    shop.rooms("room", 3).await;
    let mut body = shop.order_body(&[("tea", 2)]);
    body["customer"]["name"] = json!(format!("Zaphod Beeblebrox {MARKED}"));
    body["metadata"] = json!({"note": MARKED, MARKED: 1});
    let order = shop.try_place(&body).await.is(201).id;
    for _ in 0..2 {
        shop.pay_with(&order, json!({"amount": 7})).await;
    }
    shop.until_told_times(&order, "exception.raised", 2).await;
    let exceptions = shop.list_exceptions(&format!("order={order}")).await;
    let decision = json!({"action": "accept", "note": MARKED});
    shop.api.post(&format!("/v1/exceptions/{}/resolve", exceptions[0].id), &decision).await.is(200);
    let hook = json!({"url": "http://127.0.0.1:1/hook", "description": MARKED});
    let hook = shop.api.post("/v1/webhook-endpoints", &hook).await.is(201);
    let (issued, _) = key(&shop.api, "ann", &["orders:read"]).await;
    let cancelled = shop.try_place(&body).await.is(201).id;
    let path = format!("/v1/orders/{cancelled}/cancel");
    shop.api.post(&path, &json!({"reason": MARKED})).await.is(200);
    let mut all = pages(&order, &exceptions[0].id, hook["id"].as_str().unwrap(), &issued.id);
    all.push(format!("/console/orders/{cancelled}"));
    all.push(format!("/console/exceptions/{}", exceptions[1].id));
    all.push(format!("/console/orders?customer={}", crate::harness::encoded(MARKED)));
    all.push(format!("/console/stock/{}", crate::harness::encoded(MARKED)));
    (shop, all)
}

#[tokio::test]
async fn no_page_does_what_strangers_have_written() {
    let (shop, pages) = marked().await;
    let visitor = visitor(&shop).await;
    let mut seen = 0;
    for path in &pages {
        let page = visitor.get(path).await;
        assert!(page.status < 500, "{path}: {}", page.html);
        for harm in ["<b id=marked", "onclick='x()'>", "\"&'"] {
            assert!(!page.html.contains(harm), "{path} has {harm}:\n{}", page.html);
        }
        seen += usize::from(page.html.contains("&#60;b id=marked"));
    }
    assert!(seen >= 12, "it was shown on {seen} pages only");
    shop.close();
}

#[tokio::test]
async fn every_page_keeps_others_out() {
    let (shop, pages) = marked().await;
    let visitor = visitor(&shop).await;
    for path in &pages {
        let page = visitor.get(path).await;
        guarded(path, &page);
        if !path.ends_with("/sections") {
            for (text, what) in
                [("<html lang=\"en\">", "a language"), ("<main id=\"main\"", "a place to skip to")]
            {
                assert!(page.html.contains(text), "{path} has not {what}");
            }
        }
        for harm in [" style=", "<style", " onclick=", " onload=", "javascript:", "src=\"http", "href=\"//"] {
            assert!(!page.html.contains(harm), "{path} has {harm}");
        }
    }
    let page = visitor.get("/console/orders").await;
    let mut assets = 0;
    for part in page.html.split('"').filter(|part| part.starts_with("/console/assets/")) {
        let asset = visitor.get(part).await.is(200);
        assert_eq!(asset.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(asset.header("x-content-type-options"), "nosniff");
        assert!(!asset.html.contains("http://") || asset.html.contains("http://www.w3.org/2000/svg"));
        assets += 1;
    }
    assert_eq!(assets, 3);
    visitor.get("/console/assets/console-000000000000.css").await.is(404);
    shop.close();
}

#[track_caller]
fn guarded(path: &str, page: &Page) {
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"),
        "{path}: {policy}"
    );
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self'"), "{path}");
    assert!(!policy.contains("unsafe"), "{path}: {policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(page.header(name), value, "{path}: {name}");
    }
}

#[tokio::test]
async fn nobody_plays_outside_dev() {
    let shop = Shop::without_worker().await;
    let visitor = visitor(&shop).await;
    let page = visitor.get("/").await.is(200);
    for link in ["/console", "/docs", "/openapi.json", "/asyncapi.json", "/healthz"] {
        page.shows(&format!("href=\"{link}\""));
    }
    let page = visitor.get("/console/orders").await;
    assert!(!page.html.contains("/console/dev"));
    let of_nobody = visitor.get("/console/sign-in").await;
    assert!(!of_nobody.html.contains("dev key"));
    for path in ["/console/dev", "/console/dev/orders/ord_01920000000070008000000000000000"] {
        visitor.get(path).await.is(404);
    }
    let id = "ord_01920000000070008000000000000000";
    for path in ["/console/dev/place".to_owned(), format!("/console/dev/orders/{id}/pay")] {
        let page = visitor.fill_in(&page, &path, &[]).await;
        assert!(matches!(page.status, 404 | 405), "{path}: {}", page.status);
    }
    assert!(documented(&shop).await.iter().all(|(_, route)| !route.contains("console")));

    let (api, _process) = shop.start_api(&[("HOLDFAST_CONSOLE", "off".to_owned())]).await;
    let off = Visitor::new(api.address());
    for path in ["/", "/console", "/console/sign-in"] {
        off.get(path).await.is(404);
    }
    shop.close();
}

/// All of it works with JavaScript off.
#[tokio::test]
async fn an_operator_sees_to_orders_money_stock_and_keys() {
    let shop = Shop::with_tea(10).await;
    let visitor = visitor(&shop).await;
    let order = shop.place_started_with(&[("tea", 2)], json!({"fulfilment": "manual"})).await;
    let address = format!("/console/orders/{order}");
    let page = visitor.get(&address).await.is(200);
    page.shows("Payment reminder 1 goes out");
    page.shows("the policy&#39;s reminder PT4H after the placement");
    page.shows("http://ui.test");
    let act = async |name: &str, fields: &[(&str, &str)]| {
        let page = visitor.get(&format!("{address}/{name}")).await.is(200);
        let key = page.hidden("key");
        let mut all = fields.to_vec();
        all.push(("key", &key));
        visitor.fill_in(&page, &format!("{address}/{name}"), &all).await
    };
    let sooner = act("extend", &[("payment_due_at", "2020-01-01T00:00")]).await.is(422);
    sooner.shows("aria-invalid=\"true\"");
    let due = shop.order(&order).await.payment_due_at + jiff::SignedDuration::from_hours(48);
    let due = due.strftime("%Y-%m-%dT%H:%M").to_string();
    assert_eq!(act("extend", &[("payment_due_at", &due)]).await.leads_to(), format!("{address}?done=extend"));
    shop.pay(&order).await;
    shop.until(&order, "paid").await;
    visitor.get(&address).await.shows("It waits until the shop says that it is handed over");
    act("fulfil", &[]).await.leads_to();
    let wrong = act("refund", &[("reason", ""), ("amount", "1.234")]).await.is(422);
    wrong.shows("must be an amount such as 12.50");
    act("refund", &[("reason", "scratched"), ("amount", "2.50")]).await.leads_to();
    act("refund", &[("reason", "torn"), ("line-tea", "1")]).await.leads_to();
    shop.until_refunds(&order, &["succeeded", "succeeded"]).await;
    let told = shop.until_told(&order, "stock.returned").await;
    assert!(told.contains(&"order.extended".to_owned()));
    shop.until_mailed(&order, "completed").await;
    let page = visitor.get(&address).await;
    for text in ["2.50 EUR", "scratched", "order extended", "Message-ID", "Stock it moved"] {
        page.shows(text);
    }

    exceptions(&shop, &visitor).await;
    stock_and_catalogue(&shop, &visitor).await;
    keys(&shop, &visitor).await;
    let today = visitor.get("/console/today").await.is(200);
    today.shows("<svg class=\"chart\"");
    shop.close();
}

/// One by one, and those of one kind together.
async fn exceptions(shop: &Shop, visitor: &Visitor) {
    let order = shop.place(&[("tea", 1)]).await;
    for known in 0..3 {
        shop.pay_with(&order, json!({"amount": 100 + known})).await;
        shop.until_told_times(&order, "exception.raised", known + 1).await;
    }
    let list = visitor.get("/console/exceptions").await.is(200);
    list.shows("Decide about all 3 of `wrong amount` on this page");
    let open = shop.list_exceptions(&format!("order={order}&state=open")).await;
    let path = format!("/console/exceptions/{}", open[0].id);
    let page = visitor.get(&path).await.is(200);
    for text in
        ["The payment is not what was due.", "underpayment: exception", "payment.succeeded", "1.02 EUR"]
    {
        page.shows(text);
    }
    let resolve = format!("{path}/resolve");
    visitor.fill_in(&page, &resolve, &[("action", "refund"), ("note", "")]).await.is(422);
    let done = visitor.fill_in(&page, &resolve, &[("action", "refund"), ("note", "too little")]).await;
    visitor.get(done.leads_to()).await.shows("too little");
    let page = visitor.get("/console/exceptions/all/wrong_amount").await.is(200);
    let ids = page.hidden("ids");
    assert_eq!(ids.split(' ').count(), 2);
    let fields = [("action", "accept"), ("note", "tips"), ("ids", ids.as_str())];
    visitor.fill_in(&page, "/console/exceptions/all/wrong_amount", &fields).await.leads_to();
    assert_eq!(shop.list_exceptions("state=open").await.len(), 0);
    shop.until_refunds(&order, &["succeeded"]).await;
    assert_eq!(shop.list_exceptions(&format!("order={order}")).await[1].note, "tips");
}

async fn stock_and_catalogue(shop: &Shop, visitor: &Visitor) {
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

    let page = visitor.get("/console/catalogue/tea").await.is(200);
    let version = page.hidden("version");
    let fields =
        [("version", version.as_str()), ("name", "Fine tea"), ("price", "13.00"), ("currency", "EUR")];
    visitor.fill_in(&page, "/console/catalogue/tea", &fields).await.leads_to();
    let product = shop.product("tea").await;
    assert_eq!((product.name.as_str(), product.unit_price, product.active), ("Fine tea", 1300, false));
    let stale = visitor.fill_in(&page, "/console/catalogue/tea", &fields).await.is(412);
    stale.shows("nothing was done");
    let new = visitor.get("/console/catalogue-new").await.is(200);
    let fields = [("sku", "mug"), ("name", "Mug"), ("price", "9"), ("currency", "EUR"), ("active", "on")];
    visitor.fill_in(&new, "/console/catalogue-new", &fields).await.leads_to();
    visitor.fill_in(&new, "/console/catalogue-new", &fields).await.is(422).shows("is another product");
    assert_eq!(shop.product("mug").await.unit_price, 900);
}

async fn keys(shop: &Shop, visitor: &Visitor) {
    let page = visitor.get("/console/keys").await.is(200);
    let fields = [("name", "till"), ("scope-orders:read", "on")];
    let made = visitor.fill_in(&page, "/console/keys", &fields).await.is(200);
    let key = made.html.split("<code>").nth(1).unwrap().split('<').next().unwrap();
    let till = Visitor::with_key(shop.api.address(), key).await;
    till.get("/console/orders").await.is(200);
    let keys: Value = shop.api.get("/v1/keys").await.is(200);
    let id = keys["data"][0]["id"].as_str().unwrap();
    let path = format!("/console/keys/{id}/revoke");
    let page = visitor.get(&path).await.is(200);
    visitor.fill_in(&page, &path, &[]).await.leads_to();
    till.get("/console/orders").await.leads_to();
}

/// An order is found by each of what is known of it.
#[tokio::test]
async fn orders_are_found() {
    let shop = Shop::with_tea(100).await;
    shop.stock("mug", 990, 10).await;
    let tea = shop.place(&[("tea", 1)]).await;
    let mug = shop.place(&[("mug", 1), ("tea", 1)]).await;
    shop.cancel(&tea).await.is(200);
    let visitor = visitor(&shop).await;
    let found = async |query: &str| {
        let page = visitor.get(&format!("/console/orders?{query}")).await.is(200);
        [&tea, &mug].map(|id| page.html.contains(&format!("href=\"/console/orders/{id}\"")))
    };
    assert_eq!(found("").await, [true, true]);
    assert_eq!(found("sku=mug").await, [false, true]);
    assert_eq!(found("sku=tea").await, [true, true]);
    assert_eq!(found("sku=tea&status=cancelled").await, [true, false]);
    assert_eq!(found("customer=cust-42").await, [true, true]);
    assert_eq!(found("customer=nobody").await, [false, false]);
    assert_eq!(found("from=2020-01-01T00%3A00").await, [true, true]);
    assert_eq!(found("to=2020-01-01T00%3A00").await, [false, false]);
    let page = visitor.get(&format!("/console/orders?id={mug}")).await;
    assert_eq!(page.leads_to(), format!("/console/orders/{mug}"));
    visitor.get("/console/orders?id=x").await.is(422).shows("is no order&#39;s id");
    visitor.get("/console/orders?to=x").await.is(422).shows("must be an RFC 3339 time");
    shop.close();
}

/// What the API tells of what comes next is what the workflow does.
#[tokio::test]
async fn what_happens_next_is_what_happens() {
    let shop = Shop::with_tea(100).await;
    let policy = json!({"payment_window": "PT10H", "reminders": ["PT4H"], "grace": "PT1H"});
    let order = shop.place_started_with(&[("tea", 1)], policy).await;
    let path = format!("/v1/orders/{order}/next");
    let next = async || shop.api.get(&path).await.is(200);
    let placed = shop.order(&order).await.placed_at;
    let at = |hours| json!(placed + jiff::SignedDuration::from_hours(hours));
    let first = next().await;
    assert_eq!([&first["action"], &first["rule"]], ["send_reminder", "reminders"]);
    assert_eq!(first["number"], 1);
    assert_eq!((&first["at"], &first["value"], &first["is_due"]), (&at(4), &json!("PT4H"), &json!(false)));
    shop.fast_forward(&order, "PT5H").await;
    shop.until_mailed(&order, "reminder_1").await;
    let then = eventually("the reminder is behind it", async || {
        Some(next().await).filter(|next| next["action"] == "expire")
    })
    .await;
    assert_eq!((&then["at"], &then["rule"], &then["value"]), (&at(11), &json!("grace"), &json!("PT1H")));
    let mails = shop.api.get(&format!("/v1/orders/{order}/mails")).await.is(200);
    let mail = &mails["data"][0];
    assert_eq!((&mail["kind"], &mail["state"]), (&json!("reminder_1"), &json!("sent")));
    shop.fast_forward(&order, "PT7H").await;
    shop.until(&order, "expired").await;
    assert_eq!(next().await["action"], "nothing");
    wait_until("the end is in the overview", async || {
        let overview = shop.api.get("/v1/overview?hours=168").await.is(200);
        overview["hours"].as_array().unwrap().iter().any(|hour| hour["placed"] == 1)
    })
    .await;
    shop.close();
}
