//! Endpoints and deliveries are the shop's: a customer who is signed in has nothing to do with them.

use super::*;
use crate::accounts::Person;

#[tokio::test]
async fn customers_reach_no_endpoint_and_no_delivery() {
    let (shop, receiver) = (open().await, Receiver::start().await);
    let hook = endpoint(&shop, &receiver.url("/hook"), &["order.placed"]).await;
    let (_, _, ann) = Person::signed_in(&shop).await;
    let body = json!({"currency": "EUR", "lines": [{"sku": "tea", "quantity": 1}]});
    let own = ann.post_as("k", "/v1/orders", &body).await.is(201);
    let own = own["id"].as_str().unwrap();
    until_delivered(&shop, &hook.id, 1).await;
    let event = deliveries(&shop, &hook.id, "").await[0].event_id.clone();

    let at = |rest: &str| format!("/v1/webhook-endpoints/{}{rest}", hook.id);
    let new = json!({"url": receiver.url("/theirs")});
    let routes = [
        (Method::POST, "/v1/webhook-endpoints".to_owned(), Some(new.clone())),
        (Method::GET, "/v1/webhook-endpoints".to_owned(), None),
        (Method::GET, at(""), None),
        (Method::PATCH, at(""), Some(json!({"enabled": false}))),
        (Method::DELETE, at(""), None),
        (Method::POST, at("/rotate-secret"), None),
        (Method::POST, at("/test"), None),
        (Method::POST, at("/redeliver"), Some(json!({"event_id": event}))),
        (Method::GET, at("/deliveries"), None),
        (Method::GET, format!("/v1/orders/{own}/deliveries"), None),
    ];
    for (method, path, body) in &routes {
        let request = ann.request(method.clone(), path);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        send(request).await.problem(403, "scope_missing");
    }
    // There are no others: whoever adds a route adds it here.
    let document = shop.api.get("/openapi.json").await.is(200);
    let paths = document["paths"].as_object().unwrap();
    let is_of_them = |path: &str| path.starts_with("/v1/webhook-endpoints") || path.ends_with("/deliveries");
    let methods = ["get", "post", "put", "patch", "delete"];
    let of_them = paths.iter().filter(|(path, _)| is_of_them(path));
    let known: usize =
        of_them.map(|(_, item)| methods.iter().filter(|method| item.get(**method).is_some()).count()).sum();
    assert_eq!(known, routes.len());

    let unchanged = read(&shop, &hook.id).await;
    assert_eq!((unchanged.status.as_str(), unchanged.updated_at), ("enabled", hook.updated_at));
    assert_eq!(receiver.received("/hook").len(), 1);
    assert!(receiver.received("/theirs").is_empty());
    shop.close();
}
