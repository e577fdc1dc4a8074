//! The worker of `dev`: a process of its own, as in production, so that it can be killed and seen to come
//! back.

use std::{env, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use devstack::Program;
use tokio::{process::Command, sync::watch, time::Instant};

use crate::stop::Stop;

/// Who ends by itself so soon after its start cannot run at all.
const AT_ONCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

/// How a worker is started.
pub struct Worker {
    program: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Worker {
    /// # Errors
    /// If the system does not say which program this is.
    pub fn new(environment: Vec<(&'static str, String)>) -> anyhow::Result<Self> {
        let program = env::current_exe().context("the path of this program is not known")?;
        Ok(Self { program, environment })
    }

    fn start(&self) -> anyhow::Result<Program> {
        let mut command = Command::new(&self.program);
        command.arg("worker").envs(self.environment.iter().map(|(name, value)| (*name, value)));
        Program::start(&command).context("the worker cannot be started")
    }

    /// Runs it until `stop`, starts it again when it is killed, and keeps it away while `is_away`.
    ///
    /// # Errors
    /// If it cannot run at all.
    pub async fn run(self, mut is_away: watch::Receiver<bool>, stop: Stop) -> anyhow::Result<()> {
        loop {
            let (mut worker, started) = (self.start()?, Instant::now());
            tokio::select! {
                status = worker.exited() => {
                    // A code is its own decision; a signal is somebody else's.
                    if status.code().is_some() && started.elapsed() < AT_ONCE {
                        bail!("the worker ended at its start ({status}): see above");
                    }
                    tracing::warn!(%status, "the worker ended, starting it again");
                    tokio::time::sleep(PAUSE).await;
                }
                () = turned(&mut is_away, true) => {
                    worker.kill().await;
                    tracing::warn!("the worker was killed, and is away until it is brought back");
                }
                () = stop.clone().wait() => {
                    worker.stop().await;
                    return Ok(());
                }
            }
            tokio::select! {
                () = turned(&mut is_away, false) => {}
                () = stop.clone().wait() => return Ok(()),
            }
        }
    }
}

/// Waits until the switch is turned so. What `wait_for` gives is a lock on the switch, and whoever turns it
/// next would wait for whoever holds that.
async fn turned(switch: &mut watch::Receiver<bool>, on: bool) {
    // An error means that the switch is gone, with the whole program.
    drop(switch.wait_for(|is_on| *is_on == on).await);
}
