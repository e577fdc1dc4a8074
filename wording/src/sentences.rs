//! The files of sentences: TOML, a table for each mail, a template in each line.

use toml::de::{DeTable, DeValue};

use crate::Error;

/// A sentence, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// The table, such as `reminder`.
    pub section: String,
    pub key: String,
    pub template: String,
    /// Of its file.
    pub line: usize,
}

/// Reads a file of this name.
pub fn read(file: &str, source: &str) -> Result<Vec<Sentence>, Error> {
    let line_of = |offset: usize| 1 + source[..offset.min(source.len())].matches('\n').count();
    let bad = |offset: usize, why: String| Error { file: file.to_owned(), line: Some(line_of(offset)), why };
    let tables = DeTable::parse(source).map_err(|error| {
        bad(error.span().map_or(0, |span| span.start), error.message().replace('\n', " "))
    })?;
    let mut sentences = Vec::new();
    for (section, table) in tables.get_ref() {
        let DeValue::Table(table) = table.get_ref() else {
            let why = format!("`{}` stands outside of a table such as [reminder]", section.get_ref());
            return Err(bad(section.span().start, why));
        };
        for (key, value) in table {
            let DeValue::String(template) = value.get_ref() else {
                return Err(bad(value.span().start, format!("`{}` is no text", key.get_ref())));
            };
            // A text in """ begins in the next line.
            let begins_below = source[value.span().start..].starts_with("\"\"\"");
            sentences.push(Sentence {
                section: section.get_ref().to_string(),
                key: key.get_ref().to_string(),
                template: template.to_string(),
                line: line_of(value.span().start) + usize::from(begins_below),
            });
        }
    }
    Ok(sentences)
}
