//! The time from a payment's webhook to `completed` (as `GET /v1/orders/{id}` shows it), and to the end of
//! the workflow (the customer is told by then), against an empty workflow's time from its signal to its end.
//! One at a time, in turns, each after its workflow has fallen asleep.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    empty::Empties,
    harness::Shop,
    house::House,
    lifecycle::{ended, pay, place},
    load::{Connection, get},
    report::{Report, ms, percentile, ratio},
};

const TIMES: usize = 100;

pub async fn run() -> Report {
    let mut report = Report::new(
        "webhook",
        "from a payment's webhook to `completed` and to the workflow's end, against an empty workflow from \
         its signal to its end",
    );
    let house = House::whole().await;
    let shop = &house.shop;
    shop.stock("tea", 1250, 1_000_000).await;
    let empties = Empties::open(shop).await;
    let (mut completed, mut whole, mut empty) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..TIMES + 5 {
        let measured = (paid(shop).await, signalled(&empties).await);
        if n >= 5 {
            let ((to_completed, to_end), signal_to_end) = measured;
            completed.push(to_completed);
            whole.push(to_end);
            empty.push(signal_to_end);
        }
    }
    for share in [0.5, 0.9, 0.99] {
        let at = |values: &[Duration]| ms(percentile(values, share));
        report.row(json!({
            "share": share,
            "completed ms": at(&completed),
            "workflow's end ms": at(&whole),
            "empty ms": at(&empty),
            "completed / empty": ratio(at(&completed), at(&empty)),
            "workflow's end / empty": ratio(at(&whole), at(&empty)),
        }));
    }
    house.shop.audit();
    report
}

/// From the webhook to `completed`, and to the end of the workflow.
pub async fn paid(shop: &Shop) -> (Duration, Duration) {
    let mut connection = Connection::open(shop.api.address()).await;
    let id = place(shop, &mut connection, "tea").await;
    shop.until_told(&id, "workflow.started").await;
    let started = Instant::now();
    pay(shop, &mut connection, &id).await;
    let looking = async {
        loop {
            let (_, answer) = connection.call(&get(shop.api.address(), &format!("/v1/orders/{id}"))).await;
            let order: Value = serde_json::from_slice(answer).unwrap();
            if order["status"] == "completed" {
                return started.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let ending = async {
        ended(shop, &id).await;
        started.elapsed()
    };
    tokio::join!(looking, ending)
}

async fn signalled(empties: &Empties) -> Duration {
    let empty = empties.start().await;
    tokio::time::sleep(Duration::from_millis(100)).await; // until its first task is done
    let started = Instant::now();
    empty.signal().await;
    empty.ended().await;
    started.elapsed()
}
