//! API keys: who may call, and for what.

use axum::{
    Router,
    extract::{Path, RawQuery},
    http::Method,
    routing::get,
};
use domain::api_key::Scope;
use serde_json::json;

use super::{Shown, done, notice, refused, show};
use crate::{
    Console,
    api_client::{Ask, part, query},
    documents::{CreatedKey, Key, List},
    fields::{Fields, Form as Sent},
    operator::Operator,
    pages::orders::as_time,
    view::{Cell, Field, Form, Link, Section, Table},
};

const ADDRESS: &str = "/console/keys";
const SAID: [(&str, &str); 1] = [("revoked", "It is good no more, within seconds everywhere.")];

pub fn routes() -> Router<Console> {
    Router::new()
        .route(ADDRESS, get(list).post(create))
        .route("/console/keys/{id}/revoke", get(ask).post(revoke))
}

async fn list(operator: Operator, RawQuery(asked): RawQuery) -> Shown {
    let asked = Fields::parse(&asked.unwrap_or_default());
    let path = query(&[("limit", Some("100")), ("starting_after", asked.given("starting_after"))]);
    let found: List<Key> = operator.get(&format!("/v1/keys{path}")).await?;
    let more = found.next_cursor.as_deref();
    let more = more.map(|after| format!("{ADDRESS}{}", query(&[("starting_after", Some(after))])));
    let row = |key: &Key| {
        let revoke = match key.revoked_at {
            Some(_) => Cell::state("revoked"),
            None => Cell::link("Revoke", format!("{ADDRESS}/{}/revoke", part(&key.id))),
        };
        vec![
            Cell::text(&key.name),
            Cell::code(format!("{}...", key.prefix)),
            Cell::text(key.scopes.join(", ")),
            Cell::Time(key.created_at),
            Cell::text(&key.created_by),
            Cell::time(key.last_used_at),
            Cell::time(key.expires_at),
            revoke,
        ]
    };
    let columns = ["Name", "Begins with", "Scopes", "Made", "By whom", "Last used", "Expires", "End"];
    let table = Table::new("API keys, newest first", &columns, found.data.iter().map(row).collect());
    let mut sections: Vec<Section> = notice(&asked, &SAID).into_iter().collect();
    sections.push(Section::Table(table.with_more(more)));
    sections.push(Section::Form(form(&operator)));
    Ok(show(&operator, "Keys", sections))
}

/// Nobody makes a key that can do more than their own.
fn form(operator: &Operator) -> Form {
    let own = Scope::ALL.into_iter().filter(|scope| operator.may(*scope));
    let tick =
        |scope: Scope| Field::tick("scope-", format!("{scope}: {}", scope.meaning())).about(scope.as_str());
    let mut fields = vec![
        Field::line("name", "Name").required().hint("What histories call its holder: a-z, 0-9, -, _ and ."),
        Field::time("expires_at", "Expires"),
    ];
    fields.extend(own.map(tick));
    Form::new(ADDRESS, "Make a key").titled("A new key").with(fields)
}

async fn create(Sent(operator, fields): Sent) -> Shown {
    let scopes: Vec<&str> = fields.beginning("scope-").map(|(scope, _)| scope).collect();
    let expires = fields.given("expires_at").map(as_time);
    let body = json!({"name": fields.text("name"), "scopes": scopes, "expires_at": expires});
    let asked = operator.ask(Method::POST, "/v1/keys", Ask { body: Some(body), ..Ask::default() }).await;
    match asked {
        Ok(answer) => {
            let created: CreatedKey = operator.read(&answer)?;
            let said =
                format!("This is the key of {}. It is shown this once, and kept nowhere.", created.name);
            let sections = vec![
                Section::Notice(said),
                Section::Facts(vec![("Key", Cell::code(created.key))]),
                Section::Links(vec![Link::new("All keys", ADDRESS)]),
            ];
            Ok(show(&operator, "A new key", sections))
        }
        Err(failure) => refused(&operator, "A new key", Vec::new(), form(&operator), &fields, failure, &[]),
    }
}

/// Whose key it is, and what revoking it comes to, before it is done.
async fn ask(operator: Operator, Path(id): Path<String>) -> Shown {
    let key: Key = operator.get(&format!("/v1/keys/{}", part(&id))).await?;
    let form = Form::new(format!("{ADDRESS}/{}/revoke", part(&id)), "Revoke it").grave().or_back(ADDRESS);
    let said = "Whoever has the key is refused from then on, also in the console. It cannot be undone.";
    let facts = Section::Facts(vec![
        ("Name", Cell::text(&key.name)),
        ("Begins with", Cell::code(format!("{}...", key.prefix))),
        ("Scopes", Cell::text(key.scopes.join(", "))),
        ("Made", Cell::Time(key.created_at)),
        ("By whom", Cell::text(&key.created_by)),
        ("Last used", Cell::time(key.last_used_at)),
        ("Revoked", Cell::time(key.revoked_at)),
    ]);
    let mut sections = vec![facts];
    match key.revoked_at {
        Some(_) => sections.push(Section::text("It is good no more already.")),
        None => sections.extend([Section::text(said), Section::Form(form)]),
    }
    Ok(show(&operator, "Revoke a key", sections))
}

async fn revoke(Path(id): Path<String>, Sent(operator, _): Sent) -> Shown {
    operator.ask(Method::DELETE, &format!("/v1/keys/{}", part(&id)), Ask::default()).await?;
    Ok(done(&format!("{ADDRESS}?done=revoked")))
}
