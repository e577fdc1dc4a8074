//! Products of the catalogue: their kinds and texts.

use serde::{Deserialize, Serialize};

use crate::{Invalid, text};

/// How a product is sold. Set when it is created, and never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// By the piece.
    #[default]
    Goods,
    /// By the night; the product's price is that of a night which has none of its own.
    Stay,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Goods => "goods",
            Self::Stay => "stay",
        }
    }

    pub fn parse(text: &str) -> Result<Self, Invalid> {
        [Self::Goods, Self::Stay]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| Invalid::new("kind", "must be `goods` or `stay`"))
    }
}

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
