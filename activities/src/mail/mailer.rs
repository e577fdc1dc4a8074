//! Writing mails, and handing them to the mail server.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use domain::{
    customer::Customer,
    email::{Wire, on_the_wire},
};
use futures::future::BoxFuture;
use lettre::{
    Address, Message,
    address::Envelope,
    message::{
        Mailbox, MultiPart,
        header::{self, HeaderName, HeaderValue},
    },
};
use store::mails::Rejection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use wording::{Shop, Templates};

use super::{
    dkim::Signer,
    links::Links,
    reply::Fault,
    smtp::Server,
    template::{Letter, Writer},
};

/// Mails on their way at once. Each holds a database connection while the mail server is asked.
const MAX_AT_ONCE: usize = 8;
/// So long is waited for a place among them. Then the engine has the mail tried again.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where mails go, from whom they come, and how they look.
#[derive(Clone, Default)]
pub struct MailerConfig {
    /// `smtp://user:password@host:port`, or `smtps://...`.
    pub smtp_url: String,
    /// `Shop <orders@example.org>`.
    pub from: String,
    /// Whom a customer answers, if it is somebody else.
    pub reply_to: Option<String>,
    pub shop: Shop,
    /// A folder of the shop's own templates.
    pub templates: Option<PathBuf>,
    pub links: Links,
    pub dkim: Option<DkimConfig>,
}

/// Who signs mails.
#[derive(Clone)]
pub struct DkimConfig {
    /// None: that of the address from which mails come.
    pub domain: Option<String>,
    pub selector: String,
    /// PEM. A secret.
    pub key: String,
}

pub struct Mailer {
    server: Arc<Server>,
    from: Mailbox,
    reply_to: Option<Mailbox>,
    signer: Option<Signer>,
    writer: Writer,
    turns: Arc<Semaphore>,
    begun: TaskTracker,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the mail cannot be written: {0}")]
    Compose(#[from] lettre::error::Error),
    #[error("the address is not one")]
    Address,
    #[error("the mail cannot be signed")]
    Sign,
    // Without the server's text, which may quote the address; so it is no source either.
    #[error("mail server {place}: {}", said(.fault))]
    Server { place: String, fault: Fault },
}

impl Error {
    /// Trying again cannot help.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Compose(_) | Self::Address => true,
            Self::Sign => false,
            Self::Server { fault, .. } => fault.is_permanent(),
        }
    }

    /// Why a permanent one is.
    pub fn rejection(&self) -> Rejection {
        match self {
            Self::Compose(_) | Self::Sign => Rejection { code: None, reason: "cannot_be_written" },
            Self::Address => Rejection { code: None, reason: "bad_address" },
            Self::Server { fault: Fault::NeedsUtf8, .. } => {
                Rejection { code: None, reason: "smtputf8_missing" }
            }
            Self::Server { fault, .. } => Rejection { code: fault.code(), reason: "refused" },
        }
    }
}

/// What went wrong, in words of ours where the server spoke.
fn said(fault: &Fault) -> String {
    match (fault, fault.code()) {
        (Fault::OutOfStep(code), _) => format!("it answered {code}, out of step"),
        (Fault::Failed(stage, _), Some(code)) => format!("it answered {code} {}", stage.to()),
        (_, Some(code)) => format!("it answered {code}"),
        (Fault::Failed(_, error), None) => with_sources(error),
        (Fault::TooSlow, None) => "it does not answer in time".to_owned(),
        (Fault::NeedsUtf8, None) => "it does not take the address's letters".to_owned(),
        (Fault::SenderNeedsUtf8, None) => {
            "it does not take the letters of HOLDFAST_MAIL_FROM (SMTPUTF8)".to_owned()
        }
    }
}

/// What failed before the server spoke: its chain names the certificate or the system's reason.
fn with_sources(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The address as it is sent. Which are taken is decided by `domain::email`, which knows more of them than
/// lettre.
fn address(email: &str) -> Result<Address, Error> {
    let Wire { local, domain } = on_the_wire(email).ok_or(Error::Address)?;
    Ok(Address::new_dangerous(local, domain))
}

impl Mailer {
    pub fn new(config: &MailerConfig) -> anyhow::Result<Self> {
        let server =
            Server::new(&config.smtp_url).context("HOLDFAST_SMTP_URL must look like smtp://host:port")?;
        let from = mailbox("HOLDFAST_MAIL_FROM", &config.from)?;
        let reply_to =
            config.reply_to.as_ref().map(|it| mailbox("HOLDFAST_MAIL_REPLY_TO", it)).transpose()?;
        let signer = config.dkim.as_ref().map(|dkim| signer(dkim, &from)).transpose()?;
        let templates = match &config.templates {
            Some(folder) => Templates::with_folder(folder).context("HOLDFAST_MAIL_TEMPLATES")?,
            None => Templates::ours(),
        };
        Ok(Self {
            server: Arc::new(server),
            writer: Writer::new(templates, config.shop.clone(), config.links.clone()),
            from,
            reply_to,
            signer,
            turns: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            begun: TaskTracker::new(),
        })
    }

    pub(super) const fn writer(&self) -> &Writer {
        &self.writer
    }

    /// The address from which mails come.
    pub fn address(&self) -> String {
        self.from.email.to_string()
    }

    /// Asks whether the mail server answers, and takes us.
    pub fn probe(&self) -> impl Fn() -> BoxFuture<'static, bool> + Send + Sync + use<> {
        let server = Arc::clone(&self.server);
        move || {
            let server = Arc::clone(&server);
            Box::pin(async move { server.reach().await.is_ok() })
        }
    }

    /// The same, once, for the log.
    pub fn tell_whether_reached(&self) -> impl Future<Output = ()> + Send + use<> {
        let server = Arc::clone(&self.server);
        async move {
            if let Err(error) = server.reach().await.map_err(|fault| at(&server, fault)) {
                tracing::error!(%error, "mails cannot be sent");
            }
        }
    }

    /// Mails that were begun.
    pub(super) fn begun(&self) -> &TaskTracker {
        &self.begun
    }

    /// Waits until each mail that was begun has come to its end, or for so long.
    pub async fn drain(&self, limit: Duration) {
        self.begun.close();
        if tokio::time::timeout(limit, self.begun.wait()).await.is_err() {
            tracing::warn!(
                mails = self.begun.len(),
                "the mail server has not said whether it took them: they are sent again"
            );
        }
    }

    /// Waits for a free place among the mails on their way.
    pub async fn turn(&self) -> anyhow::Result<OwnedSemaphorePermit> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned());
        Ok(turn.await.context("the mail server is busy with other mails")??)
    }

    /// The Message-ID header: `id` at the sender's domain.
    pub fn full_message_id(&self, id: &str) -> String {
        format!("<{id}@{}>", self.from.email.domain())
    }

    /// `id`: the Message-ID, with its angle brackets.
    pub(super) fn compose(&self, letter: &Letter, to: &Customer, id: &str) -> Result<Message, Error> {
        let Letter { text, stop_url } = letter;
        let to = Mailbox::new(to.name().map(str::to_owned), address(to.email())?);
        // Given, since lettre would read it out of the headers, and knows fewer addresses than we write
        // there.
        let envelope = Envelope::new(Some(self.from.email.clone()), vec![to.email.clone()])?;
        let mut headers = vec![plain("Auto-Submitted", "auto-generated")]; // RFC 3834: no machine answers
        headers.extend(
            [("From", &self.from), ("To", &to)].into_iter().filter_map(|(name, of)| quoted(name, of)),
        );
        headers.extend(self.reply_to.as_ref().and_then(|reply_to| quoted("Reply-To", reply_to)));
        if let Some(url) = stop_url {
            // RFC 2369, and RFC 8058: the mail program asks for it by itself.
            headers.push(plain("List-Unsubscribe", &format!("<{url}>")));
            headers.push(plain("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
        }
        let message = Message::builder()
            .envelope(envelope)
            .from(self.from.clone())
            .to(to)
            .subject(&text.subject)
            .message_id(Some(id.to_owned()))
            .header(header::MIME_VERSION_1_0);
        let message = match &self.reply_to {
            Some(reply_to) => message.reply_to(reply_to.clone()),
            None => message,
        };
        let mut message =
            message.multipart(MultiPart::alternative_plain_html(text.plain.clone(), text.html.clone()))?;
        headers.into_iter().for_each(|header| message.headers_mut().insert_raw(header));
        if let Some(signer) = &self.signer {
            signer.sign(&mut message).map_err(|_| Error::Sign)?;
        }
        Ok(message)
    }

    pub async fn send(&self, message: &Message) -> Result<(), Error> {
        self.server.send(message).await.map_err(|fault| at(&self.server, fault))
    }
}

/// An address with a name, from a setting.
fn mailbox(setting: &str, text: &str) -> anyhow::Result<Mailbox> {
    let bad = || format!("{setting} must look like Shop <orders@example.org>");
    let mailbox: Mailbox = text.parse().with_context(bad)?;
    Ok(Mailbox::new(mailbox.name, address(mailbox.email.as_ref()).with_context(bad)?))
}

fn signer(DkimConfig { domain, selector, key }: &DkimConfig, from: &Mailbox) -> anyhow::Result<Signer> {
    let domain = domain.as_deref().unwrap_or_else(|| from.email.domain());
    Signer::new(domain, selector, key).context("HOLDFAST_DKIM_KEY, HOLDFAST_DKIM_SELECTOR")
}

/// A header of ASCII that is no line longer than SMTP takes.
fn plain(name: &'static str, value: &str) -> HeaderValue {
    let name = HeaderName::new_from_ascii_str(name);
    HeaderValue::dangerous_new_pre_encoded(name, value.to_owned(), value.to_owned())
}

fn at(server: &Server, fault: Fault) -> Error {
    Error::Server { place: server.place(), fault }
}

/// A header of its own for a name such as `.` or `J.R.`. The library takes a dot for a letter and writes it
/// bare; by RFC 5322 it stands in quotes.
fn quoted(header: &'static str, mailbox: &Mailbox) -> Option<HeaderValue> {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = mailbox.name.as_deref().filter(|name| name.contains('.') && name.chars().all(is_bare))?;
    let value = format!("\"{name}\" <{}>", mailbox.email);
    // Letters, digits, dashes and dots: nothing in it is left to encode.
    let header = HeaderName::new_from_ascii_str(header);
    Some(HeaderValue::dangerous_new_pre_encoded(header, value.clone(), value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wording::Text;

    use super::*;

    #[tokio::test]
    async fn a_shop_may_write_from_a_domain_in_its_own_letters() {
        let config = |from: &str| MailerConfig {
            smtp_url: "smtp://127.0.0.1:1".into(),
            from: from.into(),
            ..MailerConfig::default()
        };
        let mailer = Mailer::new(&config("Grünes <orders@grün.example>")).expect("an address");
        assert_eq!(mailer.full_message_id("ord_1.paid"), "<ord_1.paid@xn--grn-ioa.example>");
        assert!(Mailer::new(&config("Shop <orders@[127.0.0.1]>")).is_err());
    }

    #[tokio::test]
    async fn every_name_is_one_phrase() {
        let config = MailerConfig {
            smtp_url: "smtp://127.0.0.1:1".to_owned(),
            from: "Shop.com <orders@shop.test>".to_owned(),
            ..MailerConfig::default()
        };
        let mailer = Mailer::new(&config).unwrap();
        let text = Letter::from(Text { subject: "s".into(), plain: "p".into(), html: "h".into() });
        let to = |name: &str| {
            let stored = json!({"id": "c", "email": "ann@example.org", "name": name});
            let customer: Customer = serde_json::from_value(stored).unwrap();
            let mail = mailer.compose(&text, &customer, "<m@shop.test>").unwrap().formatted();
            let mail = String::from_utf8(mail).unwrap();
            assert!(mail.contains("From: \"Shop.com\" <orders@shop.test>\r\n"), "{mail}");
            let to = mail.split("\r\nTo: ").nth(1).unwrap().split("\r\n").next().unwrap();
            to.strip_suffix(" <ann@example.org>").unwrap_or_else(|| panic!("{to}")).to_owned()
        };
        assert_eq!(to("Ann"), "Ann");
        for (name, quoted) in
            [(".", "\".\""), ("J.R", "\"J.R\""), ("..", "\"..\""), ("Ann Lee", "\"Ann Lee\"")]
        {
            assert_eq!(to(name), quoted);
        }
        for name in ["\"", "<x@y>", "a, b", "a: b; c", "(c)", "a\\", "a@b", "Ünal", "=?utf-8?q?x?="] {
            let phrase = to(name);
            let is_quoted = phrase.starts_with('"') && phrase.ends_with('"');
            let is_encoded = phrase.starts_with("=?utf-8?b?") && phrase.ends_with("?=");
            assert!(is_quoted || is_encoded, "{name}: {phrase}");
        }
    }
}
