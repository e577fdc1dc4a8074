//! The console's pages without a browser: what they never do, and what an operator does with them.

use serde_json::{Value, json};

use crate::{
    accounts::Person,
    api_keys::key,
    console::visitor,
    harness::{
        Shop, encoded, eventually,
        visitor::{Page, Visitor},
        wait_until,
    },
};

/// In the middle of text, markup that does something.
const MARKED: &str = "<b id=marked onmarked='x()'>\"&'";

/// Each page that there is outside `dev`, with what is in its address.
fn pages(order: &str, exception: &str, endpoint: &str, key: &str, account: &str) -> Vec<String> {
    let all = [
        "/",
        "/console/sign-in?done=ended",
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
        "/console/orders/{order}/revoke-links",
        "/console/orders/{order}?deliveries_after=x&movements_after=x&exceptions_after=x",
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
        "/console/catalogue/tea/retire",
        "/console/money",
        "/console/events",
        "/console/events/{endpoint}",
        "/console/events/{endpoint}/disable",
        "/console/keys",
        "/console/keys/{key}/revoke",
        "/console/accounts",
        "/console/accounts/{account}",
        "/console/accounts/{account}/sign-out",
        "/console/accounts/{account}/erase",
        "/console/accounts/nothing",
        "/console/nothing",
    ];
    let fill = |path: &str| {
        path.replace("{order}", order)
            .replace("{exception}", exception)
            .replace("{endpoint}", endpoint)
            .replace("{key}", key)
            .replace("{account}", account)
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
    let person = Person::new(&shop);
    person.register_as(&name).await;
    let account = person.verify(&person.code(1).await).await.is(200);
    let [hook, account] = [&hook, &account].map(|it| it["id"].as_str().unwrap());
    let mut all = pages(&order, &exceptions[0].id, hook, &issued.id, account);
    all.push(format!("/console/orders/{cancelled}"));
    all.push(format!("/console/exceptions/{}", exceptions[1].id));
    all.push(format!("/console/orders?customer={}", encoded(MARKED)));
    all.push(format!("/console/stock/{}", encoded(MARKED)));
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
        for harm in ["<b id=marked", "onmarked='x()'>", "\"&'"] {
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
        if page.status == 303 {
            continue; // whoever is signed in does not sign in, and the first page leads on
        }
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
    list.shows("Decide about those of `wrong amount` at once");
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
    page.shows("<dd>till</dd>");
    page.shows(&format!("<code>{}...</code>", &key[..7]));
    visitor.fill_in(&page, &path, &[]).await.leads_to();
    till.get("/console/orders").await.leads_to();
    visitor.get(&path).await.is(200).shows("It is good no more already.");
    visitor.get("/console/keys/key_01920000000070008000000000000000/revoke").await.is(404);

    let hook = json!({"url": "https://holdfast.invalid/hook"});
    let hook: Value = shop.api.post("/v1/webhook-endpoints", &hook).await.is(201);
    let address = format!("/console/events/{}", hook["id"].as_str().unwrap());
    let disable = format!("{address}/disable");
    visitor.get(&address).await.is(200).shows(&format!("href=\"{disable}\""));
    let page = visitor.get(&disable).await.is(200);
    page.shows("Nothing is sent there from then on.");
    visitor.fill_in(&page, &disable, &[]).await.leads_to();
    let page = visitor.get(&address).await.is(200);
    page.shows("disabled");
    visitor.fill_in(&page, &format!("{address}/enable"), &[]).await.leads_to();
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
