//! Commands, which are done once.

use super::*;
use crate::harness::{Setup, Shop};

fn command(prefix: &str, id: &str, kind: &str, data: &Value) -> Value {
    let topic = format!("{prefix}commands");
    json!({"topic": topic, "key": data["order_id"], "value": data.to_string(), "headers": {
        "ce_id": id, "ce_source": "erp", "ce_type": kind, "content-type": "application/json",
    }})
}

async fn commands_are_done_once(broker: Broker) {
    let prefix = format!("shop{}.", unique());
    let command = |id: &str, kind: &str, data: &Value| command(&prefix, id, kind, data);
    let env =
        vec![("HOLDFAST_KAFKA_BROKERS", broker.address()), ("HOLDFAST_KAFKA_TOPIC_PREFIX", prefix.clone())];
    let mut shop = Shop::with(Setup { env, ..Setup::default() }).await;
    shop.stock("tea", 1250, 100).await;
    let worker = shop.worker.as_mut().unwrap();
    worker.says("messages are read from Kafka").await;
    let (cancelled, extended) = (shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await);
    let handed_over = shop.sell_by_hand(&[("tea", 1)]).await;
    let due = "2030-01-01T00:00:00Z";
    let extend = json!({"order_id": extended, "payment_due_at": "2027-03-01T00:00:00Z"});
    let cancel =
        command("c1", "order.cancel", &json!({"order_id": cancelled, "reason": "the shop is closed"}));
    let fulfil = command("c2", "order.fulfil", &json!({"order_id": handed_over}));
    let too_late = command("c4", "order.extend", &json!({"order_id": extended, "payment_due_at": due}));
    let unknown = "ord_019abc00000070008000000000000001";
    let sent = [
        cancel.clone(),
        fulfil.clone(),
        command("c3", "order.extend", &extend),
        too_late,
        command("c5", "order.cancel", &json!({"order_id": unknown})),
        command("c6", "order.destroy", &json!({"order_id": cancelled})),
        cancel,
        fulfil,
    ];
    write(&broker.address(), &sent).await;
    shop.until(&cancelled, "cancelled").await;
    shop.until(&handed_over, "completed").await;
    wait_until("it is extended", async || {
        shop.order(&extended).await.payment_due_at == "2027-03-01T00:00:00Z".parse().unwrap()
    })
    .await;
    let failed = async || read(&broker.address(), &[&format!("fail-{prefix}commands")]).await;
    wait_until("three are refused", async || failed().await.len() == 3).await;
    let reasons: BTreeMap<String, String> = failed()
        .await
        .iter()
        .map(|record| (record.header("ce_id").to_owned(), record.header("holdfast-reason").to_owned()))
        .collect();
    assert_eq!(reasons["c5"], "order_not_found: There is no order with this id.");
    assert_eq!(reasons["c6"], "unknown_command: There is no command of this type.");
    assert_eq!(reasons["c4"], "invalid_request: payment_due_at: must be within a year of the placement");
    let asked = "SELECT count(*) FROM order_changes WHERE asked_by = 'kafka'";
    assert_eq!(shop.query::<i64>(asked).await, 3);
    shop.close();
}

#[tokio::test]
async fn commands_on_tansu_are_done_once() {
    commands_are_done_once(Broker::tansu().await).await;
}

#[tokio::test]
async fn commands_on_apache_kafka_are_done_once() {
    if let Some(broker) = Broker::apache().await {
        commands_are_done_once(broker).await;
    }
}
