//! A mail server with whims, in front of the run's mail catcher: it refuses what a test says, may not know
//! SMTPUTF8, and remembers each command as it came.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
};

use super::servers;

/// What a connection is noted as.
pub const GREETING: &str = "(connects)";

#[derive(Default)]
struct Whims {
    /// A command with this in it gets that answer.
    refusals: Vec<(String, String)>,
    without_utf8: bool,
    /// So long after it has the next mail it says so.
    slowness: Option<Duration>,
    commands: Vec<String>,
}

pub struct Smtp {
    pub url: String,
    whims: Arc<Mutex<Whims>>,
}

impl Smtp {
    pub async fn start() -> Self {
        let catcher = servers().await.mail.smtp_url().trim_start_matches("smtp://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let whims = Arc::<Mutex<Whims>>::default();
        let same = Arc::clone(&whims);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (catcher, whims) = (catcher.clone(), Arc::clone(&same));
                tokio::spawn(async move { converse(client, &catcher, &whims).await });
            }
        });
        Self { url, whims }
    }

    /// From now on, answers so to each command with this in it. Who connects has commanded [`GREETING`].
    pub fn refuse(&self, what: &str, answer: &str) {
        self.whims.lock().unwrap().refusals.push((what.to_owned(), answer.to_owned()));
    }

    pub fn relent(&self) {
        self.whims.lock().unwrap().refusals.clear();
    }

    pub fn forget_utf8(&self) {
        self.whims.lock().unwrap().without_utf8 = true;
    }

    /// Has the next mail for so long before it says so.
    pub fn ponder(&self, slowness: Duration) {
        self.whims.lock().unwrap().slowness = Some(slowness);
    }

    /// The commands so far that begin like this.
    pub fn commands(&self, beginning: &str) -> Vec<String> {
        let whims = self.whims.lock().unwrap();
        whims.commands.iter().filter(|command| command.starts_with(beginning)).cloned().collect()
    }
}

/// None: one side has hung up.
async fn converse(client: TcpStream, catcher: &str, whims: &Mutex<Whims>) -> Option<()> {
    let (from_client, mut to_client) = client.into_split();
    let (from_server, mut to_server) = TcpStream::connect(catcher).await.ok()?.into_split();
    let (mut client, mut server) = (BufReader::new(from_client), BufReader::new(from_server));
    let greeting = reply(&mut server).await?;
    if let Some(answer) = refusal(whims, GREETING.to_owned()) {
        return to_client.write_all(format!("{answer}\r\n").as_bytes()).await.ok();
    }
    to_client.write_all(&greeting).await.ok()?;
    loop {
        let command = line(&mut client).await?;
        let text = String::from_utf8_lossy(&command).trim_end().to_owned();
        if let Some(answer) = refusal(whims, text) {
            to_client.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
            continue;
        }
        to_server.write_all(&command).await.ok()?;
        let mut answer = reply(&mut server).await?;
        if whims.lock().unwrap().without_utf8 {
            answer = String::from_utf8(answer).ok()?.replace("SMTPUTF8", "X-NOTHING").into_bytes();
        }
        to_client.write_all(&answer).await.ok()?;
        if answer.starts_with(b"354") {
            let mut is_end = false;
            while !is_end {
                let line = line(&mut client).await?;
                is_end = line == b".\r\n";
                to_server.write_all(&line).await.ok()?;
            }
            let taken = reply(&mut server).await?;
            let slowness = whims.lock().unwrap().slowness.take();
            tokio::time::sleep(slowness.unwrap_or_default()).await;
            to_client.write_all(&taken).await.ok()?;
        }
    }
}

fn refusal(whims: &Mutex<Whims>, command: String) -> Option<String> {
    let mut whims = whims.lock().unwrap();
    let refusal = whims.refusals.iter().find(|(what, _)| command.contains(what));
    let answer = refusal.map(|(_, answer)| answer.clone());
    whims.commands.push(command);
    answer
}

async fn line(from: &mut BufReader<OwnedReadHalf>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line).await.ok().filter(|read| *read > 0)?;
    Some(line)
}

/// All lines of one answer: the last has a space after its code.
async fn reply(from: &mut BufReader<OwnedReadHalf>) -> Option<Vec<u8>> {
    let mut reply = Vec::new();
    loop {
        let line = line(from).await?;
        let is_last = line.get(3) != Some(&b'-');
        reply.extend(line);
        if is_last {
            return Some(reply);
        }
    }
}
