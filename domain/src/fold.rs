//! Spellings that are the same to whoever searches: composed or decomposed, in capitals, in full width, and
//! with or without the accents that not every keyboard has.

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// Makes spellings of the same text equal. Marks go where they are accents; where a mark makes another letter
/// of it, as in "が" and "й", it stays.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = pass(text);
    // What becomes of a letter may be what is folded in turn; what is stored and what is asked for have to
    // meet.
    for _ in 0..MAX_PASSES {
        let again = pass(&folded);
        if again == folded {
            break;
        }
        folded = again;
    }
    folded
}

/// No text is known that needs more than two.
const MAX_PASSES: usize = 4;

fn pass(text: &str) -> String {
    let mut base = None;
    let without_accents = text.chars().map(joined).nfkd().filter(|c| !is_ignorable(*c)).filter(|c| {
        if is_combining_mark(*c) {
            return !is_accent(base, *c);
        }
        base = Some(*c);
        true
    });
    let mut folded = String::with_capacity(text.len());
    for c in without_accents.flat_map(fold_case) {
        match spelt_out(c) {
            Some(letters) => folded.push_str(letters),
            None => folded.push(digit(c).unwrap_or(c)),
        }
    }
    folded.nfc().collect()
}

/// Small letters. By way of capitals, since "ß" and "ς" have no small letter of their own: they are "ss" and
/// "σ".
fn fold_case(c: char) -> impl Iterator<Item = char> {
    c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

/// Marks of Japanese that are typed apart are those that are put onto a letter.
const fn joined(c: char) -> char {
    match c {
        '\u{309b}' => '\u{3099}',
        '\u{309c}' => '\u{309a}',
        c => c,
    }
}

/// Whether a mark is left out as often as not.
fn is_accent(base: Option<char>, mark: char) -> bool {
    match base {
        // Vowels and doubled consonants, which Arabic and Hebrew write for children and in scripture; hamza
        // and madda; and the dot below, of Devanagari and Gurmukhi.
        _ if matches!(mark, '\u{591}'..='\u{5c7}' | '\u{64b}'..='\u{655}') => true,
        _ if matches!(mark, '\u{670}' | '\u{93c}' | '\u{a3c}') => true,
        Some('И' | 'и' | 'У' | 'у') => mark != '\u{306}', // й, ў
        Some('І' | 'і') => mark != '\u{308}',             // ї
        Some('Г' | 'г' | 'К' | 'к') => mark != '\u{301}', // ѓ, ќ
        Some(base) => base.is_ascii_alphanumeric() || is_latin_greek_or_cyrillic(base),
        None => true,
    }
}

const fn is_latin_greek_or_cyrillic(c: char) -> bool {
    matches!(c, '\u{c0}'..='\u{2af}' | '\u{370}'..='\u{52f}' | '\u{1c80}'..='\u{1c8f}'
        | '\u{1d00}'..='\u{1dbf}' | '\u{1e00}'..='\u{1fff}' | '\u{2c60}'..='\u{2c7f}'
        | '\u{a640}'..='\u{a69f}' | '\u{a720}'..='\u{a7ff}' | '\u{ab30}'..='\u{ab6f}')
}

/// Within a word, and not seen: where it may be broken, how its letters join, and which way it runs.
const fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{640}' | '\u{180b}'..='\u{180f}'
        | '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0100}'..='\u{e01ef}')
}

/// Digits of other scripts: each has its ten in a row.
fn digit(c: char) -> Option<char> {
    const ZEROS: [u32; 18] = [
        0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xed0,
        0xf20, 0x1040, 0x17e0, 0x1810,
    ];
    let of = |zero: u32| u32::from(c).checked_sub(zero).and_then(|digit| char::from_digit(digit, 10));
    ZEROS.into_iter().find_map(of)
}

/// Letters that Unicode does not take apart, as they are typed where the keyboard does not have them.
const fn spelt_out(c: char) -> Option<&'static str> {
    Some(match c {
        'æ' => "ae",
        'œ' => "oe",
        'þ' => "th",
        'đ' | 'ð' | 'ɖ' => "d",
        'ɓ' => "b",
        'ɗ' => "d",
        'ə' | 'ǝ' => "e",
        'ƒ' => "f",
        'ǥ' => "g",
        'ħ' => "h",
        'ı' | 'ɨ' => "i",
        'ĸ' | 'ƙ' => "k",
        'ł' | 'ƚ' | 'ɫ' => "l",
        'ŋ' | 'ɲ' => "n",
        'ø' | 'ɵ' => "o",
        'ŧ' => "t",
        'ʉ' => "u",
        'ƴ' => "y",
        'ƶ' => "z",
        'ٱ' => "ا",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_the_same_text_are_equal() {
        for (one, other) in [
            ("th\u{e9}", "the\u{301}"),
            ("PÂTÉ", "pate"),
            ("Łódź", "lodz"),
            ("Straße STRASSE ẞ", "strasse strasse ss"),
            ("Smørrebrød Æbleskiver œuf", "smorrebrod aebleskiver oeuf"),
            ("Đà Nẵng, phở", "da nang, pho"),
            ("Þingvellir Ísafjörður", "thingvellir isafjordur"),
            ("İstanbul ısırgan", "istanbul isirgan"),
            ("ΟΔΟΣ οδός ᾳ ΐ", "οδοσ οδοσ α ι"),
            ("ЗЕЛЁНЫЙ чай", "зеленый чай"),
            ("за\u{301}мок", "замок"),
            ("Ｇｒｅｅｎ　１００％", "green 100%"),
            ("ｶﾞﾗｽ", "ガラス"),
            ("か\u{3099}", "が"),
            ("한국", "한국"),
            ("ﬁne Ⅷ ㎏", "fine viii kg"),
            ("שָׁלוֹם", "שלום"),
            ("كِتَـابٌ", "كتاب"),
            ("Tee\u{ad}kanne", "teekanne"),
            ("می\u{200c}خواهم", "میخواهم"),
            ("葛\u{e0100}", "葛"),
            ("أحمر آلة ٱسم", "احمر الة اسم"),
            ("٥٠٠ ۵۰۰ ৫০০ ५००", "500 500 500 500"),
            ("か\u{309b}", "が"),
            ("ज़ीरा", "जीरा"),
            ("ɓera ɗan ƙofa", "bera dan kofa"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
            assert_eq!(fold(&fold(one)), fold(one), "{one}");
        }
    }

    #[test]
    fn letters_of_their_own_stay() {
        for (one, other) in [
            ("が", "か"),
            ("パ", "ハ"),
            ("й", "и"),
            ("ў", "у"),
            ("ї", "і"),
            ("ќ", "к"),
            ("कि", "क"),
            ("가", "각"),
        ] {
            assert_ne!(fold(one), fold(other), "{one} {other}");
        }
    }
}
