//! Keys that are issued: what each may do, how it ends, who makes it, and what it costs.

use std::{collections::BTreeSet, time::Instant};

use domain::api_key::Scope;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Api, Shop,
    documents::{ApiKey, CreatedApiKey, List, ProductEvent},
    eventually, printed, send, wait_until,
};

const NOWHERE: &str = "127.0.0.1:1";

async fn create(api: &Api, body: &Value) -> Answer<CreatedApiKey> {
    api.post("/v1/keys", body).await.of()
}

/// A key with these scopes, and whoever calls with it.
pub async fn key(api: &Api, name: &str, scopes: &[&str]) -> (CreatedApiKey, Api) {
    let created = create(api, &json!({"name": name, "scopes": scopes})).await.is(201);
    let caller = Api::with_key(api.address(), String::leak(created.key.clone()));
    (created, caller)
}

async fn listed(api: &Api, id: &str) -> ApiKey {
    let keys: List<ApiKey> = api.list("/v1/keys?limit=100").await;
    keys.data.into_iter().find(|key| key.id == id).expect("it is listed")
}

/// Each documented operation that wants a key, with the scope that the document says.
async fn operations(shop: &Shop) -> Vec<(Method, String, String)> {
    let document = shop.api.get("/openapi.json").await.is(200);
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let security = operation["security"].as_array().unwrap();
            if let Some(scope) = security[0]["api_key"].as_array() {
                let scope = scope[0].as_str().unwrap().to_owned();
                operations.push((method.to_uppercase().parse().unwrap(), path.clone(), scope));
            }
        }
    }
    operations
}

/// An answer to a request that finds nothing to do.
async fn try_out(caller: &Api, method: &Method, path: &str) -> Answer {
    let nothing = "01920000000070008000000000000000";
    let path = path.replace("{sku}", "none").replace("{payment_id}", &format!("pay_{nothing}"));
    let path =
        path.replace("{change_id}", &format!("chg_{nothing}")).replace("{id}", &format!("ord_{nothing}"));
    let path = path.replace("{account_id}", &format!("acc_{nothing}"));
    let path = path.replace("/stream", "/stream?after=nothing"); // one that begins has no end
    let request = caller.request(method.clone(), &path);
    match *method {
        Method::GET | Method::DELETE => send(request).await,
        _ => send(request.json(&json!({}))).await,
    }
}

#[tokio::test]
async fn a_scope_opens_its_routes_and_no_others() {
    let shop = Shop::without_worker().await;
    let operations = operations(&shop).await;
    assert!(operations.len() > 30, "{operations:?}");
    let documented: BTreeSet<&str> = operations.iter().map(|(_, _, scope)| scope.as_str()).collect();
    assert_eq!(documented, BTreeSet::from_iter(Scope::WORDS.iter().copied()));
    for scope in Scope::WORDS {
        let (_, caller) = key(&shop.api, "walker", &[scope]).await;
        for (method, path, wanted) in &operations {
            let answer = try_out(&caller, method, path).await;
            if wanted == scope {
                let status = answer.status.as_u16();
                assert!(status < 500 && ![401, 403].contains(&status), "{method} {path}: {answer:?}");
            } else {
                assert_eq!(answer.problem(403, "scope_missing").scope, *wanted, "{method} {path}");
            }
        }
    }
    // Whatever else is wrong with a request, the scope comes first; HEAD is a GET without its body.
    let (_, writer) = key(&shop.api, "writer", &["orders:write"]).await;
    writer.get("/v1/orders?what=1").await.problem(403, "scope_missing");
    assert_eq!(send(writer.request(Method::HEAD, "/v1/orders")).await.status, 403);
    writer.delete("/v1/orders").await.problem(405, "method_not_allowed");
    let figures = shop.figures().await;
    assert!(figures.contains("holdfast_keys_refused_total{reason=\"scope_missing\"}"), "{figures}");
    shop.close();
}

#[tokio::test]
async fn keys_are_changed_revoked_and_expire() {
    let shop = Shop::without_worker().await;
    let (other, _process) = shop.start_api(&[]).await;
    let (old, with_old) = key(&shop.api, "till", &["orders:read"]).await;
    with_old.get("/v1/orders").await.is(200);
    // Two of one name, while clients go from one to the other.
    let (new, with_new) = key(&shop.api, "till", &["orders:read"]).await;
    for caller in [&with_old, &with_new] {
        caller.get("/v1/orders").await.is(200);
    }
    assert!(old.key.starts_with(&old.prefix) && old.prefix != new.prefix, "{old:?} {new:?}");
    eventually("the use is noted", async || listed(&shop.api, &new.id).await.last_used_at).await;

    // Another process goes on with what it has read for a few seconds.
    let elsewhere = Api::with_key(other.address(), String::leak(old.key.clone()));
    elsewhere.get("/v1/orders").await.is(200);
    let revoked: ApiKey = shop.api.delete(&format!("/v1/keys/{}", old.id)).await.of().is(200);
    assert!(revoked.revoked_at.is_some(), "{revoked:?}");
    with_old.get("/v1/orders").await.problem(401, "unauthorized");
    let since = Instant::now();
    wait_until("it ends elsewhere", async || elsewhere.get("/v1/orders").await.status == 401).await;
    assert!(since.elapsed().as_secs() < 10, "{:?}", since.elapsed());
    with_new.get("/v1/orders").await.is(200);
    let again: ApiKey = shop.api.delete(&format!("/v1/keys/{}", old.id)).await.of().is(200);
    assert_eq!((&again.id, again.revoked_at), (&old.id, revoked.revoked_at));
    let read: ApiKey = shop.api.get(&format!("/v1/keys/{}", old.id)).await.of().is(200);
    assert_eq!((&read.id, read.revoked_at), (&old.id, revoked.revoked_at));
    let read: ApiKey = shop.api.get(&format!("/v1/keys/{}", new.id)).await.of().is(200);
    assert_eq!((&read.prefix, read.revoked_at), (&new.prefix, None));
    for unknown in ["key_01920000000070008000000000000000", "7"] {
        shop.api.delete(&format!("/v1/keys/{unknown}")).await.problem(404, "key_not_found");
        shop.api.get(&format!("/v1/keys/{unknown}")).await.problem(404, "key_not_found");
    }

    let soon = Timestamp::now() + SignedDuration::from_secs(2);
    let body = json!({"name": "guest", "scopes": ["orders:read"], "expires_at": soon});
    let short = create(&shop.api, &body).await.is(201);
    let guest = Api::with_key(shop.api.address(), String::leak(short.key));
    guest.get("/v1/orders").await.is(200);
    wait_until("it expires", async || guest.get("/v1/orders").await.status == 401).await;
    assert!(Timestamp::now() >= soon);
    let names: Vec<_> = shop.api.pages::<ApiKey>("/v1/keys?limit=2").await.concat();
    assert_eq!(names.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["guest", "till", "till"]);
    let log = shop.api_process.log();
    for said in ["API key created", "API key revoked", "\"reason\":\"revoked\"", "\"reason\":\"expired\""] {
        assert!(log.contains(said), "`{said}` is missing in:\n{log}");
    }
    assert!(!log.contains(&new.key) && !log.contains(&new.prefix), "{log}");
    shop.close();
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_have() {
    let shop = Shop::without_worker().await;
    let (_, manager) = key(&shop.api, "manager", &["keys:write", "stock:read"]).await;
    let more = json!({"name": "more", "scopes": ["stock:read", "stock:write"]});
    assert_eq!(create(&manager, &more).await.problem(403, "scope_missing").scope, "stock:write");
    let same = create(&manager, &json!({"name": "same", "scopes": ["stock:read", "keys:write"]})).await;
    assert_eq!(same.header("cache-control"), Some("no-store"));
    let same = same.is(201);
    assert_eq!((same.created_by.as_str(), same.scopes.len()), ("manager", 2));
    for (body, fields) in [
        (json!({"name": "api", "scopes": ["stock:read"]}), vec!["name"]),
        (json!({"name": "A b", "scopes": []}), vec!["name", "scopes"]),
        (json!({"name": "a", "scopes": ["stock:read", "stock"]}), vec!["scopes[1]"]),
        (
            json!({"name": "a", "scopes": ["stock:read"], "expires_at": "2020-01-01T00:00:00Z"}),
            vec!["expires_at"],
        ),
        (json!({"name": "a", "scopes": ["stock:read"], "expires_at": "soon"}), vec!["expires_at"]),
        (json!({"name": "a", "scopes": [7]}), vec!["scopes[0]"]),
        (json!({"name": "a", "scopes": ["stock:read"], "key": "hf_"}), vec!["key"]),
    ] {
        assert_eq!(create(&manager, &body).await.bad_fields(), fields, "{body}");
    }
    shop.close();
}

#[tokio::test]
async fn histories_say_whose_key_it_was() {
    let shop = Shop::without_worker().await;
    let (_, editor) = key(&shop.api, "editor", &["catalogue:write"]).await;
    shop.stock("tea", 1250, 0).await;
    let renamed = json!({"name": "Green tea", "unit_price": 1250, "currency": "EUR"});
    editor.put("/v1/products/tea", &renamed).await.is(200);
    editor.delete("/v1/products/tea").await.is(200);
    let history: List<ProductEvent> = shop.api.list("/v1/products/tea/history").await;
    let by: Vec<_> = history.data.iter().map(|event| event.by.as_str()).collect();
    assert_eq!(by, ["editor", "editor", "api"]);
    shop.close();
}

#[tokio::test]
async fn the_first_key_is_made_at_the_command_line() {
    let shop = Shop::without_worker().await;
    let env = [("DATABASE_URL", shop.database_url.clone())];
    let make =
        ["keys", "create", "--name", "shop-backend", "--scope", "orders:write", "--scope", "orders:read"];
    let (done, key, log) = printed(&[&make[..], &["--expires", "90d"]].concat(), &env);
    assert!(done && key.ends_with('\n') && log.contains("API key created"), "{key}{log}");
    let caller = Api::with_key(shop.api.address(), String::leak(key.trim_end().to_owned()));
    caller.get("/v1/orders").await.is(200);
    caller.get("/v1/keys").await.problem(403, "scope_missing");
    let id = shop.api.list::<ApiKey>("/v1/keys").await.data.remove(0).id;
    let (done, list, _) = printed(&["keys", "list"], &env);
    assert!(done && list.lines().count() == 1 && list.starts_with(&id), "{list}");
    assert!(list.contains("orders:read,orders:write") && !list.contains(key.trim_end()), "{list}");
    assert!(printed(&["keys", "revoke", &id], &env).0);
    wait_until("it is good no more", async || caller.get("/v1/orders").await.status == 401).await;
    for wrong in [
        &["--name", "api", "--scope", "orders:read"][..],
        &["--name", "a", "--scope", "orders"],
        &["--name", "a", "--scope", "orders:read", "--expires", "90"],
        &["--name", "a"],
    ] {
        let (done, key, said) = printed(&[&["keys", "create"], wrong].concat(), &env);
        assert!(!done && key.is_empty() && said.contains("--"), "{wrong:?}: {said}");
    }
    shop.close();
}

/// Well-formed keys that are nobody's: each might be a new one, and yet one read answers many of them.
#[tokio::test]
async fn strangers_make_few_reads_and_placements_none() {
    let mut shop = Shop::without_worker().await;
    shop.stock("tea", 1250, 1000).await;
    let (_, buyer) = key(&shop.api, "buyer", &["orders:write"]).await;
    let began = Instant::now();
    let body = shop.order_body(&[("tea", 1)]);
    let strangers = (0..300).map(async |_| {
        let key = domain::api_key::ApiKey::draw(store::random());
        let answer = send(shop.api.bare(Method::GET, "/v1/orders").bearer_auth(key.as_str())).await;
        answer.problem(401, "unauthorized");
    });
    let placements = (0..100).map(async |_| buyer.post("/v1/orders", &body).await.is(201));
    tokio::join!(join_all(strangers), join_all(placements));
    let most = 20 + began.elapsed().as_millis() / 100;
    let figures = shop.figures().await;
    assert!(figures.contains("holdfast_keys_refused_total{reason=\"unknown\"} 300"), "{figures}");
    shop.api_process.terminate(); // what a session has read is counted for good when it ends
    shop.api_process.ended().await;
    let reads: i64 = shop
        .query(
            "SELECT (seq_scan + coalesce(idx_scan, 0))::bigint FROM pg_stat_user_tables
             WHERE relname = 'api_keys'",
        )
        .await;
    assert!(reads > 0 && i128::from(reads) < most.try_into().unwrap(), "{reads} reads, at most {most}");
    shop.close();
}

#[tokio::test]
async fn while_the_database_is_away_a_key_may_be_good() {
    let shop = Shop::without_worker().await;
    let (buyer, _) = key(&shop.api, "buyer", &["orders:write"]).await;
    let dead_database = ("DATABASE_URL", format!("postgres://x:x@{NOWHERE}/x"));
    let (api, _process) = shop.start_api(&[dead_database]).await;
    let there = Api::with_key(api.address(), String::leak(buyer.key)).impatient();
    let answer = there.post("/v1/orders", &json!({})).await;
    answer.problem(503, "database_unavailable");
    assert!(answer.header("retry-after").is_some());
    // What needs no look is answered: the key of the environment, and what cannot be a key.
    api.post("/v1/orders", &json!({})).await.problem(422, "invalid_request");
    let typo = send(api.bare(Method::GET, "/v1/orders").bearer_auth(format!("hf_{}", "0".repeat(38)))).await;
    typo.problem(401, "unauthorized");
    shop.close();
}
