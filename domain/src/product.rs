//! Products of the catalogue. A product is what its events add up to: [`change`] makes the next one, [`fold`]
//! adds them up.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Invalid,
    money::Currency,
    stay::{Offer, Terms},
    stock::Sku,
    text,
};

text_enum! {
    /// How a product is sold. Set when it is created, and never changed.
    #[derive(Default)]
    pub enum Kind("kind" as "ProductKind") {
        /// By the piece.
        #[default]
        Goods = "goods",
        /// By the night; the product's price is that of a night which has none of its own.
        Stay = "stay",
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

/// What the catalogue says of a product. Its fields stand in stored events: add some with
/// `#[serde(default)]`, never rename or remove one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    pub kind: Kind,
    pub name: String,
    pub description: String,
    /// Minor units.
    pub unit_price: i64,
    pub currency: Currency,
    /// Whether it can be ordered.
    pub active: bool,
    /// Out of the catalogue; kept for the orders that have it, and never active.
    #[serde(default)]
    pub retired: bool,
    /// What a stay offers with its nights; none until the shop says so.
    #[serde(default)]
    pub stay: Option<Terms>,
    /// The last offer of its nights. What each night has since then is a matter of stock.
    #[serde(default)]
    pub nights: Option<Offer>,
}

/// What a client wants a product to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// As it is, or goods.
    pub kind: Option<Kind>,
    pub name: String,
    pub description: String,
    pub unit_price: i64,
    pub currency: Currency,
    pub active: bool,
}

impl Wanted {
    /// Brings a retired product back, too.
    pub fn details(self, before: Option<&Product>) -> Result<Details, Invalid> {
        let Self { kind, name, description, unit_price, currency, active } = self;
        let before = before.map(|product| &product.details);
        let was = before.map(|details| details.kind);
        let kind = kind.or(was).unwrap_or_default();
        if was.is_some_and(|was| was != kind) {
            return Err(Invalid::new("kind", "cannot be changed: it was set when the product was created"));
        }
        let (stay, nights) =
            before.map_or((None, None), |details| (details.stay.clone(), details.nights.clone()));
        Ok(Details { kind, name, description, unit_price, currency, active, retired: false, stay, nights })
    }
}

/// A product as its events have made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    pub sku: Sku,
    pub details: Details,
    /// The number of its last event.
    pub version: i32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub retired_at: Option<Timestamp>,
}

impl Product {
    /// What the catalogue says of it once it is retired.
    pub fn retired(&self) -> Details {
        Details { active: false, retired: true, ..self.details.clone() }
    }
}

text_enum! {
    pub enum EventKind("type" as "ProductEventType") {
        Created = "product.created",
        Changed = "product.changed",
        Retired = "product.retired",
        /// In the catalogue again.
        Restored = "product.restored",
    }
}

/// What became of one field; `from` is null in the first event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub from: Value,
    pub to: Value,
}

/// By field of [`Details`].
pub type Changes = BTreeMap<String, Change>;

/// One change of a product. Its first has the number 1, and none is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub version: i32,
    /// For readers: what is done stands in `changes`.
    pub kind: EventKind,
    pub at: Timestamp,
    /// Who asked for it.
    pub by: String,
    pub changes: Changes,
}

/// The event that makes `before` what `after` says, or `None` if it is that already.
pub fn change(before: Option<&Product>, after: &Details, at: Timestamp, by: &str) -> Option<Event> {
    let old = before.map(|product| fields(&product.details)).unwrap_or_default();
    let changes: Changes = fields(after)
        .into_iter()
        .map(|(field, to)| {
            let from = old.get(&field).cloned().unwrap_or_default();
            (field, Change { from, to })
        })
        .filter(|(_, change)| change.from != change.to)
        .collect();
    if changes.is_empty() {
        return None;
    }
    let kind = match before {
        None => EventKind::Created,
        Some(before) => match (before.details.retired, after.retired) {
            (false, true) => EventKind::Retired,
            (true, false) => EventKind::Restored,
            _ => EventKind::Changed,
        },
    };
    Some(Event {
        version: before.map_or(0, |product| product.version) + 1,
        kind,
        // Clocks of several machines meet here, and a history does not go back.
        at: before.map_or(at, |product| at.max(product.updated_at)),
        by: by.to_owned(),
        changes,
    })
}

/// An event that does not fit to those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {version}: {why}")]
pub struct Unfit {
    pub version: i32,
    pub why: String,
}

/// What the events of a product, in their order, add up to. `None` if there are none.
pub fn fold<'a>(sku: &Sku, events: impl IntoIterator<Item = &'a Event>) -> Result<Option<Product>, Unfit> {
    events.into_iter().try_fold(None, |before, event| apply(sku, before, event).map(Some))
}

/// The product after one more event.
pub fn apply(sku: &Sku, before: Option<Product>, event: &Event) -> Result<Product, Unfit> {
    let unfit = |why: String| Unfit { version: event.version, why };
    let version = before.as_ref().map_or(0, |product| product.version) + 1;
    if event.version != version {
        return Err(unfit(format!("{version} comes next")));
    }
    let mut now = before.as_ref().map(|product| fields(&product.details)).unwrap_or_default();
    for (field, change) in &event.changes {
        let from = now.insert(field.clone(), change.to.clone()).unwrap_or_default();
        if from != change.from {
            return Err(unfit(format!("{field} was {from}, not {}", change.from)));
        }
    }
    let details: Details = serde_json::from_value(now.into()).map_err(|error| unfit(error.to_string()))?;
    let retired_since = before.as_ref().and_then(|product| product.retired_at);
    Ok(Product {
        sku: sku.clone(),
        version,
        created_at: before.map_or(event.at, |product| product.created_at),
        updated_at: event.at,
        retired_at: details.retired.then(|| retired_since.unwrap_or(event.at)),
        details,
    })
}

fn fields(details: &Details) -> Map<String, Value> {
    match serde_json::to_value(details) {
        Ok(Value::Object(fields)) => fields,
        _ => unreachable!("a struct of plain data is an object"),
    }
}

/// Which versions a client speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    Any,
    Of(Vec<i32>),
}

impl Versions {
    /// Whether the product is there in one of these versions.
    pub fn include(&self, current: Option<i32>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Of(versions), Some(current)) => versions.contains(&current),
        }
    }
}

/// Under which condition a change is to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    pub only_if: Option<Versions>,
    pub unless: Option<Versions>,
}

impl Condition {
    /// Whether it holds for the version that is current; `None` if there is no product.
    pub fn holds(&self, current: Option<i32>) -> bool {
        self.only_if.as_ref().is_none_or(|versions| versions.include(current))
            && !self.unless.as_ref().is_some_and(|versions| versions.include(current))
    }
}
