//! How much a server takes at once, and how long it waits for its clients.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More files than this no process of ours has use for; where the hard limit is a billion, programs that we
/// start would suffer, which walk through all of them.
const MAX_FILES: u64 = 65_536;
/// Files that are no connections to a server: of PostgreSQL, Temporal and logs.
const OTHER_FILES: u64 = 256;

/// The limits of one listener.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once. One more takes the place of that which has waited longest for its client.
    pub connections: usize,
    /// From the first byte of a request to the end of its header.
    pub header: Duration,
    /// From the end of the header to the end of the body. Beyond it the answer is 408.
    pub body: Duration,
    /// How long a connection may stand without a request, and an answer without being read on.
    pub idle: Duration,
    /// How long the end of the program waits for clients, and then as long again for answers of ours.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            header: Duration::from_secs(10),
            body: Duration::from_secs(20),
            // Longer than load balancers keep theirs (60 s): who closes first must not be the server.
            idle: Duration::from_secs(75),
            drain: Duration::from_secs(15),
        }
    }
}

impl Limits {
    /// For a server beside the API, which few have to reach.
    pub fn small() -> Self {
        Self { connections: 128, drain: Duration::from_secs(2), ..Self::default() }
    }

    /// As many connections as the process has files for, with some left for what else it opens.
    pub(crate) fn connections(&self) -> usize {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(MAX_FILES);
        // The rest is for listeners beside.
        let room = files.saturating_sub(OTHER_FILES).max(files / 4) * 2 / 3;
        self.connections.min(usize::try_from(room).unwrap_or(usize::MAX)).max(1)
    }
}

/// Lets this process open as many files as it may: what a shell gives by default is too little for a server.
pub fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(MAX_FILES).min(MAX_FILES);
    if current.is_some_and(|current| current < wanted) {
        // Refused, the process goes on with what it has.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}
