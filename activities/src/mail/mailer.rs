//! SMTP.

use std::time::Duration;

use anyhow::Context as _;
use domain::{
    customer::Customer,
    email::{Wire, on_the_wire},
};
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    address::Envelope,
    message::{Mailbox, MultiPart, header},
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
        let message = Message::builder()
            .envelope(envelope)
            .from(self.from.clone())
            .to(to)
            .subject(&text.subject)
            .message_id(Some(self.full_message_id(id)))
            .header(header::MIME_VERSION_1_0)
            .multipart(MultiPart::alternative_plain_html(text.plain.clone(), text.html.clone()))?;
        Ok(message)
    }

    pub async fn send(&self, message: Message) -> Result<(), Error> {
        let sent = tokio::time::timeout(TIMEOUT_IN_ALL, self.transport.send(message));
        sent.await.map_err(|_| Error::TooSlow)?.map_err(Error::Smtp)?;
        Ok(())
    }
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
}
