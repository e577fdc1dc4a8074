//! Who may run a server on some data: one program at a time, and never beside a leftover.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

/// How long a program that is just ending may take to let go of its claim.
const HANDOVER: Duration = Duration::from_secs(2);
/// How long a leftover server may take to stop by itself before it is killed.
const LEFTOVER_GRACE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// An exclusive claim on a server's data, held by a lock file beside it. The system drops the lock
/// when the holder dies, so a lock that is free while the server lives means: a leftover.
#[derive(Debug)]
pub struct DataDirLock {
    file: File,
}

impl DataDirLock {
    /// Claims a whole folder, which must exist, for the program `what`.
    ///
    /// # Errors
    /// When another program has it.
    pub async fn folder(dir: &Path, what: &str) -> Result<DataDirLock> {
        DataDirLock::lock(&dir.join("lock"), dir, what).await
    }

    /// Claims `data` (a file or folder, which need not exist yet).
    pub(crate) async fn take(data: &Path, what: &str) -> Result<DataDirLock> {
        DataDirLock::lock(&beside(data, "lock"), data, what).await
    }

    async fn lock(path: &Path, data: &Path, what: &str) -> Result<DataDirLock> {
        let open = || File::options().read(true).write(true).create(true).truncate(false).open(path);
        let file = open().with_context(|| format!("could not open {}", path.display()))?;
        let deadline = Instant::now() + HANDOVER;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(DataDirLock { file }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(POLL).await,
                Err(TryLockError::WouldBlock) => bail!(
                    "another program already runs {what} on {}: stop it, or use another folder",
                    data.display()
                ),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("could not lock {}", path.display()));
                }
            }
        }
    }

    /// Notes which process serves the claimed data.
    pub(crate) fn record(&mut self, pid: u32) -> Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        Ok(write!(self.file, "{pid}")?)
    }

    /// The process noted by the last holder of this claim.
    pub(crate) fn recorded(&mut self) -> Option<u32> {
        let mut text = String::new();
        self.file.rewind().ok()?;
        self.file.read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }
}

impl Drop for DataDirLock {
    fn drop(&mut self) {
        // Closing is not enough: a process being spawned right now may hold a copy of the file.
        let _ = self.file.unlock();
    }
}

/// `data` with `.extension` added to its whole name: `x/postgres` gives `x/postgres.lock`.
pub(crate) fn beside(data: &Path, extension: &str) -> PathBuf {
    let mut name = data.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// Stops the server a dead program left behind: process `pid`, if its command line still holds
/// every one of `marks`. Its own guard is stopping it too; both ask for the same.
pub(crate) async fn evict(pid: u32, marks: &[&str], stop: Signal) -> Result<()> {
    let lives = || command_line(pid).is_some_and(|line| marks.iter().all(|mark| line.contains(mark)));
    let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(());
    };
    for (signal, patience) in [(stop, LEFTOVER_GRACE), (Signal::KILL, HANDOVER)] {
        if !lives() {
            return Ok(());
        }
        let sent = kill_process(target, signal);
        let deadline = Instant::now() + patience;
        while sent.is_ok() && lives() && Instant::now() < deadline {
            sleep(POLL).await;
        }
    }
    if lives() {
        bail!("a server of an earlier run (process {pid}) does not stop: end it, then start again");
    }
    Ok(())
}

/// The command line of a living process; none for one that is gone or only waits to be reaped.
pub(crate) fn command_line(pid: u32) -> Option<String> {
    let bytes = if Path::new("/proc/self/cmdline").exists() {
        fs::read(format!("/proc/{pid}/cmdline")).ok()?
    } else {
        let pid = pid.to_string();
        Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid]).output().ok()?.stdout
    };
    let line = String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned();
    (!line.is_empty()).then_some(line)
}
