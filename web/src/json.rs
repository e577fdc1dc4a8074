//! JSON from outside, read as JSON means it: an object is written as an object, and a word as a string. What
//! is wrong is said in words of JSON, with the field that it is about.

mod strict;
mod words;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

pub use words::in_words_of_json;

#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// It is not JSON.
    Malformed(String),
    /// It is not what was asked for. `field` is a path as the client wrote it: `lines[2].quantity`.
    Invalid { field: String, message: String },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "the body is not JSON: {why}"),
            Self::Invalid { field, message } if field.is_empty() => write!(f, "the body {message}"),
            Self::Invalid { field, message } => write!(f, "{field}: {message}"),
        }
    }
}

/// Reads one value, and nothing after it.
///
/// # Errors
/// [`Error::Malformed`] for text that is not JSON, [`Error::Invalid`] for JSON that is no `T`.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let malformed = |error: serde_json::Error| Error::Malformed(error.to_string());
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(strict::Strict(&mut json)).map_err(|error| {
        // What is asked for may be missed before the text turns out to be no JSON.
        if let Err(error) = serde_json::from_slice::<IgnoredAny>(bytes) {
            return malformed(error);
        }
        let path = error.path().to_string();
        let error = error.into_inner();
        let text = without_position(&error);
        // JSON has numbers of any size.
        let is_data = error.classify() == Category::Data || text == "number out of range";
        match is_data {
            false => malformed(error),
            true if path == "." => {
                Error::Invalid { field: named(&text).unwrap_or_default(), message: in_words_of_json(&text) }
            }
            true => Error::Invalid { field: path, message: in_words_of_json(&text) },
        }
    })?;
    json.end().map_err(malformed)?;
    Ok(value)
}

/// "missing field `reason`": what is not there has no place of its own, nor what is there twice.
fn named(text: &str) -> Option<String> {
    let rest = text.strip_prefix("missing field `").or_else(|| text.strip_prefix("duplicate field `"));
    Some(rest?.split('`').next()?.to_owned())
}

/// The field is named already; "at line 1 column 52" would only distract.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Outer {
        reason: String,
        count: i64,
        small: u8,
        force: bool,
        inner: Option<Inner>,
        many: Vec<Inner>,
        named: BTreeMap<String, Inner>,
        word: Option<Word>,
        raw: Option<Box<RawValue>>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[serde(rename = "a")]
        _a: i64,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Yes,
        No,
    }

    fn wrong(json: &str) -> (String, String) {
        match read::<Outer>(json.as_bytes()) {
            Err(Error::Invalid { field, message }) => (field, message),
            other => panic!("{json}: {other:?}"),
        }
    }

    #[test]
    fn an_array_is_no_object_however_deep_it_stands() {
        for (json, field) in [
            (r#"["because"]"#, ""),
            (r#"{"inner":[1]}"#, "inner"),
            (r#"{"many":[{"a":1},[2]]}"#, "many[1]"),
            (r#"{"named":{"x":[1]}}"#, "named.x"),
        ] {
            assert_eq!(wrong(json), (field.to_owned(), "must be an object".to_owned()), "{json}");
        }
        let (field, message) = wrong(r#"{"word":{"yes":null}}"#);
        assert_eq!((field.as_str(), message.as_str()), ("word", "must be a string"));
    }

    #[test]
    fn what_is_right_is_read() {
        let json = r#"{"reason":"r","inner":{"a":1},"many":[{"a":2}],"named":{"x":{"a":3}},"word":"no",
                       "raw": {"n":1.00, "big":1e999}}"#;
        let read = read::<Outer>(json.as_bytes()).expect("valid");
        assert_eq!(read.word, Some(Word::No));
        assert_eq!(read.raw.expect("there").get(), r#"{"n":1.00, "big":1e999}"#);
    }

    #[test]
    fn messages_speak_json() {
        for (json, field, message) in [
            (r#"{"count":"x"}"#, "count", "must be an integer"),
            (r#"{"count":1.5}"#, "count", "must be an integer"),
            (r#"{"count":1e999}"#, "count", "is out of range"),
            (
                r#"{"count":9223372036854775808}"#,
                "count",
                "must be from -9223372036854775808 to 9223372036854775807",
            ),
            (r#"{"small":256}"#, "small", "must be from 0 to 255"),
            (r#"{"small":-1}"#, "small", "must be from 0 to 255"),
            (r#"{"reason":7}"#, "reason", "must be a string"),
            (r#"{"reason":null}"#, "reason", "must be a string"),
            (r#"{"force":"yes"}"#, "force", "must be true or false"),
            (r#"{"many":{}}"#, "many", "must be an array"),
            (r#"{"inner":7}"#, "inner", "must be an object"),
            (r#"{"inner":{}}"#, "inner", "`a` is required"),
            (r#"{"word":"maybe"}"#, "word", "must be `yes` or `no`"),
            (r#"{"word":7}"#, "word", "must be a string"),
            (r#"{"force":true,"force":true}"#, "force", "`force` stands there twice"),
            ("7", "", "must be an object"),
        ] {
            assert_eq!(wrong(json), (field.to_owned(), message.to_owned()), "{json}");
        }
        let (field, message) = wrong(r#"{"colour":1}"#);
        assert_eq!(field, "colour");
        assert!(message.starts_with("is not known here; known are `reason`, `count`"), "{message}");
        for bad in ["", "{", r#"{"count":01}"#, "{} {}", r#"{"reason":"\ud800"}"#, "\u{feff}{}"] {
            assert!(matches!(read::<Outer>(bad.as_bytes()), Err(Error::Malformed(_))), "{bad}");
        }
    }
}
