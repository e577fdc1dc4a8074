//! What the JSON interface says about a mail, in the shape Mailpit gives it.

use std::collections::BTreeMap;

use mail_parser::{Address, DateTime, Message, MessageParser};
use serde::Serialize;

const SNIPPET_CHARS: usize = 250;

/// One line of the list.
#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Summary {
    #[serde(rename = "ID")]
    pub(super) id: String,
    #[serde(rename = "MessageID")]
    message_id: String,
    from: Option<Person>,
    to: Vec<Person>,
    cc: Vec<Person>,
    pub(super) subject: String,
    /// Time of arrival, RFC 3339.
    created: String,
    /// Length of the raw mail in bytes.
    size: usize,
    pub(super) snippet: String,
}

/// A whole mail.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Detail {
    #[serde(flatten)]
    pub(super) summary: Summary,
    /// The time its sender gave it, RFC 3339.
    date: String,
    pub(super) text: String,
    /// Empty if the mail has no HTML part.
    #[serde(rename = "HTML")]
    pub(super) html: String,
    headers: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Person {
    name: String,
    address: String,
}

impl Summary {
    pub(super) fn of(id: &str, arrived_ms: i64, raw: &[u8]) -> Summary {
        let mail = MessageParser::default().parse(raw).unwrap_or_default();
        let text = mail.body_text(0).unwrap_or_default();
        let snippet: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Summary {
            id: id.to_owned(),
            message_id: mail.message_id().unwrap_or_default().to_owned(),
            from: people(mail.from()).into_iter().next(),
            to: people(mail.to()),
            cc: people(mail.cc()),
            subject: mail.subject().unwrap_or_default().to_owned(),
            created: arrived(arrived_ms),
            size: raw.len(),
            snippet: snippet.chars().take(SNIPPET_CHARS).collect(),
        }
    }
}

impl Summary {
    /// The addresses it went to, for a line of the list.
    pub(super) fn recipients(&self) -> String {
        self.to.iter().map(|person| person.address.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl Detail {
    pub(super) fn of(summary: &Summary, raw: &[u8]) -> Detail {
        let mail = MessageParser::default().parse(raw).unwrap_or_default();
        let mut headers = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in mail.headers_raw() {
            headers.entry(name.to_owned()).or_default().push(value.trim().to_owned());
        }
        Detail {
            date: mail.date().map_or_else(|| summary.created.clone(), DateTime::to_rfc3339),
            text: mail.body_text(0).unwrap_or_default().into_owned(),
            html: html(&mail),
            headers,
            summary: summary.clone(),
        }
    }
}

/// The HTML part, if there is one: the parser would make one up from the text.
fn html(mail: &Message<'_>) -> String {
    let part = mail.html_part(0).filter(|part| part.is_text_html());
    part.and_then(|part| part.text_contents()).unwrap_or_default().to_owned()
}

fn people(addresses: Option<&Address<'_>>) -> Vec<Person> {
    let addresses = addresses.into_iter().flat_map(|address| address.iter());
    addresses
        .map(|address| Person {
            name: address.name().unwrap_or_default().to_owned(),
            address: address.address().unwrap_or_default().to_owned(),
        })
        .collect()
}

/// RFC 3339 with milliseconds.
fn arrived(ms: i64) -> String {
    let seconds = DateTime::from_timestamp(ms.div_euclid(1000)).to_rfc3339();
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), ms.rem_euclid(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_with_text_and_html() {
        let raw = b"From: Shop <shop@example.com>\r\nTo: =?utf-8?q?J=C3=B6rg?= <j@example.com>\r\n\
            Subject: Your order\r\nMessage-ID: <1@example.com>\r\n\
            Content-Type: multipart/alternative; boundary=b\r\n\r\n\
            --b\r\nContent-Type: text/plain\r\n\r\nPay\r\n  soon\r\n\
            --b\r\nContent-Type: text/html\r\n\r\n<b>Pay</b>\r\n--b--\r\n";
        let summary = Summary::of("1-1", 1_700_000_000_042, raw);
        assert_eq!(summary.to[0].name, "J\u{f6}rg");
        assert_eq!(summary.created, "2023-11-14T22:13:20.042Z");
        assert_eq!(summary.snippet, "Pay soon");
        let detail = Detail::of(&summary, raw);
        assert_eq!(detail.html.trim(), "<b>Pay</b>");
        assert_eq!(detail.headers["Subject"], ["Your order"]);
    }

    #[test]
    fn a_mail_without_html_shows_none() {
        let raw = b"Subject: x\r\n\r\nonly text\r\n";
        let detail = Detail::of(&Summary::of("1-1", 0, raw), raw);
        assert_eq!((detail.text.trim(), &*detail.html), ("only text", ""));
    }
}
