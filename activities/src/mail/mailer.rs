//! SMTP.

use std::time::Duration;

use anyhow::Context as _;
use domain::{
    customer::Customer,
    email::{Wire, on_the_wire},
};
use futures::future::BoxFuture;
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    address::Envelope,
    message::{
        Mailbox, MultiPart,
        header::{self, HeaderName, HeaderValue},
    },
    transport::smtp::PoolConfig,
};
use store::mails::Rejection;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::template::Text;

/// For each command of the dialogue, and for all of it: a mail under way holds its row locked, and
/// PostgreSQL ends a transaction that idles for 30 s.
const TIMEOUT: Duration = Duration::from_secs(6);
const TIMEOUT_IN_ALL: Duration = Duration::from_secs(20);
/// Mails on their way at once. Each holds a database connection while the mail server is asked.
const MAX_AT_ONCE: usize = 8;
/// Replies to who has not shown who they are: RFC 4954, section 6.
const NOT_LOGGED_IN: [u16; 4] = [530, 534, 535, 538];

/// Where mails go and from whom they come.
#[derive(Debug, Clone)]
pub struct MailerConfig {
    /// `smtp://user:password@host:port`, or `smtps://...`.
    pub smtp_url: String,
    /// `Shop <orders@example.org>`.
    pub from: String,
}

pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    turns: Semaphore,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the mail cannot be written: {0}")]
    Compose(#[from] lettre::error::Error),
    #[error("the address is not one")]
    Address,
    // Without the server's text, which may quote the address; so it is no source either.
    #[error("mail server: {}", said(.0))]
    Smtp(lettre::transport::smtp::Error),
    #[error("mail server: no answer within {} s", TIMEOUT_IN_ALL.as_secs())]
    TooSlow,
}

impl Error {
    /// Trying again cannot help. That the mail server does not take *us* is for the operator to mend: it is no word on the
    /// mail, which waits.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Compose(_) | Self::Address => true,
            Self::Smtp(error) => {
                let code = error.status().map(u16::from);
                needs_utf8(error)
                    || (error.is_permanent() && code.is_none_or(|code| !NOT_LOGGED_IN.contains(&code)))
            }
            Self::TooSlow => false,
        }
    }

    /// Why a permanent one is.
    pub fn rejection(&self) -> Rejection {
        match self {
            Self::Compose(_) => Rejection { code: None, reason: "cannot_be_written" },
            Self::Address => Rejection { code: None, reason: "bad_address" },
            Self::Smtp(error) if needs_utf8(error) => Rejection { code: None, reason: "smtputf8_missing" },
            Self::Smtp(error) => Rejection { code: error.status().map(u16::from), reason: "refused" },
            Self::TooSlow => Rejection { code: None, reason: "too_slow" },
        }
    }
}

/// What went wrong, in words of ours where the server spoke.
fn said(error: &lettre::transport::smtp::Error) -> String {
    error.status().map_or_else(|| error.to_string(), |code| format!("it answered {code}"))
}

/// The address as it is sent. Which are taken is decided by `domain::email`, which knows more of them than lettre.
fn address(email: &str) -> Result<Address, Error> {
    let Wire { local, domain } = on_the_wire(email).ok_or(Error::Address)?;
    Ok(Address::new_dangerous(local, domain))
}

/// The mailbox is written in letters that this mail server does not take. Only lettre's text tells it from other troubles.
fn needs_utf8(error: &lettre::transport::smtp::Error) -> bool {
    error.is_client() && error.to_string().contains("SMTPUTF8")
}

impl Mailer {
    pub fn new(config: &MailerConfig) -> anyhow::Result<Self> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&config.smtp_url)
            .context("HOLDFAST_SMTP_URL must look like smtp://host:port")?
            .timeout(Some(TIMEOUT))
            .pool_config(PoolConfig::new().max_size(MAX_AT_ONCE as u32))
            .build();
        let bad_from = "HOLDFAST_MAIL_FROM must look like Shop <orders@example.org>";
        let from: Mailbox = config.from.parse().context(bad_from)?;
        let from = Mailbox::new(from.name, address(from.email.as_ref()).context(bad_from)?);
        Ok(Self { transport, from, turns: Semaphore::new(MAX_AT_ONCE) })
    }

    /// Asks whether the mail server answers, and takes us.
    pub fn probe(&self) -> impl Fn() -> BoxFuture<'static, bool> + Send + Sync + use<> {
        let transport = self.transport.clone();
        move || {
            let transport = transport.clone();
            Box::pin(async move { transport.test_connection().await.unwrap_or(false) })
        }
    }

    /// Waits for a free place among the mails on their way.
    pub async fn turn(&self) -> anyhow::Result<SemaphorePermit<'_>> {
        Ok(self.turns.acquire().await?)
    }

    /// The Message-ID header: `id` at the sender's domain.
    pub fn full_message_id(&self, id: &str) -> String {
        format!("<{id}@{}>", self.from.email.domain())
    }

    pub(super) fn compose(&self, text: &Text, to: &Customer, id: &str) -> Result<Message, Error> {
        let to = Mailbox::new(to.name.clone(), address(&to.email)?);
        // Given, since lettre would read it out of the headers, and knows fewer addresses than we write there.
        let envelope = Envelope::new(Some(self.from.email.clone()), vec![to.email.clone()])?;
        let quoted = [("From", &self.from), ("To", &to)].map(|(header, of)| quoted(header, of));
        let mut message = Message::builder()
            .envelope(envelope)
            .from(self.from.clone())
            .to(to)
            .subject(&text.subject)
            .message_id(Some(self.full_message_id(id)))
            .header(header::MIME_VERSION_1_0)
            .multipart(MultiPart::alternative_plain_html(text.plain.clone(), text.html.clone()))?;
        quoted.into_iter().flatten().for_each(|header| message.headers_mut().insert_raw(header));
        Ok(message)
    }

    pub async fn send(&self, message: Message) -> Result<(), Error> {
        let sent = tokio::time::timeout(TIMEOUT_IN_ALL, self.transport.send(message));
        sent.await.map_err(|_| Error::TooSlow)?.map_err(Error::Smtp)?;
        Ok(())
    }
}

/// A header of its own for a name such as `.` or `J.R.`. The library takes a dot for a letter and writes it bare; by RFC 5322
/// it stands in quotes.
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
    use super::*;

    #[tokio::test]
    async fn a_shop_may_write_from_a_domain_in_its_own_letters() {
        let config = |from: &str| MailerConfig { smtp_url: "smtp://127.0.0.1:1".into(), from: from.into() };
        let mailer = Mailer::new(&config("Grünes <orders@grün.example>")).expect("an address");
        assert_eq!(mailer.full_message_id("ord_1.paid"), "<ord_1.paid@xn--grn-ioa.example>");
        assert!(Mailer::new(&config("Shop <orders@[127.0.0.1]>")).is_err());
    }

    #[tokio::test]
    async fn every_name_is_one_phrase() {
        let config = MailerConfig {
            smtp_url: "smtp://127.0.0.1:1".to_owned(),
            from: "Shop.com <orders@shop.test>".to_owned(),
        };
        let mailer = Mailer::new(&config).unwrap();
        let text = Text { subject: "s".into(), plain: "p".into(), html: "h".into() };
        let to = |name: &str| {
            let customer = Customer {
                id: "c".into(),
                email: "ann@example.org".into(),
                name: Some(name.into()),
                locale: None,
                time_zone: None,
            };
            let mail = String::from_utf8(mailer.compose(&text, &customer, "m").unwrap().formatted()).unwrap();
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
