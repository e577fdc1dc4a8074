//! Accounts of customers: from the registration to the end of the account, and what attackers try.

use domain::{AccountCodeId, Timestamp, account::Code};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Executor as _;
use store::accounts::codes;
use uuid::Uuid;

use crate::harness::{
    ACCOUNT_SECRET, Answer, Api, Shop,
    documents::{List, Order},
    mails_to, send, unique, wait_until,
};

const PASSWORD: &str = "correct horse battery staple";

/// Somebody without an account yet.
struct Person {
    api: Api,
    email: String,
}

impl Person {
    fn new(shop: &Shop) -> Self {
        Self { api: shop.api.clone(), email: format!("ann.{}@example.org", unique()) }
    }

    /// A request of somebody who has neither key nor token.
    async fn tell(&self, path: &str, body: &Value) -> Answer {
        send(self.api.bare(Method::POST, path).json(body)).await
    }

    async fn register(&self) {
        let body = json!({"email": self.email, "password": PASSWORD, "name": "Ann"});
        self.tell("/v1/accounts", &body).await.is(202);
    }

    /// The code of the newest mail, of so many.
    async fn code(&self, mails: usize) -> String {
        let mails = mails_to(&self.email, mails).await;
        code_in(&mails.last().unwrap().text)
    }

    async fn verify(&self, code: &str) -> Answer {
        self.tell("/v1/accounts/verify", &json!({"email": self.email, "code": code})).await
    }

    async fn sign_in(&self) -> Answer {
        self.tell("/v1/sessions", &json!({"email": self.email, "password": PASSWORD})).await
    }

    /// Registers, verifies and signs in; the session, and whoever has its token.
    async fn signed_in(shop: &Shop) -> (Self, Value, Api) {
        let person = Self::new(shop);
        person.register().await;
        person.verify(&person.code(1).await).await.is(200);
        let session = person.sign_in().await.is(201);
        let caller = caller(shop, &session);
        (person, session, caller)
    }
}

fn caller(shop: &Shop, session: &Value) -> Api {
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
    assert_eq!(mine.data.iter().map(|order| order.id.clone()).collect::<Vec<_>>(), [order.id.clone()]);
    ann.get(&format!("/v1/orders/{theirs}")).await.problem(404, "order_not_found");
    ann.get(&format!("/v1/orders/{}/timeline", order.id)).await.is(200);
    let opened = ann.post(&format!("/v1/orders/{}/payments", order.id), &json!({})).await.is(201);
    assert_eq!(opened["state"], "open");
    ann.post(&format!("/v1/orders/{}/cancel", order.id), &json!({})).await.is(200);

    // What names somebody else, and what is the shop's to say.
    let naming = |customer: Value| json!({"customer": customer, "currency": "EUR", "lines": [{"sku": "tea", "quantity": 1}]});
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
    let at = |order: &Order, hours: i64| json!({"payment_due_at": (order.placed_at + jiff::SignedDuration::from_hours(hours)).to_string()});
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
#[tokio::test]
async fn a_stranger_finds_nothing_of_others_on_any_route() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 1)]).await;
    let payment = shop.api.post(&format!("/v1/orders/{id}/payments"), &json!({})).await.is(201);
    let (_, _, stranger) = Person::signed_in(&shop).await;
    let document = shop.api.get("/openapi.json").await.is(200);
    let secrets = [id.as_str(), &shop.email, payment["id"].as_str().unwrap()];
    let mut walked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let security = operation["security"].as_array().unwrap();
            let is_shared = security.iter().any(|it| it.get("customer_token").is_some());
            let wants_key = security.iter().any(|it| it.get("api_key").is_some());
            // Those that end the stranger's own session would end the walk.
            if path.starts_with("/v1/accounts")
                || path.starts_with("/v1/sessions")
                || (!is_shared && !wants_key)
            {
                continue;
            }
            let address =
                path.replace("{id}", &id).replace("{payment_id}", secrets[2]).replace("{sku}", "tea");
            let address = address.replace("{change_id}", "chg_01920000000070008000000000000000");
            let request = stranger.request(method.to_uppercase().parse().unwrap(), &address);
            let answer = match method.as_str() {
                "get" => send(request).await,
                _ => send(request.header("Idempotency-Key", "k").json(&json!({}))).await,
            };
            let (status, text) = (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned());
            match is_shared {
                true => assert!(status != 403 && status < 500, "{method} {path}: {status} {text}"),
                false => drop(answer.problem(403, "scope_missing")),
            }
            assert!(
                !path.contains("/orders/{id}") || [403, 404, 422].contains(&status),
                "{method} {path}: {status} {text}"
            );
            assert!(secrets.iter().all(|secret| !text.contains(secret)), "{method} {path} tells {text}");
            walked += 1;
        }
    }
    assert!(walked > 30, "{walked}");
    let order = shop.order(&id).await;
    assert_eq!(order.status, "awaiting_payment", "nobody has done anything to it");
}

#[tokio::test]
async fn nobody_learns_who_has_an_account() {
    let shop = Shop::open().await;
    let (known, _, _) = Person::signed_in(&shop).await;
    let unknown = Person::new(&shop);
    shop.until_true("a minute has passed", "SELECT count(*) > 0 FROM rate_limits").await;
    forget_limits(&shop).await;
    let same = async |path: &str, body: fn(&str) -> Value| {
        let known = known.tell(path, &body(&known.email)).await;
        let unknown = unknown.tell(path, &body(&unknown.email)).await;
        let strip = |answer: &Answer| {
            let mut document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            document.as_object_mut().map(|it| it.remove("request_id"));
            (answer.status, document)
        };
        assert_eq!(strip(&known), strip(&unknown), "{path}");
        forget_limits(&shop).await;
    };
    same("/v1/accounts/resend-code", |email| json!({"email": email})).await;
    same("/v1/accounts/password/reset-code", |email| json!({"email": email})).await;
    same("/v1/accounts", |email| json!({"email": email, "password": PASSWORD})).await;
    same("/v1/sessions", |email| json!({"email": email, "password": "another password of mine"})).await;
    same("/v1/accounts/verify", |email| json!({"email": email, "code": "123456"})).await;
    same(
        "/v1/accounts/password/reset",
        |email| json!({"email": email, "code": "123456", "password": PASSWORD}),
    )
    .await;
    let told = mails_to(&known.email, 4).await;
    assert!(told.iter().any(|mail| mail.subject == "You have an account already"));
}

/// As if the time of all limits had passed.
async fn forget_limits(shop: &Shop) {
    let mut sql = shop.sql().await;
    sql.execute("DELETE FROM rate_limits").await.unwrap();
}

#[tokio::test]
async fn codes_are_not_guessed_by_a_thousand_tries_at_once() {
    let shop = Shop::open().await;
    let person = Person::new(&shop);
    person.register().await;
    let code = person.code(1).await;
    let guesses = (0..1000).map(|i| person.verify(Box::leak(format!("{i:06}").into_boxed_str())));
    let answers = join_all(guesses).await;
    let wrong = answers.iter().filter(|answer| answer.status == 422).count();
    let limited = answers.iter().filter(|answer| answer.status == 429).count();
    let right = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(wrong + limited + right, 1000);
    assert!(wrong <= 30, "{wrong} were looked at");
    let attempts: i32 = shop.query("SELECT max(wrong_attempts) FROM account_codes").await;
    assert!(attempts <= 5, "{attempts} of them at the code");
    if right == 0 {
        forget_limits(&shop).await;
        person.verify(&code).await.problem(422, "code_invalid");
        forget_limits(&shop).await;
        person.tell("/v1/accounts/resend-code", &json!({"email": person.email})).await.is(202);
        person.verify(&person.code(2).await).await.is(200);
    }
    let again = person.tell("/v1/accounts/resend-code", &json!({"email": person.email})).await;
    assert_eq!(again.header("Retry-After").map(|_| ()), (again.status == 429).then_some(()));
}

#[tokio::test]
async fn passwords_are_not_tried_without_end() {
    let shop = Shop::open().await;
    let (person, ..) = Person::signed_in(&shop).await;
    let wrong = json!({"email": person.email, "password": "another password of mine"});
    let answers = join_all(
        (0..40).map(|_| person.api.impatient().bare(Method::POST, "/v1/sessions").json(&wrong)).map(send),
    )
    .await;
    let looked_at = answers.iter().filter(|answer| answer.status == 401).count();
    assert!(looked_at <= 10, "{looked_at} of 40");
    let refused = person.sign_in().await;
    refused.problem(429, "too_many_attempts");
    assert!(refused.header("Retry-After").unwrap().parse::<u32>().unwrap() > 60);
    forget_limits(&shop).await;
    // Over many addresses: the place is what they have in common.
    let spray =
        |i: usize| json!({"email": format!("u{i}@example.org"), "password": "another password of mine"});
    let mut limited = 0;
    for chunk in (0..120).collect::<Vec<_>>().chunks(10) {
        let tries =
            chunk.iter().map(|i| send(person.api.bare(Method::POST, "/v1/sessions").json(&spray(*i))));
        limited += join_all(tries).await.iter().filter(|answer| answer.status == 429).count();
    }
    assert_eq!(limited, 20);
}

#[tokio::test]
async fn a_refresh_token_is_good_once() {
    let shop = Shop::open().await;
    let (person, session, ann) = Person::signed_in(&shop).await;
    let refresh =
        async |token: &Value| person.tell("/v1/sessions/refresh", &json!({"refresh_token": token})).await;
    let second = refresh(&session["refresh_token"]).await.is(200);
    let third = refresh(&second["refresh_token"]).await.is(200);
    refresh(&second["refresh_token"]).await.problem(401, "refresh_token_invalid");
    refresh(&third["refresh_token"]).await.problem(401, "refresh_token_invalid");
    refresh(&json!("hfr_AAAA")).await.problem(401, "refresh_token_invalid");
    ann.get("/v1/accounts/me").await.is(200); // for its fifteen minutes

    // Of two at once, one is good.
    let session = person.sign_in().await.is(201);
    let both = join_all((0..2).map(|_| refresh(&session["refresh_token"]))).await;
    assert_eq!(both.iter().filter(|answer| answer.status == 200).count(), 1);

    let (one, other) = (person.sign_in().await.is(201), person.sign_in().await.is(201));
    caller(&shop, &one).delete("/v1/sessions/current").await.done();
    refresh(&one["refresh_token"]).await.problem(401, "refresh_token_invalid");
    let other = refresh(&other["refresh_token"]).await.is(200);
    caller(&shop, &other).delete("/v1/sessions").await.done();
    refresh(&other["refresh_token"]).await.problem(401, "refresh_token_invalid");
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
    ann.post(path, &change(PASSWORD, "a new one that is long")).await.done();
    person.sign_in().await.problem(401, "invalid_credentials");
    let stale = json!({"refresh_token": session["refresh_token"]});
    person.tell("/v1/sessions/refresh", &stale).await.problem(401, "refresh_token_invalid");

    let mails = mails_to(&person.email, 2).await.len();
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
    assert_eq!(shop.order(&order.id).await.customer.email, "erased@erased.invalid");
    let left: i64 =
        shop.query("SELECT (SELECT count(*) FROM accounts) + (SELECT count(*) FROM sessions)").await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn tokens_of_others_are_not_taken() {
    let shop = Shop::open().await;
    let (_, session, ann) = Person::signed_in(&shop).await;
    let token = session["access_token"].as_str().unwrap();
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    let flipped = format!("{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    for forged in [
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
        format!("{header}.{claims}.{flipped}"),
    ] {
        let caller = Api::with_key(shop.api.address(), String::leak(forged));
        let refused = caller.get("/v1/accounts/me").await;
        refused.problem(401, "unauthorized");
        assert_eq!(refused.header("WWW-Authenticate"), Some("Bearer error=\"invalid_token\""));
    }
    // Those of another shop, which has another secret.
    let other = Shop::with_env(vec![(
        "HOLDFAST_ACCOUNT_SECRET",
        "the-accounts-of-another-shop-have-this-one".into(),
    )])
    .await;
    let (_, _, bob) = Person::signed_in(&other).await;
    bob.get("/v1/accounts/me").await.is(200);
    caller(&other, &session).get("/v1/accounts/me").await.problem(401, "unauthorized");
    // The secret is rotated, and nobody is signed out.
    let both = format!("the-accounts-of-this-shop-get-this-secret,{}", ACCOUNT_SECRET);
    let (rotated, _process) = shop.start_api(&[("HOLDFAST_ACCOUNT_SECRET", both)]).await;
    let keys = rotated.get("/.well-known/jwks.json").await.is(200);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    Api::with_key(rotated.address(), String::leak(token.to_owned())).get("/v1/accounts/me").await.is(200);
    let refreshed = json!({"refresh_token": session["refresh_token"]});
    send(rotated.bare(Method::POST, "/v1/sessions/refresh").json(&refreshed)).await.is(200);
    ann.get("/v1/accounts/me").await.is(200);
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
    let mails = mails_to(&person.email, 2).await.len();
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
async fn a_code_that_is_mailed_again_is_another_one() {
    let shop = Shop::without_worker().await;
    let person = Person::new(&shop);
    person.register().await;
    let id: Uuid = shop.query("SELECT id FROM account_codes").await;
    let id = AccountCodeId::from_uuid(id);
    let db = store::Db::open(&shop.database_url, 2).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a step's time")]
    let at = Timestamp::now();
    let hash = |_: Uuid, code: &str| code.as_bytes().to_vec();
    let drawn = async || codes::draw(&db, id, at, hash).await.unwrap().and_then(|mail| mail.code).unwrap();
    let (first, second) = (drawn().await, drawn().await);
    let stored: Vec<u8> = shop.query("SELECT code_hash FROM account_codes").await;
    assert!(stored == second.as_str().as_bytes());
    let typed = async |code: Code| {
        let matches = move |_: Uuid, hash: &[u8]| hash == code.as_str().as_bytes();
        let key = domain::account::email_key("email", &person.email).unwrap();
        store::accounts::verify(&db, &key, matches, at).await.unwrap()
    };
    if first.as_str() != second.as_str() {
        assert_eq!(typed(first).await, None);
    }
    assert!(typed(second.clone()).await.is_some());
    assert!(codes::draw(&db, id, at, hash).await.unwrap().is_none(), "it is used");
    for _ in 0..2 {
        let (_, to) = codes::end(&db, id).await.unwrap().expect("its owner is told");
        assert_eq!(to.email(), person.email);
    }
    wait_until("nothing of the code is left", async || {
        shop.query::<bool>("SELECT code_hash IS NULL FROM account_codes").await
    })
    .await;
}
