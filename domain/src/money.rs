//! Money: integer minor units of an ISO 4217 currency. Never a float.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// The largest amount of money, in minor units, that may come in: 2^53 - 1. It is also the largest number
/// that answers have: JavaScript reads larger integers wrongly. So a thousand amounts still add up inside an
/// `i64`; whoever adds up more of them needs a wider type.
pub const MAX_AMOUNT: i64 = (1 << 53) - 1;

/// The largest unit price, in minor units. With 100 lines of 10,000 pieces, or 10 stays with all their
/// extras, a sum stays inside an `i64`; whether it is an amount of money, [`crate::order::total`] tells.
pub const MAX_UNIT_PRICE: i64 = 10_000_000_000;

/// An ISO 4217 currency by its three capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub struct Currency(iso_currency::Currency);

impl Currency {
    pub fn parse(code: &str) -> Result<Self, Invalid> {
        iso_currency::Currency::from_code(code)
            .map(Self)
            .ok_or_else(|| Invalid::new("currency", "must be an ISO 4217 code such as EUR"))
    }

    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many decimal places the minor unit stands for: EUR 2, JPY 0.
    pub fn decimals(self) -> usize {
        usize::from(self.0.exponent().unwrap_or(0))
    }
}

text_enum_in_sql!(Currency, code);

impl From<Currency> for &'static str {
    fn from(currency: Currency) -> Self {
        currency.code()
    }
}

impl TryFrom<String> for Currency {
    type Error = Invalid;

    fn try_from(code: String) -> Result<Self, Invalid> {
        Self::parse(&code)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount in minor units with its currency, shown as `12.50 EUR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Money {
    /// Minor units: cents for EUR, yen for JPY.
    pub amount: i64,
    #[cfg_attr(feature = "utoipa", schema(value_type = String))]
    pub currency: Currency,
}

impl Money {
    pub const fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// Money that somebody else tells us of.
    pub fn parse(amount: i64, currency: Currency) -> Result<Self, Invalid> {
        told(amount).map(|amount| Self::new(amount, currency))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = self.currency.decimals();
        let sign = if self.amount < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", self.amount.unsigned_abs(), width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let point = if decimals > 0 { "." } else { "" };
        write!(f, "{sign}{whole}{point}{fraction} {}", self.currency)
    }
}

/// Minor units of an amount as people write it: `12.5` of EUR is 1250. None: it is not written so, or too
/// large for any amount.
pub fn from_decimal(text: &str, currency: Currency) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let decimals = currency.decimals();
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_amount =
        !whole.is_empty() && is_number(whole) && is_number(fraction) && fraction.len() <= decimals;
    is_amount.then(|| format!("{whole}{fraction:0<decimals$}").parse().ok()).flatten()
}

/// An amount that a provider tells us of: 0 to [`MAX_AMOUNT`] minor units.
pub fn told(amount: i64) -> Result<i64, Invalid> {
    within(0, amount)
}

/// An amount that somebody asks for: 1 to [`MAX_AMOUNT`] minor units.
pub fn asked(amount: i64) -> Result<i64, Invalid> {
    within(1, amount)
}

fn within(least: i64, amount: i64) -> Result<i64, Invalid> {
    match (least..=MAX_AMOUNT).contains(&amount) {
        true => Ok(amount),
        false => Err(Invalid::new("amount", format!("must be {least} to {MAX_AMOUNT} minor units"))),
    }
}

/// A price of one piece: 0 (a gift) to [`MAX_UNIT_PRICE`] minor units.
pub fn unit_price(amount: i64) -> Result<i64, Invalid> {
    match amount {
        0..=MAX_UNIT_PRICE => Ok(amount),
        _ => Err(Invalid::new("unit_price", format!("must be 0 to {MAX_UNIT_PRICE} minor units"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        let euro = |text| from_decimal(text, Currency::parse("EUR").expect("a currency"));
        let yen = |text| from_decimal(text, Currency::parse("JPY").expect("a currency"));
        assert_eq!([euro("12"), euro("12.5"), euro("0.05")], [Some(1200), Some(1250), Some(5)]);
        assert_eq!([yen("12"), yen("12.5")], [Some(12), None]);
        for bad in ["", ".5", "1.234", "-1", "1,5", "1e3", "99999999999999999999"] {
            assert_eq!(euro(bad), None, "{bad}");
        }
    }

    #[test]
    fn money_shows_the_decimals_of_its_currency() {
        let show = |amount, code| Money::new(amount, Currency::parse(code).expect("known")).to_string();
        assert_eq!(show(1250, "EUR"), "12.50 EUR");
        assert_eq!(show(5, "EUR"), "0.05 EUR");
        assert_eq!(show(-5, "EUR"), "-0.05 EUR");
        assert_eq!(show(1250, "JPY"), "1250 JPY");
        assert_eq!(show(1250, "KWD"), "1.250 KWD");
        assert_eq!(show(MAX_AMOUNT, "EUR"), "90071992547409.91 EUR");
        assert!(Currency::parse("eur").is_err());
        assert!(Currency::parse("XXY").is_err());
    }
}
