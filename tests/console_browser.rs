//! The console in a real browser: what an operator does, that nothing is asked of anybody else, and that
//! axe-core finds every page good to read, by day and by night, at a desk and on a phone.
//!
//! `HOLDFAST_PICTURES=docs/pictures` has it take the pictures of the README.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Shop, browser::Browser, encoded, http::API_KEY, programs::Node, test_dir, wait_until};

/// Deque's: what it finds wrong is hard to read for somebody.
const AXE: &str = "axe-core@4.14.1";
const DESK: u32 = 1280;
const PHONE: u32 = 390;

async fn axe() -> String {
    let (node, dir) = (Node::find().await, test_dir());
    node.install(&dir, &[AXE]).await;
    std::fs::read_to_string(dir.join("node_modules/axe-core/axe.min.js")).unwrap()
}

/// A browser at a shop.
pub struct Desk {
    pub browser: Browser,
    base: String,
    axe: String,
}

impl Desk {
    /// None where there is no browser.
    pub async fn at(address: &str) -> Option<Self> {
        let browser = Browser::start(&test_dir()).await?;
        browser.look(DESK, false).await;
        Some(Self { browser, base: format!("http://{address}"), axe: axe().await })
    }

    pub async fn open(&self, path: &str) {
        self.browser.open(&format!("{}{path}", self.base)).await;
    }

    async fn sign_in(&self) {
        self.open("/console/sign-in").await;
        self.browser.fill("//input[@type='password']", API_KEY).await;
        self.browser.press("Sign in").await;
        self.browser.until_shown("Signed in as api").await;
    }

    /// Nothing went wrong in the browser, and nobody else was asked for anything.
    pub async fn is_content(&self, with: &str) {
        let complaints = self.browser.complaints().await;
        assert!(complaints.is_empty(), "{with}: {complaints:#?}");
        let places = self.browser.places().await;
        assert!(places.iter().all(|place| *place == self.base), "{with}: {places:?}");
    }

    /// What axe-core finds on a page, in its words.
    async fn judge(&self, path: &str, width: u32, is_dark: bool) -> Vec<String> {
        self.browser.look(width, is_dark).await;
        self.open(path).await;
        let found = self.findings().await;
        found.into_iter().map(|it| format!("{path} {width} dark:{is_dark} {it}")).collect()
    }

    /// What axe-core finds on the page that is open.
    pub async fn findings(&self) -> Vec<String> {
        self.browser.run(&self.axe, json!([])).await;
        let script = "const done = arguments[arguments.length - 1];
            axe.run(document, {resultTypes: ['violations']}).then(
                (found) => done(found.violations.map((it) => it.id + ': ' + it.help + ' '
                    + it.nodes.map((node) => node.html + ' ' + node.failureSummary).join(' | '))),
                (error) => done(['axe: ' + error]));";
        let found = self.browser.run_until_done(script, json!([])).await;
        found.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn an_operator_sees_what_happens_and_settles_it() {
    let shop = Shop::with_tea(10).await;
    let order = shop.place_started_with(&[("tea", 2)], json!({"fulfilment": "manual"})).await;
    let Some(desk) = Desk::at(shop.api.address()).await else { return shop.close() };
    let browser = &desk.browser;
    desk.sign_in().await;
    desk.open("/console/orders").await;
    browser.fill("//input[@name='id']", &order).await;
    browser.press("Search").await;
    browser.until_shown("Payment reminder 1 goes out").await;
    browser.until_shown("Live: as of").await;
    browser.run("window.notReloaded = true", json!([])).await;

    // It is paid elsewhere, and the open page tells so.
    shop.pay(&order).await;
    browser.until_shown("order paid").await;
    browser.until_shown("It waits until the shop says that it is handed over").await;
    shop.until_mailed(&order, "paid").await;
    browser.until_shown("mail sent").await;
    assert_eq!(browser.run("return window.notReloaded", json!([])).await, true);
    desk.is_content("a live order").await;

    browser.follow("Cancel the order").await;
    browser.until_shown("All that was paid goes back to the payer: 25.00 EUR.").await;
    browser.fill("//input[@name='reason']", "no more wanted").await;
    browser.press("Cancel the order").await;
    browser.until_shown("The order is cancelled.").await;
    shop.until_money(&order, "refunded").await;
    browser.until_shown("refunded").await;
    desk.is_content("a cancelled order").await;

    // An exception appears in an open inbox, and is resolved.
    desk.open("/console/exceptions").await;
    browser.until_shown("Nobody has to decide about anything.").await;
    browser.until_shown("Live: as of").await;
    let other = shop.place(&[("tea", 1)]).await;
    shop.pay_with(&other, json!({"amount": 700})).await;
    browser.until_shown("7.00 EUR").await;
    browser.follow("wrong amount").await;
    browser.until_shown("The payment is not what was due.").await;
    browser.click("//summary").await;
    browser.until_shown("\"amount\":700").await;
    browser.fill("//input[@name='note']", "too little").await;
    browser.press("Refund").await;
    browser.until_shown("It is decided, and on record.").await;
    shop.until_refunds(&other, &["succeeded"]).await;
    desk.is_content("an exception").await;

    stays_where_it_was(&shop, &desk, &order).await;

    browser.press("Sign out").await;
    browser.until_shown("API key").await;
    desk.open(&format!("/console/orders/{order}")).await;
    assert!(browser.url().await.contains("/console/sign-in"), "{}", browser.url().await);
    desk.is_content("signed out").await;
    drop(desk);
    shop.close();
}

/// A page that changes while somebody reads it by the keyboard leaves them where they are; and one whose
/// session has ended does not say that it is live.
async fn stays_where_it_was(shop: &Shop, desk: &Desk, order: &str) {
    let browser = &desk.browser;
    let waiting = shop.place_started(&[("tea", 1)]).await;
    desk.open(&format!("/console/orders/{waiting}")).await;
    browser.until_shown("Live: as of").await;
    browser
        .run("document.querySelector('#sections .scroll').focus(); window.scrollTo(0, 300)", json!([]))
        .await;
    let place = "return [document.activeElement.getAttribute('aria-label'), Math.round(window.scrollY)]";
    let before = browser.run(place, json!([])).await;
    assert!(before[0].is_string(), "{before}");
    shop.pay(&waiting).await;
    browser.until_shown("order completed").await;
    assert_eq!(browser.run(place, json!([])).await, before);
    browser.until_shown("The page has changed").await;
    desk.is_content("a page that changes").await;

    // Signed out elsewhere: pages that are open say so, and it is no fault of the browser's.
    desk.open(&format!("/console/orders/{order}")).await;
    browser.until_shown("Live: as of").await;
    sqlx::query("UPDATE console_sessions SET seen_at = seen_at - interval '2 hours'")
        .execute(&mut shop.sql().await)
        .await
        .unwrap();
    browser.until_shown("Not live any more:").await;
    browser.complaints().await;
    desk.sign_in().await;
}

#[tokio::test]
async fn every_page_can_be_read_by_everybody() {
    let shop = Shop::with_tea(100).await;
    shop.rooms("room", 3).await;
    let sold = shop.sell(&[("tea", 2)]).await;
    shop.until_mailed(&sold, "paid").await;
    shop.refund(&sold, json!({"amount": 250, "reason": "scratched"})).await;
    shop.until_refunds(&sold, &["succeeded"]).await;
    let waiting = shop.place_started(&[("tea", 1)]).await;
    for _ in 0..2 {
        shop.pay_with(&waiting, json!({"amount": 7})).await;
    }
    shop.until_told_times(&waiting, "exception.raised", 2).await;
    let exception = shop.list_exceptions("").await[0].id.clone();
    shop.reconcile().await;
    let hook: Value =
        shop.api.post("/v1/webhook-endpoints", &json!({"url": "https://holdfast.invalid/"})).await.is(201);
    let Some(desk) = Desk::at(shop.api.address()).await else { return shop.close() };
    let mut found = desk.judge("/console/sign-in", DESK, false).await;
    found.extend(desk.judge("/", PHONE, true).await);
    desk.sign_in().await;
    let hook = hook["id"].as_str().unwrap();
    let pages = [
        "/console/today".to_owned(),
        "/console/orders".to_owned(),
        format!("/console/orders/{sold}"),
        format!("/console/orders/{waiting}?done=extend"),
        format!("/console/orders/{waiting}/cancel"),
        format!("/console/orders/{sold}/refund"),
        "/console/orders?id=x".to_owned(),
        "/console/exceptions".to_owned(),
        format!("/console/exceptions/{exception}"),
        "/console/exceptions/all/wrong_amount".to_owned(),
        "/console/stock".to_owned(),
        "/console/stock/tea".to_owned(),
        "/console/stock/room".to_owned(),
        "/console/catalogue".to_owned(),
        "/console/catalogue/tea".to_owned(),
        "/console/catalogue/tea/retire".to_owned(),
        "/console/catalogue-new".to_owned(),
        "/console/money".to_owned(),
        "/console/events".to_owned(),
        format!("/console/events/{hook}"),
        format!("/console/events/{hook}/disable"),
        "/console/keys".to_owned(),
        "/console/accounts".to_owned(),
        "/console/nothing".to_owned(),
    ];
    for (n, page) in pages.iter().enumerate() {
        for width in [DESK, PHONE] {
            for is_dark in [false, true] {
                found.extend(desk.judge(page, width, is_dark).await);
            }
        }
        if let Some(folder) = pictures() {
            picture(&desk, &folder, n, page).await;
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    // A page that is not there is one for the browser, too.
    let complaints = desk.browser.complaints().await;
    let others: Vec<_> =
        complaints.iter().filter(|it| !it.contains("/console/nothing") && !it.contains("id=x")).collect();
    assert!(others.is_empty(), "{others:#?}");
    let places = desk.browser.places().await;
    assert!(places.iter().all(|place| *place == desk.base), "{places:?}");

    // On a phone nothing is wider than the screen: what is wide can be moved by itself.
    desk.browser.look(PHONE, false).await;
    for page in &pages {
        desk.open(page).await;
        let wide = desk.browser.run("return document.documentElement.scrollWidth", json!([])).await;
        assert!(wide.as_i64() <= Some(PHONE.into()), "{page} is {wide} wide");
    }
    drop(desk);
    shop.close();
}

/// Where pictures are wanted, if they are.
pub fn pictures() -> Option<PathBuf> {
    let folder = Path::new("..").join(std::env::var_os("HOLDFAST_PICTURES")?);
    std::fs::create_dir_all(&folder).unwrap();
    Some(folder)
}

/// Pages whose pictures stand in the README.
async fn picture(desk: &Desk, folder: &Path, n: usize, page: &str) {
    let name = match n {
        0 => "today",
        2 => "order",
        8 => "exception",
        _ => return,
    };
    for (scheme, is_dark) in [("light", false), ("dark", true)] {
        desk.browser.look(DESK, is_dark).await;
        desk.open(page).await;
        desk.browser.picture(&folder.join(format!("console-{name}-{scheme}.png"))).await;
    }
}

#[tokio::test]
async fn with_scripts_off_everything_is_done_all_the_same() {
    let shop = Shop::with_tea(10).await;
    let order = shop.place_started(&[("tea", 1)]).await;
    let Some(desk) = Desk::at(shop.api.address()).await else { return shop.close() };
    let browser = &desk.browser;
    browser.without_scripts(true).await;
    desk.open(&format!("/console/orders/{order}?a={}", encoded("b"))).await;
    browser.fill("//input[@type='password']", API_KEY).await;
    browser.press("Sign in").await;
    // It leads where it was meant to.
    wait_until("the order is shown", async || browser.url().await.contains(&order)).await;
    browser.follow("Cancel the order").await;
    browser.press("Cancel the order").await;
    shop.until(&order, "cancelled").await;
    wait_until("it is said", async || browser.url().await.contains("done=cancel")).await;
    desk.is_content("without scripts").await;
    drop(desk);
    shop.close();
}
