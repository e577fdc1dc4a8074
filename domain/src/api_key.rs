//! API keys: how they are written, what they are called, and what they let their holder do.

use std::{collections::BTreeSet, fmt};

use crate::{Invalid, Invalids};

/// By which scanners of repositories and logs know a key of ours.
const MARK: &str = "hf_";
const SECRET_LENGTH: usize = 32;
/// As many digits as the largest checksum has.
const CHECKSUM_LENGTH: usize = 6;
/// Of a key, what may be shown: enough to tell it from others, and of no use.
const SHOWN_LENGTH: usize = MARK.len() + 4;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What each key looks like, for the OpenAPI document and for scanners.
pub const PATTERN: &str = "^hf_[0-9A-Za-z]{38}$";
pub const NAME_PATTERN: &str = "^[a-z0-9._-]{1,64}$";
const MAX_NAME: usize = 64;
/// What histories call somebody else: Holdfast itself, its rules, providers, and the keys of the environment.
const RESERVED: [&str; 10] =
    ["api", "cli", "customer", "holdfast", "migration", "provider", "rule", "seed", "system", "worker"];

text_enum! {
    /// What a key lets its holder do. A route wants one of them. None includes another: who may write need
    /// not be able to read, so that a shop's backend that places orders shows nobody its customers.
    pub enum Scope("scope" as "Scope") {
        OrdersRead = "orders:read",
        OrdersWrite = "orders:write",
        PaymentsRead = "payments:read",
        PaymentsWrite = "payments:write",
        CatalogueRead = "catalogue:read",
        CatalogueWrite = "catalogue:write",
        StockRead = "stock:read",
        StockWrite = "stock:write",
        Operations = "operations",
        EventsRead = "events:read",
        EventsWrite = "events:write",
        AccountsRead = "accounts:read",
        AccountsWrite = "accounts:write",
        KeysWrite = "keys:write",
    }
}

impl Scope {
    /// For the OpenAPI document.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::OrdersRead => "read orders, their timelines and changes",
            Self::OrdersWrite => "place, cancel, extend and fulfil orders, and check guests in",
            Self::PaymentsRead => "read payments, refunds and exceptions",
            Self::PaymentsWrite => "open payments, refund, and decide about exceptions",
            Self::CatalogueRead => "read products, stays and nights",
            Self::CatalogueWrite => "change products, stays and nights",
            Self::StockRead => "read stock levels",
            Self::StockWrite => "adjust stock",
            Self::Operations => "read the overview, the ledger and the settlements",
            Self::EventsRead => "read public events, webhook endpoints and deliveries",
            Self::EventsWrite => "make, change and remove webhook endpoints, and deliver again",
            Self::AccountsRead => "read customers' accounts",
            Self::AccountsWrite => "sign customers out, and erase accounts",
            Self::KeysWrite => "make, list and revoke API keys",
        }
    }
}

/// Reads the scopes of a key to be made: one or more. A scope that stands there twice counts once.
///
/// # Errors
/// Each that is not known, by its place.
pub fn scopes<T: AsRef<str>>(texts: &[T]) -> Result<BTreeSet<Scope>, Vec<Invalid>> {
    let mut invalids = Invalids::default();
    if texts.is_empty() {
        invalids.push(Invalid::new("scopes", "must name one or more"));
    }
    if texts.len() > Scope::ALL.len() {
        return Err(vec![Invalid::new("scopes", format!("must be at most {}", Scope::ALL.len()))]);
    }
    let read = |(i, text): (usize, &T)| {
        let known = Scope::parse(text.as_ref());
        invalids.check(known.map_err(|unknown| Invalid::new(format!("scopes[{i}]"), unknown.message)))
    };
    let scopes = texts.iter().enumerate().filter_map(read).collect();
    match invalids.is_empty() {
        true => Ok(scopes),
        false => Err(invalids.into_vec()),
    }
}

/// What histories call whoever has a key. Several keys may have one name, while one takes the place of
/// another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
pub struct KeyName(String);

impl KeyName {
    /// # Errors
    /// Names the field `name`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let is_fit = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        if !(1..=MAX_NAME).contains(&text.len()) || !text.bytes().all(is_fit) {
            let rule = format!("must be 1 to {MAX_NAME} of a-z, 0-9, `-`, `_` and `.`");
            return Err(Invalid::new("name", rule));
        }
        if RESERVED.contains(&text) {
            let why = "is what histories call somebody else; choose another";
            return Err(Invalid::new("name", format!("`{text}` {why}")));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key as its holder sends it: `hf_`, 32 random characters, and six of a checksum over these, by which a
/// typo is known without a look into the database. A secret: it has no `Debug`, so that it is not shown by
/// accident.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// A key out of `random`, which must come from the operating system. Of 2^128 numbers, each of the 62^16
    /// halves of a key gets the same share but for one in a billion.
    pub fn draw(random: [u8; 32]) -> Self {
        let (halves, _) = random.as_chunks::<16>();
        let secret: String =
            halves.iter().flat_map(|half| digits::<16>(u128::from_le_bytes(*half))).collect();
        Self(format!("{MARK}{secret}{}", checksum(&secret)))
    }

    /// Reads what somebody sent. None if it cannot be a key of ours: nobody need look for it.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(MARK).filter(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric()))?;
        let (secret, sum) = rest.split_at_checked(SECRET_LENGTH)?;
        (sum == checksum(secret)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The beginning of the key, for lists.
    pub fn prefix(&self) -> &str {
        &self.0[..SHOWN_LENGTH]
    }
}

fn checksum(secret: &str) -> String {
    digits::<CHECKSUM_LENGTH>(crc32fast::hash(secret.as_bytes()).into()).into_iter().collect()
}

/// The last `N` digits of a number in base 62.
fn digits<const N: usize>(mut number: u128) -> [char; N] {
    let radix = ALPHABET.len() as u128;
    let mut digits = ['0'; N];
    for digit in digits.iter_mut().rev() {
        *digit = char::from(ALPHABET[(number % radix) as usize]);
        number /= radix;
    }
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Clients have keys: what is one today is one for ever.
    #[test]
    fn a_key_is_written_as_it_always_was() {
        let key = ApiKey::draw([0; 32]);
        assert_eq!(key.as_str(), format!("hf_{}2wjyrI", "0".repeat(32)));
        assert_eq!(key.prefix(), "hf_0000");
    }

    proptest! {
        #[test]
        fn a_key_is_read_again(random: [u8; 32]) {
            let key = ApiKey::draw(random);
            prop_assert!(ApiKey::parse(key.as_str()).is_some_and(|read| read == key));
        }

        #[test]
        fn one_changed_character_is_refused(random: [u8; 32], at in 0_usize..41, by in 1_usize..62) {
            let mut text = ApiKey::draw(random).as_str().as_bytes().to_vec();
            let place = ALPHABET.iter().position(|b| *b == text[at]).unwrap_or_default();
            text[at] = ALPHABET[(place + by) % ALPHABET.len()];
            prop_assert!(ApiKey::parse(std::str::from_utf8(&text).unwrap()).is_none());
        }

        #[test]
        fn nonsense_is_no_key(text in "(hf_)?\\PC{0,60}") {
            prop_assert!(ApiKey::parse(&text).is_none());
        }
    }

    #[test]
    fn names_are_words_that_nobody_else_has() {
        for good in ["shop-backend", "a", "7", "till_2.berlin", &"x".repeat(64)] {
            assert_eq!(KeyName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "Shop", "a b", "é", "a/b", &"x".repeat(65), "api", "provider", "rule", "seed"] {
            assert!(KeyName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn scopes_are_read_and_each_unknown_one_is_named() {
        assert_eq!(scopes(Scope::WORDS), Ok(BTreeSet::from(Scope::ALL)));
        assert_eq!(scopes(&["operations", "operations"]).unwrap().len(), 1);
        let fields = |texts: &[&str]| {
            let unknown = scopes(texts).unwrap_err();
            unknown.into_iter().map(|it| it.field).collect::<Vec<_>>()
        };
        assert_eq!(fields(&["orders", "orders:read", ""]), ["scopes[0]", "scopes[2]"]);
        assert_eq!(fields(&[]), ["scopes"]);
        assert_eq!(fields(&["operations"; Scope::ALL.len() + 1]), ["scopes"]);
    }
}
