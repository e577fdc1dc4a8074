//! The catalogue: products that are changed under conditions, leave their history behind, and are found.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::{
    harness::{
        Answer, Api, Shop,
        documents::{Night, Product, ProductEvent},
    },
    stays::day,
};

fn tea(unit_price: i64) -> Value {
    json!({"name": "Green tea", "description": "From Uji,\n100 g", "unit_price": unit_price,
           "currency": "EUR"})
}

/// A request under a condition.
async fn ask(
    api: &Api,
    method: Method,
    path: &str,
    header: (&str, &str),
    body: Option<&Value>,
) -> Answer<Product> {
    let request = api.request(method, &format!("/v1/products{path}")).header(header.0, header.1);
    api.send(body.iter().fold(request, |request, body| request.json(body))).await.of()
}

async fn put_if(shop: &Shop, header: (&str, &str), body: &Value) -> Answer<Product> {
    ask(&shop.api, Method::PUT, "/tea", header, Some(body)).await
}

async fn retire(shop: &Shop, sku: &str) -> Answer<Product> {
    shop.api.delete(&format!("/v1/products/{sku}")).await.of()
}

/// The SKUs a list shows, page by page.
async fn skus(shop: &Shop, query: &str, limit: usize) -> Vec<String> {
    let pages = shop.api.pages::<Product>(&format!("/v1/products?limit={limit}{query}")).await;
    let (_last, whole) = pages.split_last().unwrap();
    assert!(whole.iter().all(|page| page.len() == limit), "{query}");
    pages.concat().into_iter().map(|product| product.sku).collect()
}

async fn events_of(shop: &Shop, sku: &str) -> Vec<ProductEvent> {
    shop.api.list(&format!("/v1/products/{sku}/history?limit=100")).await.data
}

/// The history of `tea`: (version, type, fields that changed), newest first.
async fn history(shop: &Shop) -> Vec<(i64, String, Vec<String>)> {
    let events = events_of(shop, "tea").await.into_iter();
    events
        .map(|event| (event.version, event.kind, event.changes.into_iter().map(|it| it.0).collect()))
        .collect()
}

fn event(version: i64, kind: &str, fields: &[&str]) -> (i64, String, Vec<String>) {
    (version, kind.to_owned(), fields.iter().map(|field| (*field).to_owned()).collect())
}

#[tokio::test]
async fn a_product_from_its_creation_to_its_return() {
    let shop = Shop::open().await;
    let created = shop.put_product("tea", &tea(1250)).await;
    assert_eq!(created.header("etag"), Some("\"1\""));
    let created = created.is(201);
    assert_eq!(shop.product("tea").await, created);
    assert_eq!(shop.level("tea").await, (0, 0));
    shop.adjust("tea", 10).await.is(201);
    let order = shop.place(&[("tea", 1)]).await;

    // What changes nothing is no change; what changes something is the next version.
    assert_eq!(shop.put_product("tea", &tea(1250)).await.is(200), created);
    let dearer = shop.put_product("tea", &tea(1300)).await;
    assert_eq!(dearer.header("etag"), Some("\"2\""));
    let dearer = dearer.is(200);
    assert_eq!((dearer.unit_price, dearer.created_at), (1300, created.created_at));
    let pause = json!({"name": "Green tea", "unit_price": 1300, "currency": "EUR", "active": false});
    let paused = shop.put_product("tea", &pause).await.is(200);
    assert_eq!((paused.active, paused.description.as_str()), (false, ""));
    assert_eq!(skus(&shop, "", 1).await, ["tea"]);

    // Its kind is for ever.
    let mut stay = tea(1300);
    stay["kind"] = json!("stay");
    assert_eq!(shop.put_product("tea", &stay).await.bad_fields(), ["kind"]);
    let room = shop.put_product("room", &stay).await.is(201);
    assert_eq!((room.kind.as_str(), room.unit_price), ("stay", 1300));
    let again = shop.put_product("room", &tea(1400)).await.is(200);
    assert_eq!(again.kind, "stay", "a PUT without a kind keeps it");
    stay["kind"] = json!("car");
    assert_eq!(shop.put_product("room", &stay).await.bad_fields(), ["kind"]);

    // Retired, it is neither listed nor sold, but there; and it comes back.
    let retired = retire(&shop, "tea").await;
    assert_eq!(retired.header("etag"), Some("\"4\""));
    let retired = retired.is(200);
    assert!(retired.retired_at.is_some() && !retired.active, "{retired:?}");
    assert_eq!(retire(&shop, "tea").await.is(200), retired);
    assert_eq!(shop.product("tea").await, retired);
    assert_eq!(skus(&shop, "", 1).await, ["room"]);
    assert_eq!(skus(&shop, "&include_retired=true", 1).await, ["room", "tea"]);
    assert_eq!(skus(&shop, "&q=green", 5).await, ["room"]);
    assert_eq!(skus(&shop, "&q=green&include_retired=true", 1).await, ["room", "tea"]);
    shop.try_place(&shop.order_body(&[("tea", 1)])).await.bad_fields();
    let line = shop.order(&order).await.lines.remove(0);
    assert_eq!((line.name.as_str(), line.unit_price), ("Green tea", 1250));
    let back = shop.put_product("tea", &tea(1250)).await.is(200);
    assert_eq!((back.retired_at, back.active), (None, true));
    shop.place(&[("tea", 1)]).await;
    retire(&shop, "none").await.problem(404, "product_not_found");

    // All of it is in its history.
    let whole = ["active", "currency", "description", "kind", "name", "retired", "unit_price"];
    let told = [
        event(5, "product.restored", &["active", "description", "retired", "unit_price"]),
        event(4, "product.retired", &["retired"]),
        event(3, "product.changed", &["active", "description"]),
        event(2, "product.changed", &["unit_price"]),
        event(1, "product.created", &whole),
    ];
    assert_eq!(history(&shop).await, told);
    let page = shop.api.list::<ProductEvent>("/v1/products/tea/history?limit=3&starting_after=3").await.data;
    assert_eq!(page[0].changes["unit_price"], json!({"from": 1250, "to": 1300}));
    assert_eq!((page.len(), page[1].version), (2, 1));
    shop.api.get("/v1/products/none/history").await.problem(404, "product_not_found");
    assert_eq!(
        shop.api.get("/v1/products/tea/history?starting_after=x").await.bad_fields(),
        ["starting_after"]
    );
    shop.close();
}

#[tokio::test]
async fn changes_are_made_under_conditions() {
    let shop = Shop::open().await;
    let missing = put_if(&shop, ("if-match", "*"), &tea(1)).await.problem(412, "precondition_failed");
    assert_eq!(missing.current_etag, None);
    put_if(&shop, ("if-none-match", "*"), &tea(1)).await.is(201);
    let there = put_if(&shop, ("if-none-match", "*"), &tea(2)).await.problem(412, "precondition_failed");
    assert_eq!(there.current_etag.unwrap(), "\"1\"");
    put_if(&shop, ("if-match", "\"1\""), &tea(2)).await.is(200);
    put_if(&shop, ("if-match", "\"1\""), &tea(3)).await.problem(412, "precondition_failed");
    put_if(&shop, ("if-match", "\"1\""), &tea(2)).await.problem(412, "precondition_failed");
    put_if(&shop, ("if-match", "W/\"2\""), &tea(3)).await.problem(412, "precondition_failed");
    put_if(&shop, ("if-match", "\"7\", \"2\""), &tea(3)).await.is(200);
    put_if(&shop, ("if-match", "*"), &tea(4)).await.is(200);
    for bad in ["4", "\"4", "*, \"4\"", ""] {
        put_if(&shop, ("if-match", bad), &tea(5)).await.problem(400, "precondition_invalid");
    }
    let get = async |header| ask(&shop.api, Method::GET, "/tea", header, None).await;
    let unchanged = get(("if-none-match", "W/\"4\"")).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.header("etag")), (304, Some("\"4\"")));
    assert!(unchanged.body.is_empty());
    assert_eq!(get(("if-none-match", "\"3\"")).await.is(200).unit_price, 4);
    get(("if-match", "\"3\"")).await.problem(412, "precondition_failed");
    get(("if-none-match", "x")).await.problem(400, "precondition_invalid");
    let delete = async |tag| ask(&shop.api, Method::DELETE, "/tea", ("if-match", tag), None).await;
    delete("\"3\"").await.problem(412, "precondition_failed");
    delete("\"4\"").await.is(200);
    assert_eq!(history(&shop).await.len(), 5);

    // Of many at once, one wins.
    let (other, _process) = shop.start_api(&[]).await;
    let race = async |path: &'static str, header: (&'static str, &'static str)| {
        let apis = [&shop.api, &other].into_iter().cycle().take(20).enumerate();
        let puts = apis.map(async |(n, api)| {
            let body = tea(100 + i64::try_from(n).unwrap());
            ask(api, Method::PUT, path, header, Some(&body)).await.status.as_u16()
        });
        let mut answers = join_all(puts).await;
        answers.sort_unstable();
        answers
    };
    let one_wins = |status| [vec![status], vec![412; 19]].concat();
    assert_eq!(race("/tea", ("if-match", "\"5\"")).await, one_wins(200));
    assert_eq!(race("/new", ("if-none-match", "*")).await, one_wins(201));
    // Without a condition each is made, one after the other.
    assert_eq!(race("/free", ("x-none", "")).await, [vec![200; 19], vec![201]].concat());
    let versions: Vec<i64> = events_of(&shop, "free").await.iter().map(|event| event.version).collect();
    assert_eq!(versions, (1..=20).rev().collect::<Vec<_>>());
    shop.close();
}

#[tokio::test]
async fn the_best_is_found_first() {
    let shop = Shop::open().await;
    for (sku, name, description) in [
        ("greek", "Greek mountain tea", "Sideritis"),
        ("a-cup", "Cup", "For green tea"),
        ("green-1", "Sencha", "Steamed"),
        ("matcha", "Green tea powder", "Stone-ground"),
        ("gt-2", "Greenish teapot", ""),
        ("tea-x", "Green tea", "Loose"),
        ("GREEN-0", "Gyokuro", "Shaded"),
        ("green", "Whatever", ""),
        ("b52", "Bomber tea", "b52"),
        ("cn", "日本绿茶", ""),
        ("ru", "Чай ЗЕЛЁНЫЙ", "Grüner Tee"),
    ] {
        let body = json!({"name": name, "description": description, "unit_price": 1, "currency": "EUR"});
        shop.put_product(sku, &body).await.is(201);
    }
    for (q, found) in [
        // By the beginning of the SKU, in the name, as a beginning in the name, in the description, by what
        // is alike.
        ("green", vec!["green", "GREEN-0", "green-1", "matcha", "tea-x", "gt-2", "a-cup", "greek"]),
        ("Green TEA", vec!["matcha", "tea-x", "gt-2", "a-cup", "greek"]),
        ("tea-", vec!["tea-x", "b52", "greek", "matcha", "gt-2", "a-cup"]),
        // Misspelt: what is closest first, and names before descriptions.
        ("gren tea", vec!["matcha", "tea-x", "a-cup", "greek"]),
        ("grren", vec!["matcha", "tea-x", "a-cup"]),
        ("bommer", vec!["b52"]),
        ("sidertis", vec!["greek"]),
        ("b53", vec![]),
        ("绿茶", vec!["cn"]),
        ("зеленый чай", vec!["ru"]),
        ("gruner", vec!["ru"]),
        ("nothing", vec![]),
        ("green nothing", vec![]),
        ("%25", vec![]),
        ("_", vec![]),
        ("%27 %26 %7C ! : * ( <-> %5C", vec![]),
    ] {
        assert_eq!(skus(&shop, &format!("&q={q}"), 100).await, found, "{q}");
        for limit in 1..3 {
            assert_eq!(skus(&shop, &format!("&q={q}"), limit).await, found, "{q} in pages of {limit}");
        }
    }
    // The contract takes a SKU for a cursor, too.
    assert_eq!(skus(&shop, "&q=green&starting_after=tea-x", 9).await, ["gt-2", "a-cup", "greek"]);
    for (query, field) in [
        ("q=green&starting_after=cn", "starting_after"),
        ("q=green&starting_after=9~cn", "starting_after"),
        ("q=green&starting_after=x~cn", "starting_after"),
        ("starting_after=1~%20", "starting_after"),
        ("include_retired=yes", "include_retired"),
        ("limit=101", "limit"),
        ("q=%00", "q"),
    ] {
        assert_eq!(shop.api.get(&format!("/v1/products?{query}")).await.bad_fields(), [field], "{query}");
    }
    shop.close();
}

/// The events are the truth: they cannot be changed, and the rows can be made from them again.
#[tokio::test]
async fn the_catalogue_is_rebuilt_from_its_history() {
    let shop = Shop::open().await;
    shop.put_product("tea", &tea(1250)).await.is(201);
    shop.put_product("tea", &tea(1300)).await.is(200);
    shop.put_product("mug", &tea(900)).await.is(201);
    let mug = retire(&shop, "mug").await.is(200);
    let product = shop.product("tea").await;
    let mut sql = shop.sql().await;
    for statement in
        ["UPDATE product_events SET by = 'me'", "DELETE FROM product_events", "TRUNCATE product_events"]
    {
        let error = sql.execute(statement).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{error}");
    }
    for statement in [
        "UPDATE products SET unit_price = 1, name = 'Nothing', active = true, retired_at = NULL, search = ''",
        "DELETE FROM stock_levels; DELETE FROM products",
    ] {
        sql.execute(statement).await.unwrap();
        shop.audit_finds("9.");
        shop.done("rebuild-catalogue");
        assert_eq!(shop.product("tea").await, product);
        assert_eq!(shop.product("mug").await, mug);
        assert_eq!(skus(&shop, "&q=gren", 1).await, ["tea"]);
        shop.audit();
    }
    // Rows from before there was a search get their words with the next migration.
    sql.execute("UPDATE products SET search = NULL; DELETE FROM catalogue_words").await.unwrap();
    assert_eq!(skus(&shop, "&q=green", 1).await, [""; 0]);
    shop.done("migrate");
    assert_eq!(skus(&shop, "&q=gren", 1).await, ["tea"]);
    shop.close();
}

/// Who changed what a stay offers, when and to what: its terms and every offer of nights are of its product's
/// history, and its row can be made from that again.
#[tokio::test]
async fn what_a_stay_offers_is_in_its_history() {
    let shop = Shop::open().await;
    shop.rooms("room", 2).await;
    shop.offer("room", 1, 29, json!({"capacity": 2})).await.is(200); // as it is
    shop.offer("room", 3, 5, json!({"capacity": 1, "unit_price": 9000})).await.is(200);
    shop.offer("room", 1, 29, json!({"capacity": 2})).await.is(200);
    let renamed = json!({"name": "Best room", "unit_price": 8000, "currency": "EUR"});
    shop.put_product("room", &renamed).await.is(200);
    // Who has not seen the last change makes none, whatever else would be wrong with it.
    shop.book("room", 1, 2).await;
    for (path, body) in
        [("stay", json!({"max_guests": 9})), ("nights", json!({"from": day(1), "to": day(2), "capacity": 0}))]
    {
        let path = format!("/room/{path}");
        let stale = ask(&shop.api, Method::PUT, &path, ("If-Match", "\"5\""), Some(&body)).await;
        stale.problem(412, "precondition_failed");
    }
    let events = events_of(&shop, "room").await;
    let told = |event: &ProductEvent| {
        let fields = event.changes.keys().cloned().collect::<Vec<_>>().join(" ");
        format!("{} {} by {}: {fields}", event.version, event.kind, event.by)
    };
    assert_eq!(
        events.iter().rev().skip(1).map(told).collect::<Vec<_>>(),
        [
            "2 product.changed by api: stay",
            "3 product.changed by api: nights",
            "4 product.changed by api: nights",
            "5 product.changed by api: nights",
            "6 product.changed by api: name"
        ]
    );
    assert_eq!(events[4].changes["stay"]["to"]["max_guests"], 3);
    let offered = json!({"from": day(3), "to": day(5), "capacity": 1, "unit_price": 9000});
    assert_eq!(events[2].changes["nights"]["to"], offered);

    let terms = shop.api.get("/v1/products/room/stay").await.is(200);
    assert_eq!(terms["max_guests"], 3);
    shop.sql().await.execute("UPDATE products SET stay = NULL, nights = NULL, version = 2").await.unwrap();
    // An event that is there already is not written over, and nothing is changed without one.
    shop.offer("room", 1, 29, json!({"capacity": 5})).await.problem(500, "internal_error");
    let nights = format!("/v1/products/room/nights?from={}&to={}", day(3), day(4));
    assert_eq!(shop.api.list::<Night>(&nights).await.data[0].capacity, 2);
    shop.audit_finds("9.");
    shop.done("rebuild-catalogue");
    assert_eq!(shop.api.get("/v1/products/room/stay").await.is(200), terms);
    shop.close();
}
