//! Texts of the catalogue.

use crate::{Invalid, text};

pub fn name(name: &str) -> Result<String, Invalid> {
    text::line("name", name, 200)
}

/// May be empty, and may have several lines.
pub fn description(description: &str) -> Result<String, Invalid> {
    let flat = description.replace(['\n', '\r', '\t'], " ");
    text::optional_line("description", &flat, 5_000)?;
    Ok(description.to_owned())
}

/// What somebody searches for.
pub fn search(q: &str) -> Result<String, Invalid> {
    text::optional_line("q", q.trim(), 200)
}
