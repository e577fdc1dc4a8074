//! The mail about a webhook endpoint.

use askama::Template;
use domain::{customer::Customer, webhook::DisabledReason};
use store::webhook_endpoints::owners::Untold;

use super::{Text, greeting};

/// What it shows. It looks like the mails of accounts.
struct Owner {
    headline: &'static str,
    greeting: String,
    message: String,
    code: Option<String>,
    warning: &'static str,
}

#[derive(Template)]
#[template(path = "account.txt", escape = "none")]
struct OwnerPlain<'a>(&'a Owner);

#[derive(Template)]
#[template(path = "account.html")]
struct OwnerHtml<'a>(&'a Owner);

pub(in crate::mail) fn webhook_disabled(to: &Customer, untold: &Untold) -> Result<Text, askama::Error> {
    let Untold { endpoint, url, description, .. } = untold;
    let named = if description.is_empty() { String::new() } else { format!(" ({description})") };
    let why = match untold.reason {
        DisabledReason::Gone => "it answered 410 Gone".to_owned(),
        _ => match untold.failing_since {
            Some(since) => format!("nothing could be delivered there since {since:.0}"),
            None => "nothing could be delivered there for days".to_owned(),
        },
    };
    let facts = Owner {
        headline: "A webhook endpoint is disabled",
        greeting: greeting(to),
        message: format!(
            "The webhook endpoint {endpoint}{named} at {url} is disabled, because {why}. Nothing is sent \
             there any more. What happens meanwhile is kept for it."
        ),
        code: None,
        warning: "Once it works again, enable it: PATCH /v1/webhook-endpoints/{id} with {\"enabled\": true} \
                  sends what it missed. What was given up before is sent again by POST .../redeliver.",
    };
    Ok(Text {
        subject: facts.headline.to_owned(),
        plain: OwnerPlain(&facts).render()?,
        html: OwnerHtml(&facts).render()?,
    })
}
