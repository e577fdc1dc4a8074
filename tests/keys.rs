//! Keys and secrets: long enough, without what surrounds them, and several while one takes the place of
//! another.

use std::collections::BTreeSet;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost::Message as _;
use serde_json::json;

use crate::harness::{Api, Shop, documents::Order, run};

const OLD: &str = "old-key-that-goes-away";
const NEW: &str = "new-key-that-takes-over";

#[tokio::test]
async fn several_api_keys_are_good_while_they_are_changed() {
    let shop = Shop::without_worker().await;
    let (api, _process) = shop.start_api(&[("HOLDFAST_API_KEY", format!("  {OLD} ,\t{NEW},\n"))]).await;
    for key in [OLD, NEW] {
        Api::with_key(api.address(), key).get("/v1/orders").await.is(200);
    }
    for key in ["", ",", "old-key-that-goes-awaY", "old-key-that-goes-away ,new-key-that-takes-over"] {
        Api::with_key(api.address(), key).get("/v1/orders").await.problem(401, "unauthorized");
    }
    shop.close();
}

#[test]
fn what_is_too_short_or_too_few_is_refused_by_its_name() {
    let short = "0123456789abcde";
    let long = "0123456789abcdef";
    let webhook_secret = format!("whsec_{}", BASE64_STANDARD.encode(short));
    let (key, secret) = ("HOLDFAST_API_KEY", "HOLDFAST_SANDBOX_WEBHOOK_SECRET");
    let (stripe_key, stripe_secrets) = ("HOLDFAST_STRIPE_API_KEY", "HOLDFAST_STRIPE_WEBHOOK_SECRETS");
    for (command, env) in [
        ("api", vec![(key, short.to_owned())]),
        ("api", vec![(key, format!("{long},{short}"))]),
        ("api", vec![(key, format!("  {short}  "))]),
        ("api", vec![(key, " , ".to_owned())]),
        ("api", vec![(key, long.to_owned()), (secret, webhook_secret)]),
        ("worker", vec![(stripe_key, long.to_owned()), (stripe_secrets, "whsec_x".to_owned())]),
        ("worker", vec![(stripe_key, "sk_test".to_owned())]),
        ("worker", vec![("HOLDFAST_PAYLOAD_KEY", short.to_owned())]),
        ("worker", vec![("HOLDFAST_DATABASE_MAX_CONNECTIONS", "0".to_owned())]),
    ] {
        let name = env.last().unwrap().0;
        let mut env = env;
        env.extend([
            ("DATABASE_URL", "postgres://x:x@127.0.0.1:1/x".to_owned()),
            ("HOLDFAST_LISTEN", "127.0.0.1:0".to_owned()),
            ("HOLDFAST_SMTP_URL", "smtp://127.0.0.1:1".to_owned()),
        ]);
        let (succeeded, said) = run(command, &env);
        // A log line of what goes on meanwhile may come after it.
        let told = said.lines().find(|line| line.starts_with("holdfast: ")).unwrap_or_default();
        assert!(!succeeded && told.contains(name) && !said.contains(short), "{name}: {said}");
    }
}

/// Orders that began under one key go on under the next.
#[tokio::test]
async fn the_key_of_payloads_is_changed_while_orders_sleep() {
    let mut shop = Shop::open().await;
    let keys = [1, 2].map(|byte| BASE64_STANDARD.encode([byte; 32]));
    let old = [("HOLDFAST_PAYLOAD_KEY", keys[0].clone())];
    let both = [("HOLDFAST_PAYLOAD_KEY", format!("{}, {}", keys[1], keys[0]))];
    shop.kill_worker();
    shop.stock("tea", 1250, 10).await;
    let (api, process) = shop.start_api(&old).await;
    let worker = shop.another_worker(&old).await;
    let order: Order = api.post("/v1/orders", &shop.order_body(&[("tea", 1)])).await.of().is(201);
    let id = order.id.as_str();
    shop.until_told(id, "workflow.started").await;
    shop.fast_forward(id, "PT5H").await; // it has had a task
    drop((worker, process));

    let (api, _process) = shop.start_api(&both).await;
    let _worker = shop.another_worker(&both).await;
    shop.sandbox.send_webhooks_to(format!("http://{}/v1/webhooks/sandbox", api.address()));
    api.post(&format!("/v1/sandbox/orders/{id}/pay"), &json!({})).await.is(200);
    shop.until(id, "completed").await;
    let history = shop.temporal.history(id).await;
    let names: BTreeSet<String> =
        history.iter().flat_map(|event| key_names(&event.encode_to_vec())).collect();
    assert_eq!(names.len(), 2, "one for each key: {names:?}");
    shop.close();
}

/// The names of keys in an event, as protobuf writes them: a map's key, then its value of 16 letters.
fn key_names(event: &[u8]) -> Vec<String> {
    let named = b"encryption-key-id\x12\x10";
    let places = event.windows(named.len()).enumerate().filter(|(_, bytes)| bytes == named);
    let names = places.map(|(at, _)| &event[at + named.len()..][..16]);
    names.map(|name| String::from_utf8(name.to_vec()).unwrap()).collect()
}
