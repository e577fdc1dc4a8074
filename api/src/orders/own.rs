//! For whom an order is placed: whom the shop names, or whoever has a token of their own.

use domain::{
    AccountId, Invalid, Invalids,
    account::email_key,
    customer::{Customer, UncheckedCustomer},
};
use identity::ProviderClaims;
use serde::{Deserialize, Serialize};

use crate::{app::App, auth::Caller, error::Problem};

/// Whom an order is for, as far as the body says. What it must say depends on who asks.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaceCustomer {
    id: Option<String>,
    email: Option<String>,
    name: Option<String>,
    locale: Option<String>,
    time_zone: Option<String>,
}

/// What is known of a customer by their token.
pub struct OwnCustomer {
    id: String,
    /// None: the identity provider does not say.
    email: Option<String>,
    name: Option<String>,
    locale: Option<String>,
    time_zone: Option<String>,
}

/// Who places an order for themselves; none if it is the shop that places it.
///
/// # Errors
/// 401 if the account was erased since the token was issued. If that was a moment ago, the placement finds
/// it out.
pub async fn customer(app: &App, caller: &Caller) -> Result<Option<OwnCustomer>, Problem> {
    let Some(customer) = caller.customer() else { return Ok(None) };
    Ok(Some(match (customer.account, &customer.claims) {
        (Some((account, _)), _) => of_account(app, account).await?,
        (None, claims) => {
            let ProviderClaims { email, name, .. } = claims.clone().ok_or_else(Problem::internal)?;
            OwnCustomer { id: customer.id.clone(), email, name, locale: None, time_zone: None }
        }
    }))
}

async fn of_account(app: &App, id: AccountId) -> Result<OwnCustomer, Problem> {
    let customer = app.accounts()?.customers.of(&app.db, id).await?;
    let text = |of: Option<&str>| of.map(str::to_owned);
    Ok(OwnCustomer {
        id: customer.id().to_owned(),
        email: Some(customer.email().to_owned()),
        name: text(customer.name()),
        locale: text(customer.locale()),
        time_zone: text(customer.time_zone()),
    })
}

/// Whom the body and the token together name.
pub fn whose(
    body: Option<PlaceCustomer>,
    own: Option<OwnCustomer>,
    invalids: &mut Invalids,
) -> Option<Customer> {
    let customer = match (body, own) {
        (None, None) => {
            invalids.push(Invalid::new("customer", "`customer` is required"));
            return None;
        }
        (Some(body), None) => named(body, invalids)?,
        (body, Some(own)) => themselves(body, own, invalids)?,
    };
    invalids.check_all_in("customer", Customer::parse(&customer))
}

fn named(body: PlaceCustomer, invalids: &mut Invalids) -> Option<UncheckedCustomer> {
    let PlaceCustomer { id, email, name, locale, time_zone } = body;
    let mut required = |field: &str, value: Option<String>| {
        if value.is_none() {
            // As of any field that is not there: it has no place of its own.
            invalids.push(Invalid::new("customer", format!("`{field}` is required")));
        }
        value
    };
    let (id, email) = (required("id", id), required("email", email));
    Some(UncheckedCustomer { id: id?, email: email?, name, locale, time_zone })
}

/// A customer may say in which language and time zone mails are to be, and how they are called.
fn themselves(
    body: Option<PlaceCustomer>,
    own: OwnCustomer,
    invalids: &mut Invalids,
) -> Option<UncheckedCustomer> {
    let none = PlaceCustomer { id: None, email: None, name: None, locale: None, time_zone: None };
    let body = body.unwrap_or(none);
    if body.id.is_some_and(|id| id != own.id) {
        invalids.push(Invalid::new("customer.id", "is another customer than the one whose token this is"));
    }
    let email = match (body.email, own.email) {
        (Some(named), Some(email)) if !are_same(&named, &email) => {
            invalids.push(Invalid::new("customer.email", "is another address than the one of the token"));
            return None;
        }
        (named, email) => email.or(named),
    };
    let Some(email) = email else {
        invalids.push(Invalid::new("customer.email", "is required: the token has none"));
        return None;
    };
    Some(UncheckedCustomer {
        id: own.id,
        email,
        name: body.name.or(own.name),
        locale: body.locale.or(own.locale),
        time_zone: body.time_zone.or(own.time_zone),
    })
}

fn are_same(one: &str, other: &str) -> bool {
    let key = |address| email_key("email", address).ok();
    key(one).is_some() && key(one) == key(other)
}
