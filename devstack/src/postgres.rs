//! PostgreSQL, on a data folder of its own.
//!
//! Beside the data folder `x/postgres` stand `x/postgres.password`, `.log` and `.lock`.

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use tokio::process::Command;
use tokio::time::timeout;

use crate::data_dir_lock::{DataDirLock, beside, command_line, evict};
use crate::kill_on_drop::kill_on_drop;
use crate::ports;
use crate::run_as::RunAs;
use crate::server::{self, Launch, Server};
use crate::tools::{PgBin, Tools};

const WHAT: &str = "PostgreSQL";
/// The superuser of every data folder made here.
const USER: &str = "holdfast";
const INITDB_LIMIT: Duration = Duration::from_secs(120);
/// PostgreSQL's "fast" shutdown: rolls back what is open and ends. It checks its data on the way.
const FAST_SHUTDOWN: Signal = Signal::INT;

/// What [`Postgres::start`] needs to know.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The data folder; made at the first start, used again at later ones.
    pub data_dir: PathBuf,
    /// The port on 127.0.0.1; `None` picks a free one.
    pub port: Option<u16>,
    /// `false` trades safety against power loss for speed. Data still survives a killed server.
    pub durable: bool,
}

/// A running PostgreSQL server. Dropping it stops the server too, without waiting for its end.
pub struct Postgres {
    server: Server,
    programs: PathBuf,
    port: u16,
    password: String,
}

impl Postgres {
    /// Starts PostgreSQL 14 or newer and waits until it takes connections. The first start makes
    /// the superuser `holdfast` and the empty database `postgres`.
    ///
    /// # Errors
    /// [`PortTaken`](crate::PortTaken) when the port asked for is in use.
    pub async fn start(tools: &Tools, options: PostgresOptions) -> Result<Postgres> {
        let data_dir = std::path::absolute(&options.data_dir)?;
        let parent = data_dir.parent().context("the data folder cannot be the root folder")?;
        fs::create_dir_all(parent).with_context(|| format!("could not make {}", parent.display()))?;
        let mut claim = DataDirLock::take(&data_dir, WHAT).await?;
        evict_leftover(&data_dir, claim.recorded()).await?;
        ports::choose(options.port, WHAT)?;

        let bin = tools.postgres(major_of(&data_dir)?).await?;
        let run_as = RunAs::not_root(&data_dir)?;
        let password = password(&data_dir)?;
        if major_of(&data_dir)?.is_none() {
            initialise(&bin, &data_dir, &run_as, options.durable).await?;
        }

        let mut launch = Launch {
            what: WHAT,
            argv: Vec::new(),
            log: beside(&data_dir, "log"),
            dir: data_dir.clone(),
            run_as,
            stop: FAST_SHUTDOWN,
        };
        let mut port = 0;
        let mut server = server::start(async || {
            port = ports::choose(options.port, WHAT)?;
            launch.argv = command(&bin, &data_dir, port, options.durable);
            let mut server = Server::launch(&launch, &mut claim)?;
            let pid = server.pid();
            server.wait_until(async || is_ready(&data_dir, pid)).await?;
            Ok(server)
        })
        .await?;
        server.hold(claim);
        Ok(Postgres { server, programs: bin.dir, port, password })
    }

    /// The connection string of a database of this server. The first one is called `postgres`.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// A program that comes with the server, such as `pgbench`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// The process id of the postmaster, until its end was seen.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the server as a crash would. Start again on the same data folder to see it recover.
    pub async fn kill(&mut self) {
        self.server.kill().await;
    }

    /// Stops the server in order: open transactions are rolled back, data is on disk.
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

fn command(bin: &PgBin, data_dir: &Path, port: u16, durable: bool) -> Vec<OsString> {
    let mut command = vec![bin.dir.join("postgres").into(), "-D".into(), data_dir.into()];
    let mut set = |setting: &str| command.extend(["-c".into(), setting.into()]);
    set(&format!("port={port}"));
    set("listen_addresses=127.0.0.1");
    set("unix_socket_directories=");
    set("max_connections=300");
    set("shared_buffers=128MB");
    if !durable {
        set("fsync=off");
        set("synchronous_commit=off");
        set("full_page_writes=off");
    }
    command
}

/// Makes the data folder. It appears under its name only when complete, so that a run killed
/// meanwhile leaves nothing half made.
async fn initialise(bin: &PgBin, data_dir: &Path, run_as: &RunAs, durable: bool) -> Result<()> {
    let part = beside(data_dir, "part");
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    fs::create_dir(&part).with_context(|| format!("could not make {}", part.display()))?;
    run_as.own(&part)?;
    let password_file = beside(data_dir, "password");
    run_as.own(&password_file)?;

    let mut argv = run_as.prefix.clone();
    argv.extend([bin.dir.join("initdb").into(), "-D".into(), part.clone().into()]);
    argv.extend(["-U", USER, "--auth=scram-sha-256", "-E", "UTF8", "--locale=C"].map(OsString::from));
    if !durable {
        argv.push("--no-sync".into());
    }
    let mut pwfile = OsString::from("--pwfile=");
    pwfile.push(&password_file);
    argv.push(pwfile);

    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).current_dir(&part);
    let (mut command, _leash) = kill_on_drop(&command)?;
    if let Some((uid, gid)) = run_as.ids {
        command.uid(uid).gid(gid);
    }
    let output = timeout(INITDB_LIMIT, command.output())
        .await
        .context("initdb did not finish in time: start again")?
        .with_context(|| format!("could not run initdb in {}{}", part.display(), run_as.hint()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("initdb could not make {}: {}", data_dir.display(), said.trim().replace('\n', "; "));
    }
    fs::rename(&part, data_dir).with_context(|| {
        format!("{} is not a PostgreSQL data folder: empty it or use another one", data_dir.display())
    })
}

/// The password of the superuser, made at the first start.
fn password(data_dir: &Path) -> Result<String> {
    let path = beside(data_dir, "password");
    if let Ok(password) = fs::read_to_string(&path)
        && !password.trim().is_empty()
    {
        return Ok(password.trim().to_owned());
    }
    ensure!(
        major_of(data_dir)?.is_none(),
        "{} is missing or unreadable, and {} does not open without it: restore it or remove both",
        path.display(),
        data_dir.display()
    );
    let mut random = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(password.as_bytes()))
        .with_context(|| format!("could not write {}", path.display()))?;
    Ok(password)
}

/// The major version that made the data folder, if it was made.
fn major_of(data_dir: &Path) -> Result<Option<u32>> {
    match fs::read_to_string(data_dir.join("PG_VERSION")) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| {
            format!(
                "{} cannot be read: run as the user who made it, or use another folder",
                data_dir.display()
            )
        }),
    }
}

/// Stops what a killed run left on this data folder.
async fn evict_leftover(data_dir: &Path, recorded: Option<u32>) -> Result<()> {
    let marks = ["postgres", &*data_dir.to_string_lossy()];
    if let Some(pid) = recorded {
        evict(pid, &marks, FAST_SHUTDOWN).await?;
    }
    let pid_file = data_dir.join("postmaster.pid");
    let Some(pid) = pid_file_lines(data_dir).and_then(|lines| lines.first()?.parse().ok()) else {
        return Ok(());
    };
    evict(pid, &marks, FAST_SHUTDOWN).await?;
    // After a restart of the machine that id may be anybody's, and PostgreSQL would refuse to start.
    if command_line(pid).is_some_and(|line| !line.contains("postgres")) {
        fs::remove_file(&pid_file)?;
    }
    Ok(())
}

/// Whether the server says, in the file it keeps for `pg_ctl`, that it takes connections.
fn is_ready(data_dir: &Path, pid: Option<u32>) -> bool {
    pid_file_lines(data_dir).is_some_and(|lines| {
        lines[0].parse().ok() == pid && lines.get(7).is_some_and(|status| status == "ready")
    })
}

fn pid_file_lines(data_dir: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(data_dir.join("postmaster.pid")).ok()?;
    let lines: Vec<_> = text.lines().map(|line| line.trim().to_owned()).collect();
    (!lines.is_empty()).then_some(lines)
}
