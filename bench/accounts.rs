//! Customers with tokens of their own:
//! - placing with a token, against placing with an API key;
//! - signing in with a wrong password, for an address that has an account and for one that has none;
//! - signing in, and a customer's list of orders, among 100 accounts and among very many;
//! - placing while passwords are tried as fast as they are answered, against placing alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use domain::AccountId;
use identity::{Password, Passwords};
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::{
    harness::{Shop, http::API_KEY, send, unique},
    house::House,
    load::{Storm, post_as, storm},
    report::{Report, median, ms, percentile, ratio},
};

const PASSWORD: &str = "correct horse battery staple";
const ROUNDS: usize = 5;
const BUYERS: usize = 20;
const PLACEMENTS: usize = 6000;
const TRIES: usize = 60;
const GUESSERS: usize = 32;

pub async fn run(accounts: i64) -> Report {
    let mut report =
        Report::new("accounts", "customers with tokens: what they cost, and what their number does to them");
    let house = House::with_door_alone().await;
    house.shop.stock("tea", 1250, 10_000_000).await;
    let hash = Passwords::new(1).unwrap().hash(&Password::parse(PASSWORD, &[]).unwrap()).await.unwrap();
    fill(&house.shop, &hash, 0, 100).await;
    let token = sign_in(&house.shop, 0).await;
    report.row(by_whom(&house.shop, &token).await);
    report.row(whether_known(&house.shop).await);
    let few = Among::measure(&house.shop, &token).await;
    fill(&house.shop, &hash, 100, accounts).await;
    let many = Among::measure(&house.shop, &token).await;
    report.row(json!({
        "accounts": accounts, "sign-in ms": ms(many.sign_in), "list ms": ms(many.list),
        "sign-in / among 100": ratio(ms(many.sign_in), ms(few.sign_in)),
        "list / among 100": ratio(ms(many.list), ms(few.list)),
    }));
    report.row(while_guessed_at(&house.shop).await);
    report
}

/// Accounts that are verified, all with one password.
async fn fill(shop: &Shop, hash: &str, from: i64, to: i64) {
    let fill = sqlx::query(
        "INSERT INTO accounts (id, email_key, customer, password_hash, verified_at, password_changed_at)
         SELECT id, email, jsonb_build_object('id', 'acc_' || replace(id::text, '-', ''), 'email', email), $1,
                now(), now()
         FROM (SELECT gen_random_uuid() AS id, 'u' || n || '@example.org' AS email
               FROM generate_series($2, $3 - 1) AS n) AS new",
    );
    let mut sql = shop.sql().await;
    fill.bind(hash).bind(from).bind(to).execute(&mut sql).await.unwrap();
    sql.execute("ANALYZE").await.unwrap();
}

async fn forget_limits(shop: &Shop) {
    shop.sql().await.execute("DELETE FROM rate_limits").await.unwrap();
}

async fn try_password(shop: &Shop, email: &str, password: &str) -> (u16, Value, Duration) {
    let body = json!({"email": email, "password": password});
    let asked = Instant::now();
    let answer = send(shop.api.bare(reqwest::Method::POST, "/v1/sessions").json(&body)).await;
    let took = asked.elapsed();
    (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or_default(), took)
}

async fn sign_in(shop: &Shop, n: i64) -> String {
    let (status, session, _) = try_password(shop, &format!("u{n}@example.org"), PASSWORD).await;
    assert_eq!(status, 201, "{session}");
    session["access_token"].as_str().unwrap().to_owned()
}

async fn placed_by(shop: &Shop, bearer: &str, body: Value) -> Storm {
    let (host, run, body) = (shop.api.address().to_owned(), unique(), body.to_string());
    let bearer = bearer.to_owned();
    let request = move |n| post_as(&host, "/v1/orders", &bearer, &format!("{run}-{n}"), &body);
    storm(shop.api.address(), BUYERS, PLACEMENTS, request).await.all(201)
}

fn own_body() -> Value {
    json!({"currency": "EUR", "lines": [{"sku": "tea", "quantity": 1}]})
}

async fn by_whom(shop: &Shop, token: &str) -> Value {
    let (mut with_key, mut with_token) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        with_key.push(placed_by(shop, API_KEY, shop.order_body(&[("tea", 1)])).await.rate());
        with_token.push(placed_by(shop, token, own_body()).await.rate());
    }
    let (with_key, with_token) = (median(&with_key), median(&with_token));
    json!({
        "orders/s with a key": with_key, "with a token": with_token,
        "cost with a token / with a key": ratio(with_key, with_token),
    })
}

async fn whether_known(shop: &Shop) -> Value {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for n in 0..TRIES {
        for (email, times) in
            [(format!("u{n}@example.org"), &mut known), (format!("nobody{n}@example.org"), &mut unknown)]
        {
            let (status, _, took) = try_password(shop, &email, "another password of mine").await;
            assert_eq!(status, 401);
            times.push(took);
        }
        if n % 20 == 0 {
            forget_limits(shop).await;
        }
    }
    let (known, unknown) = (percentile(&known, 0.5), percentile(&unknown, 0.5));
    json!({
        "wrong password, known ms": ms(known), "unknown ms": ms(unknown),
        "known / unknown": ratio(ms(known), ms(unknown)),
    })
}

struct Among {
    sign_in: Duration,
    list: Duration,
}

impl Among {
    async fn measure(shop: &Shop, token: &str) -> Self {
        let (mut sign_ins, mut lists) = (Vec::new(), Vec::new());
        let owner = crate::harness::Api::with_key(shop.api.address(), String::leak(token.to_owned()));
        for n in 0..TRIES {
            let (status, _, took) = try_password(shop, &format!("u{n}@example.org"), PASSWORD).await;
            assert_eq!(status, 201);
            sign_ins.push(took);
            let asked = Instant::now();
            owner.get("/v1/orders?limit=20").await.is(200);
            lists.push(asked.elapsed());
        }
        Self { sign_in: percentile(&sign_ins, 0.5), list: percentile(&lists, 0.5) }
    }
}

async fn while_guessed_at(shop: &Shop) -> Value {
    let (mut alone, mut guessed_at) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(placed_by(shop, API_KEY, shop.order_body(&[("tea", 1)])).await.rate());
        let ended = Arc::new(AtomicBool::new(false));
        let guessing = (0..GUESSERS).map(|n| guess(shop.api.clone(), n, ended.clone()));
        let guessing = tokio::spawn(futures_util::future::join_all(guessing.collect::<Vec<_>>()));
        guessed_at.push(placed_by(shop, API_KEY, shop.order_body(&[("tea", 1)])).await.rate());
        ended.store(true, Ordering::Relaxed);
        guessing.await.unwrap();
        forget_limits(shop).await;
    }
    let (alone, guessed_at) = (median(&alone), median(&guessed_at));
    json!({
        "orders/s alone": alone, "while passwords are tried": guessed_at,
        "beside / alone": ratio(guessed_at, alone), "guessers": GUESSERS,
    })
}

/// From many places, as far as the limits can tell: each address is tried less often than they allow.
async fn guess(api: crate::harness::Api, guesser: usize, ended: Arc<AtomicBool>) {
    let api = api.impatient();
    let mut n = 0;
    while !ended.load(Ordering::Relaxed) {
        let email = format!("g{guesser}-{n}-{}@example.org", AccountId::PREFIX);
        let body = json!({"email": email, "password": "another password of mine"});
        send(api.bare(reqwest::Method::POST, "/v1/sessions").json(&body)).await;
        n += 1;
    }
}
