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
}

impl Mail {
    /// `ord_….paid@example.org` is the mail `paid` of that order.
    pub fn kind(&self) -> &str {
        let (id, _) = self.message_id.split_once('@').expect("a Message-ID has a domain");
        id.split_once('.').expect("ours have a kind").1
    }
}

/// Every mail that a catcher has got, oldest first.
pub async fn mails(catcher: &MailCatcher) -> Vec<Mail> {
    let api = Api::new(catcher.http_url().trim_start_matches("http://"));
    let list = api.get("/api/v1/messages").await.is(200);
    list["messages"].as_array().unwrap().iter().map(mail).collect()
}

fn mail(message: &Value) -> Mail {
    let text =
        |field: &str| message[field].as_str().unwrap_or_else(|| panic!("{field} of {message}")).to_owned();
    Mail {
        to: message["to"][0].as_str().unwrap().to_owned(),
        subject: text("subject"),
        message_id: text("message_id"),
        text: text("text"),
        html: text("html"),
    }
}

impl Shop {
    /// The mails about an order, oldest first.
    pub async fn mails(&self, order: &str) -> Vec<Mail> {
        let mails = mails(&super::servers().await.mail).await;
        mails.into_iter().filter(|mail| mail.message_id.starts_with(order)).collect()
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
