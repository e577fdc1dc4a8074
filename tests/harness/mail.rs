//! The mails that customers got, as the mail catcher shows them.

use devstack::MailCatcher;
use serde_json::Value;

use super::{Api, Shop, eventually};

#[derive(Debug, Clone)]
pub struct Mail {
    pub to: String,
    pub subject: String,
    /// Without the angle brackets.
    pub message_id: String,
    pub text: String,
    pub html: String,
    /// By name, as they came.
    pub headers: Value,
    /// As it came: the catcher's own id.
    pub id: String,
}

impl Mail {
    /// The value of a header that is there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.headers[name].as_array()?;
        assert_eq!(values.len(), 1, "{name}: {values:?}");
        values[0].as_str()
    }

    /// `ord_….paid.…@example.org` is the mail `paid` of that order. Of those that name a time or a change,
    /// the words.
    pub fn kind(&self) -> &str {
        let (id, _) = self.message_id.split_once('@').expect("a Message-ID has a domain");
        let kind = id.split('.').nth(1).expect("ours have a kind");
        let words = ["extended", "new_check_in_code"];
        words.into_iter().find(|word| kind.starts_with(word)).unwrap_or(kind)
    }
}

/// The mails that a catcher has got about an order (`ord_`: any order), oldest first.
pub async fn mails(catcher: &MailCatcher, order: &str) -> Vec<Mail> {
    mails_at(&Api::new(catcher.http_url().trim_start_matches("http://")), order).await
}

/// The same of a catcher known by its page.
pub async fn mails_at(api: &Api, order: &str) -> Vec<Mail> {
    let list = api.get("/api/v1/messages").await.is(200);
    let about = |mail: &&Value| mail["MessageID"].as_str().is_some_and(|id| id.starts_with(order));
    let mut mails = Vec::new();
    for listed in list["messages"].as_array().unwrap().iter().rev().filter(about) {
        let id = listed["ID"].as_str().unwrap();
        mails.push(mail(&api.get(&format!("/api/v1/message/{id}")).await.is(200)));
    }
    mails
}

fn mail(message: &Value) -> Mail {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text in {message}")).to_owned();
    Mail {
        to: text(&message["To"][0]["Address"]),
        subject: text(&message["Subject"]),
        message_id: text(&message["MessageID"]),
        text: text(&message["Text"]),
        html: text(&message["HTML"]),
        headers: message["Headers"].clone(),
        id: text(&message["ID"]),
    }
}

/// Waits until an address has got so many mails; gives all of them, oldest first.
pub async fn mails_to(address: &str, number: usize) -> Vec<Mail> {
    let catcher = &super::servers().await.mail;
    let api = Api::new(catcher.http_url().trim_start_matches("http://"));
    eventually(&format!("{number} mails to {address}"), async || {
        let mut all = mails_at(&api, "").await;
        all.retain(|mail| mail.to == address);
        (all.len() >= number).then_some(all)
    })
    .await
}

impl Shop {
    /// A mail as the mail server got it.
    pub async fn raw_mail(&self, mail: &Mail) -> Vec<u8> {
        let catcher = Api::new(super::servers().await.mail.http_url().trim_start_matches("http://"));
        catcher.get(&format!("/api/v1/message/{}/raw", mail.id)).await.body
    }

    /// The mails about an order, oldest first.
    pub async fn mails(&self, order: &str) -> Vec<Mail> {
        mails(&super::servers().await.mail, order).await
    }

    /// Waits for the last mail of this kind about the order.
    pub async fn mail(&self, order: &str, kind: &str) -> Mail {
        self.until_mailed(order, kind).await;
        self.mails(order).await.into_iter().rfind(|mail| mail.kind() == kind).expect("it was there")
    }

    /// Waits until the customer has got this mail about the order; gives the kinds of all so far.
    pub async fn until_mailed(&self, order: &str, kind: &str) -> Vec<String> {
        eventually(&format!("the mail `{kind}` about {order}"), async || {
            let kinds: Vec<String> =
                self.mails(order).await.iter().map(|mail| mail.kind().to_owned()).collect();
            kinds.iter().any(|mailed| mailed == kind).then_some(kinds)
        })
        .await
    }
}
