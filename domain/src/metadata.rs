//! What a shop wants to find on its order again: any JSON object, kept as it was sent.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::Error as _,
};
use serde_json::value::RawValue;

use crate::Invalid;

const MAX_BYTES: usize = 16 * 1024;
/// As sent, with spaces and with letters written as `\u0061`.
const MAX_BYTES_SENT: usize = 8 * MAX_BYTES;
const MAX_DEPTH: usize = 100;

/// The text of a JSON object. Numbers are as they were written (`-0`, `1.0`, 30 digits), and fields in their
/// order.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
pub struct Metadata(String);

impl Metadata {
    /// Checks that it is an object that can be stored, and not too large.
    pub fn parse(sent: &RawValue) -> Result<Self, Invalid> {
        let bad = |why: String| Invalid::new("metadata", why);
        let too_large = || bad(format!("must be at most {MAX_BYTES} bytes"));
        if !sent.get().starts_with('{') {
            return Err(bad("must be an object".to_owned()));
        }
        if sent.get().len() > MAX_BYTES_SENT {
            return Err(too_large());
        }
        let text = Writer::default().text(sent).map_err(|why| bad(why.to_owned()))?;
        if text.len() > MAX_BYTES { Err(too_large()) } else { Ok(Self(text)) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One text for all ways to write the same: fields in the order of their names, of one that stands there
/// twice the last. For what is no metadata, what was sent.
pub fn canonical<S: Serializer>(sent: &RawValue, serializer: S) -> Result<S::Ok, S::Error> {
    let writer = Writer { is_sorted: true, ..Writer::default() };
    match writer.text(sent) {
        Ok(text) => raw(text, serializer),
        Err(_) => sent.serialize(serializer),
    }
}

impl Default for Metadata {
    fn default() -> Self {
        Self("{}".to_owned())
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        raw(self.0.clone(), serializer)
    }
}

fn raw<S: Serializer>(text: String, serializer: S) -> Result<S::Ok, S::Error> {
    RawValue::from_string(text).map_err(S::Error::custom)?.serialize(serializer)
}

/// Writes JSON anew without what says nothing: spaces, and escapes that need not be.
#[derive(Default)]
struct Writer {
    is_sorted: bool,
    text: String,
}

type Written = Result<(), &'static str>;

impl Writer {
    fn text(mut self, value: &RawValue) -> Result<String, &'static str> {
        self.value(value, 0)?;
        Ok(self.text)
    }

    fn value(&mut self, value: &RawValue, depth: usize) -> Written {
        if depth > MAX_DEPTH {
            return Err("must not be nested more than 100 deep");
        }
        match value.get().as_bytes().first() {
            Some(b'{') => {
                let Fields(fields) = read(value)?;
                match self.is_sorted {
                    true => self.object(fields.into_iter().collect::<BTreeMap<_, _>>(), depth),
                    false => self.object(fields, depth),
                }
            }
            Some(b'[') => self.array(read::<Vec<&RawValue>>(value)?, depth),
            Some(b'"') => self.string(&read::<String>(value)?),
            Some(b'-' | b'0'..=b'9') => self.number(value.get()),
            _ => {
                self.text.push_str(value.get());
                Ok(())
            }
        }
    }

    fn object<'a>(
        &mut self,
        fields: impl IntoIterator<Item = (String, &'a RawValue)>,
        depth: usize,
    ) -> Written {
        let mut before = '{';
        for (name, value) in fields {
            self.text.push(before);
            self.string(&name)?;
            self.text.push(':');
            self.value(value, depth + 1)?;
            before = ',';
        }
        self.text.push_str(if before == '{' { "{}" } else { "}" });
        Ok(())
    }

    fn array(&mut self, items: Vec<&RawValue>, depth: usize) -> Written {
        let mut before = '[';
        for item in &items {
            self.text.push(before);
            self.value(item, depth + 1)?;
            before = ',';
        }
        self.text.push_str(if items.is_empty() { "[]" } else { "]" });
        Ok(())
    }

    /// As it was written. One beyond all doubles would make many a client unable to read the order, and each
    /// list with it.
    fn number(&mut self, text: &str) -> Written {
        if !text.parse().is_ok_and(f64::is_finite) {
            return Err("must have no number beyond 1.8e308");
        }
        self.text.push_str(text);
        Ok(())
    }

    fn string(&mut self, text: &str) -> Written {
        if text.contains('\0') {
            return Err("must not contain NUL characters");
        }
        // A string always serialises.
        self.text.push_str(&serde_json::to_string(text).unwrap_or_default());
        Ok(())
    }
}

fn read<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Result<T, &'static str> {
    // The syntax is right already; an escape may still be half of a letter.
    serde_json::from_str(value.get()).map_err(|_| "must have no text with half a letter, such as \\ud800")
}

/// An object's fields in their order, whether or not a name stands there twice.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(InOrder).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(sent: &str) -> Result<String, String> {
        let sent = RawValue::from_string(sent.to_owned()).expect("JSON");
        Metadata::parse(&sent).map(|metadata| metadata.0).map_err(|invalid| invalid.message)
    }

    #[test]
    fn what_was_sent_is_kept() {
        let numbers = r#"{"z":-0,"a":[1.0,1e308,1E-400,18446744073709551616,0.10],"b":{"":null,"t":true}}"#;
        assert_eq!(kept(numbers).as_deref(), Ok(numbers));
        assert_eq!(
            kept(r#"{ "a" : "\u00e9 \/ \n", "a": [ ] , "o": { } }"#).as_deref(),
            Ok(r#"{"a":"é / \n","a":[],"o":{}}"#)
        );
        assert_eq!(kept(r#"{"path":"C:\\u0000"}"#).as_deref(), Ok(r#"{"path":"C:\\u0000"}"#));
        let many = format!("{{\"n\":[{}]}}", vec!["1e308"; 2300].join(","));
        assert_eq!(kept(&many).as_deref(), Ok(many.as_str()));
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(9_000), "]".repeat(9_000));
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BYTES));
        let bad = [
            r#"{"a":1e309}"#,
            r#"{"a":-1e999}"#,
            r#"{"a":"\u0000"}"#,
            r#"{"\u0000":1}"#,
            r#"{"a":[{"b":"x\u0000"}]}"#,
            r#"{"a":"\ud800"}"#,
            "[]",
            "null",
            &deep,
            &large,
        ];
        for bad in bad {
            assert!(kept(bad).is_err(), "{bad:.80}");
        }
    }

    #[test]
    fn one_request_has_one_canonical_text() {
        let canonical = |sent: &str| {
            let sent = RawValue::from_string(sent.to_owned()).expect("JSON");
            let mut text = Vec::new();
            canonical(&sent, &mut serde_json::Serializer::new(&mut text)).expect("written");
            String::from_utf8(text).expect("UTF-8")
        };
        let sent = r#"{"b":[1, 2.5, -3], "a":{"y":"\u00e9","x":null}, "b":true}"#;
        // As requests were remembered before metadata was kept as sent: a repeat across an update is the same
        // request.
        let before: serde_json::Value = serde_json::from_str(sent).expect("JSON");
        assert_eq!(canonical(sent), before.to_string());
        assert_ne!(canonical(r#"{"n":18446744073709551616}"#), canonical(r#"{"n":18446744073709551617}"#));
    }
}
