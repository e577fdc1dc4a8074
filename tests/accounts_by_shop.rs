//! Customers' accounts, as the shop sees them: found, signed out and erased for who asks by phone.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    accounts::Person,
    api_keys::key,
    console::visitor,
    harness::{
        Answer, Api, Shop,
        documents::{CustomerAccount, List, Order},
        encoded,
        visitor::Visitor,
    },
};

async fn found(api: &Api, email: &str) -> Vec<CustomerAccount> {
    let list: List<CustomerAccount> = api.list(&format!("/v1/accounts?email={}", encoded(email))).await;
    list.data
}

async fn refresh(person: &Person, session: &Value) -> Answer {
    person.tell("/v1/sessions/refresh", &json!({"refresh_token": session["refresh_token"]})).await
}

#[tokio::test]
async fn the_shop_finds_accounts_signs_them_out_and_erases_them() {
    let shop = Shop::open().await;
    let (ann, session, of_ann) = Person::signed_in(&shop).await;
    let (bob, of_bob, _) = Person::signed_in(&shop).await;
    let (_, clerk) = key(&shop.api, "clerk", &["accounts:read", "accounts:write"]).await;

    let pages = clerk.pages::<CustomerAccount>("/v1/accounts?limit=1").await;
    let listed: Vec<&str> = pages.iter().flatten().map(|it| it.customer.email.as_str()).collect();
    assert_eq!(listed, [bob.email.as_str(), ann.email.as_str()], "newest first");
    let account = found(&clerk, &ann.email.to_uppercase()).await.remove(0);
    let me = of_ann.get("/v1/accounts/me").await.is(200);
    assert_eq!((json!(account.id), json!(account.customer.id)), (me["id"].clone(), me["id"].clone()));
    assert_eq!((account.object.as_str(), account.customer.name.as_str()), ("account", "Ann"));
    assert_eq!((account.open_sessions, account.has_password), (1, true));
    assert!(account.last_seen_at.is_some_and(|at| at >= account.verified_at), "{account:?}");
    assert!(found(&clerk, "nobody@example.org").await.is_empty());
    for (query, field) in [("email=nobody", "email"), ("starting_after=x", "starting_after")] {
        assert_eq!(clerk.get(&format!("/v1/accounts?{query}")).await.bad_fields(), [field]);
    }

    let path = format!("/v1/accounts/{}", account.id);
    let one = async || clerk.get(&path).await.of::<CustomerAccount>().is(200);
    let second = ann.sign_in().await.is(201);
    assert_eq!(one().await.open_sessions, 2);
    clerk.post(&format!("{path}/sign-out"), &json!({})).await.done();
    for session in [&session, &second] {
        refresh(&ann, session).await.problem(401, "refresh_token_invalid");
    }
    assert_eq!(one().await.open_sessions, 0);
    refresh(&bob, &of_bob).await.is(200); // nobody else is signed out
    ann.sign_in().await.is(201); // the password is as good as it was

    clerk.delete(&path).await.done();
    ann.sign_in().await.problem(401, "invalid_credentials");
    of_ann.get("/v1/accounts/me").await.problem(401, "unauthorized");
    assert!(found(&clerk, &ann.email).await.is_empty());
    for gone in [path.as_str(), "/v1/accounts/7"] {
        clerk.get(gone).await.problem(404, "account_not_found");
        clerk.delete(gone).await.problem(404, "account_not_found");
        clerk.post(&format!("{gone}/sign-out"), &json!({})).await.problem(404, "account_not_found");
    }
    let log = shop.api_process.log();
    let erased = log.lines().find(|line| line.contains("\"account erased\"")).expect("it is in the log");
    assert!(erased.contains("\"by\":\"clerk\"") && erased.contains(&account.id), "{erased}");
    assert!(!log.contains(&ann.email), "{log}");
    shop.close();
}

#[tokio::test]
async fn accounts_of_others_want_a_scope() {
    let shop = Shop::open().await;
    let (_, _, ann) = Person::signed_in(&shop).await;
    let me = ann.get("/v1/accounts/me").await.is(200);
    let path = format!("/v1/accounts/{}", me["id"].as_str().unwrap());
    let (_, reader) = key(&shop.api, "reader", &["accounts:read", "orders:read", "orders:write"]).await;
    let (_, eraser) = key(&shop.api, "eraser", &["accounts:write"]).await;
    for (caller, may_read, may_write) in
        [(&reader, true, false), (&eraser, false, true), (&ann, false, false)]
    {
        for path in ["/v1/accounts", path.as_str()] {
            let answer = caller.get(path).await;
            match may_read {
                true => assert_eq!(answer.status, 200),
                false => assert_eq!(answer.problem(403, "scope_missing").scope, "accounts:read"),
            }
        }
        let signed_out = caller.post(&format!("{path}/sign-out"), &json!({})).await;
        if may_write {
            signed_out.done();
            continue;
        }
        for refused in [signed_out, caller.delete(&path).await] {
            assert_eq!(refused.problem(403, "scope_missing").scope, "accounts:write");
        }
    }
    eraser.delete(&path).await.done();
    shop.close();
}

#[tokio::test]
async fn an_operator_helps_a_customer_who_has_lost_a_phone() {
    let shop = Shop::with_tea(5).await;
    let (person, session, ann) = Person::signed_in(&shop).await;
    let body = json!({"currency": "EUR", "lines": [{"sku": "tea", "quantity": 1}]});
    let order: Order = ann.post_as("k", "/v1/orders", &body).await.of().is(201);
    let visitor = visitor(&shop).await;
    let address = format!("/console/accounts/{}", order.customer.id);
    let leads_there = format!("href=\"{address}\"");
    visitor.get(&format!("/console/orders/{}", order.id)).await.is(200).shows(&leads_there);
    let list = visitor.get("/console/accounts").await.is(200);
    list.shows(&leads_there);
    // An address is in no link: it is sent as a form, and leads to the account by its id.
    let find = async |email: &str| visitor.fill_in(&list, "/console/accounts", &[("email", email)]).await;
    assert_eq!(find(&person.email).await.leads_to(), address);
    assert_eq!(find(&person.email.to_uppercase()).await.leads_to(), address);
    find("ann").await.is(422).shows("must be an e-mail address");
    find("bob@example.org").await.is(422).shows("There is no such account.");
    let page = visitor.get(&address).await.is(200);
    page.shows(&person.email);
    page.shows(&format!("href=\"/console/orders?customer={}\"", order.customer.id));

    let erase = format!("{address}/erase");
    let (issued, _) = key(&shop.api, "reader", &["accounts:read"]).await;
    let reader = Visitor::with_key(shop.api.address(), &issued.key).await;
    let page = reader.get(&address).await.is(200);
    assert!(!page.html.contains(&erase) && !page.html.contains("/console/orders"), "{}", page.html);
    reader.fill_in(&page, &erase, &[]).await.is(403).shows("`accounts:write`");

    let sign_out = format!("{address}/sign-out");
    let page = visitor.get(&sign_out).await.is(200);
    page.shows("on each device they have to sign in again");
    let done = visitor.fill_in(&page, &sign_out, &[]).await;
    visitor.get(done.leads_to()).await.is(200).shows("All sessions have ended.");
    refresh(&person, &session).await.problem(401, "refresh_token_invalid");

    let page = visitor.get(&erase).await.is(200);
    page.shows("It cannot be undone.");
    let done = visitor.fill_in(&page, &erase, &[]).await;
    visitor.get(done.leads_to()).await.is(200).shows("The account is erased.");
    visitor.get(&address).await.is(404);
    visitor.fill_in(&page, &erase, &[]).await.is(404);
    person.sign_in().await.problem(401, "invalid_credentials");
    shop.close();
}

#[tokio::test]
async fn a_shop_without_accounts_shows_none() {
    let shop = Shop::without_worker().await;
    let (api, _process) = shop.start_api(&[("HOLDFAST_ACCOUNT_SECRET", String::new())]).await;
    let nobody = "/v1/accounts/acc_01920000000070008000000000000000";
    for path in ["/v1/accounts", nobody] {
        api.get(path).await.problem(404, "route_not_found");
    }
    let visitor = Visitor::signed_in(api.address()).await;
    let page = visitor.get("/console/accounts").await.is(200);
    page.shows("HOLDFAST_ACCOUNT_SECRET is not set");
    assert!(!page.html.contains("href=\"/console/accounts\""), "it is in the menu:\n{}", page.html);
    shop.close();
}

/// Takes each of these routes once; gives them, each with its method.
pub async fn walk(shop: &Shop) -> Vec<(Method, &'static str)> {
    let (person, ..) = Person::signed_in(shop).await;
    let account = found(&shop.api, &person.email).await.remove(0).id;
    shop.api.get(&format!("/v1/accounts?starting_after={account}")).await.is(200);
    let path = format!("/v1/accounts/{account}");
    shop.api.get(&path).await.is(200);
    shop.api.post(&format!("{path}/sign-out"), &json!({})).await.done();
    shop.api.delete(&path).await.done();
    vec![
        (Method::GET, "/v1/accounts"),
        (Method::GET, "/v1/accounts/{account_id}"),
        (Method::POST, "/v1/accounts/{account_id}/sign-out"),
        (Method::DELETE, "/v1/accounts/{account_id}"),
    ]
}
