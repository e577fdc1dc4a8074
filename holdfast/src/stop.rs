//! When to stop: Ctrl-C or SIGTERM, and at once at the second one.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

/// The exit code by which shells know a program that was interrupted.
const ENDED_BY_INTERRUPT: i32 = 130;

/// A stop that several parts can wait for.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Stops at the first signal. A second one ends the process where it is: what that leaves undone
    /// is picked up at the next start, as after a crash.
    pub fn on_signal() -> anyhow::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (stop, stopped) = watch::channel(false);
        #[expect(clippy::disallowed_methods, reason = "one for each process")]
        tokio::spawn(async move {
            let mut signal = async || {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            };
            signal().await;
            tracing::info!("stopping");
            stop.send_replace(true);
            signal().await;
            tracing::warn!("told twice to stop: ending at once");
            std::process::exit(ENDED_BY_INTERRUPT);
        });
        Ok(Self(stopped))
    }

    /// The same for those that look at it often.
    pub fn token(&self) -> CancellationToken {
        let (token, stopped) = (CancellationToken::new(), self.clone());
        let of_stop = token.clone();
        #[expect(clippy::disallowed_methods, reason = "one for each part of the program")]
        tokio::spawn(async move {
            stopped.wait().await;
            of_stop.cancel();
        });
        token
    }

    pub async fn wait(mut self) {
        // An error means that the sender is gone, with the whole program.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}
