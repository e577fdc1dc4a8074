//! Numbers, money, dates and plurals as somebody reads them.

use domain::{Date, Timestamp, money::Money};
use icu_calendar::Gregorian;
use icu_datetime::{
    FixedCalendarDateTimeFormatter,
    fieldsets::{YMD, YMDE},
};
use icu_decimal::{DecimalFormatter, input::Decimal};
use icu_locale_core::{LanguageIdentifier, Locale};
use icu_plurals::{PluralCategory, PluralRules};
use icu_time::{DateTime, Time};
use jiff::{civil, tz::TimeZone};

use crate::{Language, currency::place};

/// Where nobody says otherwise: the day before the month, and hours up to 24, as most of the world has them.
const DEFAULT: &str = "en-GB";
/// CLDR has every language that we speak, and numbers, dates and plurals for each.
const IN_CLDR: &str = "the data that is compiled in has every locale, or falls back to its root";

/// The language of a customer, and how things are written where they live.
#[derive(Debug, Clone)]
pub struct Local {
    language: Language,
    locale: Locale,
}

impl Local {
    /// By a language tag, such as an order's `locale`: `de-AT` reads German and Austrian dates. What we do
    /// not speak, and no tag at all, is English.
    pub fn of(tag: Option<&str>) -> Self {
        let parsed = tag.and_then(|tag| Locale::try_from_str(tag).ok()).map(|locale| locale.id);
        let spoken = parsed.and_then(|asked| Some((Language::of(&asked)?, asked)));
        let (language, asked) = spoken.unwrap_or_else(|| (Language::English, default()));
        Self { language, locale: language.locale(&asked) }
    }

    pub const fn language(&self) -> Language {
        self.language
    }

    /// As `lang` in HTML: `de-AT`.
    pub fn tag(&self) -> String {
        self.locale.to_string()
    }

    pub fn number(&self, number: i64) -> String {
        self.decimal(Decimal::from(number))
    }

    fn decimal(&self, number: Decimal) -> String {
        let formatter = DecimalFormatter::try_new((&self.locale).into(), Default::default()).expect(IN_CLDR);
        formatter.format(&number).to_string()
    }

    /// `€25.00`, `25,00 €`, `CHF 25.00`, as CLDR's pattern of the locale has it.
    pub fn money(&self, money: Money) -> String {
        let decimals = i16::try_from(money.currency.decimals()).unwrap_or(0);
        let mut amount = Decimal::from(money.amount.unsigned_abs());
        amount.multiply_pow10(-decimals);
        amount.absolute.pad_end(-decimals);
        let placed = place(&self.locale.id, money.currency.code(), &self.decimal(amount));
        if money.amount < 0 { format!("-{placed}") } else { placed }
    }

    /// `22 November 2026`.
    pub fn day(&self, day: Date) -> String {
        let formatter =
            FixedCalendarDateTimeFormatter::<Gregorian, _>::try_new((&self.locale).into(), YMD::long())
                .expect(IN_CLDR);
        formatter.format(&gregorian(day)).to_string()
    }

    /// `Sunday, 22 November 2026 at 14:05 +01:00 (Europe/Vienna)`. The offset tells apart the two hours of
    /// the same name when the clocks go back.
    pub fn moment(&self, at: Timestamp, zone: TimeZone) -> String {
        let zoned = at.to_zoned(zone);
        let fields = YMDE::long().with_time_hm();
        let formatter =
            FixedCalendarDateTimeFormatter::<Gregorian, _>::try_new((&self.locale).into(), fields)
                .expect(IN_CLDR);
        let moment = formatter.format(&DateTime { date: gregorian(zoned.date()), time: time(zoned.time()) });
        let name = zoned.time_zone().iana_name().unwrap_or("UTC");
        format!("{moment} {} ({name})", zoned.strftime("%:z"))
    }

    /// The word that goes with a number.
    pub(crate) fn plural<'a>(&self, number: i64, one: Option<&'a str>, other: &'a str) -> &'a str {
        let rules = PluralRules::try_new((&self.locale).into(), Default::default()).expect(IN_CLDR);
        match rules.category_for(number) {
            PluralCategory::One => one.unwrap_or(other),
            // Of large round numbers in French and Spanish, which nobody orders.
            _ => other,
        }
    }
}

fn default() -> LanguageIdentifier {
    LanguageIdentifier::try_from_str(DEFAULT).expect("it is a language tag")
}

/// Dates of orders are of this age.
fn gregorian(day: civil::Date) -> icu_calendar::Date<Gregorian> {
    let (month, date) = (day.month().unsigned_abs(), day.day().unsigned_abs());
    icu_calendar::Date::try_new_gregorian(day.year().into(), month, date).expect("jiff has such dates alone")
}

fn time(time: civil::Time) -> Time {
    let [hour, minute] = [time.hour(), time.minute()].map(i8::unsigned_abs);
    Time::try_new(hour, minute, 0, 0).expect("jiff has such times alone")
}

#[cfg(test)]
mod tests {
    use domain::money::Currency;

    use super::*;

    fn money(tag: &str, amount: i64, code: &str) -> String {
        let money = Money::new(amount, Currency::parse(code).expect("a currency"));
        Local::of(Some(tag)).money(money).replace('\u{a0}', "_").replace('\u{202f}', "~")
    }

    #[test]
    fn the_language_is_the_nearest_that_we_speak() {
        for (tag, language, locale) in [
            ("de", Language::German, "de"),
            ("de-AT", Language::German, "de-AT"),
            ("de-Latn-CH-1996", Language::German, "de-Latn-CH"),
            ("es-419", Language::Spanish, "es-419"),
            ("fr-CA", Language::French, "fr-CA"),
            ("zh", Language::SimplifiedChinese, "zh-Hans"),
            ("zh-CN", Language::SimplifiedChinese, "zh-Hans-CN"),
            ("zh-Hans-CN", Language::SimplifiedChinese, "zh-Hans-CN"),
            ("zh-Hans-TW", Language::SimplifiedChinese, "zh-Hans-TW"),
            ("zh-Hant", Language::English, "en-GB"),
            ("zh-TW", Language::English, "en-GB"),
            ("en-US-u-hc-h23", Language::English, "en-US"),
            ("pt-BR", Language::English, "en-GB"),
            ("x-nothing", Language::English, "en-GB"),
            ("not a tag", Language::English, "en-GB"),
        ] {
            let local = Local::of(Some(tag));
            assert_eq!((local.language(), local.tag().as_str()), (language, locale), "{tag}");
        }
        assert_eq!(Local::of(None).tag(), "en-GB");
    }

    #[test]
    fn money_is_written_as_where_it_is_read() {
        for (tag, written) in [
            ("en", "€1,234.50"),
            ("en-GB", "€1,234.50"),
            ("de", "1.234,50_€"),
            ("de-AT", "€_1_234,50"),
            ("de-CH", "€_1'234.50"),
            ("es", "1234,50_€"),
            ("es-MX", "€1,234.50"),
            ("es-CL", "€1.234,50"),
            ("es-AR", "€_1.234,50"),
            ("es-CO", "€_1.234,50"),
            ("es-PY", "€_1.234,50"),
            ("es-UY", "€_1.234,50"),
            ("es-PH", "1234,50_€"),
            ("en-DE", "1.234,50_€"),
            ("en-AT", "€_1.234,50"),
            ("en-IE", "€1,234.50"),
            ("fr", "1~234,50_€"),
            ("zh-Hans", "€1,234.50"),
        ] {
            assert_eq!(money(tag, 123_450, "EUR"), written, "{tag}");
        }
        assert_eq!(money("en", 2500, "CHF"), "CHF_25.00");
        assert_eq!(money("de", 2500, "CHF"), "25,00_CHF");
        assert_eq!(money("de", 1250, "JPY"), "1.250_¥");
        assert_eq!(money("zh", 8800, "CNY"), "¥88.00");
        assert_eq!(money("zh", 8800, "JPY"), "JP¥8,800");
        assert_eq!(money("en-GB", 8800, "USD"), "US$88.00");
        assert_eq!(money("en-US", 8800, "USD"), "$88.00");
        assert_eq!(money("en", 1250, "KWD"), "KWD_1.250");
        assert_eq!(money("de", 0, "EUR"), "0,00_€");
        assert_eq!(money("de", -5, "EUR"), "-0,05_€");
        assert_eq!(money("de", domain::money::MAX_AMOUNT, "EUR"), "90.071.992.547.409,91_€");
    }

    #[test]
    fn days_are_written_as_where_they_are_read() {
        let day = civil::date(2026, 7, 1);
        for (tag, written) in [
            ("en-GB", "1 July 2026"),
            ("en-US", "July 1, 2026"),
            ("de", "1. Juli 2026"),
            ("es", "1 de julio de 2026"),
            ("fr", "1 juillet 2026"),
            ("zh", "2026年7月1日"),
        ] {
            assert_eq!(Local::of(Some(tag)).day(day), written, "{tag}");
        }
    }

    #[test]
    fn moments_are_told_apart_by_their_offset() {
        let at = |at: &str| at.parse::<Timestamp>().expect("a time");
        let zone = |name: &str| TimeZone::get(name).expect("a zone");
        let moment = |tag: Option<&str>, of: &str, name: &str| Local::of(tag).moment(at(of), zone(name));
        assert_eq!(
            moment(None, "2026-07-01T22:30:00Z", "UTC"),
            "Wednesday, 1 July 2026 at 22:30 +00:00 (UTC)"
        );
        let vienna = "Europe/Vienna";
        assert_eq!(
            moment(Some("de-AT"), "2026-10-25T00:30:00Z", vienna),
            "Sonntag, 25. Oktober 2026 um 02:30 +02:00 (Europe/Vienna)"
        );
        assert_eq!(
            moment(Some("de-AT"), "2026-10-25T01:30:00Z", vienna),
            "Sonntag, 25. Oktober 2026 um 02:30 +01:00 (Europe/Vienna)"
        );
        assert_eq!(
            moment(Some("fr"), "2026-10-25T01:30:00Z", "America/St_Johns"),
            "samedi 24 octobre 2026 à 23:00 -02:30 (America/St_Johns)"
        );
        assert_eq!(
            moment(Some("zh-CN"), "2026-07-01T06:30:00Z", "Asia/Shanghai"),
            "2026年7月1日星期三 14:30 +08:00 (Asia/Shanghai)"
        );
    }

    #[test]
    fn a_number_has_the_word_of_its_plural() {
        let nights = |tag, n| Local::of(Some(tag)).plural(n, Some("one"), "other").to_owned();
        assert_eq!(["en", "de", "es", "fr"].map(|tag| nights(tag, 1)), ["one"; 4]);
        assert_eq!(["en", "de", "es", "fr"].map(|tag| nights(tag, 2)), ["other"; 4]);
        assert_eq!([nights("fr", 0), nights("de", 0), nights("zh", 1)], ["one", "other", "other"]);
    }
}
