//! Stays: what is wrong with a booking or an offer is named, field by field.

use serde_json::{Value, json};

use crate::{
    harness::{Shop, documents::Night},
    stays::day,
};

/// (what stands in the line instead, which fields the answer complains about)
fn bad_lines() -> Vec<(Value, Vec<&'static str>)> {
    let stay = |from: i64, to: i64| json!({"from": day(from), "to": day(to)});
    let line = |changes: Value| {
        let mut line = json!({"sku": "room", "stay": stay(2, 4), "guests": 2});
        line.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        line
    };
    vec![
        (line(json!({"stay": stay(4, 4)})), vec!["lines[1].stay.to"]),
        (line(json!({"stay": stay(4, 2)})), vec!["lines[1].stay.to"]),
        (line(json!({"stay": stay(2, 93)})), vec!["lines[1].stay.to"]),
        (line(json!({"stay": stay(-1, 2)})), vec!["lines[1].stay.from"]),
        (line(json!({"stay": stay(0, 2)})), vec!["lines[1].stay.from"]), // today is not on offer
        (line(json!({"stay": stay(27, 30)})), vec!["lines[1].stay.to"]),
        (
            line(json!({"stay": {"from": "tomorrow", "to": "2026-02-30"}})),
            vec!["lines[1].stay.from", "lines[1].stay.to"],
        ),
        (line(json!({"stay": {"from": "2026-07-01T10:00:00", "to": day(4)}})), vec!["lines[1].stay.from"]),
        (line(json!({"stay": {"from": day(2)}})), vec!["lines[1].stay"]),
        (line(json!({"stay": {"from": day(2), "to": day(4), "until": day(5)}})), vec!["lines[1].stay.until"]),
        (line(json!({"guests": 0})), vec!["lines[1].guests"]),
        (line(json!({"guests": 4})), vec!["lines[1].guests"]),
        (line(json!({"guests": 7, "quantity": 2})), vec!["lines[1].guests"]),
        (line(json!({"guests": null})), vec!["lines[1].guests"]),
        (line(json!({"quantity": 0})), vec!["lines[1].quantity"]),
        (line(json!({"quantity": 101})), vec!["lines[1].quantity"]),
        (
            line(json!({"extras": [{"code": "breakfast"}, {"code": "yacht"}]})),
            vec!["lines[1].extras[1].code"],
        ),
        (
            line(json!({"extras": [{"code": "parking"}, {"code": "parking"}]})),
            vec!["lines[1].extras[1].code"],
        ),
        (
            line(json!({"extras": [{"code": "parking", "unit_price": 1}]})),
            vec!["lines[1].extras[0].unit_price"],
        ),
        (line(json!({"sku": "tea"})), vec!["lines[1].sku"]), // tea is in the line before
        (line(json!({"sku": "mug"})), vec!["lines[1].stay"]),
        (line(json!({"sku": "none"})), vec!["lines[1].sku"]),
        (json!({"sku": "room", "quantity": 1}), vec!["lines[1].stay"]),
        (
            json!({"sku": "mug", "quantity": 1, "guests": 2, "extras": []}),
            vec!["lines[1].guests", "lines[1].extras"],
        ),
        (json!({"sku": "mug"}), vec!["lines[1].quantity"]),
    ]
}

#[tokio::test]
async fn a_bad_booking_is_told_which_fields_are_wrong() {
    let shop = Shop::open().await;
    shop.rooms("room", 5).await;
    shop.stock("tea", 1250, 10).await;
    shop.stock("mug", 990, 10).await;
    for (line, fields) in bad_lines() {
        let mut body = shop.order_body(&[("tea", 1)]);
        body["lines"].as_array_mut().unwrap().push(line.clone());
        assert_eq!(shop.try_place(&body).await.bad_fields(), fields, "{line}");
    }
    let mut twice = shop.stay_body("room", 2, 4);
    let line = twice["lines"][0].clone();
    twice["lines"].as_array_mut().unwrap().push(line);
    assert_eq!(shop.try_place(&twice).await.bad_fields(), ["lines[1].sku"]);
    let mut waits = shop.order_body(&[("tea", 1)]);
    waits["policy"] = json!({"fulfilment": "check_in"});
    assert_eq!(shop.try_place(&waits).await.bad_fields(), ["policy.fulfilment"]);
    assert_eq!((shop.nights("room", 1, 5).await, shop.level("tea").await), (vec![(0, 0); 4], (10, 0)));

    let goods = shop.place(&[("mug", 1)]).await;
    shop.check_in(&goods, "ABCD2345").await.problem(409, "order_has_no_stay");
    shop.close();
}

#[tokio::test]
async fn a_bad_offer_is_told_which_fields_are_wrong() {
    let shop = Shop::open().await;
    shop.rooms("room", 5).await;
    shop.stock("tea", 1250, 10).await;
    let nights = "/v1/products/room/nights";
    let offers = [
        (json!({"from": day(-1), "to": day(3), "capacity": 1}), vec!["from"]),
        (json!({"from": day(3), "to": day(3), "capacity": 1}), vec!["to"]),
        (json!({"from": day(3), "to": day(370), "capacity": 1}), vec!["to"]),
        (
            json!({"from": "x", "to": "y", "capacity": -1, "unit_price": -1}),
            vec!["from", "to", "capacity", "unit_price"],
        ),
        (json!({"from": day(3), "to": day(4), "capacity": 10_001}), vec!["capacity"]),
        (json!({"from": day(3), "to": day(4), "capacity": 1, "rooms": 1}), vec!["rooms"]),
    ];
    for (offer, fields) in offers {
        assert_eq!(shop.api.put(nights, &offer).await.bad_fields(), fields, "{offer}");
    }
    let breakfast = json!({"code": "b", "name": "B", "unit_price": 1, "per": "guest"});
    let terms = [
        (json!({"max_guests": 0, "time_zone": "Mars/Olympus"}), vec!["max_guests", "time_zone"]),
        (json!({"extras": vec![breakfast.clone(); 2]}), vec!["extras[1].code"]),
        (
            json!({"extras": [{"code": "a b", "name": "", "unit_price": -1, "per": "stay"}]}),
            vec!["extras[0].code", "extras[0].name", "extras[0].unit_price"],
        ),
        (
            json!({"extras": [{"code": "a", "name": "A", "unit_price": 1, "per": "moon"}]}),
            vec!["extras[0].per"],
        ),
    ];
    for (terms, fields) in terms {
        assert_eq!(shop.api.put("/v1/products/room/stay", &terms).await.bad_fields(), fields, "{terms}");
    }
    for (query, field) in
        [("from=x", "from"), ("to=x", "to"), ("from=2030-01-02&to=2030-01-01", "to"), ("day=1", "day")]
    {
        assert_eq!(shop.api.get(&format!("{nights}?{query}")).await.bad_fields(), [field]);
    }
    assert_eq!(shop.api.list::<Night>(nights).await.data.len(), 28);
    let offer = json!({"from": day(3), "to": day(4), "capacity": 1});
    shop.api.put("/v1/products/none/nights", &offer).await.problem(404, "product_not_found");
    shop.api.put("/v1/products/tea/nights", &offer).await.problem(409, "product_not_a_stay");
    shop.api.put("/v1/products/tea/stay", &json!({})).await.problem(409, "product_not_a_stay");
    shop.adjust("room", 1).await.problem(409, "product_not_goods");
    shop.api.get("/v1/inventory/room").await.problem(409, "product_not_goods");
    shop.adjust(&format!("room@{}", day(3)), 1).await.problem(404, "product_not_found");
    shop.close();
}
