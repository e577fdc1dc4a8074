//! Text from outside: bounded, and free of control characters (PostgreSQL cannot store NUL, logs and mail
//! headers must not be broken by a newline). What has to say something must have something to be seen, and
//! what is shown to people must be what it looks like.

use crate::Invalid;

/// Checks that `text` has 1 to `max` characters, none of them a control character.
pub(crate) fn line(field: &str, text: &str, max: usize) -> Result<String, Invalid> {
    let text = text.trim();
    if text.chars().all(is_invisible) {
        return Err(Invalid::new(field, "must not be empty"));
    }
    optional_line(field, text, max)
}

/// Whether a character shows nothing by itself: spaces, and the marks that join, break or turn text.
pub(crate) fn is_invisible(c: char) -> bool {
    shows_nothing(c) || c.is_whitespace() || c.is_control()
}

fn shows_nothing(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The same, but may be empty.
pub(crate) fn optional_line(field: &str, text: &str, max: usize) -> Result<String, Invalid> {
    match misleading(text) {
        Some(c) => {
            let c = u32::from(c);
            Err(Invalid::new(field, format!("must not contain the invisible character U+{c:04X} there")))
        }
        None => unseen_line(field, text, max),
    }
}

/// The same for text that is not shown as somebody's word: what is searched for, what a provider says.
pub(crate) fn unseen_line(field: &str, text: &str, max: usize) -> Result<String, Invalid> {
    if text.chars().count() > max {
        return Err(Invalid::new(field, format!("must be at most {max} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::new(field, "must not contain control characters"));
    }
    Ok(text.to_owned())
}

/// The first character that is not seen, and lets a text look like another one or turns it around. Scripts
/// and emoji that need such a character have it beside characters of their own.
fn misleading(text: &str) -> Option<char> {
    let is_ascii = |c: Option<char>| c.is_none_or(|c| c.is_ascii());
    let is_right_to_left = text.chars().any(is_right_to_left);
    let mut before = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let after = rest.clone().next();
        let is_misleading = match c {
            // Joiners: in Persian and Indic words, and in emoji.
            '\u{200c}' | '\u{200d}' => is_ascii(before) || is_ascii(after),
            // Marks that keep digits and brackets in their place.
            '\u{200e}' | '\u{200f}' | '\u{61c}' => !is_right_to_left,
            // Tags: what makes a flag that of Scotland.
            '\u{e0020}'..='\u{e007f}' => !matches!(before, Some('\u{1f3f4}' | '\u{e0020}'..='\u{e007f}')),
            // Variants: of an emoji or the digit of a keycap, of an ideograph, and of letters that change
            // their form.
            '\u{fe0e}' | '\u{fe0f}' => {
                let is_keycap = after == Some('\u{20e3}') && before.is_some_and(is_of_keycap);
                !is_keycap && !before.is_some_and(is_emoji)
            }
            '\u{fe00}'..='\u{fe02}' | '\u{e0100}'..='\u{e01ef}' => !before.is_some_and(is_ideograph),
            '\u{180b}'..='\u{180d}' | '\u{180f}' => !matches!(before, Some('\u{1807}'..='\u{18aa}')),
            // Places of letters that are not there, and an empty cell of Braille.
            '\u{115f}' => !matches!(after, Some('\u{1160}'..='\u{11a7}')),
            '\u{1160}' => !matches!(before, Some('\u{1100}'..='\u{115f}')),
            '\u{2800}' => !matches!(before.or(after), Some('\u{2800}'..='\u{28ff}')),
            _ => is_format(c) || shows_nothing(c),
        };
        if is_misleading {
            return Some(c);
        }
        before = Some(c);
    }
    None
}

/// Whether a character is there to format others (Unicode's Cf, without signs that are seen), or to end a
/// line.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e00ff}')
}

/// Whether there are two ways to show a character, as a sign and as a picture; that of Unicode's
/// emoji-variation-sequences lie within these.
fn is_emoji(c: char) -> bool {
    matches!(c, '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}'
        | '\u{2194}'..='\u{21aa}' | '\u{231a}'..='\u{23ff}' | '\u{24c2}' | '\u{25aa}'..='\u{27bf}'
        | '\u{2934}' | '\u{2935}' | '\u{2b05}'..='\u{2b55}' | '\u{3030}' | '\u{303d}' | '\u{3297}'
        | '\u{3299}' | '\u{1f000}'..='\u{1faff}')
}

fn is_of_keycap(c: char) -> bool {
    matches!(c, '0'..='9' | '#' | '*')
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{60f}' | '\u{61d}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}'
        | '\u{fe70}'..='\u{fefc}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// Checks an identifier of 1 to `max` characters out of `A-Z a-z 0-9` and `extra`, not all of them of
/// `extra`.
pub(crate) fn token(field: &str, text: &str, max: usize, extra: &str) -> Result<String, Invalid> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || extra.contains(c);
    let names_something = text.contains(|c: char| c.is_ascii_alphanumeric());
    if !names_something || text.len() > max || !text.chars().all(allowed) {
        let named = |c| if c == ' ' { "space".to_owned() } else { String::from(c) };
        let extra: Vec<String> = extra.chars().map(named).collect();
        return Err(Invalid::new(
            field,
            format!(
                "must be 1-{max} characters out of A-Z a-z 0-9 {}, with a letter or digit",
                extra.join(" ")
            ),
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_nothing_is_empty() {
        for nothing in ["", " ", "\t", "\u{200b}", "\u{202e}", "\u{feff}\u{a0}\u{2060}", "\u{3164}", "\0"] {
            assert!(line("name", nothing, 9).is_err(), "{nothing:?}");
        }
        for something in ["a", "\u{2605}", "\u{5d0}\u{200f}", "?", "\u{1f468}\u{200d}\u{1f33e}"] {
            assert!(line("name", something, 9).is_ok(), "{something:?}");
        }
        for misleading in [
            "te\u{200b}a",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{feff}b",
            "a\u{ad}b",
            "a\u{2028}b",
            "pay\u{200d}pal",
            "a\u{200f}",
            "\u{e0041}a",
            "a\u{e0041}",
            "a\u{fff9}b",
            "\u{5d0}\u{202e}\u{5d1}",
            "te\u{fe0f}a",
            "1\u{fe0f}",
            "\u{fe0f}a",
            "\u{2764}\u{fe0f}\u{fe0f}",
            "te\u{fe00}a",
            "te\u{e0100}a",
            "\u{8fbb}\u{e0100}\u{e0101}",
            "\u{2764}\u{e0100}",
            "te\u{34f}a",
            "te\u{115f}a",
            "te\u{1160}a",
            "te\u{3164}a",
            "te\u{ffa0}a",
            "te\u{2800}a",
            "te\u{180b}a",
            "te\u{17b4}a",
            "te\u{e01f0}a",
        ] {
            assert!(line("name", misleading, 9).is_err(), "{misleading:?}");
            assert!(optional_line("name", misleading, 9).is_err(), "{misleading:?}");
            assert!(unseen_line("name", misleading, 9).is_ok(), "{misleading:?}");
        }
        for meant in [
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}",
            "\u{915}\u{94d}\u{200d}\u{937}",
            "(\u{5d0})\u{200e} 1",
            "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            "\u{2764}\u{fe0f}",
            "\u{260e}\u{fe0e}",
            "1\u{fe0f}\u{20e3}",
            "\u{8fbb}\u{e0100}",
            "\u{6717}\u{fe00}",
            "\u{1820}\u{180b}",
            "\u{115f}\u{1161}",
            "\u{2801}\u{2800}\u{2803}",
        ] {
            assert!(line("name", meant, 9).is_ok(), "{meant:?}");
        }
        for token_of_nothing in ["", "-", "..", "_-.", " "] {
            assert!(token("code", token_of_nothing, 9, "._-").is_err(), "{token_of_nothing:?}");
        }
        for name in ["a", "-1-", "a.b"] {
            assert!(token("code", name, 9, "._-").is_ok(), "{name:?}");
        }
    }
}
