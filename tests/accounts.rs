//! Accounts of customers: from the registration to the end of the account.

use axum::{Router, routing::get};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use domain::{AccountCodeId, Timestamp, account::Code};
use reqwest::Method;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use sqlx::Executor as _;
use store::accounts::codes;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::harness::{
    Answer, Api, Shop,
    documents::{List, Order},
    mails_to, send, unique,
};

pub const PASSWORD: &str = "correct horse battery staple";

/// Somebody without an account yet.
pub struct Person {
    pub api: Api,
    pub email: String,
}

impl Person {
    pub fn new(shop: &Shop) -> Self {
        Self { api: shop.api.clone(), email: format!("ann.{}@example.org", unique()) }
    }

    /// A request of somebody who has neither key nor token.
    pub async fn tell(&self, path: &str, body: &Value) -> Answer {
        send(self.api.bare(Method::POST, path).json(body)).await
    }

    pub async fn register(&self) {
        self.register_as("Ann").await;
    }

    pub async fn register_as(&self, name: &str) {
        let body = json!({"email": self.email, "password": PASSWORD, "name": name});
        self.tell("/v1/accounts", &body).await.is(202);
    }

    /// The code of the newest mail, of so many.
    pub async fn code(&self, mails: usize) -> String {
        let mails = mails_to(&self.email, mails).await;
        code_in(&mails.last().unwrap().text)
    }

    pub async fn verify(&self, code: &str) -> Answer {
        self.tell("/v1/accounts/verify", &json!({"email": self.email, "code": code})).await
    }

    pub async fn sign_in(&self) -> Answer {
        self.tell("/v1/sessions", &json!({"email": self.email, "password": PASSWORD})).await
    }

    /// Registers, verifies and signs in; the session, and whoever has its token.
    pub async fn signed_in(shop: &Shop) -> (Self, Value, Api) {
        let person = Self::new(shop);
        person.register().await;
        person.verify(&person.code(1).await).await.is(200);
        let session = person.sign_in().await.is(201);
        let caller = caller(shop, &session);
        (person, session, caller)
    }
}

pub fn caller(shop: &Shop, session: &Value) -> Api {
    Api::with_key(shop.api.address(), String::leak(session["access_token"].as_str().unwrap().to_owned()))
}

fn code_in(text: &str) -> String {
    let is_code = |line: &&str| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit());
    text.lines().map(str::trim).find(is_code).unwrap_or_else(|| panic!("no code in {text}")).to_owned()
}

fn another(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}

#[tokio::test]
async fn somebody_registers_verifies_signs_in_and_orders_for_themselves() {
    let shop = Shop::with_tea(10).await;
    let person = Person::new(&shop);
    person.register().await;
    let code = person.code(1).await;
    person.sign_in().await.problem(403, "email_not_verified");
    person.verify(&another(&code)).await.problem(422, "code_invalid");
    let account = person.verify(&code).await.is(200);
    person.verify(&code).await.problem(422, "code_invalid");
    let verified = mails_to(&person.email, 2).await.pop().unwrap();
    assert_eq!(verified.subject, "Your account is verified");

    let session = person.sign_in().await.is(201);
    let ann = caller(&shop, &session);
    let me = ann.get("/v1/accounts/me").await.is(200);
    assert_eq!((&me["id"], &me["email"]), (&account["id"], &json!(person.email)));
    let body = json!({"currency": "EUR", "lines": [{"sku": "tea", "quantity": 1}]});
    let order: Order = ann.post_as("k", "/v1/orders", &body).await.of().is(201);
    assert_eq!(
        (order.customer.id.as_str(), order.customer.email.as_str()),
        (me["id"].as_str().unwrap(), person.email.as_str())
    );
    let again = ann.post_as("k", "/v1/orders", &body).await;
    assert!(again.is_replayed());
    let theirs = shop.place(&[("tea", 1)]).await;

    let mine: List<Order> = ann.list("/v1/orders").await;
    let ids: Vec<&str> = mine.data.iter().map(|order| order.id.as_str()).collect();
    assert_eq!(ids, [order.id.as_str()]);
    ann.get(&format!("/v1/orders/{theirs}")).await.problem(404, "order_not_found");
    ann.get(&format!("/v1/orders/{}/timeline", order.id)).await.is(200);
    let opened = ann.post(&format!("/v1/orders/{}/payments", order.id), &json!({})).await.is(201);
    assert_eq!(opened["state"], "open");
    ann.post(&format!("/v1/orders/{}/cancel", order.id), &json!({})).await.is(200);

    // What names somebody else, and what is the shop's to say.
    let naming = |customer: Value| {
        let mut body = body.clone();
        body["customer"] = customer;
        body
    };
    for (customer, field) in
        [(json!({"id": "somebody"}), "customer.id"), (json!({"email": "bob@example.org"}), "customer.email")]
    {
        let refused = ann.post_as("other", "/v1/orders", &naming(customer)).await;
        assert_eq!(refused.bad_fields(), [field]);
    }
    let mut with_policy = body.clone();
    with_policy["policy"] = json!({"payment_window": "P30D"});
    assert_eq!(ann.post_as("other", "/v1/orders", &with_policy).await.bad_fields(), ["policy"]);
    assert_eq!(ann.get("/v1/orders?customer=somebody").await.bad_fields(), ["customer"]);
    ann.get("/v1/settlements").await.problem(403, "scope_missing");
    shop.api.get("/v1/accounts/me").await.problem(403, "account_required");
    shop.audit();
}

/// Each new code is a mail. What was asked before is answered as before.
#[tokio::test]
async fn a_customer_has_another_check_in_code_once_a_minute() {
    let shop = Shop::open().await;
    shop.rooms("room", 1).await;
    let (_, _, ann) = Person::signed_in(&shop).await;
    let mut body = shop.stay_body("room", 2, 4);
    body.as_object_mut().unwrap().remove("customer");
    let order: Order = ann.post_as("k", "/v1/orders", &body).await.of().is(201);
    shop.pay(&order.id).await;
    shop.until(&order.id, "paid").await;
    let renew = format!("/v1/orders/{}/check-in-code", order.id);
    ann.post_as("c", &renew, &json!({})).await.is(200);
    let refused = ann.impatient().post(&renew, &json!({})).await;
    refused.problem(429, "too_many_attempts");
    assert!(refused.header("Retry-After").is_some());
    ann.post_as("c", &renew, &json!({})).await.is(200);
    shop.api.post(&renew, &json!({})).await.is(200);
}

#[tokio::test]
async fn extending_is_the_shops_to_allow() {
    let shop = Shop::with_tea(10).await;
    let (_, _, ann) = Person::signed_in(&shop).await;
    let me = ann.get("/v1/accounts/me").await.is(200);
    let order = async |policy: Value| {
        let mut body = shop.order_body(&[("tea", 1)]);
        body["customer"]["id"] = me["id"].clone();
        body["policy"] = policy;
        shop.try_place(&body).await.is(201)
    };
    let at = |order: &Order, hours: i64| {
        let due = order.placed_at + jiff::SignedDuration::from_hours(hours);
        json!({"payment_due_at": due})
    };
    let fixed = order(json!({})).await;
    ann.post(&format!("/v1/orders/{}/extend", fixed.id), &at(&fixed, 30))
        .await
        .problem(409, "extension_not_allowed");
    let open = order(json!({"customer_extension": "PT12H"})).await;
    let extend = format!("/v1/orders/{}/extend", open.id);
    assert_eq!(ann.post(&extend, &at(&open, 37)).await.bad_fields(), ["payment_due_at"]);
    ann.post(&extend, &at(&open, 36)).await.is(200);
    let mut forced = shop.order_body(&[("tea", 1)]);
    forced["policy"] = json!({"customer_extension": "P31D"});
    assert_eq!(shop.try_place(&forced).await.bad_fields(), ["policy.customer_extension"]);
    let cancel = ann.post(&format!("/v1/orders/{}/cancel", open.id), &json!({"force": true})).await;
    assert_eq!(cancel.bad_fields(), ["force"]);
}

/// Each documented operation, asked for by a stranger: nothing of somebody else's comes back.
/// As if the time of all limits had passed.
pub async fn forget_limits(shop: &Shop) {
    let mut sql = shop.sql().await;
    sql.execute("DELETE FROM rate_limits").await.unwrap();
}

#[tokio::test]
async fn passwords_are_changed_and_reset_and_accounts_erased() {
    let shop = Shop::with_tea(5).await;
    let (person, session, ann) = Person::signed_in(&shop).await;
    let body = json!({"currency": "EUR", "lines": [{"sku": "tea", "quantity": 1}]});
    let order: Order = ann.post_as("k", "/v1/orders", &body).await.of().is(201);
    ann.post(&format!("/v1/orders/{}/cancel", order.id), &json!({})).await.is(200);
    let change = |current: &str, new: &str| json!({"current_password": current, "password": new});
    let path = "/v1/accounts/me/password";
    ann.post(path, &change("no password of mine", "a new one that is long"))
        .await
        .problem(403, "wrong_password");
    for weak in ["short", "password1234", person.email.as_str()] {
        assert_eq!(ann.post(path, &change(PASSWORD, weak)).await.bad_fields(), ["password"], "{weak}");
    }
    // Of two at once, one finds that the password is another one.
    let bodies = [change(PASSWORD, "a new one that is long"), change(PASSWORD, "another one that is long")];
    let (one, two) = tokio::join!(ann.post(path, &bodies[0]), ann.post(path, &bodies[1]));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 403]);
    person.sign_in().await.problem(401, "invalid_credentials");
    let stale = json!({"refresh_token": session["refresh_token"]});
    person.tell("/v1/sessions/refresh", &stale).await.problem(401, "refresh_token_invalid");

    let mails = mails_to(&person.email, 3).await;
    assert!(mails.iter().any(|mail| mail.subject == "Your password was changed"));
    let mails = mails.len();
    forget_limits(&shop).await;
    person.tell("/v1/accounts/password/reset-code", &json!({"email": person.email})).await.is(202);
    let code = code_in(&mails_to(&person.email, mails + 1).await.last().unwrap().text);
    let reset = json!({"email": person.email, "code": code, "password": PASSWORD});
    person.tell("/v1/accounts/password/reset", &reset).await.done();
    let changed = mails_to(&person.email, mails + 2).await.pop().unwrap();
    assert_eq!(changed.subject, "Your password was changed");
    let ann = caller(&shop, &person.sign_in().await.is(201));

    let erase = async |password: &str| {
        let request = ann.request(Method::DELETE, "/v1/accounts/me").json(&json!({"password": password}));
        send(request).await
    };
    erase("no password of mine").await.problem(403, "wrong_password");
    erase(PASSWORD).await.done();
    person.sign_in().await.problem(401, "invalid_credentials");
    ann.get("/v1/accounts/me").await.problem(401, "unauthorized");
    ann.post_as("another", "/v1/orders", &body).await.problem(401, "unauthorized");
    ann.get(&format!("/v1/orders/{}", order.id)).await.problem(404, "order_not_found");
    assert_eq!(shop.order(&order.id).await.customer.email, "erased@erased.invalid");
    let left: i64 =
        shop.query("SELECT (SELECT count(*) FROM accounts) + (SELECT count(*) FROM sessions)").await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_code_is_mailed_whatever_was_away_when_it_was_asked_for() {
    let mut shop = Shop::without_worker().await;
    let person = Person::new(&shop);
    person.register().await;
    shop.api_process.kill();
    shop.restart_api().await;
    shop.start_worker();
    let person = Person { api: shop.api.clone(), ..person };
    let code = person.code(1).await;
    shop.kill_worker();
    person.verify(&code).await.is(200);
    shop.start_worker();
    let told = mails_to(&person.email, 2).await.pop().unwrap();
    assert_eq!(told.subject, "Your account is verified");
}

/// A shop whose customers have their accounts elsewhere.
#[tokio::test]
async fn tokens_of_the_shops_identity_provider_are_as_good_as_ours() {
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let b64 = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": b64(key.public_key().as_ref())});
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let jwks_url = format!("http://{}/keys", listener.local_addr().unwrap());
    let routes = Router::new().route("/keys", get(async move || axum::Json(json!({"keys": [jwk]}))));
    #[expect(clippy::disallowed_methods, reason = "ends with the test")]
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let env = [
        ("HOLDFAST_IDENTITY_PROVIDER_ISSUER", "https://id.example"),
        ("HOLDFAST_IDENTITY_PROVIDER_JWKS_URL", jwks_url.as_str()),
        ("HOLDFAST_IDENTITY_PROVIDER_AUDIENCE", "shop"),
    ];
    let shop = Shop::with_env(env.map(|(name, value)| (name, value.to_owned())).to_vec()).await;
    shop.stock("tea", 1250, 5).await;
    #[expect(clippy::disallowed_methods, reason = "when a token is issued")]
    let now = Timestamp::now().as_second();
    let with = |changes: Value| {
        let mut claims = json!({
            "iss": "https://id.example", "aud": "shop", "sub": "auth0|ann", "iat": now, "exp": now + 600,
            "email": "ann@example.org", "email_verified": true
        });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": "one"});
        let token = identity::jws::sign_ed25519(&key, &header, claims.to_string().as_bytes());
        Api::with_key(shop.api.address(), String::leak(token))
    };
    let ann = with(json!({}));
    let body = json!({"currency": "EUR", "lines": [{"sku": "tea", "quantity": 1}]});
    let order: Order = ann.post_as("k", "/v1/orders", &body).await.of().is(201);
    assert_eq!((order.customer.id.as_str(), order.customer.email.as_str()), ("auth0|ann", "ann@example.org"));
    ann.get("/v1/accounts/me").await.problem(403, "account_required");
    let bob = with(json!({"sub": "auth0|bob", "email_verified": false}));
    bob.get(&format!("/v1/orders/{}", order.id)).await.problem(404, "order_not_found");
    assert_eq!(bob.post_as("k", "/v1/orders", &body).await.bad_fields(), ["customer.email"]);
    for refused in [
        json!({"aud": "another"}),
        json!({"iss": "https://evil.example"}),
        json!({"exp": now - 60}),
        json!({"sub": "acc_01920000000070008000000000000000"}),
        json!({"sub": "ann@example.org"}),
    ] {
        with(refused).get("/v1/orders").await.problem(401, "unauthorized");
    }
}

/// Takes every route of accounts once; gives each, with its method.
pub async fn walk(shop: &Shop) -> Vec<(Method, &'static str)> {
    let (person, session, ann) = Person::signed_in(shop).await;
    let email = json!({"email": person.email});
    let refreshed = json!({"refresh_token": session["refresh_token"]});
    person.tell("/v1/sessions/refresh", &refreshed).await.is(200);
    ann.get("/v1/accounts/me").await.is(200);
    let (old, new) = (PASSWORD, "another one that is long");
    let change = json!({"current_password": old, "password": new});
    ann.post("/v1/accounts/me/password", &change).await.done();
    let mails = mails_to(&person.email, 3).await.len();
    forget_limits(shop).await;
    person.tell("/v1/accounts/resend-code", &email).await.is(202); // there is none to be sent
    forget_limits(shop).await;
    person.tell("/v1/accounts/password/reset-code", &email).await.is(202);
    let code = code_in(&mails_to(&person.email, mails + 1).await.last().unwrap().text);
    let reset = json!({"email": person.email, "code": code, "password": old});
    person.tell("/v1/accounts/password/reset", &reset).await.done();
    mails_to(&person.email, mails + 2).await;
    let ann = caller(shop, &person.sign_in().await.is(201));
    ann.list::<Order>("/v1/orders").await;
    ann.delete("/v1/sessions/current").await.done();
    ann.delete("/v1/sessions").await.done();
    let erased = ann.request(Method::DELETE, "/v1/accounts/me").json(&json!({"password": old}));
    send(erased).await.done();
    shop.api.get("/.well-known/jwks.json").await.is(200);
    vec![
        (Method::POST, "/v1/accounts"),
        (Method::POST, "/v1/accounts/verify"),
        (Method::POST, "/v1/accounts/resend-code"),
        (Method::POST, "/v1/accounts/password/reset-code"),
        (Method::POST, "/v1/accounts/password/reset"),
        (Method::POST, "/v1/accounts/me/password"),
        (Method::GET, "/v1/accounts/me"),
        (Method::DELETE, "/v1/accounts/me"),
        (Method::POST, "/v1/sessions"),
        (Method::POST, "/v1/sessions/refresh"),
        (Method::DELETE, "/v1/sessions/current"),
        (Method::DELETE, "/v1/sessions"),
        (Method::GET, "/.well-known/jwks.json"),
    ]
}

/// The steps of a code's workflow, each done twice.
#[tokio::test]
async fn a_code_that_is_mailed_again_is_the_same_one() {
    let shop = Shop::without_worker().await;
    let person = Person::new(&shop);
    person.register().await;
    let id: Uuid = shop.query("SELECT id FROM account_codes").await;
    let id = AccountCodeId::from_uuid(id);
    let db = store::Db::open(&shop.database_url, 2).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a step's time")]
    let at = Timestamp::now();
    let drawn = |_: Uuid, seed: &[u8]| {
        let code = Code::draw(u64::from_be_bytes(seed[..8].try_into().unwrap()));
        (code.clone(), code.as_str().as_bytes().to_vec())
    };
    let draw = async || codes::draw(&db, id, at, drawn).await.unwrap();
    let (first, second) = (draw().await.unwrap(), draw().await.unwrap());
    assert_eq!(first.to.name(), None, "what a stranger calls somebody is in no mail");
    let (first, second) = (first.code.unwrap(), second.code.unwrap());
    assert_eq!(first.as_str(), second.as_str());
    let typed = async |code: &str| {
        let matches = |_: Uuid, hash: &[u8]| hash == code.as_bytes();
        let key = domain::account::email_key("email", &person.email).unwrap();
        store::accounts::verify(&db, &key, matches, at).await.unwrap()
    };
    assert_eq!(typed(&another(first.as_str())).await, None);
    assert!(typed(first.as_str()).await.is_some_and(|verified| verified.has_password));
    assert!(draw().await.is_none(), "it is used");
    for _ in 0..2 {
        let used = codes::end(&db, id).await.unwrap().expect("its owner is told");
        assert_eq!((used.to.email(), used.has_password), (person.email.as_str(), true));
    }
    let is_forgotten: bool = shop.query("SELECT code_hash IS NULL FROM account_codes").await;
    assert!(is_forgotten);
}
