//! Locales, as BCP 47 writes them (RFC 5646, section 2.1): `de`, `de-AT`, `zh-Hant-TW`, `sl-rozaj`,
//! `en-u-hc-h12`. Those that operating systems and programs write otherwise (`de_AT`, `de-at`,
//! `de_AT.UTF-8@euro`) are understood.

use crate::Invalid;

/// Longer ones are well-formed, and nobody's.
const MAX_LENGTH: usize = 35;

/// Reads a language tag, and gives it as BCP 47 writes it. Only its shape is looked at: which languages and
/// regions there are changes every year. No language has more than three letters, though four to eight are
/// set aside, so that `english` is not taken for one. The irregular tags of before 2006 (`i-klingon`) have
/// newer names and are not read.
pub(crate) fn parse(field: &str, tag: &str) -> Result<String, Invalid> {
    let tag = without_charset(tag).replace('_', "-");
    match tag.len() <= MAX_LENGTH && is_well_formed(&tag) {
        true => Ok(as_usual(&tag)),
        false => Err(Invalid::new(field, "must be a BCP 47 language tag such as de-AT")),
    }
}

/// `de_AT.UTF-8@euro` names a charset and a variant, which mean nothing here.
fn without_charset(tag: &str) -> &str {
    let (tag_and_charset, variant) = tag.split_once('@').map_or((tag, None), |(tag, it)| (tag, Some(it)));
    let (tag, charset) =
        tag_and_charset.split_once('.').map_or((tag_and_charset, None), |(tag, it)| (tag, Some(it)));
    let is_name =
        |it: &str| is(it, 1..=20, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '=' | ';'));
    match charset.is_none_or(is_name) && variant.is_none_or(is_name) {
        true => tag,
        false => "",
    }
}

/// In the letters that are usual (RFC 5646, section 2.1.1): `de-AT`, `zh-Hant-TW`. What comes after a single
/// letter or digit is no region.
fn as_usual(tag: &str) -> String {
    let mut is_plain = true;
    let usual = tag.split('-').enumerate().map(|(i, subtag)| {
        let small = subtag.to_ascii_lowercase();
        is_plain &= subtag.len() > 1;
        match small.len() {
            2 if is_plain && i > 0 => small.to_ascii_uppercase(),
            4 if is_plain && i > 0 => small[..1].to_ascii_uppercase() + &small[1..],
            _ => small,
        }
    });
    usual.collect::<Vec<_>>().join("-")
}

fn is_well_formed(tag: &str) -> bool {
    let tag = tag.to_ascii_lowercase();
    let subtags: Vec<&str> = tag.split('-').collect();
    if !subtags.iter().all(|it| is(it, 1..=8, |c| c.is_ascii_alphanumeric())) {
        return false;
    }
    match subtags.split_first() {
        Some((&"x", private)) => !private.is_empty(),
        Some((language, rest)) if is_letters(language, 2..=3) => {
            let rest = language_and_region(rest);
            variants(rest).is_some_and(extensions)
        }
        _ => false,
    }
}

/// What is left after up to three further languages, a script and a region.
fn language_and_region<'a, 'b>(mut rest: &'a [&'b str]) -> &'a [&'b str] {
    let mut take = |fits: &dyn Fn(&str) -> bool| {
        let taken = rest.first().is_some_and(|subtag| fits(subtag));
        rest = &rest[usize::from(taken)..];
        taken
    };
    for _ in 0..3 {
        take(&|it| is_letters(it, 3..=3));
    }
    take(&|it| is_letters(it, 4..=4));
    take(&|it| is_letters(it, 2..=2) || is(it, 3..=3, |c| c.is_ascii_digit()));
    rest
}

/// What is left after the variants (`valencia`, `1996`). None if one is named twice.
fn variants<'a, 'b>(rest: &'a [&'b str]) -> Option<&'a [&'b str]> {
    let is_variant =
        |it: &str| it.len() >= 5 || (it.len() == 4 && it.starts_with(|c: char| c.is_ascii_digit()));
    let count = rest.iter().take_while(|it| is_variant(it)).count();
    let (variants, rest) = rest.split_at(count);
    are_different(variants).then_some(rest)
}

/// Each extension is a letter or digit, once, with subtags of two or more; all that follows an `x` is
/// private.
fn extensions(rest: &[&str]) -> bool {
    let (public, private) = match rest.iter().position(|it| *it == "x") {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let singletons: Vec<&str> = public.iter().copied().filter(|it| it.len() == 1).collect();
    let begins = public.first().is_none_or(|it| it.len() == 1);
    let each_has_some = public.windows(2).all(|pair| pair[0].len() > 1 || pair[1].len() > 1);
    let ends = public.last().is_none_or(|it| it.len() > 1);
    begins && each_has_some && ends && are_different(&singletons) && private.is_none_or(|it| !it.is_empty())
}

fn are_different(subtags: &[&str]) -> bool {
    subtags.iter().enumerate().all(|(i, it)| !subtags[..i].contains(it))
}

fn is_letters(subtag: &str, length: std::ops::RangeInclusive<usize>) -> bool {
    is(subtag, length, |c| c.is_ascii_alphabetic())
}

fn is(subtag: &str, length: std::ops::RangeInclusive<usize>, fits: impl Fn(char) -> bool) -> bool {
    length.contains(&subtag.len()) && subtag.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mostly from RFC 5646, appendix A.
    #[test]
    fn a_locale_has_the_shape_of_bcp_47() {
        let tags = "de en ja de-AT de-DE en-US es-419 zh-Hant zh-Hans-CN sr-Latn-RS zh-cmn-Hans-CN zh-yue-HK \
                    sl-rozaj sl-rozaj-biske sl-nedis de-CH-1901 ca-ES-valencia hy-Latn-IT-arevela mas \
                    de-CH-x-phonebk az-Arab-x-aze-derbend x-whatever qaa-Qaaa-QM-x-southern sr-Qaaa-RS \
                    en-US-u-islamcal zh-CN-a-myext-x-private en-a-myext-b-another und en-u-hc-h12 \
                    de-AT-u-co-phonebk-t-en";
        for tag in tags.split_whitespace() {
            assert_eq!(parse("locale", tag).as_deref(), Ok(tag));
        }
        for (written, tag) in [
            ("de_AT", "de-AT"),
            ("de-at", "de-AT"),
            ("DE_at", "de-AT"),
            ("de_AT.UTF-8", "de-AT"),
            ("de_AT.utf8", "de-AT"),
            ("de-AT.UTF-8", "de-AT"),
            ("de_AT@euro", "de-AT"),
            ("de_AT.ISO8859-15@euro", "de-AT"),
            ("zh_hant_tw", "zh-Hant-TW"),
            ("ES_419", "es-419"),
            ("EN", "en"),
            ("SL-Rozaj", "sl-rozaj"),
            ("en-US-U-HC-H12", "en-US-u-hc-h12"),
            ("de_DE_1996", "de-DE-1996"),
        ] {
            assert_eq!(parse("locale", written).as_deref(), Ok(tag), "{written}");
        }
        let none = [
            "_",
            "de_",
            "_AT",
            "de__AT",
            "C.UTF-8",
            "POSIX",
            ".UTF-8",
            "de_AT.",
            "de_AT@",
            "de_AT.UTF-8.x",
            "de_AT.\u{e9}",
            "",
            "-",
            "--",
            "---",
            "de-",
            "-de",
            "de--AT",
            "d",
            "1",
            "de AT",
            "deutsch",
            "english",
            "C",
            "de-AT-",
            "de-abcdefghi",
            "de-419-DE",
            "a-DE",
            "ar-a-aaa-b-bbb-a-ccc",
            "de-DE-1996-1996",
            "en-u",
            "en-u-x-a",
            "de-x",
            "x",
            "x-",
            "en-a-b-ccc",
            "d\u{e9}",
            "de-A\u{d6}",
            "419-de",
            "i-klingon",
            "de-DE-a",
            "root-root",
            "de-u-co-phonebk-u-co-phonebk",
            "x-123456789",
            "\u{202e}",
            "de\0",
            "de-at-at",
            "en-x-a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p-q",
        ];
        for tag in none {
            assert!(parse("locale", tag).is_err(), "{tag}");
        }
    }
}
