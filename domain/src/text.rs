//! Text from outside: bounded, and free of control characters (PostgreSQL cannot store NUL, logs and
//! mail headers must not be broken by a newline). What has to say something must have something to be seen.

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
    let shows_nothing = matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}');
    shows_nothing || c.is_whitespace() || c.is_control()
}

/// The same, but may be empty.
pub(crate) fn optional_line(field: &str, text: &str, max: usize) -> Result<String, Invalid> {
    if text.chars().count() > max {
        return Err(Invalid::new(field, format!("must be at most {max} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::new(field, "must not contain control characters"));
    }
    Ok(text.to_owned())
}

/// Checks an identifier of 1 to `max` characters out of `A-Z a-z 0-9` and `extra`, not all of them of `extra`.
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
        for token_of_nothing in ["", "-", "..", "_-.", " "] {
            assert!(token("code", token_of_nothing, 9, "._-").is_err(), "{token_of_nothing:?}");
        }
        for name in ["a", "-1-", "a.b"] {
            assert!(token("code", name, 9, "._-").is_ok(), "{name:?}");
        }
    }
}
