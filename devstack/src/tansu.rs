//! Tansu: a broker that speaks Kafka's protocol and keeps its topics in memory. For `holdfast dev --kafka`
//! and tests.

use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::data_dir_lock::DataDirLock;
use crate::ports;
use crate::run_as::RunAs;
use crate::server::{self, Launch, Server};
use crate::tools::Tools;

const WHAT: &str = "Kafka";
// It keeps all in memory and does not end at once when it is asked to: its port is to be free for the next
// one.
const STOP: Signal = Signal::KILL;

/// `ApiVersions`, version 0, from a client without a name: the shortest question that Kafka's protocol has.
const ARE_YOU_THERE: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];

/// What [`Tansu::start`] needs to know.
#[derive(Debug, Clone)]
pub struct TansuOptions {
    /// The port on 127.0.0.1; `None` picks a free one.
    pub port: Option<u16>,
    /// Takes what the broker prints. One broker per log file.
    pub log_file: PathBuf,
}

/// A running broker. Dropping it stops it too, without waiting for its end. What was written to it ends with
/// it.
pub struct Tansu {
    server: Server,
    port: u16,
}

impl Tansu {
    /// Starts the broker and waits until it answers.
    ///
    /// # Errors
    /// [`PortTaken`](crate::PortTaken) when the port asked for is in use.
    pub async fn start(tools: &Tools, options: TansuOptions) -> Result<Tansu> {
        let log = std::path::absolute(&options.log_file)?;
        let dir = log.parent().context("a log cannot be the root folder")?.to_owned();
        fs::create_dir_all(&dir).with_context(|| format!("could not make {}", dir.display()))?;
        let mut claim = DataDirLock::take(&log, WHAT).await?;
        // Before the broker is fetched, which takes a while.
        ports::choose(options.port, WHAT)?;
        let program = tools.tansu().await?;
        let mut launch =
            Launch { what: WHAT, argv: Vec::new(), dir, run_as: RunAs::default(), log, stop: STOP };
        let mut port = 0;
        let mut server = server::start(async || {
            port = ports::choose(options.port, WHAT)?;
            let url = format!("tcp://127.0.0.1:{port}");
            launch.argv = vec![program.clone().into()];
            let arguments = ["broker", "--listener-url", &url, "--advertised-listener-url", &url];
            launch.argv.extend(arguments.map(Into::into));
            launch.argv.extend(["--storage-engine", "memory://tansu/"].map(Into::into));
            let mut server = Server::launch(&launch, &mut claim)?;
            server.wait_until(async || answers(port).await).await?;
            Ok(server)
        })
        .await?;
        server.hold(claim);
        Ok(Tansu { server, port })
    }

    /// Where clients find it, as in `127.0.0.1:9092`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port of the broker.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id, until its end was seen.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Kills the broker as a crash would.
    pub async fn kill(&mut self) {
        self.server.kill().await;
    }

    /// Stops the broker in order.
    ///
    /// # Errors
    /// When it did not stop in time and had to be killed.
    pub async fn stop(self) -> Result<()> {
        self.server.stop().await
    }

    /// Waits until the broker has ended by itself. May be dropped and called again.
    pub async fn exited(&mut self) -> ExitStatus {
        self.server.exited().await
    }
}

/// Whether a broker answers on this port.
async fn answers(port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(&ARE_YOU_THERE).await?;
        let mut head = [0; 8];
        stream.read_exact(&mut head).await?;
        std::io::Result::Ok(head)
    };
    matches!(timeout(Duration::from_secs(2), ask).await, Ok(Ok(head)) if head[4..] == [0, 0, 0, 1])
}
