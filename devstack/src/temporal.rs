//! The Temporal development server.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::data_dir_lock::{DataDirLock, evict};
use crate::ports::{self, free_port};
use crate::run_as::RunAs;
use crate::server::{self, Launch, Server};
use crate::tools::Tools;

const WHAT: &str = "Temporal";
const UI: &str = "Temporal UI";
const STOP: Signal = Signal::TERM;

/// The server throttles itself to about 20 hand-overs a second without the last three.
const DYNAMIC_CONFIG: [&str; 4] = [
    "frontend.WorkflowTimeSkippingEnabled=true",
    "history.transferProcessorMaxPollRPS=2000",
    "history.visibilityProcessorMaxPollRPS=2000",
    "history.timerProcessorMaxPollRPS=2000",
];

/// What [`Temporal::start`] needs to know.
#[derive(Debug, Clone)]
pub struct TemporalOptions {
    /// The port of the gRPC frontend on 127.0.0.1; `None` picks a free one.
    pub port: Option<u16>,
    /// The port of the web UI; `None` starts without it.
    pub ui_port: Option<u16>,
    /// Where the web UI, in the browser, asks for payloads in clear.
    pub ui_codec: Option<String>,
    /// Keeps workflows across restarts; `None` keeps them in memory only.
    pub db_file: Option<PathBuf>,
    /// Takes what the server prints. Without a `db_file`, one server per log file.
    pub log_file: PathBuf,
    /// More of the server's dynamic configuration, as `key=value`.
    pub settings: Vec<String>,
}

/// A running Temporal server. Dropping it stops the server too, without waiting for its end.
pub struct Temporal {
    server: Server,
    port: u16,
    ui_port: Option<u16>,
}

impl Temporal {
    /// Starts the server and waits until it serves the namespace `default`.
    ///
    /// # Errors
    /// [`PortTaken`](crate::PortTaken) when a port asked for is in use.
    pub async fn start(tools: &Tools, options: TemporalOptions) -> Result<Temporal> {
        let log = std::path::absolute(&options.log_file)?;
        let db_file = options.db_file.as_ref().map(std::path::absolute).transpose()?;
        let data = db_file.as_ref().unwrap_or(&log);
        for file in [data, &log] {
            let dir = file.parent().context("a file of Temporal cannot be the root folder")?;
            fs::create_dir_all(dir).with_context(|| format!("could not make {}", dir.display()))?;
        }
        let mut claim = DataDirLock::take(data, WHAT).await?;
        if let Some(pid) = claim.recorded() {
            let db = db_file.as_ref().map(|file| file.to_string_lossy()).unwrap_or_default();
            evict(pid, &["server start-dev", &db], STOP).await?;
        }
        ports::choose(options.port, WHAT)?;
        // Before the server is fetched, which takes long.
        if let Some(ui_port) = options.ui_port {
            ports::choose(Some(ui_port), UI)?;
        }

        let mut launch = Launch {
            what: WHAT,
            argv: vec![tools.temporal().await?.into()],
            dir: log.parent().unwrap_or(&log).to_owned(),
            run_as: RunAs::default(),
            log,
            stop: STOP,
        };
        let mut port = 0;
        let mut server = server::start(async || {
            port = ports::choose(options.port, WHAT)?;
            if let Some(ui_port) = options.ui_port {
                ports::choose(Some(ui_port), UI)?;
            }
            let http_port = free_port();
            launch.argv.truncate(1);
            launch.argv.extend(arguments(port, http_port, &options));
            if let Some(file) = &db_file {
                launch.argv.extend(["--db-filename".into(), file.into()]);
            }
            let mut server = Server::launch(&launch, &mut claim)?;
            server.wait_until(async || is_ready(http_port).await).await?;
            Ok(server)
        })
        .await?;
        server.hold(claim);
        Ok(Temporal { server, port, ui_port: options.ui_port })
    }

    /// The address of the gRPC frontend, as in `127.0.0.1:7233`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The process id, until its end was seen.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// The port of the gRPC frontend.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of the web UI, if it was started.
    pub fn ui_url(&self) -> Option<String> {
        self.ui_port.map(|port| format!("http://127.0.0.1:{port}"))
    }

    /// Kills the server as a crash would.
    pub async fn kill(&mut self) {
        self.server.kill().await;
    }

    /// Stops the server in order.
    ///
    /// # Errors
    /// When it did not stop in time and had to be killed.
    pub async fn stop(self) -> Result<()> {
        self.server.stop().await
    }

    /// Waits until the server has ended by itself, for a supervisor to notice a crash. May be
    /// dropped and called again.
    pub async fn exited(&mut self) -> ExitStatus {
        self.server.exited().await
    }
}

fn arguments(port: u16, http_port: u16, options: &TemporalOptions) -> Vec<OsString> {
    let mut arguments = vec!["server".to_owned(), "start-dev".to_owned()];
    let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    add("--ip", "127.0.0.1".to_owned());
    add("--port", port.to_string());
    add("--http-port", http_port.to_string());
    add("--log-level", "warn".to_owned());
    let settings = options.settings.iter().map(String::as_str);
    for setting in DYNAMIC_CONFIG.into_iter().chain(settings) {
        add("--dynamic-config-value", setting.to_owned());
    }
    if let Some(codec) = &options.ui_codec {
        add("--ui-codec-endpoint", codec.clone());
    }
    match options.ui_port {
        Some(ui_port) => add("--ui-port", ui_port.to_string()),
        None => arguments.push("--headless".to_owned()),
    }
    arguments.into_iter().map(OsString::from).collect()
}

/// Whether the frontend answers for the default namespace. Asked over its HTTP API, which passes
/// the question on to the gRPC one: that takes a millisecond, running the CLI takes a hundred.
async fn is_ready(http_port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", http_port)).await?;
        let request = "GET /api/v1/namespaces/default HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut status_line = [0; 12];
        stream.read_exact(&mut status_line).await?;
        std::io::Result::Ok(status_line)
    };
    let answer = timeout(Duration::from_secs(2), ask).await;
    matches!(answer, Ok(Ok(line)) if line.ends_with(b" 200"))
}
