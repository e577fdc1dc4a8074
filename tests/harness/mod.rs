//! What the tests stand on.

pub mod apache;
mod authority;
pub mod browser;
pub mod documents;
pub mod http;
pub mod kafka;
mod mail;
mod managed;
mod money;
mod orders;
mod process;
pub mod programs;
mod provider;
pub mod receiver;
mod seeded_rng;
mod servers;
mod shop;
mod smtp;
mod socket;
mod temporal;
pub mod test_process;
pub mod visitor;
pub mod webhook;
mod wire;

use std::time::Duration;

pub use authority::Authority;
pub use http::{Answer, Api, encoded, send, try_send};
pub use mail::{Mail, mails, mails_at, mails_to};
pub use orders::SOLD;
pub use process::{Holdfast, guarded, printed, run};
pub use provider::{Provider, StatementLine};
pub use seeded_rng::SeededRng;
pub use servers::{database, postgres_log, servers, test_dir, tools, tools_dir};
pub use shop::{ACCOUNT_SECRET, NAME, Setup, Shop};
pub use smtp::{GREETING, Smtp};
pub use socket::Socket;
pub use wire::Wire;

/// Nothing in these tests takes this long unless it never comes, also while other builds keep the machine
/// busy.
const DEADLINE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(40);

/// Asks again and again until there is an answer. Panics with `what` at the deadline.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until it is so. Panics with `what` at the deadline.
pub async fn wait_until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    eventually(what, async || is_so().await.then_some(())).await;
}

/// A word nobody else uses: for names, keys and addresses.
pub fn unique() -> String {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::{SystemTime, UNIX_EPOCH},
    };
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("{:x}x{:x}", now.as_nanos(), COUNT.fetch_add(1, Ordering::Relaxed))
}
