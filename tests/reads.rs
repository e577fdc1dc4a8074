//! Reading: lists, filters, pages; also while every worker is stopped.

use futures_util::future::join_all;
use jiff::ToSpan as _;
use serde_json::json;

use crate::harness::{
    Shop,
    documents::{List, Order},
};

fn ids(list: &List<Order>) -> Vec<String> {
    list.data.iter().map(|order| order.id.clone()).collect()
}

#[tokio::test]
async fn pages_of_orders_newest_first() {
    let mut shop = Shop::with_tea(100).await;
    let mut placed = Vec::new();
    for _ in 0..9 {
        placed.extend(join_all((0..5).map(|_| shop.place(&[("tea", 1)]))).await);
    }
    shop.kill_worker();
    let mut pages: Vec<Vec<String>> = Vec::new();
    let mut after = String::new();
    loop {
        let list = shop.api.list(&format!("/v1/orders?limit=20{after}")).await;
        pages.push(ids(&list));
        let Some(cursor) = list.next_cursor else { break };
        after = format!("&starting_after={cursor}");
        // What is placed meanwhile is newer: it moves no page.
        shop.place(&[("tea", 1)]).await;
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [20, 20, 5]);
    let read = pages.concat();
    let mut newest_first = placed.clone();
    newest_first.sort();
    newest_first.reverse();
    assert_eq!(read, newest_first);

    let whole = shop.api.list("/v1/orders?limit=100").await;
    assert_eq!((ids(&whole).len(), whole.has_more), (47, false));
    assert_eq!(ids(&shop.api.list("/v1/orders").await).len(), 20);
    // An id is as good as a cursor.
    let rest = shop.api.list(&format!("/v1/orders?starting_after={}", newest_first[43])).await;
    assert_eq!(ids(&rest), newest_first[44..]);
    shop.close();
}

#[tokio::test]
async fn orders_are_filtered_by_status_customer_and_time() {
    let shop = Shop::with_tea(100).await;
    let mut other = shop.order_body(&[("tea", 1)]);
    other["customer"]["id"] = json!("cust-7");
    let (a, b) = (shop.place(&[("tea", 1)]).await, shop.place(&[("tea", 1)]).await);
    let c = shop.try_place(&other).await.is(201).id;
    shop.cancel(&a).await.is(200);
    shop.pay(&b).await;
    shop.until(&b, "completed").await;

    let b_placed = shop.order(&b).await.placed_at;
    let just_after = b_placed + 1.microsecond();
    let tomorrow = b_placed + 24.hours();
    for (query, found) in [
        ("status=cancelled".to_owned(), vec![&a]),
        ("status=completed".into(), vec![&b]),
        ("status=awaiting_payment".into(), vec![&c]),
        ("status=expired".into(), vec![]),
        ("customer=cust-42".into(), vec![&b, &a]),
        ("customer=cust-7".into(), vec![&c]),
        ("customer=cust-42&status=cancelled".into(), vec![&a]),
        (format!("placed_from={b_placed}"), vec![&c, &b]),
        (format!("placed_from={just_after}"), vec![&c]),
        (format!("placed_to={b_placed}"), vec![&a]),
        (format!("placed_from={b_placed}&placed_to={just_after}"), vec![&b]),
        (format!("placed_from={tomorrow}"), vec![]),
        (format!("limit=1&customer=cust-42&starting_after={b}"), vec![&a]),
    ] {
        let list = shop.api.list(&format!("/v1/orders?{query}")).await;
        assert_eq!(ids(&list), found.into_iter().cloned().collect::<Vec<_>>(), "{query}");
    }
    shop.close();
}
