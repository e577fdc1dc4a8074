//! What costs nothing: paid as it is placed, without a payment.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    harness::{Shop, documents::Order, unique},
    stays::{code, day},
};

const PLACED_AND_PAID: [&str; 4] = ["order.placed", "stock.held", "order.paid", "stock.committed"];

/// The kinds of the mails, having checked that they neither ask nor thank for money.
async fn mails_of_nothing(shop: &Shop, id: &str) -> Vec<String> {
    let mails = shop.mails(id).await;
    for mail in &mails {
        for part in [&mail.subject, &mail.text, &mail.html] {
            let said = part.to_lowercase();
            for wrong in ["your payment", "please pay", "payment due", "is paid", "has arrived", "goes back"]
            {
                assert!(!said.contains(wrong), "`{wrong}` in {part}");
            }
        }
    }
    mails.iter().map(|mail| mail.kind().to_owned()).collect()
}

async fn nothing_asks_for_money(shop: &Shop, id: &str) {
    shop.ask_attempt(id, &unique()).await.problem(409, "order_not_payable");
    assert!(shop.payments(id).await.is_empty());
    let refund = shop.ask_refund(id, &json!({"reason": "nothing", "amount": 1})).await;
    assert!(refund.status.is_client_error(), "{refund:?}");
}

#[tokio::test]
async fn a_gift_is_complete_the_moment_it_is_placed() {
    let shop = Shop::open().await;
    shop.stock("gift", 0, 10).await;
    let body = shop.order_body(&[("gift", 2)]);
    let first = shop.try_place_as("k-1", &body).await;
    let order = first.is(201);
    assert_eq!([&order.status, &order.payment_status], ["completed", "paid"], "{order:?}");
    assert_eq!((order.total, order.lines[0].amount), (0, 0));
    assert_eq!((order.paid_at, order.closed_at), (Some(order.placed_at), Some(order.placed_at)));
    let id = order.id.as_str();
    assert_eq!(shop.order(id).await, order);
    assert_eq!(shop.level("gift").await, (8, 0));
    let again = shop.try_place_as("k-1", &body).await;
    assert_eq!((again.is(201), again.is_replayed()), (order.clone(), true));
    assert_eq!(shop.level("gift").await, (8, 0));

    shop.temporal.until_closed(id).await;
    let mut story = shop.until_told(id, "mail.sent").await;
    story.retain(|told| told != "workflow.started");
    assert_eq!(story, [&PLACED_AND_PAID[..], &["order.completed", "mail.sent"]].concat());
    assert_eq!(mails_of_nothing(&shop, id).await, ["paid"]);
    nothing_asks_for_money(&shop, id).await;
    assert!(!shop.cancel(id).await.status.is_success());

    // Money that comes for it all the same is nobody's, and goes back.
    shop.pay_with(id, json!({"amount": 100})).await;
    shop.until_told(id, "payment.refunded").await;
    assert_eq!(shop.exceptions(id).await, ["paid_twice"]);
    assert_eq!(shop.order(id).await.payment_status, "paid");
    shop.close();
}

#[tokio::test]
async fn a_gift_that_is_handed_over_by_hand_waits_for_that() {
    let shop = Shop::open().await;
    shop.stock("gift", 0, 10).await;
    let mut body = shop.order_body(&[("gift", 1)]);
    body["policy"] = json!({"fulfilment": "manual"});
    let first = shop.try_place_as("k-1", &body).await;
    let order = first.is(201);
    assert_eq!([&order.status, &order.payment_status], ["paid", "paid"]);
    assert_eq!((order.paid_at, order.closed_at), (Some(order.placed_at), None));
    let id = order.id.as_str();
    shop.until_mailed(id, "paid").await;
    nothing_asks_for_money(&shop, id).await;
    shop.fulfil(id).await.is(200);
    shop.until_mailed(id, "completed").await;
    assert_eq!(mails_of_nothing(&shop, id).await, ["paid", "completed"]);
    assert_eq!(shop.try_place_as("k-1", &body).await.body, first.body);

    // Cancelled before that, it is on the shelf again, and no money goes back.
    let other = shop.place_with(&[("gift", 1)], json!({"fulfilment": "manual"})).await;
    assert_eq!(shop.level("gift").await, (8, 0));
    shop.cancel(&other).await.is(200);
    shop.until_mailed(&other, "cancelled").await;
    assert_eq!(mails_of_nothing(&shop, &other).await.last().unwrap(), "cancelled");
    assert_eq!(shop.level("gift").await, (9, 0));
    shop.close();
}

#[tokio::test]
async fn a_stay_of_nothing_has_its_code_and_waits_for_its_guests() {
    let shop = Shop::open().await;
    let room = json!({"kind": "stay", "name": "Tent", "unit_price": 0, "currency": "EUR"});
    shop.put_product("tent", &room).await.is(201);
    let tea = json!({"code": "tea", "name": "Tea", "unit_price": 0, "per": "guest_night"});
    let terms = json!({"max_guests": 2, "time_zone": "Pacific/Auckland", "extras": [tea]});
    shop.api.put("/v1/products/tent/stay", &terms).await.is(200);
    shop.offer("tent", 0, 3, json!({"capacity": 1})).await.is(200);
    shop.offer("tent", 3, 9, json!({"capacity": 1, "unit_price": 0})).await.is(200);
    let mut body = shop.stay_body("tent", 0, 4);
    body["lines"][0]["extras"] = json!([{"code": "tea"}]);
    let order = shop.try_place(&body).await.is(201);
    let id = order.id.as_str();
    assert_eq!([&order.status, &order.payment_status], ["paid", "paid"]);
    assert_eq!(order.lines[0].stay.as_ref().unwrap().from, day(0));
    assert_eq!(shop.nights("tent", 0, 5).await, [(0, 1), (0, 1), (0, 1), (0, 1), (0, 0)]);
    shop.until_mailed(id, "check_in").await;
    assert_eq!(mails_of_nothing(&shop, id).await, ["paid", "check_in"]);
    let code = code(&shop.mails(id).await.pop().unwrap());
    nothing_asks_for_money(&shop, id).await;
    shop.check_in(id, &code).await.is(200);
    shop.until(id, "completed").await;
    shop.close();
}

/// A gift beside something that costs is part of an order as every other.
#[tokio::test]
async fn a_gift_beside_tea_waits_for_the_money_of_the_tea() {
    let shop = Shop::open().await;
    shop.stock("gift", 0, 10).await;
    shop.stock("tea", 1250, 10).await;
    let order = shop.try_place(&shop.order_body(&[("gift", 1), ("tea", 1)])).await.is(201);
    assert_eq!((order.status.as_str(), order.total), ("awaiting_payment", 1250));
    let id = order.id.as_str();
    assert_eq!((shop.level("gift").await, shop.level("tea").await), ((10, 1), (10, 1)));
    shop.pay(id).await;
    shop.until(id, "completed").await;
    assert_eq!((shop.level("gift").await, shop.level("tea").await), ((9, 0), (9, 0)));
    let mail = shop.until_mailed(id, "paid").await;
    assert_eq!(mail, ["paid"]);
    assert!(shop.mails(id).await[0].text.contains("Your payment of €12.50 has arrived"));
    shop.close();
}

/// Those that are free and those that are not, in the same batches; while no worker runs.
#[tokio::test]
async fn a_crowd_gets_all_gifts_and_no_more() {
    let mut shop = Shop::without_worker().await;
    shop.stock("gift", 0, 10).await;
    shop.stock("tea", 1250, 40).await;
    let bodies: Vec<Value> = (0..40)
        .map(|i| match i % 3 {
            0 => shop.order_body(&[("tea", 1)]),
            1 => shop.order_body(&[("gift", 1)]),
            _ => shop.order_body(&[("gift", 1), ("tea", 1)]),
        })
        .collect();
    let answers = join_all(bodies.iter().map(|body| shop.try_place(body))).await;
    let placed: Vec<Order> = answers.iter().filter(|it| it.status == 201).map(|it| it.json()).collect();
    let free: Vec<&Order> = placed.iter().filter(|order| order.total == 0).collect();
    assert!(free.iter().all(|order| order.status == "completed"));
    let (on_hand, held) = shop.level("gift").await;
    assert_eq!((on_hand, held), (10 - free.len() as i64, 10 - free.len() as i64), "{} of 40", placed.len());
    shop.audit();
    shop.start_worker();
    for order in free {
        shop.until_mailed(&order.id, "paid").await;
    }
    shop.close();
}
