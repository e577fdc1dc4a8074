//! What customers read, in mails and on pages: in which language, how money and dates are written there, the
//! sentences, and the templates around them.
//!
//! Pure: the one thing that is read from outside is the folder of a shop's own templates, once, when a
//! process starts. There is no SQL in here, no route, and no clock.
//!
//! - [`Language`] and [`Local`] say in which language somebody reads, and write numbers, money, dates and
//!   plurals in it, by CLDR's data (ICU4X).
//! - [`Shop`] is how the shop looks and whom a customer answers.
//! - [`Templates`] are the sentences (`words/`, a file for each language) and the frames around them
//!   (`templates/`), ours or the shop's own.
//! - [`mail`] has the mails that there are, and a sample of each; [`page`] the same of pages.

mod currency;
mod jinja;
mod language;
mod local;
pub mod mail;
mod overrides;
pub mod page;
mod sentences;
mod shop;
mod templates;

pub use language::Language;
pub use local::Local;
pub use shop::Shop;
pub use templates::{Error, Notice, Templates, Text};
