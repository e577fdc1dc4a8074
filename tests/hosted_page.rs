//! The page that mails lead to: a customer sees, pays and cancels one order by it, and nothing else.

use std::sync::LazyLock;

use domain::Timestamp;
use identity::{LinkKeys, OrderLink, Purpose, Secret};
use reqwest::{Client, Method, RequestBuilder, redirect};
use serde_json::{Value, json};

use crate::harness::{Answer, Mail, Setup, Shop, send};

/// As customers reach the API. Tests go to the process itself.
pub const PUBLIC_URL: &str = "https://orders.shop.test/by-mail";
pub const SECRET: &str = "the-links-in-mails-of-this-shop-have-this-secret";
const ZAPHOD: &str = "<b>Zaphod</b> \"'&";

pub fn env() -> Vec<(&'static str, String)> {
    vec![("HOLDFAST_PUBLIC_URL", PUBLIC_URL.to_owned()), ("HOLDFAST_LINK_SECRET", SECRET.to_owned())]
}

async fn open() -> Shop {
    let shop = Shop::with_env(env()).await;
    shop.stock("tea", 1250, 100).await;
    shop
}

/// Places an order of a customer who reads this language, five hours ago; gives its id and its reminder.
pub async fn reminded(shop: &Shop, locale: &str) -> (String, Mail) {
    let mut body = shop.order_body(&[("tea", 2)]);
    body["customer"]["locale"] = json!(locale);
    let id = shop.try_place(&body).await.is(201).id;
    shop.fast_forward(&id, "PT5H").await;
    let mail = shop.mail(&id, "reminder_1").await;
    (id, mail)
}

/// Where a link of the mail leads, as the API sees it behind its public address.
pub fn link(mail: &Mail) -> String {
    let (_, rest) = mail.text.split_once(&format!("{PUBLIC_URL}/o/")).expect("there is a link");
    let token = rest.split_whitespace().next().unwrap();
    assert!(mail.html.contains(&format!("href=\"{PUBLIC_URL}/o/{token}\"")), "{}", mail.html);
    format!("/o/{token}")
}

/// A browser that shows where it is sent, and does not go there: its address is another.
static BROWSER: LazyLock<Client> = LazyLock::new(|| {
    let client = providers::http_client().no_proxy().pool_max_idle_per_host(0);
    client.redirect(redirect::Policy::none()).build().unwrap()
});

fn ask(shop: &Shop, method: Method, path: &str) -> RequestBuilder {
    BROWSER.request(method, format!("http://{}{path}", shop.api.address()))
}

pub async fn get(shop: &Shop, path: &str) -> Answer {
    send(ask(shop, Method::GET, path)).await
}

pub async fn press(shop: &Shop, path: &str) -> Answer {
    send(ask(shop, Method::POST, path).body("")).await
}

pub fn html(answer: &Answer, status: u16) -> String {
    let html = String::from_utf8(answer.body.clone()).unwrap();
    assert_eq!(answer.status, status, "{html}");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    guarded(answer);
    html
}

/// What stands on every page, whatever it says.
fn guarded(answer: &Answer) {
    let policy = answer.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(policy.contains("style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("x-robots-tag"), Some("noindex, nofollow"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert_eq!(answer.header("set-cookie"), None);
}

pub fn back(answer: &Answer, path: &str) {
    assert_eq!(answer.status, 303, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("location"), Some(format!("/by-mail{path}").as_str()));
}

#[tokio::test]
async fn an_order_is_paid_by_the_link_in_its_mail() {
    let shop = open().await;
    let (id, mail) = reminded(&shop, "de").await;
    let path = link(&mail);
    let page = html(&get(&shop, &path).await, 200);
    for part in ["<html lang=\"de\">", "25,00\u{a0}€", "Nice tea", &id, "wartet auf Ihre Zahlung"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(page.contains(&format!("action=\"/by-mail{path}/pay\"")), "{page}");
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"), "{page}");

    back(&press(&shop, &format!("{path}/pay")).await, &path);
    let attempts = shop.api.get(&format!("/v1/orders/{id}/payments")).await.is(200);
    assert_eq!(attempts["data"].as_array().unwrap().len(), 1);
    let page = html(&get(&shop, &path).await, 200);
    assert!(page.contains(&format!("action=\"/by-mail{path}/play\"")), "{page}");
    // Pressed twice: the attempt that is open is the one that is paid.
    back(&press(&shop, &format!("{path}/pay")).await, &path);
    let attempts = shop.api.get(&format!("/v1/orders/{id}/payments")).await.is(200);
    assert_eq!(attempts["data"].as_array().unwrap().len(), 1);

    back(&press(&shop, &format!("{path}/play")).await, &path);
    shop.until(&id, "completed").await;
    let page = html(&get(&shop, &path).await, 200);
    assert!(page.contains("abgeschlossen") && !page.contains("<form"), "{page}");
    for done in ["pay", "play", "cancel"] {
        back(&press(&shop, &format!("{path}/{done}")).await, &path);
    }
    assert_eq!(shop.order(&id).await.status, "completed");
    shop.close();
}

#[tokio::test]
async fn an_order_is_cancelled_by_the_link_in_its_mail_once_that_is_confirmed() {
    let shop = open().await;
    let (id, mail) = reminded(&shop, "fr").await;
    let path = link(&mail);
    let page = html(&get(&shop, &path).await, 200);
    assert!(page.contains(&format!("href=\"/by-mail{path}/cancel\"")), "{page}");
    let page = html(&get(&shop, &format!("{path}/cancel")).await, 200);
    assert!(page.contains("Annuler cette commande") && page.contains("<form method=\"post\""), "{page}");
    assert_eq!(shop.order(&id).await.status, "awaiting_payment");
    back(&press(&shop, &format!("{path}/cancel")).await, &path);
    let order = shop.until(&id, "cancelled").await;
    assert_eq!(order.close_reason, "requested by the customer");
    assert_eq!(shop.level("tea").await, (100, 0));
    let changes = shop.api.get(&format!("/v1/orders/{id}/changes")).await.is(200);
    assert_eq!(changes["data"][0]["by"], "customer", "{changes}");
    let page = html(&get(&shop, &path).await, 200);
    assert!(page.contains("annulée") && !page.contains("<form"), "{page}");
    back(&get(&shop, &format!("{path}/cancel")).await, &path);
    shop.close();
}

/// Who has no good link learns nothing, not even whether there is such an order.
#[tokio::test]
async fn a_link_that_is_not_good_leads_nowhere() {
    let shop = open().await;
    let (id, mail) = reminded(&shop, "en").await;
    let (_, other) = reminded(&shop, "en").await;
    let good = link(&mail);
    assert_ne!(good, link(&other));
    html(&get(&shop, &good).await, 200);

    let keys = LinkKeys::derive(&[Secret::parse(SECRET).unwrap()]).unwrap();
    let foreign = LinkKeys::derive(&[Secret::parse(&"x".repeat(40)).unwrap()]).unwrap();
    let of = |keys: &LinkKeys, purpose, generation, expires_at: Timestamp| {
        let order = id.parse().unwrap();
        format!("/o/{}", keys.sign(&OrderLink { purpose, order, generation, expires_at }))
    };
    let (now, later) = (Timestamp::now(), Timestamp::now() + jiff::SignedDuration::from_hours(1));
    html(&get(&shop, &of(&keys, Purpose::Page, 0, later)).await, 200);
    let altered = |at: usize| {
        let other = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
        format!("{}{other}{}", &good[..at], &good[at + 1..])
    };
    let mut bad = vec![
        "/o/x".to_owned(),
        format!("/o/{id}"),
        "/o/%ff".to_owned(),
        "/o/%0A".to_owned(),
        "/o/%E2%80%A8".to_owned(),
        format!("/o/{}", "A".repeat(5000)),
        format!("{good}A"),
        good[..good.len() - 1].to_owned(),
        altered("/o/".len()),
        altered("/o/".len() + 10),
        altered(good.len() - 5),
        of(&keys, Purpose::Page, 0, now),   // it has ended
        of(&keys, Purpose::Page, 2, later), // of a generation to come
        of(&keys, Purpose::Unsubscribe, 0, later),
        of(&foreign, Purpose::Page, 0, later),
    ];
    let revoked = shop.api.delete(&format!("/v1/orders/{id}/links")).await;
    revoked.done();
    bad.push(good.clone());
    let mut pages = Vec::new();
    for path in &bad {
        pages.push(html(&get(&shop, path).await, 404));
        for what in ["pay", "play", "cancel"] {
            html(&press(&shop, &format!("{path}/{what}")).await, 404);
            html(&get(&shop, &format!("{path}/{what}")).await, 404);
        }
        html(&press(&shop, &format!("{good}/unsubscribe")).await, 404);
    }
    pages.dedup();
    assert_eq!(pages.len(), 1, "all of them say the same");
    assert_eq!(shop.order(&id).await.status, "awaiting_payment");
    html(&get(&shop, &link(&other)).await, 200);

    // The next mail brings a new one.
    shop.fast_forward(&id, "PT8H").await;
    let mail = shop.mail(&id, "reminder_2").await;
    assert_ne!(link(&mail), good);
    html(&get(&shop, &link(&mail)).await, 200);
    let unknown = "/v1/orders/ord_01920000000070008000000000000000/links";
    shop.api.delete(unknown).await.problem(404, "order_not_found");
    shop.close();
}

/// Only our own page presses our buttons.
#[tokio::test]
async fn what_another_page_sends_is_not_done() {
    let shop = open().await;
    let (id, mail) = reminded(&shop, "en").await;
    let path = format!("{}/cancel", link(&mail));
    let sent = async |headers: &[(&str, &str)]| {
        let request =
            headers.iter().fold(ask(&shop, Method::POST, &path).body(""), |request, (name, value)| {
                request.header(*name, *value)
            });
        send(request).await
    };
    for headers in [
        vec![("sec-fetch-site", "cross-site"), ("origin", "null")],
        vec![("sec-fetch-site", "same-site"), ("origin", "https://orders.shop.test")],
        vec![("origin", "https://evil.test")],
        vec![("origin", "https://orders.shop.test.evil.test")],
        vec![("origin", "http://orders.shop.test")],
    ] {
        html(&sent(&headers).await, 403);
    }
    assert_eq!(shop.order(&id).await.status, "awaiting_payment");
    back(&sent(&[("sec-fetch-site", "same-origin"), ("origin", "null")]).await, &link(&mail));
    assert_eq!(shop.order(&id).await.status, "cancelled");
    shop.close();
}

/// What a shop or a customer is called is text, in mails and on pages.
#[tokio::test]
async fn names_are_text_wherever_they_stand() {
    let mut env = env();
    env.push(("HOLDFAST_SHOP_NAME", "<i>Tea</i>".to_owned()));
    env.push(("HOLDFAST_SHOP_FOOTER", "\"><script>alert(3)</script>".to_owned()));
    let shop = Shop::with_env(env).await;
    let product =
        json!({"name": "<script>alert(1)</script>{{ 7*7 }}", "unit_price": 1250, "currency": "EUR"});
    shop.put_product("tea", &product).await.is(201);
    shop.adjust("tea", 10).await.is(201);
    let mut body = shop.order_body(&[("tea", 2)]);
    body["customer"]["name"] = json!(ZAPHOD);
    let id = shop.try_place(&body).await.is(201).id;
    shop.fast_forward(&id, "PT5H").await;
    let mail = shop.mail(&id, "reminder_1").await;
    let page = html(&get(&shop, &link(&mail)).await, 200);
    for part in [&mail.html, &page] {
        assert!(
            !part.contains("<script") && !part.contains("<i>Tea") && !part.contains("<b>Zaphod"),
            "{part}"
        );
        assert!(part.contains("&lt;script&gt;alert(1)&lt;/script&gt;{{ 7*7 }}"), "{part}");
        assert!(part.contains("&lt;i&gt;Tea&lt;/i&gt;"), "{part}");
    }
    assert!(mail.html.contains("&lt;b&gt;Zaphod&lt;/b&gt; &quot;&#39;&amp;"), "{}", mail.html);
    assert!(mail.text.contains(ZAPHOD) && mail.text.contains("<script>alert(1)</script>{{ 7*7 }}"));
    shop.close();
}

/// Reminders say where they are stopped; once they are, none comes any more, and everything else does.
#[tokio::test]
async fn reminders_are_stopped_once_and_for_ever() {
    let shop = open().await;
    let (id, mail) = reminded(&shop, "es").await;
    assert_eq!(mail.header("Auto-Submitted"), Some("auto-generated"));
    assert_eq!(mail.header("List-Unsubscribe-Post"), Some("List-Unsubscribe=One-Click"));
    let url = mail.header("List-Unsubscribe").unwrap().trim_matches(['<', '>']).to_owned();
    let path = url.strip_prefix(PUBLIC_URL).unwrap().to_owned();
    assert!(mail.text.contains(&url) && mail.html.contains(&format!("href=\"{url}\"")), "{}", mail.text);

    // A link that is only looked at, as programs do, stops nothing.
    let page = html(&get(&shop, &path).await, 200);
    assert!(page.contains("¿No más recordatorios?"), "{page}");
    shop.fast_forward(&id, "PT8H").await;
    shop.until_mailed(&id, "reminder_2").await;

    let one_click = || {
        let form = "application/x-www-form-urlencoded";
        ask(&shop, Method::POST, &path).header("content-type", form).body("List-Unsubscribe=One-Click")
    };
    for _ in 0..2 {
        html(&send(one_click()).await, 200);
    }
    shop.fast_forward(&id, "PT10H").await;
    shop.until_told(&id, "mail.rejected").await;
    let unwanted: Vec<Value> = shop.told(&id, "mail.rejected").await;
    assert_eq!(unwanted, [json!({"kind": "reminder_3", "code": null, "reason": "unsubscribed"})]);
    assert_eq!(shop.told(&id, "reminder.sent").await.len(), 2);
    // It opens nothing else, and neither is it lost with the other links.
    let token = path.trim_end_matches("/unsubscribe");
    html(&get(&shop, token).await, 404);
    shop.api.delete(&format!("/v1/orders/{id}/links")).await.done();
    html(&send(one_click()).await, 200);

    shop.pay(&id).await;
    let paid = shop.mail(&id, "paid").await;
    assert_eq!(paid.header("List-Unsubscribe"), None);
    assert_eq!(paid.header("Auto-Submitted"), Some("auto-generated"));
    shop.close();
}

/// Without a public address there is no page, and mails have no link.
#[tokio::test]
async fn without_an_address_nothing_is_linked() {
    let shop = Shop::with_tea(10).await;
    let (_, mail) = reminded(&shop, "en").await;
    assert!(!mail.text.contains("://") && !mail.html.contains("://"), "{}{}", mail.text, mail.html);
    assert_eq!(mail.header("List-Unsubscribe"), None);
    get(&shop, "/o/x").await.problem(404, "route_not_found");
    shop.close();
}

/// A shop that has a page of its own sends its customers there.
#[tokio::test]
async fn a_shop_links_to_its_own_page() {
    let mut env = env();
    let own = "https://shop.test/pay?order={order_id}&t={token}".to_owned();
    env.push(("HOLDFAST_LINKS_PAY", own));
    let shop = Shop::with(Setup { env, ..Setup::default() }).await;
    shop.stock("tea", 1250, 10).await;
    let (id, mail) = reminded(&shop, "zh-CN").await;
    let (_, rest) = mail.text.split_once(&format!("https://shop.test/pay?order={id}&t=")).unwrap();
    let token = rest.split_whitespace().next().unwrap();
    assert!(mail.html.contains(&format!("?order={id}&amp;t={token}\"")), "{}", mail.html);
    html(&get(&shop, &format!("/o/{token}")).await, 200);
    shop.close();
}
