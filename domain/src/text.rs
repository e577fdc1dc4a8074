//! Text from outside: bounded, and free of control characters (PostgreSQL cannot store NUL, logs and
//! mail headers must not be broken by a newline).

use crate::Invalid;

/// Checks that `text` has 1 to `max` characters, none of them a control character.
pub(crate) fn line(field: &str, text: &str, max: usize) -> Result<String, Invalid> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Invalid::new(field, "must not be empty"));
    }
    optional_line(field, text, max)
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

/// Checks an identifier of 1 to `max` characters out of `A-Z a-z 0-9` and `extra`.
pub(crate) fn token(field: &str, text: &str, max: usize, extra: &str) -> Result<String, Invalid> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || extra.contains(c);
    if text.is_empty() || text.len() > max || !text.chars().all(allowed) {
        let extra: Vec<String> = extra.chars().map(String::from).collect();
        return Err(Invalid::new(
            field,
            format!("must be 1-{max} characters out of A-Z a-z 0-9 {}", extra.join(" ")),
        ));
    }
    Ok(text.to_owned())
}
