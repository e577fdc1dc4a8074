//! A route whose service refuses all, beside one that goes on.

use super::*;

/// More of a partition than is taken or held back at once waits behind one message.
const MANY: usize = 2000;

#[tokio::test]
async fn a_route_that_is_stuck_holds_up_no_other() {
    let broker = Broker::tansu().await;
    let (stuck, free) = (topic(&broker).await, topic(&broker).await);
    let away = Service::start(|_, _| StatusCode::SERVICE_UNAVAILABLE).await;
    let service = Service::start(ok).await;
    messages(&broker, &stuck, MANY, 1).await;
    let routes = format!(
        "mode = \"ordered\"\nretry_interval_s = 1\nretries = 100\n[[route]]\nname = \"free\"\n\
         topics = [\"{free}\"]\ngroup = \"free-{free}\"\nurl = \"{}\"\nmode = \"parallel\"",
        service.url
    );
    let mut consumer = Consumer::start(&broker.address(), &away, &stuck, &routes);
    wait_until("one is tried again", async || away.calls().len() > 2).await;
    for round in 1..=2 {
        let ids = messages(&broker, &free, 300, 10 * round).await;
        service.until_done(ids.len()).await;
    }
    assert!(away.done().is_empty());
    // What was held back comes when the service does, in its order.
    away.answer(ok);
    away.until_done(MANY).await;
    check_order_per_key(&away);
    consumer.process.terminate();
    assert!(consumer.process.ended().await.success(), "{}", consumer.process.log());
}
