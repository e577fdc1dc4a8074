//! How templates are read: strictly, and with HTML escaped.

use minijinja::{
    AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior, Value, syntax::SyntaxConfig,
    value::Kwargs,
};

use crate::Local;

pub fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    env.set_syntax(syntax.expect("the delimiters are the usual ones"));
    env.set_auto_escape_callback(|name| match name.ends_with(".html") {
        true => AutoEscape::Html,
        false => AutoEscape::None,
    });
    env.set_formatter(write);
    env.add_filter("count", count);
    env
}

/// What a template shows. Nothing is nothing that can be shown. A slash stays one: in an address, programs
/// that read HTML by halves would not find it else.
fn write(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    if value.is_undefined() || value.is_none() {
        return Err(minijinja::Error::new(ErrorKind::UndefinedError, "there is nothing to show here"));
    }
    let text = value.to_string();
    if value.is_safe() || *state.auto_escape() == AutoEscape::None {
        return Ok(out.write_str(&text)?);
    }
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['<', '>', '&', '"', '\'']) {
        let (before, special) = rest.split_at(at);
        out.write_str(before)?;
        out.write_str(match special.as_bytes()[0] {
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'&' => "&amp;",
            b'"' => "&quot;",
            _ => "&#39;",
        })?;
        rest = &special[1..];
    }
    Ok(out.write_str(rest)?)
}

/// `{{ items | count(one='item', other='items') }}`: the number, and the word that goes with it.
fn count(state: &State<'_, '_>, number: i64, words: Kwargs) -> Result<String, minijinja::Error> {
    let tag = state.lookup("lang").and_then(|tag| tag.as_str().map(str::to_owned));
    let local = Local::of(tag.as_deref());
    let (one, other): (Option<&str>, &str) = (words.get("one")?, words.get("other")?);
    words.assert_all_used()?;
    Ok(format!("{}\u{a0}{}", local.number(number), local.plural(number, one, other)))
}
