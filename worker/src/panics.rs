//! Panics on a thread of the SDK's own. Its worker keeps the state of all workflows on one that nothing
//! watches: when that panics, the worker takes no more workflow tasks, goes on with activities, and says
//! nothing. See docs/adr/0026.

use std::{
    panic,
    sync::{LazyLock, Once},
    thread,
};

use tokio::sync::watch;

/// As temporalio-sdk-core calls it.
const UNWATCHED: &str = "workflow-processing";

static HEARD: LazyLock<watch::Sender<String>> = LazyLock::new(|| watch::Sender::new(String::new()));

/// Tells of each from now on.
pub(crate) fn heard() -> watch::Receiver<String> {
    static LISTENS: Once = Once::new();
    LISTENS.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            if thread::current().name() == Some(UNWATCHED) {
                HEARD.send_replace(panicked.to_string());
            }
            before(panicked);
        }));
    });
    HEARD.subscribe()
}
