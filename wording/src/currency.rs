//! Where an amount's currency stands, and how it is called. ICU4X formats money in its experimental part
//! alone (three times the data of all else that we use); these are CLDR's patterns of the languages that we
//! speak.

use icu_locale_core::LanguageIdentifier;

/// Between a number and what belongs to it, where no line ends.
const NO_BREAK: &str = "\u{a0}";

/// An amount with its currency.
pub fn place(locale: &LanguageIdentifier, code: &str, amount: &str) -> String {
    let sign = symbol(locale, code);
    match placement(locale) {
        Placement::After => format!("{amount}{NO_BREAK}{sign}"),
        Placement::BeforeWithSpace => format!("{sign}{NO_BREAK}{amount}"),
        // A letter beside a digit is set apart, whatever the pattern says.
        Placement::Before if sign.ends_with(char::is_alphabetic) => format!("{sign}{NO_BREAK}{amount}"),
        Placement::Before => format!("{sign}{amount}"),
    }
}

/// Where English is read and amounts are written as the neighbours write them: CLDR 48.
const ENGLISH_AFTER: [&str; 22] = [
    "150", "BE", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GE", "HU", "IT", "LT", "LV", "NO", "PL", "PT",
    "RO", "SE", "SI", "SK", "UA",
];
/// Where Spanish is read and amounts are not written as in Spain: CLDR 48.
const SPANISH_BEFORE: [&str; 19] = [
    "419", "BO", "BR", "BZ", "CL", "CR", "CU", "DO", "EC", "GQ", "GT", "HN", "MX", "NI", "PA", "PR", "SV",
    "US", "VE",
];

enum Placement {
    Before,
    BeforeWithSpace,
    After,
}

fn placement(locale: &LanguageIdentifier) -> Placement {
    let (language, region) = (locale.language.as_str(), region(locale));
    match language {
        "de" if ["AT", "CH", "LI"].contains(&region) => Placement::BeforeWithSpace,
        "en" if ["AT", "CH", "MV", "NL"].contains(&region) => Placement::BeforeWithSpace,
        "es" if ["AR", "CO", "PE", "PY", "UY"].contains(&region) => Placement::BeforeWithSpace,
        "en" if ENGLISH_AFTER.contains(&region) => Placement::After,
        "es" if SPANISH_BEFORE.contains(&region) => Placement::Before,
        "de" | "es" | "fr" => Placement::After,
        _ => Placement::Before,
    }
}

fn region(locale: &LanguageIdentifier) -> &str {
    locale.region.as_ref().map_or("", |region| region.as_str())
}

/// The sign, where readers of the language know one that means nothing else to them; else the ISO code.
fn symbol<'a>(locale: &LanguageIdentifier, code: &'a str) -> &'a str {
    match (locale.language.as_str(), code, region(locale)) {
        (_, "EUR", _) => "€",
        ("en" | "de" | "zh", "GBP", _) => "£",
        ("en", "USD", "" | "US") | ("de", "USD", _) | ("es", "USD", "US") => "$",
        ("fr", "USD", _) => "$US",
        (_, "USD", _) => "US$",
        ("zh", "CNY", _) => "¥",
        ("en" | "de", "CNY", _) => "CN¥",
        ("en" | "de", "JPY", _) => "¥",
        ("zh", "JPY", _) => "JP¥",
        _ => code,
    }
}
