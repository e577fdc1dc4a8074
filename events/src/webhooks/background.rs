//! A thread on which requests are sent. It gives way: whoever places an order on this machine, or has a
//! workflow that waits for this process, does not notice that a thousand webhooks are signed and sent.

use std::{io, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// To others of this machine that want a processor: a tenth of what they get.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// The thread ends when this is dropped, and what runs on it with it.
pub(super) struct Background {
    handle: Handle,
    _end: oneshot::Sender<()>,
}

impl Background {
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, (end, ended)) = (runtime.handle().clone(), oneshot::channel::<()>());
        thread::Builder::new().name("webhooks".to_owned()).spawn(move || {
            give_way();
            let _ = runtime.block_on(ended);
        })?;
        Ok(Self { handle, _end: end })
    }

    pub const fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// On Linux each thread has a priority of its own; elsewhere it is the whole process', which is left alone.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::warn!(%error, "webhooks are sent at the same priority as all else");
    }
}
