//! Whom an order is for.

use serde::{Deserialize, Serialize};

use crate::{Invalid, Invalids, email, locale, text, zone};

/// Of a customer's id. The engine's index keeps 255 characters of it, and its summaries 400 bytes.
const MAX_ID: usize = 128;
const MAX_ID_BYTES: usize = 256;

/// Stands in orders where the address of somebody was whose account is erased. Nobody gets mail there
/// (RFC 2606).
const ERASED_EMAIL: &str = "erased@erased.invalid";

/// A customer as a client names them.
pub struct UncheckedCustomer {
    pub id: String,
    pub email: String,
    pub name: Option<String>,
    pub locale: Option<String>,
    pub time_zone: Option<String>,
}

/// A customer as the shop knows them. `id` is visible in the Temporal UI; everything else is
/// personal data and stays in PostgreSQL.
///
/// What a client sends goes through [`Customer::parse`]. serde reads what is stored, and that as it is: the
/// rules have become stricter since the first orders, and those must stay readable.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    id: String,
    email: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
}

json_in_sql!(Customer);

/// Shows the id alone: a customer can be logged by accident without telling who it is.
impl std::fmt::Debug for Customer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Customer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Customer {
    pub fn parse(customer: &UncheckedCustomer) -> Result<Self, Vec<Invalid>> {
        let UncheckedCustomer { id, email, name, locale, time_zone } = customer;
        let mut invalids = Invalids::default();
        let id = invalids.check(self::id("id", id));
        let email = invalids.check(email::parse("email", email));
        let name = name.as_ref().and_then(|it| invalids.check(text::line("name", it, 200)));
        let locale = locale.as_ref().and_then(|it| invalids.check(locale::parse("locale", it)));
        let time_zone = time_zone.as_ref().and_then(|it| invalids.check(zone::parse("time_zone", it)));
        match (id, email) {
            (Some(id), Some(email)) if invalids.is_empty() => Ok(Self { id, email, name, locale, time_zone }),
            _ => Err(invalids.into_vec()),
        }
    }

    /// The same, and nothing of what they are called.
    pub fn without_name(self) -> Self {
        Self { name: None, ..self }
    }

    /// Whether their account was erased, and nothing is left but their id.
    pub fn is_erased(&self) -> bool {
        self.email == ERASED_EMAIL
    }

    /// The shop's own id for the customer, such as `auth0|abc` or `gid://shop/Customer/1`. Never an e-mail
    /// address.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn email(&self) -> &str {
        &self.email
    }

    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// BCP 47, such as `de-AT`.
    pub fn locale(&self) -> Option<&str> {
        self.locale.as_deref()
    }

    /// IANA name, such as `Europe/Vienna`. Due dates in mails are written in it; UTC if absent.
    pub fn time_zone(&self) -> Option<&str> {
        self.time_zone.as_deref()
    }
}

/// Checks the shop's id of a customer. No `@`: it is visible where personal data must not be.
pub fn id(field: &str, text: &str) -> Result<String, Invalid> {
    let is_visible = |c: char| c == ' ' || !text::is_invisible(c);
    let names_something = text.contains(char::is_alphanumeric);
    let fits = text.chars().count() <= MAX_ID && text.len() <= MAX_ID_BYTES;
    match names_something && fits && text.trim() == text && text.chars().all(|c| is_visible(c) && c != '@') {
        true => Ok(text.to_owned()),
        false => Err(Invalid::new(
            field,
            format!(
                "must be 1-{MAX_ID} characters with a letter or digit, without @, \
                 and without spaces around them"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_shops_own() {
        let long = "x".repeat(128);
        for fine in
            ["1", "auth0|abc", "gid://shop/Customer/1", "a+b/c=", "K\u{fc}nde 7", "{3F25-04E0}", &long]
        {
            assert_eq!(id("id", fine).as_deref(), Ok(fine));
        }
        let long = "x".repeat(129);
        let wide = "\u{5ba2}".repeat(100);
        for bad in
            ["", " ", "-", "://", " 1", "1 ", "a\nb", "a\0", "a\u{200b}b", "a\u{202e}b", "a@b", &long, &wide]
        {
            assert!(id("id", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_bad_field_is_named() {
        let bad = UncheckedCustomer {
            id: "ann@example.org".into(),
            email: "ann".into(),
            name: Some("a\nb".into()),
            locale: Some("de AT".into()),
            time_zone: Some("Mars/Olympus".into()),
        };
        let wrong = Customer::parse(&bad).expect_err("all bad");
        let fields: Vec<String> = wrong.into_iter().map(|invalid| invalid.field).collect();
        assert_eq!(fields, ["id", "email", "name", "locale", "time_zone"]);
    }
}
