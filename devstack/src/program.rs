//! A program of ours that runs beside us, and never outlives us.

use std::io::{self, PipeWriter};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::kill_on_drop::kill_on_drop;

/// Time for it to stop in order before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A running program. What it prints goes where ours goes. Dropping it kills it, and so does our own end,
/// whatever ends us; Ctrl-C in the terminal reaches us alone.
pub struct Program {
    child: Child,
    _guard: PipeWriter,
}

impl Program {
    /// Starts it.
    ///
    /// # Errors
    /// If the system cannot.
    pub fn start(command: &Command) -> io::Result<Program> {
        let (mut command, guard) = kill_on_drop(command)?;
        Ok(Program { child: command.spawn()?, _guard: guard })
    }

    /// The process id, until its end was seen.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it has ended, for whatever reason.
    pub async fn exited(&mut self) -> ExitStatus {
        self.child.wait().await.unwrap_or_default()
    }

    /// Ends it at once, as `kill -9` does.
    pub async fn kill(&mut self) {
        // It fails only if it has ended by itself.
        let _ = self.child.kill().await;
    }

    /// Stops it in order; kills it if that takes too long.
    pub async fn stop(&mut self) {
        // Not yet waited for, so the id is still this process, even if it is dead by now.
        let pid = self.pid().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(STOP_LIMIT, self.exited()).await.is_err() {
            self.kill().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn it_ends_in_order_or_at_once() {
        let ready = std::env::temp_dir().join(format!("holdfast-program-{}", std::process::id()));
        let script = "trap 'exit 7' TERM; echo ready > \"$0\"; while :; do sleep 0.05; done";
        let mut command = shell(script);
        command.arg(&ready);
        let mut program = Program::start(&command).unwrap();
        let is_trap_set = async {
            while !ready.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(30), is_trap_set).await.expect("the shell runs");
        std::fs::remove_file(&ready).unwrap();
        program.stop().await;
        assert_eq!(program.exited().await.code(), Some(7));
        let mut program = Program::start(&shell("sleep 600")).unwrap();
        assert!(program.pid().is_some());
        program.kill().await;
        assert_eq!(program.exited().await.code(), None);
    }
}
