//! Accounts of customers: found by their address, signed out, and erased.

use axum::{
    Router,
    extract::{Path, RawQuery},
    http::{Method, StatusCode},
    response::Response,
    routing::get,
};
use domain::{AccountId, api_key::Scope};

use super::{Shown, done, notice, refused, show};
use crate::{
    Console,
    api_client::{Ask, query},
    documents::{Account, List, Problem},
    failure::Failure,
    fields::{Fields, Form as Sent},
    operator::Operator,
    view::{Cell, Field, Form, Link, Section, Table},
};

const ADDRESS: &str = "/console/accounts";
const SAID: [(&str, &str); 2] =
    [("signed-out", "All sessions have ended."), ("erased", "The account is erased.")];
const NONE_HERE: &str = "This shop has no accounts: HOLDFAST_ACCOUNT_SECRET is not set.";

pub fn routes() -> Router<Console> {
    Router::new()
        .route(ADDRESS, get(list).post(find))
        .route("/console/accounts/{id}", get(one))
        .route("/console/accounts/{id}/sign-out", get(ask_sign_out).post(sign_out))
        .route("/console/accounts/{id}/erase", get(ask_erase).post(erase))
}

/// Where the account is of whom an order is for, if they have one of ours and it may be looked at.
pub fn link(operator: &Operator, customer: &str) -> Option<Link> {
    let is_open = operator.may(Scope::AccountsRead) && operator.console.api.has_accounts();
    let account = customer.parse::<AccountId>().ok().filter(|_| is_open)?;
    Some(Link::new("The customer's account", format!("{ADDRESS}/{account}")))
}

/// A form that is posted: an address in a link would stay in histories and logs.
fn search() -> Form {
    let email = Field::line("email", "E-mail").required();
    Form::new(ADDRESS, "Find the account").titled("By e-mail").with(vec![email])
}

/// An address has one account at most.
async fn find(Sent(operator, fields): Sent) -> Shown {
    let path = query(&[("email", Some(fields.text("email"))), ("limit", Some("1"))]);
    let found = operator.get::<List<Account>>(&format!("/v1/accounts{path}")).await;
    let failure = match found.map(|found| found.data.into_iter().next()) {
        Ok(Some(account)) => return Ok(done(&format!("{ADDRESS}/{}", account.id))),
        Ok(None) => operator.fail(Problem::field("email", "There is no such account.")),
        Err(failure) => failure,
    };
    let back = Section::Links(vec![Link::new("All accounts", ADDRESS)]);
    refused(&operator, "Accounts", vec![back], search(), &fields, failure, &[])
}

async fn list(operator: Operator, RawQuery(asked): RawQuery) -> Shown {
    let asked = Fields::parse(&asked.unwrap_or_default());
    let path = query(&[("starting_after", asked.given("starting_after")), ("limit", Some("50"))]);
    let found: List<Account> = match operator.get(&format!("/v1/accounts{path}")).await {
        Ok(found) => found,
        Err(failure) if failure.is("route_not_found") => {
            return Ok(show(&operator, "Accounts", vec![Section::text(NONE_HERE)]));
        }
        Err(failure) => return Err(failure),
    };
    let more = found.next_cursor.as_deref();
    let more = more.map(|after| format!("{ADDRESS}{}", query(&[("starting_after", Some(after))])));
    let row = |account: &Account| {
        vec![
            Cell::link(&account.customer.email, format!("{ADDRESS}/{}", account.id)),
            Cell::maybe(account.customer.name.as_deref()),
            Cell::Time(account.verified_at),
            Cell::number(account.open_sessions),
            Cell::time(account.last_seen_at),
        ]
    };
    let columns = ["E-mail", "Name", "Verified", "Open sessions", "Last seen"];
    let rows = found.data.iter().map(row).collect();
    let table = Table::new("Accounts, newest first", &columns, rows).with_more(more);
    let table = Table { empty: "Nobody has an account yet.", ..table };
    let mut sections: Vec<Section> = notice(&asked, &SAID).into_iter().collect();
    sections.extend([Section::Form(search()), Section::Table(table)]);
    Ok(show(&operator, "Accounts", sections))
}

/// What cannot be an account's id names no page.
fn path_of(operator: &Operator, id: &str) -> Result<String, Failure> {
    match id.parse::<AccountId>() {
        Ok(id) => Ok(format!("/v1/accounts/{id}")),
        Err(_) => {
            Err(operator.fail(Problem::own(StatusCode::NOT_FOUND, "There is no account with this id.")))
        }
    }
}

async fn load(operator: &Operator, id: &str) -> Result<Account, Failure> {
    operator.get(&path_of(operator, id)?).await
}

async fn one(operator: Operator, Path(id): Path<String>, RawQuery(asked): RawQuery) -> Shown {
    let account = load(&operator, &id).await?;
    let here = format!("{ADDRESS}/{}", account.id);
    let mut links = Vec::new();
    if operator.may(Scope::OrdersRead) {
        links.push(Link::new("Their orders", format!("/console/orders?customer={}", account.id)));
    }
    if operator.may(Scope::AccountsWrite) {
        links.push(Link::new("Sign out everywhere", format!("{here}/sign-out")));
        links.push(Link::grave("Erase the account", format!("{here}/erase")));
    }
    let said = notice(&Fields::parse(&asked.unwrap_or_default()), &SAID);
    let mut sections: Vec<Section> = said.into_iter().collect();
    sections.extend([facts(&account), Section::Links(links)]);
    Ok(show(&operator, format!("Account {}", account.id), sections))
}

fn facts(account: &Account) -> Section {
    let customer = &account.customer;
    let password = match account.has_password {
        true => "chosen",
        false => "none: it is chosen by a code that is mailed, as if it were forgotten",
    };
    Section::Facts(vec![
        ("E-mail", Cell::text(&customer.email)),
        ("Name", Cell::maybe(customer.name.as_deref())),
        ("Language", Cell::maybe(customer.locale.as_deref())),
        ("Time zone", Cell::maybe(customer.time_zone.as_deref())),
        ("Address verified", Cell::Time(account.verified_at)),
        ("Password", Cell::text(password)),
        ("Password changed", Cell::Time(account.password_changed_at)),
        ("Open sessions", Cell::number(account.open_sessions)),
        ("Last seen", Cell::time(account.last_seen_at)),
    ])
}

/// What something comes to, before it is done.
fn consequences(operator: &Operator, account: &Account, title: &str, said: &[&str], form: Form) -> Response {
    let mut sections = vec![Section::heading(&account.customer.email)];
    sections.extend(said.iter().copied().map(Section::text));
    let back = format!("{ADDRESS}/{}", account.id);
    sections.push(Section::Form(form.grave().or_back(back)));
    show(operator, title, sections)
}

async fn ask_sign_out(operator: Operator, Path(id): Path<String>) -> Shown {
    let account = load(&operator, &id).await?;
    let form = Form::new(format!("{ADDRESS}/{}/sign-out", account.id), "Sign them out");
    let said = [
        "All their sessions end: on each device they have to sign in again. A device that is in use goes on \
         for up to 15 minutes.",
        "Their password stays as it is. If somebody else knows it, they choose another one, too: by a code \
         that is mailed to them.",
    ];
    Ok(consequences(&operator, &account, "Sign out everywhere", &said, form))
}

async fn sign_out(Path(id): Path<String>, Sent(operator, _): Sent) -> Shown {
    let path = format!("{}/sign-out", path_of(&operator, &id)?);
    operator.ask(Method::POST, &path, Ask::default()).await?;
    Ok(done(&format!("{ADDRESS}/{id}?done=signed-out")))
}

async fn ask_erase(operator: Operator, Path(id): Path<String>) -> Shown {
    let account = load(&operator, &id).await?;
    let form = Form::new(format!("{ADDRESS}/{}/erase", account.id), "Erase it");
    let said = [
        "Their account is deleted, with its sessions. They cannot sign in any more, and see none of their \
         orders; the address can be registered anew.",
        "Of orders that have ended without money, or will, name and address are erased, too. Orders that \
         money came for keep them, as their invoices must.",
        "Open orders go on. It cannot be undone.",
    ];
    Ok(consequences(&operator, &account, "Erase the account", &said, form))
}

async fn erase(Path(id): Path<String>, Sent(operator, _): Sent) -> Shown {
    operator.ask(Method::DELETE, &path_of(&operator, &id)?, Ask::default()).await?;
    Ok(done(&format!("{ADDRESS}?done=erased")))
}
