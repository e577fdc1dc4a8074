//! 100 units, 10,000 buyers with a connection each, all at the same moment: the time until the last has an
//! answer.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    house::House,
    load::{placements, storm},
    report::{Report, ms},
};

const UNITS: i64 = 100;
const BUYERS: usize = 10_000;
const ROUNDS: usize = 3;

pub async fn run() -> Report {
    let mut report = Report::new("flash-sale", "100 units, 10,000 buyers at once");
    let house = House::with_door_alone().await;
    for round in 1..=ROUNDS {
        let sku = format!("sale-{round}");
        house.shop.stock(&sku, 9900, UNITS).await;
        let sale =
            storm(house.shop.api.address(), BUYERS, BUYERS, placements(&house.shop, vec![sku.clone()])).await;
        let (on_hand, held) = house.shop.level(&sku).await;
        let statuses: BTreeMap<String, usize> =
            sale.statuses.iter().map(|(status, count)| (status.to_string(), *count)).collect();
        report.row(json!({
            "round": round,
            "all answered ms": ms(sale.elapsed),
            "p50 ms": ms(sale.p(0.5)),
            "answers": serde_json::to_string(&statuses).unwrap(),
            "held": held,
            "oversold": (held - on_hand).max(0),
        }));
    }
    house.shop.audit();
    report
}
