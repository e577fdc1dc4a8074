//! What attackers try on accounts of customers.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    accounts::{PASSWORD, Person, caller, forget_limits},
    harness::{ACCOUNT_SECRET, Answer, Api, Shop, mails_to, send},
};

#[tokio::test]
async fn a_stranger_finds_nothing_of_others_on_any_route() {
    let shop = Shop::with_tea(10).await;
    let id = shop.place(&[("tea", 1)]).await;
    let payment = shop.api.post(&format!("/v1/orders/{id}/payments"), &json!({})).await.is(201);
    let due = shop.order(&id).await.payment_due_at;
    shop.extend(&id, due + jiff::SignedDuration::from_hours(1)).await.is(200);
    let change = shop.changes(&id).await.remove(0).id;
    // What would be done, if the order were theirs.
    let body = |path: &str| match path {
        _ if path.ends_with("/extend") => {
            json!({"payment_due_at": due + jiff::SignedDuration::from_hours(2)})
        }
        _ if path.ends_with("/check-in") => json!({"code": "22222222"}),
        _ => json!({}),
    };
    let (_, _, stranger) = Person::signed_in(&shop).await;
    let own = stranger.get("/v1/accounts/me").await.is(200);
    let document = shop.api.get("/openapi.json").await.is(200);
    let secrets = [id.as_str(), &shop.email, payment["id"].as_str().unwrap()];
    let mut walked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let security = operation["security"].as_array().unwrap();
            let is_shared = security.iter().any(|it| it.get("customer_token").is_some());
            let wants_key = security.iter().any(|it| it.get("api_key").is_some());
            // What is the stranger's own is left out: to end their session would end the walk.
            let is_own = path.starts_with("/v1/accounts") || path.starts_with("/v1/sessions");
            if !wants_key && (is_own || !is_shared) {
                continue;
            }
            let address =
                path.replace("{id}", &id).replace("{payment_id}", secrets[2]).replace("{sku}", "tea");
            let address = address.replace("{change_id}", change.as_str());
            // As the shop sees it they do not even see their own.
            let address = address.replace("{account_id}", own["id"].as_str().unwrap());
            let request = stranger.request(method.to_uppercase().parse().unwrap(), &address);
            let answer = match method.as_str() {
                "get" => send(request).await,
                _ => send(request.header("Idempotency-Key", "k").json(&body(path))).await,
            };
            let (status, text) = (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned());
            match is_shared {
                true => assert!(status != 403 && status < 500, "{method} {path}: {status} {text}"),
                false => drop(answer.problem(403, "scope_missing")),
            }
            assert!(
                !path.contains("/orders/{id}") || status == (if is_shared { 404 } else { 403 }),
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

/// Somebody registers an address that is not theirs, before or after its owner: they never get to know the
/// password of what comes of it.
#[tokio::test]
async fn an_address_that_two_register_has_neither_password() {
    let shop = Shop::open().await;
    let owner = Person::new(&shop);
    let theirs = json!({"email": owner.email, "password": "the password of an attacker"});
    owner.tell("/v1/accounts", &theirs).await.is(202);
    let code = owner.code(1).await; // the attacker's, in the owner's mailbox
    owner.register().await; // within the same minute: no other mail
    let verified = owner.verify(&code).await.is(200);
    assert_eq!(verified["has_password"], false);
    for body in [&theirs, &json!({"email": owner.email, "password": PASSWORD})] {
        owner.tell("/v1/sessions", body).await.problem(401, "invalid_credentials");
    }
    let told = mails_to(&owner.email, 2).await;
    assert!(told[1].text.contains("choose a password"), "{}", told[1].text);
    let mails = told.len();
    owner.tell("/v1/accounts/password/reset-code", &json!({"email": owner.email})).await.is(202);
    let reset = json!({"email": owner.email, "code": owner.code(mails + 1).await, "password": PASSWORD});
    owner.tell("/v1/accounts/password/reset", &reset).await.done();
    owner.sign_in().await.is(201);
    // Who registers it now is answered as if there were no account.
    owner.tell("/v1/accounts", &theirs).await.is(202);
    owner.tell("/v1/sessions", &theirs).await.problem(403, "email_not_verified");
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
    // Those that find no place to be hashed at are answered 503, and are no tries.
    let (mut looked_at, mut limited) = (0, 0);
    while limited < 40 {
        let tries = (0..40).map(|_| person.api.impatient().bare(Method::POST, "/v1/sessions").json(&wrong));
        let answers = join_all(tries.map(send)).await;
        looked_at += answers.iter().filter(|answer| answer.status == 401).count();
        limited = answers.iter().filter(|answer| answer.status == 429).count();
    }
    assert_eq!(looked_at, 10);
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
