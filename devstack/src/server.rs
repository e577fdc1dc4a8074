//! A server process on a guard: it ends with us, in order if it can, whatever ends us.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{PipeWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::data_dir_lock::{DataDirLock, beside, command_line};
use crate::run_as::RunAs;

/// Time for a server to stop in order before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// Time for a server to answer after it was launched, recovery from a crash included.
const START_LIMIT: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(20);
/// A log longer than this is moved aside at the next start.
const LOG_LIMIT_BYTES: u64 = 10 * 1024 * 1024;

/// Servers that were dropped while they ran: their guards are stopping them.
static DROPPED: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Becomes the server (same process id) after leaving a guard behind. The guard reads our end of a
/// pipe: a line means "all is well, go away"; its end means that we died, so the guard stops the
/// server with signal $1 and, $2 seconds later, kills it. It is forked twice so that the server
/// never has an unknown child, which PostgreSQL would take for a crashed one.
const GUARD: &str = r#"signal=$1 grace=$2; shift 2
exec 3<&0
( (
    trap '' HUP INT TERM QUIT
    exec >/dev/null 2>&1
    read -r line <&3 && exit
    kill -s "$signal" $$ || exit
    while [ "$grace" -gt 0 ] && kill -0 $$; do sleep 1; grace=$((grace - 1)); done
    kill -s KILL $$
) & )
exec "$@" </dev/null 3<&-"#;

/// How to launch a server.
pub(crate) struct Launch {
    /// Its name in messages.
    pub(crate) what: &'static str,
    /// Program and arguments.
    pub(crate) argv: Vec<OsString>,
    /// Its working folder; the user it runs as must be able to enter it.
    pub(crate) dir: PathBuf,
    pub(crate) run_as: RunAs,
    /// Takes its standard output and error.
    pub(crate) log: PathBuf,
    /// Asks it to stop in order.
    pub(crate) stop: Signal,
}

/// A running server.
pub(crate) struct Server {
    what: &'static str,
    stop: Signal,
    log: PathBuf,
    /// Where this run's lines begin in the log.
    log_start: u64,
    child: Child,
    guard: Option<PipeWriter>,
    claim: Option<DataDirLock>,
}

impl Server {
    /// Starts the process and notes it in the claim; it may not answer yet.
    pub(crate) fn launch(launch: &Launch, claim: &mut DataDirLock) -> Result<Server> {
        let (end, guard) = std::io::pipe()?;
        let log = open_log(&launch.log)?;
        let log_start = log.metadata()?.len();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", GUARD, "guard", signal_name(launch.stop)])
            .arg(STOP_LIMIT.as_secs().to_string())
            .args(&launch.run_as.prefix)
            .args(&launch.argv)
            .current_dir(&launch.dir)
            // Ctrl-C in the terminal must reach us alone: we stop the servers in order.
            .process_group(0)
            .stdin(end)
            .stdout(log.try_clone()?)
            .stderr(log);
        if let Some((uid, gid)) = launch.run_as.ids {
            command.uid(uid).gid(gid);
        }
        let child = command.spawn().with_context(|| format!("could not start {}", launch.what))?;
        if let Some(pid) = child.id() {
            claim.record(pid)?;
        }
        Ok(Server {
            what: launch.what,
            stop: launch.stop,
            log: launch.log.clone(),
            log_start,
            child,
            guard: Some(guard),
            claim: None,
        })
    }

    /// Waits until `ready` says so. Fails early if the process ends.
    pub(crate) async fn wait_until(&mut self, ready: impl AsyncFn() -> bool) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while !ready().await {
            if let Some(status) = self.child.try_wait()? {
                let last_words = self.last_words();
                self.release();
                return Err(DiedEarly { what: self.what, status, last_words, log: self.log.clone() }.into());
            }
            if Instant::now() > deadline {
                self.kill().await;
                bail!(
                    "{} did not answer within {} s of its start: see {}",
                    self.what,
                    START_LIMIT.as_secs(),
                    self.log.display()
                );
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Keeps the claim on the server's data for as long as the server runs.
    pub(crate) fn hold(&mut self, claim: DataDirLock) {
        self.claim = Some(claim);
    }

    /// The process id, until its end was seen.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the process has ended, for whatever reason.
    pub(crate) async fn exited(&mut self) -> ExitStatus {
        let status = self.child.wait().await.unwrap_or_default();
        self.release();
        status
    }

    /// Ends the process at once, as a crash would.
    pub(crate) async fn kill(&mut self) {
        let _ = self.child.start_kill();
        self.exited().await;
    }

    /// Stops the process in order; kills it if that takes too long, which is an error.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.signal(self.stop);
        if timeout(STOP_LIMIT, self.exited()).await.is_err() {
            self.kill().await;
            bail!("{} did not stop within {} s and was killed", self.what, STOP_LIMIT.as_secs());
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        // Not yet waited for, so the id is still this process, even if it is dead by now.
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    }

    /// Sends the guard away and lets go of the data: the process is known to be dead.
    fn release(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            let _ = guard.write_all(b"\n");
        }
        self.claim = None;
    }

    /// The end of what this run wrote to its log.
    fn last_words(&self) -> String {
        let mut text = Vec::new();
        if let Ok(mut log) = File::open(&self.log) {
            let length = log.metadata().map_or(0, |meta| meta.len());
            let _ = log.seek(SeekFrom::Start(self.log_start.max(length.saturating_sub(4096))));
            let _ = log.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let (Some(_), Some(pid)) = (&self.guard, self.child.id()) {
            DROPPED.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
        }
    }
}

/// Waits until the servers have ended that were dropped while they ran, such as those whose start
/// was given up: whoever exits after this leaves nothing behind.
pub async fn wait_for_dropped() {
    let dropped = std::mem::take(&mut *DROPPED.lock().unwrap_or_else(PoisonError::into_inner));
    let deadline = Instant::now() + STOP_LIMIT + Duration::from_secs(1);
    while dropped.iter().any(|pid| command_line(*pid).is_some()) && Instant::now() < deadline {
        sleep(POLL).await;
    }
}

/// Launches until the server stays up: `attempt` may lose a race for a port it picked itself, or
/// against the last processes of a killed predecessor, and then deserves another try.
pub(crate) async fn start(mut attempt: impl AsyncFnMut() -> Result<Server>) -> Result<Server> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match attempt().await {
            Err(error) if Instant::now() < deadline && lost_a_race(&error) => {
                sleep(Duration::from_millis(200)).await;
            }
            result => return result,
        }
    }
}

fn lost_a_race(error: &anyhow::Error) -> bool {
    error.downcast_ref::<DiedEarly>().is_some_and(|died| {
        let words = died.last_words.to_lowercase();
        words.contains("already in use") || words.contains("still in use")
    })
}

/// The server ended before it was ready.
#[derive(Debug)]
struct DiedEarly {
    what: &'static str,
    status: ExitStatus,
    last_words: String,
    log: PathBuf,
}

impl fmt::Display for DiedEarly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.last_words.lines().rev();
        let telling = lines.clone().find(|line| line.contains("FATAL") || line.contains("rror"));
        let reason = telling.or_else(|| lines.next()).unwrap_or("it said nothing");
        let (what, status, log) = (self.what, self.status, self.log.display());
        write!(f, "{what} ended at its start ({status}): {reason} (more in {log})")
    }
}

impl std::error::Error for DiedEarly {}

/// Opens a log to append to, after moving a long one aside.
fn open_log(path: &Path) -> Result<File> {
    if fs::metadata(path).is_ok_and(|meta| meta.len() > LOG_LIMIT_BYTES) {
        fs::rename(path, beside(path, "old"))?;
    }
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("could not write the log {}", path.display()))
}

fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "INT",
        Signal::KILL => "KILL",
        _ => "TERM",
    }
}
