//! The dialogue with the mail server. Ours, not lettre's transport: that does not say which command was
//! refused, waits equally long for each answer, and puts a connection back for the next mail even if it was
//! left in mid-dialogue, where a late answer is taken for that to another mail's command.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use lettre::{
    Address, Message,
    transport::smtp::{
        self, SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, Tls, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
    },
};
use percent_encoding::percent_decode_str;
use tokio::time::timeout;
use url::Url;

use super::reply::{Fault, Stage};

/// Until there is a TCP connection to one of the server's addresses.
const CONNECTING: Duration = Duration::from_secs(6);
/// Until the server has let us in, and for each command that can be given again at no harm.
const ANSWERING: Duration = Duration::from_secs(20);
/// Until it has taken the content. RFC 5321, section 4.5.3.2.6: who gives up too early sends a mail twice
/// that was taken.
const TAKING: Duration = Duration::from_secs(300);
/// All of it: a connection that is kept and does not answer, letting us in, three commands, and the content.
pub const LONGEST: Duration =
    Duration::from_secs(CONNECTING.as_secs() + 4 * ANSWERING.as_secs() + TAKING.as_secs());
/// A connection that nobody used for so long is not kept.
const KEPT: Duration = Duration::from_secs(60);

pub struct Server {
    host: String,
    port: u16,
    hello: ClientId,
    tls: Tls,
    credentials: Option<Credentials>,
    /// Open, and at the end of their last dialogue: since when.
    kept: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

impl Server {
    /// `smtp://user:password@host:port/our-name`, with `?tls=required` or `?tls=opportunistic`, or
    /// `smtps://...`.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let url = Url::parse(url)?;
        let host = url.host_str().context("it names no host")?;
        let host = host.trim_matches(['[', ']']).to_owned(); // of an IPv6 address
        let asked = url.query_pairs().find(|(key, _)| key == "tls").map(|(_, value)| value);
        let tls = || TlsParameters::new(host.clone());
        let (usual_port, tls) = match (url.scheme(), asked.as_deref()) {
            ("smtp", None) => (SMTP_PORT, Tls::None),
            ("smtp", Some("required")) => (SUBMISSION_PORT, Tls::Required(tls()?)),
            ("smtp", Some("opportunistic")) => (SUBMISSION_PORT, Tls::Opportunistic(tls()?)),
            ("smtps", _) => (SUBMISSIONS_PORT, Tls::Wrapper(tls()?)),
            _ => bail!("neither scheme nor tls is one of a mail server"),
        };
        let decoded =
            |text| Ok::<_, std::str::Utf8Error>(percent_decode_str(text).decode_utf8()?.into_owned());
        let credentials = match url.password() {
            Some(password) => Some(Credentials::new(decoded(url.username())?, decoded(password)?)),
            None => None,
        };
        let hello = match url.path().trim_matches('/') {
            "" => ClientId::default(),
            name => ClientId::Domain(name.to_owned()),
        };
        let port = url.port().unwrap_or(usual_port);
        Ok(Self { host, port, hello, tls, credentials, kept: Mutex::default() })
    }

    /// Whether the server answers, and lets us in.
    pub async fn reach(&self) -> Result<(), Fault> {
        let connection = self.connection().await;
        connection.map(|connection| self.keep(connection))
    }

    /// Where it is.
    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// A connection that failed, or on which somebody stopped to wait for an answer, is dropped here, and so
    /// closed.
    pub async fn send(&self, message: &Message) -> Result<(), Fault> {
        let mut connection = self.connection().await?;
        converse(&mut connection, message).await?;
        self.keep(connection);
        Ok(())
    }

    async fn connection(&self) -> Result<AsyncSmtpConnection, Fault> {
        match timeout(CONNECTING, self.kept_alive()).await {
            Ok(Some(connection)) => Ok(connection),
            _ => within(ANSWERING, Stage::Opening, self.open()).await,
        }
    }

    async fn kept_alive(&self) -> Option<AsyncSmtpConnection> {
        while let Some(mut connection) = self.kept_one() {
            if connection.test_connected().await {
                return Some(connection);
            }
        }
        None
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, smtp::Error> {
        let address = (self.host.as_str(), self.port);
        let wrapper = match &self.tls {
            Tls::Wrapper(parameters) => Some(parameters.clone()),
            _ => None,
        };
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(CONNECTING), &self.hello, wrapper, None)
                .await?;
        match &self.tls {
            Tls::Required(parameters) => connection.starttls(parameters.clone(), &self.hello).await?,
            Tls::Opportunistic(parameters) if connection.can_starttls() => {
                connection.starttls(parameters.clone(), &self.hello).await?;
            }
            _ => {}
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }

    fn kept_one(&self) -> Option<AsyncSmtpConnection> {
        let mut kept = self.kept();
        kept.retain(|(_, since)| since.elapsed() < KEPT);
        kept.pop().map(|(connection, _)| connection)
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        self.kept().push((connection, Instant::now()));
    }

    fn kept(&self) -> MutexGuard<'_, Vec<(AsyncSmtpConnection, Instant)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One mail, from its first command to the answer to its last line.
async fn converse(connection: &mut AsyncSmtpConnection, message: &Message) -> Result<(), Fault> {
    let (envelope, content) = (message.envelope(), message.formatted());
    let mut options = Vec::new();
    let is_plain = |address: &Address| address.user().is_ascii() && address.domain().is_ascii();
    let takes_utf8 = connection.server_info().supports_feature(Extension::SmtpUtfEight);
    match (envelope.from().is_none_or(is_plain), envelope.to().iter().all(is_plain)) {
        (true, true) => {}
        _ if takes_utf8 => options.push(MailParameter::SmtpUtfEight),
        (false, _) => return Err(Fault::SenderNeedsUtf8),
        (true, false) => return Err(Fault::NeedsUtf8),
    }
    if !content.is_ascii() {
        // Only an address has other letters; who takes SMTPUTF8 takes these: RFC 6531, section 3.1.
        options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    let from = Mail::new(envelope.from().cloned(), options);
    within(ANSWERING, Stage::Opening, connection.command(from)).await?;
    for to in envelope.to() {
        let to = Rcpt::new(to.clone(), Vec::new());
        within(ANSWERING, Stage::Recipient, connection.command(to)).await?;
    }
    let invited = within(ANSWERING, Stage::Content, connection.command(Data)).await?;
    if !invited.has_code(GO_ON) {
        return Err(Fault::OutOfStep(invited.code().into()));
    }
    let taken = within(TAKING, Stage::Content, connection.message(&content)).await?;
    match taken.has_code(GO_ON) {
        true => Err(Fault::OutOfStep(GO_ON)),
        false => Ok(()),
    }
}

/// The reply to DATA: now the content. Nothing else is told so.
const GO_ON: u16 = 354;

async fn within<T>(
    limit: Duration,
    stage: Stage,
    asked: impl Future<Output = Result<T, smtp::Error>>,
) -> Result<T, Fault> {
    match timeout(limit, asked).await {
        Ok(answer) => answer.map_err(|error| Fault::Failed(stage, error)),
        Err(_) => Err(Fault::TooSlow),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tasks of a test end with it")]
mod tests {
    use std::sync::Arc;

    use tokio::{
        io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// Answers what the script says to a command that begins so, once; for the rest, what a mail server says.
    async fn server(script: &'static [(&'static str, &'static str)]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(script.to_vec()));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(talk(client, Arc::clone(&script)));
            }
        });
        Server::new(&url).unwrap()
    }

    type Script = Arc<Mutex<Vec<(&'static str, &'static str)>>>;

    async fn talk(client: TcpStream, script: Script) -> Option<()> {
        let mut client = BufReader::new(client);
        let mut command = "(connects)".to_owned();
        loop {
            let known =
                script.lock().unwrap().iter().position(|(beginning, _)| command.starts_with(beginning));
            let answer = known.map(|index| script.lock().unwrap().remove(index).1);
            match answer.unwrap_or(if command.starts_with("DATA") { "354 go on" } else { "250 yes" }) {
                "" => {} // no answer, until somebody asks for something else
                answer => client.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?,
            }
            let is_content = command.starts_with("DATA") && known.is_none();
            command.clear();
            while client.read_line(&mut command).await.ok()? > 0 && is_content && command != ".\r\n" {
                command.clear();
            }
            if command.is_empty() {
                return None;
            }
        }
    }

    fn message() -> Message {
        let message = Message::builder().from("shop@example.org".parse().unwrap());
        message.to("ann@example.org".parse().unwrap()).body("Hello".to_owned()).unwrap()
    }

    #[tokio::test]
    async fn only_a_word_on_the_mail_is_for_good() {
        for (script, is_permanent) in [
            (&[("(connects)", "554 5.7.1 on a list")] as &'static [_], false),
            (&[("(connects)", "554 no")], false),
            (&[("EHLO", "550 5.5.2 what a name")], false),
            (&[("MAIL", "550 5.1.8 no such sender")], false),
            (&[("MAIL", "553 sender not verified")], false),
            (&[("MAIL", "552 5.3.4 too big")], false),
            (&[("RCPT", "550 5.1.1 no such user")], true),
            (&[("RCPT", "550 no such user")], true),
            (&[("RCPT", "551 elsewhere")], true),
            (&[("RCPT", "553-5.1.3 no\r\n553 5.1.3 address")], true),
            (&[("RCPT", "552 5.2.2 full")], true),
            (&[("RCPT", "550 5.4.1 access denied")], true),
            (&[("RCPT", "554 5.7.1 on a list")], false),
            (&[("RCPT", "553 5.1.8 no such sender")], false),
            (&[("RCPT", "550 5.1.7 no such sender")], false),
            (&[("RCPT", "530 5.7.0 log in")], false),
            (&[("RCPT", "503 log in")], false),
            (&[("RCPT", "450 4.2.0 later")], false),
            (&[("RCPT", "550 relay not permitted")], false),
            (&[("RCPT", "554 Relay access denied")], false),
            (&[("RCPT", "550 #5.7.1 not from you")], false),
            (&[("RCPT", "550-rejected by policy\r\n550 5.7.1 relay denied")], false),
            (&[("RCPT", "502 5.5.1 what")], false),
            (&[("RCPT", "550 5.5.0 mailbox unavailable")], true),
            (&[("RCPT", "550 unknown user <ann@relay.example>")], true),
            (&[("DATA", "250 yes")], false),
            (&[(".", "354 go on")], false),
            (&[("DATA", "554 5.7.1 spam")], true),
            (&[(".", "554 5.6.0 spam")], true),
            (&[(".", "554 spam")], true),
            (&[(".", "550 5.7.26 no signature")], false),
            (&[(".", "451 4.3.0 later")], false),
        ] {
            let server = server(script).await;
            let fault = server.send(&message()).await.expect_err(script[0].1);
            assert_eq!(fault.is_permanent(), is_permanent, "{script:?}: {fault:?}");
            server.send(&message()).await.expect("what was refused before leaves nothing behind");
        }
    }

    /// The late answer to the one mail's command would be taken for that to the next one's.
    #[tokio::test]
    async fn a_connection_left_in_mid_dialogue_is_not_used_again() {
        for command in ["NOOP", "MAIL", "RCPT", "DATA", "."] {
            let script: &'static [_] = Box::leak(Box::new([(command, "")]));
            let server = server(script).await;
            if command == "NOOP" {
                assert!(server.reach().await.is_ok()); // leaves a connection to ask
            }
            let given_up = timeout(Duration::from_millis(200), server.send(&message())).await;
            assert!(given_up.is_err(), "{command}: {given_up:?}");
            assert!(server.kept().is_empty());
            server.send(&message()).await.expect(command);
            assert_eq!(server.kept().len(), 1);
            server.send(&message()).await.expect(command);
            assert_eq!(server.kept().len(), 1, "it is used again");
        }
    }

    #[test]
    fn where_mails_go_is_said_by_a_url() {
        let server = Server::new("smtps://a%40b:p%2Fw@mail.test/shop.test").unwrap();
        assert_eq!((server.host.as_str(), server.port), ("mail.test", 465));
        assert_eq!(server.hello, ClientId::Domain("shop.test".to_owned()));
        assert_eq!(server.credentials, Some(Credentials::new("a@b".to_owned(), "p/w".to_owned())));
        assert_eq!(Server::new("smtp://mail.test?tls=required").unwrap().port, 587);
        assert_eq!(Server::new("smtp://[::1]:2525").unwrap().place(), "::1:2525");
        for bad in ["mail.test", "http://mail.test", "smtp://mail.test?tls=maybe", "smtp:"] {
            assert!(Server::new(bad).is_err(), "{bad}");
        }
    }
}
