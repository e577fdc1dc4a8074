//! The SMTP side: takes whatever it is sent, as long as it is not too long.

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use mailin::{Action, Handler, Response, SessionBuilder, response};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::store::{MAX_MAIL_BYTES, Store};

const MAX_CONNECTIONS: usize = 50;
/// A connection silent for this long is closed.
const IDLE_LIMIT: Duration = Duration::from_secs(300);
/// Between two tries to listen again.
const RETRY: Duration = Duration::from_millis(200);

/// Serves until it is aborted, which cuts the open connections too. So does being away, and then nobody
/// listens.
pub(super) async fn serve(listener: TcpListener, store: Arc<Store>, mut away: watch::Receiver<bool>) {
    let Ok(address) = listener.local_addr() else { return };
    let mut listener = Some(listener);
    loop {
        if let Some(listener) = listener.take() {
            tokio::select! {
                () = listen(listener, &store) => {}
                changed = away.wait_for(|is_away| *is_away) => if changed.is_err() { return },
            }
        }
        if away.wait_for(|is_away| !is_away).await.is_err() {
            return;
        }
        // Somebody else may have the port by now, until they give it back.
        match TcpListener::bind(address).await {
            Ok(again) => listener = Some(again),
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

/// Takes mail until it is dropped.
async fn listen(listener: TcpListener, store: &Arc<Store>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    let inbox = Inbox { store: Arc::clone(store), mail: Vec::new(), too_long: false };
                    #[expect(clippy::disallowed_methods, reason = "bounded by `MAX_CONNECTIONS`")]
                    connections.spawn(converse(stream, inbox));
                }
                // Out of file descriptors, most likely: do not spin until there are some.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
}

/// One connection. That it breaks off is the client's affair, so nobody looks at the result.
async fn converse(stream: TcpStream, inbox: Inbox) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut session = SessionBuilder::new("devstack").build(IpAddr::V4(Ipv4Addr::LOCALHOST), inbox);
    stream.write_all(&session.greeting().buffer()?).await?;
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut stream).take(MAX_MAIL_BYTES as u64);
        let read = timeout(IDLE_LIMIT, limited.read_until(b'\n', &mut line)).await??;
        if read == 0 || !line.ends_with(b"\n") {
            return Ok(());
        }
        let response = session.process(&without_utf8(&line));
        if response.action != Action::NoReply {
            stream.write_all(&with_utf8(&line, response.buffer()?)).await?;
        }
        if response.action == Action::Close {
            return Ok(());
        }
    }
}

/// The library knows nothing of SMTPUTF8 (RFC 6531), and takes addresses in any letters all the same: it is
/// offered here...
fn with_utf8(line: &[u8], answer: Vec<u8>) -> Vec<u8> {
    const LAST: &[u8] = b"250 8BITMIME\r\n";
    match (begins(line, b"EHLO"), answer.strip_suffix(LAST)) {
        (true, Some(before)) => [before, b"250-8BITMIME\r\n250 SMTPUTF8\r\n"].concat(),
        _ => answer,
    }
}

/// ... and taken out where it is asked for. A line of a mail never begins like that: `MAIL FROM:` in a text
/// would lose a word.
fn without_utf8(line: &[u8]) -> Cow<'_, [u8]> {
    const ASKED: &str = " SMTPUTF8";
    match std::str::from_utf8(line) {
        Ok(text) if begins(line, b"MAIL FROM:<") && text.contains(ASKED) => {
            Cow::Owned(text.replacen(ASKED, "", 1).into_bytes())
        }
        _ => Cow::Borrowed(line),
    }
}

fn begins(line: &[u8], command: &[u8]) -> bool {
    line.get(..command.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(command))
}

/// Collects the lines of one mail after the other.
struct Inbox {
    store: Arc<Store>,
    mail: Vec<u8>,
    too_long: bool,
}

impl Handler for Inbox {
    fn data_start(&mut self, _domain: &str, _from: &str, _is8bit: bool, _to: &[String]) -> Response {
        self.mail.clear();
        self.too_long = false;
        response::OK
    }

    fn data(&mut self, line: &[u8]) -> io::Result<()> {
        // An answer is due only at the end of the mail, so the rest of a long one is read and dropped.
        self.too_long |= self.mail.len() + line.len() > MAX_MAIL_BYTES;
        if !self.too_long {
            self.mail.extend_from_slice(line);
        }
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        if self.too_long {
            return response::NO_STORAGE;
        }
        match self.store.add(std::mem::take(&mut self.mail)) {
            Ok(()) => response::OK,
            Err(_) => response::OUT_OF_SPACE,
        }
    }
}
