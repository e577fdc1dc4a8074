//! Amounts: ours are ISO 4217 minor units, Stripe's nearly so. <https://docs.stripe.com/currencies>

use domain::{
    collect::Collects,
    money::{Currency, Money},
};

use crate::Error;

/// How Stripe counts a currency.
enum Unit {
    Iso,
    /// Two decimal places, always 00, where ISO 4217 has none.
    HundredOfOurs,
    /// No decimal places where ISO 4217 has two.
    HundredthOfOurs,
    /// As ISO 4217, in tens only.
    Tens,
    /// Stripe lists UGX as zero-decimal and as two-decimal at once. A wrong guess is wrong a hundredfold.
    Unclear,
}

fn unit(currency: Currency) -> Unit {
    match currency.code() {
        "ISK" => Unit::HundredOfOurs,
        "MGA" => Unit::HundredthOfOurs,
        "BHD" | "JOD" | "KWD" | "OMR" | "TND" => Unit::Tens,
        "UGX" => Unit::Unclear,
        // HUF and TWD are special in payouts only.
        _ => Unit::Iso,
    }
}

/// The currencies that Stripe charges in, but for the special ones.
const TAKEN: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BIF BMD BND BOB BRL BSD BWP BYN \
    BZD CAD CDF CHF CLP CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GNF GTQ GYD \
    HKD HNL HTG HUF IDR ILS INR JMD JPY KES KGS KHR KMF KRW KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT \
    MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR \
    SBD SCR SEK SGD SHP SLE SOS SRD STD SZL THB TJS TOP TRY TTD TWD TZS UAH USD UYU UZS VND VUV WST XAF XCD \
    XOF XPF YER ZAR ZMW";

/// The least that Stripe charges, in its units, where it is paid out in the same currency. What it converts
/// has to be worth as much.
const LEAST: [(&str, i64); 24] = [
    ("AED", 200),
    ("AUD", 50),
    ("BGN", 100),
    ("BRL", 50),
    ("CAD", 50),
    ("CHF", 50),
    ("CZK", 1500),
    ("DKK", 250),
    ("EUR", 50),
    ("GBP", 30),
    ("HKD", 400),
    ("HUF", 17500),
    ("INR", 50),
    ("JPY", 50),
    ("MXN", 1000),
    ("MYR", 200),
    ("NOK", 300),
    ("NZD", 50),
    ("PLN", 200),
    ("RON", 200),
    ("SEK", 300),
    ("SGD", 50),
    ("THB", 1000),
    ("USD", 50),
];

/// Amounts have eight digits at most, of rupiahs twelve.
fn most(currency: Currency) -> i64 {
    if currency.code() == "IDR" { 999_999_999_999 } else { 99_999_999 }
}

/// What Stripe charges in a currency, in our units.
pub(super) fn collects(currency: Currency) -> Collects {
    let code = currency.code();
    let (min, max) =
        (LEAST.iter().find(|(taken, _)| *taken == code).map_or(1, |(_, least)| *least), most(currency));
    match unit(currency) {
        Unit::Iso if TAKEN.split_whitespace().any(|taken| taken == code) => {
            Collects::Amounts { min, max, step: 1 }
        }
        Unit::Iso | Unit::Unclear => Collects::Nothing,
        Unit::HundredOfOurs => Collects::Amounts { min: 1, max: max / 100, step: 1 },
        Unit::HundredthOfOurs => Collects::Amounts { min: 100, max: max * 100, step: 100 },
        Unit::Tens => Collects::Amounts { min: 10, max, step: 10 },
    }
}

/// Amount and currency as Stripe wants them, or a refusal of what it cannot say exactly.
pub(super) fn to_stripe(money: Money) -> Result<(i64, String), Error> {
    let Money { amount, currency } = money;
    let sent = match unit(currency) {
        Unit::Iso => Some(amount),
        Unit::HundredOfOurs => amount.checked_mul(100),
        Unit::HundredthOfOurs => (amount % 100 == 0).then_some(amount / 100),
        Unit::Tens => (amount % 10 == 0).then_some(amount),
        Unit::Unclear => None,
    };
    let refused =
        || Error::Refused { code: "amount_not_possible".to_owned(), detail: format!("{money} with Stripe") };
    Ok((sent.ok_or_else(refused)?, currency.code().to_ascii_lowercase()))
}

/// What Stripe says, in our units. `None` if they cannot say it.
pub(super) fn from_stripe(amount: i64, currency: &str) -> Option<Money> {
    let currency = Currency::parse(&currency.to_ascii_uppercase()).ok()?;
    let amount = match unit(currency) {
        Unit::Iso | Unit::Tens => Some(amount),
        Unit::HundredOfOurs => (amount % 100 == 0).then_some(amount / 100),
        Unit::HundredthOfOurs => amount.checked_mul(100),
        Unit::Unclear => None,
    }?;
    Money::parse(amount, currency).ok()
}

#[cfg(test)]
mod tests {
    use domain::money::MAX_AMOUNT;

    use super::*;

    fn money(amount: i64, code: &str) -> Money {
        Money::new(amount, Currency::parse(code).expect("known"))
    }

    #[test]
    fn amounts_go_to_stripe_and_come_back_where_its_units_differ_from_iso_4217() {
        let cases = [
            (money(1250, "EUR"), 1250, "eur"),
            (money(1250, "HUF"), 1250, "huf"),
            (money(1250, "TWD"), 1250, "twd"),
            (money(500, "JPY"), 500, "jpy"),
            (money(5, "ISK"), 500, "isk"),
            (money(1200, "MGA"), 12, "mga"),
            (money(5120, "KWD"), 5120, "kwd"),
        ];
        for (ours, amount, currency) in cases {
            assert_eq!(to_stripe(ours).expect("possible"), (amount, currency.to_owned()), "{ours}");
            assert_eq!(from_stripe(amount, currency), Some(ours));
        }
    }

    #[test]
    fn what_stripe_collects_can_be_said_to_it_and_the_rest_is_refused_at_the_door() {
        let takes = |amount, code| collects(money(amount, code).currency).check(money(amount, code)).is_ok();
        for (amount, code) in [
            (50, "EUR"),
            (99_999_999, "EUR"),
            (50, "JPY"),
            (99_999_999, "JPY"),
            (1, "ISK"),
            (999_999, "ISK"),
            (100, "MGA"),
            (9_999_999_900, "MGA"),
            (5_120, "KWD"),
            (99_999_990, "KWD"),
            (17_500, "HUF"),
            (1, "TWD"),
            (999_999_999_999, "IDR"),
            (1, "PEN"),
            (0, "UGX"),
            (0, "EUR"),
        ] {
            assert!(takes(amount, code), "{amount} {code}");
            assert!(amount == 0 || to_stripe(money(amount, code)).is_ok(), "{amount} {code}");
        }
        for (amount, code) in [
            (49, "EUR"),
            (100_000_000, "EUR"),
            (49, "JPY"),
            (100_000_000, "JPY"),
            (1_000_000, "ISK"),
            (150, "MGA"),
            (99, "MGA"),
            (9_999_999_901, "MGA"),
            (5_123, "KWD"),
            (5, "KWD"),
            (100_000_000, "KWD"),
            (17_499, "HUF"),
            (1_000_000_000_000, "IDR"),
            (500, "UGX"),
            (50_000, "UGX"),
            (100, "XAU"),
            (100, "IRR"),
            (100, "XXX"),
        ] {
            assert!(!takes(amount, code), "{amount} {code}");
        }
    }

    #[test]
    fn what_stripe_cannot_say_exactly_is_refused() {
        for ours in [money(5124, "KWD"), money(1250, "MGA"), money(5, "UGX"), money(i64::MAX, "ISK")] {
            assert!(matches!(to_stripe(ours), Err(Error::Refused { .. })), "{ours}");
        }
        assert_eq!(from_stripe(150, "isk"), None);
        assert_eq!(from_stripe(500, "ugx"), None);
        assert_eq!(from_stripe(100, "usdc"), None);
        assert!(from_stripe(MAX_AMOUNT, "eur").is_some());
        for (beyond, currency) in [(MAX_AMOUNT + 1, "eur"), (MAX_AMOUNT, "mga"), (-1, "eur")] {
            assert_eq!(from_stripe(beyond, currency), None);
        }
    }

    /// Stripe's lists of currencies that have not two decimal places, against the table of ISO 4217.
    #[test]
    fn every_currency_that_stripe_counts_without_two_decimals_agrees_or_is_special() {
        let decimals = |code: &str| {
            let shown = money(1, code).to_string();
            shown.split(' ').next().and_then(|n| n.split_once('.')).map_or(0, |(_, rest)| rest.len())
        };
        const ZERO: &str = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF UGX VND VUV XAF XOF XPF";
        const TWO: &str = "USD AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BWP \
            BYN BZD CAD CDF CHF CNY COP CRC CVE CZK DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GTQ GYD \
            HKD HNL HTG HUF IDR ILS INR ISK JMD KES KGS KHR KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT \
            MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR \
            SBD SCR SEK SGD SHP SLE SOS SRD STD SZL THB TJS TOP TRY TTD TWD TZS UAH UYU UZS WST XCD YER ZAR \
            ZMW";
        let differ = |list: &str, stripe: usize| -> Vec<String> {
            let known = list.split_whitespace().filter(|code| Currency::parse(code).is_ok());
            known.filter(|code| decimals(code) != stripe).map(str::to_owned).collect()
        };
        assert_eq!(differ(ZERO, 0), ["MGA"]);
        assert_eq!(differ(TWO, 2), ["ISK"]);
        assert_eq!(differ("BHD JOD KWD OMR TND", 3), Vec::<String>::new());
    }
}
