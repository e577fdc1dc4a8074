//! When to stop: Ctrl-C or SIGTERM.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// A stop that several parts can wait for.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Stops at the first signal. A second one is left to the operating system's default only after
    /// the drain, which has a deadline of its own.
    pub fn on_signal() -> anyhow::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tracing::info!("stopping");
            stop.send_replace(true);
        });
        Ok(Self(stopped))
    }

    pub async fn wait(mut self) {
        // An error means that the sender is gone, with the whole program.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}
