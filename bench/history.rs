//! What each way an order can end costs the engine: events and bytes of its history, against an empty
//! workflow's. Time passes by the server's time skipping.

use prost::Message as _;
use serde_json::json;
use temporalio_common::protos::temporal::api::history::v1::HistoryEvent;

use crate::{
    harness::{Shop, eventually, webhook},
    house::House,
    report::Report,
};

pub async fn run() -> Report {
    let mut report = Report::new("history", "history events and bytes for each way an order can end");
    let house = House::whole().await;
    let shop = &house.shop;
    shop.stock("tea", 1250, 1000).await;

    let id = asleep(shop, json!(null)).await;
    shop.pay(&id).await;
    tell(&mut report, shop, "paid and completed", &id, "completed").await;

    let id = asleep(shop, json!({"fulfilment": "manual"})).await;
    shop.pay(&id).await;
    shop.until(&id, "paid").await;
    shop.fulfil(&id).await.is(200);
    tell(&mut report, shop, "paid, then fulfilled by hand", &id, "completed").await;

    let id = asleep(shop, json!(null)).await;
    shop.fast_forward(&id, "PT5H").await;
    shop.pay(&id).await;
    tell(&mut report, shop, "paid after the first reminder", &id, "completed").await;

    let id = asleep(shop, json!(null)).await;
    webhook::Webhook::new(&webhook::payment("payment.failed", &id, 1250)).send(&shop.api).await.is(200);
    eventually("the first try failed", async || {
        shop.payments(&id).await.iter().any(|it| it.state == "failed").then_some(())
    })
    .await;
    shop.pay(&id).await;
    tell(&mut report, shop, "paid at the second try", &id, "completed").await;

    let id = asleep(shop, json!(null)).await;
    shop.cancel(&id).await.is(200);
    tell(&mut report, shop, "cancelled", &id, "cancelled").await;

    let id = asleep(shop, json!({"reminders": []})).await;
    shop.fast_forward(&id, "PT25H").await;
    tell(&mut report, shop, "expired, without reminders", &id, "expired").await;

    let id = asleep(shop, json!(null)).await;
    shop.fast_forward(&id, "PT25H").await;
    tell(&mut report, shop, "expired, after three reminders", &id, "expired").await;

    house.shop.audit();
    report
}

/// An order whose workflow sleeps.
async fn asleep(shop: &Shop, policy: serde_json::Value) -> String {
    let id = shop.place_with(&[("tea", 1)], policy).await;
    shop.until_told(&id, "workflow.started").await;
    id
}

async fn tell(report: &mut Report, shop: &Shop, end: &str, id: &str, status: &str) {
    shop.until(id, status).await;
    shop.temporal.until_closed(id).await;
    let history = shop.temporal.history(id).await;
    let bytes: usize = history.iter().map(HistoryEvent::encoded_len).sum();
    report.row(json!({"end": end, "events": history.len(), "bytes": bytes}));
}
