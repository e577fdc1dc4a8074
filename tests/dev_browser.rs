//! `holdfast dev` in a real browser: what somebody sees who starts it and clicks. Webhooks are lost and
//! found, money that does not fit appears in an open inbox and is decided about, and the mails are looked
//! at.

use serde_json::json;

use crate::{
    console_browser::{Desk, pictures},
    dev::Dev,
    harness::{documents::Refund, wait_until},
};

/// A mail's width on most screens.
const MAIL: u32 = 1100;

#[tokio::test]
async fn what_the_product_promises_is_seen_by_clicking() {
    let mut dev = Dev::fresh().await;
    let Some(desk) = Desk::at(dev.api.address()).await else { return };
    let browser = &desk.browser;
    desk.open("/").await;
    browser.press("Sign in with the dev key").await;
    browser.until_shown("Open exceptions").await;
    browser.follow("Play").await;
    browser.press("Lose them").await;
    browser.until_shown("It is away.").await;
    assert_eq!(desk.findings().await, [""; 0]);
    let order = place(&desk).await;
    browser.until_shown("Payment reminder 1 goes out").await;

    // The provider has the money, and nobody tells us.
    pay(&desk, "").await;
    assert_eq!(dev.order(&order).await.status, "awaiting_payment");
    browser.follow("Play").await;
    browser.press("Read them now").await;
    browser.until_shown("The provider's books are being read").await;
    desk.open(&format!("/console/orders/{order}")).await;
    browser.until_shown("order completed").await;
    browser.follow("Play").await;
    browser.press("Send them again").await;
    browser.until_shown("It is back.").await;

    // Too little: an exception appears in an inbox that is open.
    let other = place(&desk).await;
    let skip = format!("/v1/sandbox/orders/{other}/fast-forward");
    dev.api.post(&skip, &json!({"duration": "PT5H"})).await.is(200);
    desk.open("/console/exceptions").await;
    browser.until_shown("Nobody has to decide about anything.").await;
    browser.until_shown("Live: as of").await;
    let path = format!("/v1/sandbox/orders/{other}/pay");
    dev.api.post(&path, &json!({"amount": 700})).await.is(200);
    browser.until_shown("7.00 EUR").await;
    browser.follow("wrong amount").await;
    browser.fill("//input[@name='note']", "too little").await;
    browser.press("Refund").await;
    browser.until_shown("It is decided, and on record.").await;
    wait_until("the money goes back", async || {
        let refunds = dev.api.list::<Refund>(&format!("/v1/orders/{other}/refunds")).await.data;
        refunds.iter().any(|refund| refund.state == "succeeded")
    })
    .await;
    desk.is_content("the console of dev").await;
    dev.until_mailed(&order, "paid").await;
    dev.until_mailed(&other, "reminder").await;
    mails(&desk, &dev).await;
    assert_eq!(dev.order(&order).await.status, "completed");
    dev.audit();
    drop(desk);
    dev.process.interrupt();
    assert_eq!(dev.process.ended().await.code(), Some(0), "{}", dev.process.log());
}

/// By the shop window; the order's page is open then.
async fn place(desk: &Desk) -> String {
    desk.browser.follow("Play").await;
    desk.browser.press("Place the order").await;
    desk.browser.until_shown("The order is placed.").await;
    let url = desk.browser.url().await;
    url.split("/orders/").nth(1).unwrap().split('?').next().unwrap().to_owned()
}

async fn pay(desk: &Desk, amount: &str) {
    desk.browser.follow("Play with this order").await;
    desk.browser.fill("//input[@name='amount']", amount).await;
    desk.browser.press("Pay").await;
    desk.browser.until_shown("The payer has paid").await;
}

/// The mail catcher's page: a mail's HTML beside its text, and in both the way to pay.
async fn mails(desk: &Desk, dev: &Dev) {
    let browser = &desk.browser;
    browser.look(MAIL, false).await;
    browser.open(&format!("http://{}/", dev.mail.address())).await;
    browser.click("//nav//button[contains(., 'Please pay your order')]").await;
    let both = "return document.getElementById('html').srcdoc.includes('/o/')
        && document.getElementById('plain').textContent.includes('/o/')";
    wait_until("both are shown", async || browser.run(both, json!([])).await == true).await;
    assert_eq!(desk.findings().await, [""; 0]);
    if let Some(folder) = pictures() {
        browser.picture(&folder.join("mail.png")).await;
    }
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{complaints:#?}");
}
