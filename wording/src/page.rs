//! The pages that a customer sees: their templates, their style, and which sentences each has.

use minijinja::{Value, context};

use crate::{Language, Local, Shop, mail::Line};

/// The sentences that stand on each page; those of one page are in `page_...`. No shop overrides them.
pub(crate) const SECTION: &str = "page";

/// The sentence that says whom to ask.
pub(crate) const CONTACT: &str = "page_contact";

pub(crate) const FRAMES: [(&str, &str); 4] = [
    ("page.html", include_str!("../templates/page.html")),
    ("page_order.html", include_str!("../templates/page_order.html")),
    ("page_confirm.html", include_str!("../templates/page_confirm.html")),
    ("page_message.html", include_str!("../templates/page_message.html")),
];

pub(crate) const fn words(language: Language) -> &'static str {
    match language {
        Language::English => include_str!("../words/page/en.toml"),
        Language::German => include_str!("../words/page/de.toml"),
        Language::Spanish => include_str!("../words/page/es.toml"),
        Language::French => include_str!("../words/page/fr.toml"),
        Language::SimplifiedChinese => include_str!("../words/page/zh-Hans.toml"),
    }
}

/// The style of all pages, with the shop's colour.
pub fn css(shop: &Shop) -> String {
    let shops = format!(":root{{--shop:{};--on-shop:{}}}", shop.colour(), shop.ink());
    shops + "\n" + include_str!("../templates/page.css")
}

/// Which page it is, with what it shows beyond its sentences.
#[derive(Debug, Clone)]
pub enum Page {
    Order(OrderPage),
    /// Whether it is to be cancelled. Paths of this page, and of the one that says no.
    Cancel {
        path: String,
        back: String,
    },
    /// Whether there are to be no more reminders.
    Unsubscribe {
        path: String,
    },
    Unsubscribed,
    /// Something to be told, and perhaps the way back to the order.
    Message {
        what: Message,
        back: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// The link is none of ours, or not good any more.
    Nothing,
    /// We, or the payment provider, cannot do it now.
    Unavailable,
    NotPossible,
    Pending,
    /// The request came from somebody else's page.
    Elsewhere,
}

impl Message {
    const fn section(self) -> &'static str {
        match self {
            Self::Nothing => "page_nothing",
            Self::Unavailable => "page_unavailable",
            Self::NotPossible => "page_not_possible",
            Self::Pending => "page_pending",
            Self::Elsewhere => "page_elsewhere",
        }
    }
}

/// How an order stands, and what its customer can do.
#[derive(Debug, Clone)]
pub struct OrderPage {
    pub path: String,
    /// Its word in JSON.
    pub status: &'static str,
    pub awaits_payment: bool,
    /// Whether there is a button that opens an attempt to pay.
    pub is_payable: bool,
    /// An attempt is open at the sandbox, and wants to be played.
    pub is_play: bool,
    /// A picture (SVG) of the code that the payer scans.
    pub scan: Option<String>,
    pub order: String,
    pub lines: Vec<Line>,
    pub total: domain::money::Money,
    pub unpaid: domain::money::Money,
    pub due_at: String,
}

impl Page {
    pub(crate) const fn template(&self) -> &'static str {
        match self {
            Self::Order(_) => "page_order.html",
            Self::Cancel { .. } | Self::Unsubscribe { .. } => "page_confirm.html",
            Self::Unsubscribed | Self::Message { .. } => "page_message.html",
        }
    }

    pub(crate) fn section(&self) -> String {
        match self {
            Self::Order(page) => format!("{SECTION}_{}", page.status),
            Self::Cancel { .. } => "page_cancel".to_owned(),
            Self::Unsubscribe { .. } => "page_unsubscribe".to_owned(),
            Self::Unsubscribed => "page_unsubscribed".to_owned(),
            Self::Message { what, .. } => what.section().to_owned(),
        }
    }

    pub(crate) fn facts(&self, local: &Local) -> Value {
        match self {
            Self::Order(page) => page.facts(local),
            Self::Cancel { path, back } => context! { path, back },
            Self::Unsubscribe { path } => context! { path, back => None::<String> },
            Self::Unsubscribed => context! { back => None::<String> },
            Self::Message { back, .. } => context! { back },
        }
    }
}

impl OrderPage {
    fn facts(&self, local: &Local) -> Value {
        let Self { path, order, lines, due_at, scan, .. } = self;
        context! {
            path, order, due_at,
            awaits => self.awaits_payment,
            payable => self.is_payable,
            play => self.is_play,
            scan => scan.clone().map(Value::from_safe_string),
            lines => crate::mail::shown(lines.clone(), local),
            total => local.money(self.total),
            unpaid => local.money(self.unpaid),
        }
    }
}
