//! serde speaks of Rust: "invalid type: string "x", expected i64". Clients write JSON.

/// What serde says of a value, about the field that it names.
pub fn in_words_of_json(text: &str) -> String {
    if text == "number out of range" {
        return "is out of range".to_owned();
    }
    if let Some(rest) = text.strip_prefix("missing field `") {
        return format!("`{} is required", up_to_quote(rest));
    }
    if let Some(rest) = text.strip_prefix("duplicate field `") {
        return format!("`{} stands there twice", up_to_quote(rest));
    }
    if text.starts_with("unknown field `") {
        return known(text).map_or_else(
            || "is not known here".to_owned(),
            |known| format!("is not known here; known are {known}"),
        );
    }
    if text.starts_with("unknown variant `") {
        return known(text)
            .map_or_else(|| "is not known here".to_owned(), |known| format!("must be {}", with_or(&known)));
    }
    let is_out_of_range = text.starts_with("invalid value: integer");
    match text.split_once(", expected ") {
        Some((_, expected)) if is_out_of_range && range(expected).is_some() => {
            format!("must be from {}", range(expected).unwrap_or_default())
        }
        Some((what, expected)) if what.starts_with("invalid ") => format!("must be {}", kind(expected)),
        _ => text.to_owned(),
    }
}

/// With the quote at its end.
fn up_to_quote(text: &str) -> &str {
    text.find('`').map_or(text, |end| &text[..=end])
}

/// "expected `a`, `b`", or "expected one of `a`, `b`".
fn known(text: &str) -> Option<String> {
    let (_, expected) = text.split_once(", expected ")?;
    let names = expected.strip_prefix("one of ").unwrap_or(expected);
    Some(names.replace("` or `", "`, `"))
}

fn with_or(names: &str) -> String {
    match names.rsplit_once(", ") {
        Some((all, last)) => format!("{all} or {last}"),
        None => names.to_owned(),
    }
}

fn range(expected: &str) -> Option<&'static str> {
    Some(match expected {
        "i64" => "-9223372036854775808 to 9223372036854775807",
        "i32" => "-2147483648 to 2147483647",
        "i16" => "-32768 to 32767",
        "i8" => "-128 to 127",
        "u64" | "usize" => "0 to 18446744073709551615",
        "u32" => "0 to 4294967295",
        "u16" => "0 to 65535",
        "u8" => "0 to 255",
        _ => return None,
    })
}

/// A kind of value, as JSON has it.
fn kind(expected: &str) -> &str {
    match expected {
        number if range(number).is_some() => "an integer",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "unit" => "null",
        "a map" => "an object",
        "string" | "str" | "variant identifier" | "a borrowed string" => "a string",
        text if text.starts_with("struct ") => "an object",
        text if text.starts_with("enum ") => "a string",
        other => other,
    }
}
