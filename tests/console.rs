//! The console: who gets in, for how long, and what forms of others do.

use reqwest::Method;
use sqlx::Executor as _;

use crate::{
    api_keys::key,
    harness::{
        Shop,
        visitor::{Visitor, read},
    },
    update::documented,
};

/// Signed in by the key of the environment.
pub async fn visitor(shop: &Shop) -> Visitor {
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
    visitor.cookie = None;
    visitor.sign_in(crate::harness::http::API_KEY).await;
    let second = visitor.cookie.clone().unwrap();
    assert_ne!(first, second, "each sign-in has a session of its own");
    assert_eq!(visitor.get("/console/sign-in?next=%2Fconsole%2Fstock").await.leads_to(), "/console/stock");
    assert_eq!(visitor.get("/console/sign-in?next=%2Fconsole%2Fsign-in").await.leads_to(), "/console");
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
    visitor.cookie = Some(first.clone());
    let page = visitor.get("/console/orders").await.is(200); // the other session goes on

    // Signing in again ends it: nobody has its cookie any more.
    visitor.sign_in(crate::harness::http::API_KEY).await.leads_to();
    visitor.get("/console/orders").await.is(200);
    visitor.cookie = Some(first);
    let late = visitor.fill_in(&page, "/console/sign-out", &[]).await;
    assert_eq!(late.leads_to(), "/console/sign-in?done=ended");
    visitor.cookie = None;
    visitor.get(late.leads_to()).await.is(200).shows("Your session has ended.");
    let unknown = visitor.get("/console/sign-in?done=%3Cb%3Eanything").await.is(200);
    assert!(!unknown.html.contains("anything") && !unknown.html.contains("ended"), "{}", unknown.html);
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
    let cached: Vec<_> = stream.headers().get_all("cache-control").iter().collect();
    assert_eq!(cached, ["no-store"]);
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

/// Of random cookies there is no end: they are counted before the database is asked. Who is signed in at the
/// same address is not refused for them.
#[tokio::test]
async fn cookies_that_are_nobodys_are_bounded() {
    let shop = Shop::without_worker().await;
    let limits = ("HOLDFAST_RATE_LIMITS", "strangers=5/3600".to_owned());
    let (api, _process) = shop.start_api(&[limits]).await;
    let elsewhere = visitor(&shop).await;
    let mut good = Visitor::new(api.address());
    good.cookie = elsewhere.cookie.clone();
    good.get("/console/orders").await.is(200); // it is counted once, and known from then on
    let mut stranger = Visitor::new(api.address());
    let shown = async |stranger: &mut Visitor, n: i32| {
        stranger.cookie = Some(format!("holdfast-console={n}{}", "A".repeat(42)));
        let page = stranger.get("/console/orders").await;
        assert!(page.header("ratelimit").starts_with("\"strangers\";"), "{n}: {:?}", page.headers);
        page.status
    };
    for n in 0..4 {
        assert_eq!(shown(&mut stranger, n).await, 303);
    }
    // Nobody looks for what is refused: without the table that would be another answer.
    shop.sql().await.execute("ALTER TABLE console_sessions RENAME TO hidden_sessions").await.unwrap();
    for n in 4..8 {
        assert_eq!(shown(&mut stranger, n).await, 429);
    }
    shop.sql().await.execute("ALTER TABLE hidden_sessions RENAME TO console_sessions").await.unwrap();
    for _ in 0..10 {
        good.get("/console/orders").await.is(200);
    }
    shop.close();
}

/// What an open page asks for by itself does not keep its session from ending when nothing is done in it.
#[tokio::test]
async fn watching_is_not_using() {
    let shop = Shop::with_tea(10).await;
    let order = shop.place_started(&[("tea", 1)]).await;
    let visitor = visitor(&shop).await;
    let aged = "UPDATE console_sessions SET seen_at = seen_at - interval '50 minutes'";
    shop.sql().await.execute(aged).await.unwrap();
    let still_aged = async || -> i64 {
        shop.query("SELECT count(*) FROM console_sessions WHERE seen_at < now() - interval '40 minutes'")
            .await
    };
    visitor.get(&format!("/console/orders/{order}/sections")).await.is(200);
    visitor.get("/console/exceptions/sections").await.is(200);
    let stream = visitor.request(Method::GET, "/console/stream").send().await.unwrap();
    assert_eq!(stream.status(), 200);
    drop(stream);
    assert_eq!(still_aged().await, 1);
    visitor.get("/console/exceptions").await.is(200);
    assert_eq!(still_aged().await, 0);
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
    type Header<'a> = Option<(&'a str, &'a str)>;
    let cases: [(&str, Option<&str>, Header<'_>); 9] = [
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
        ("href=\"/console/accounts\"", false),
        ("href=\"/console/exceptions\"", false),
        ("href=\"/console/keys\"", false),
        ("/cancel\"", false),
        ("/refund\"", false),
    ] {
        assert_eq!(page.html.contains(text), is_there, "{text}");
    }
    for place in ["today", "accounts", "exceptions", "stock", "catalogue", "money", "events", "keys"] {
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
