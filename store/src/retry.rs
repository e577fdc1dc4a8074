//! What PostgreSQL undid because of another transaction beside it (a deadlock, a serialisation failure) is
//! done again from its start. We lock in one order, so it takes somebody else: a person with `psql`, a
//! migration, another program.

use std::time::Duration;

use crate::{OrFault, random};

/// So often is it tried in all; who fails so often is told that the database is busy.
const TRIES: u32 = 5;
/// The longest first pause. It doubles, and is cut at random so that two do not meet again.
const PAUSE_MS: u64 = 20;

/// Runs a whole transaction, from its beginning to its commit; again if it was undone.
pub(crate) async fn retry<T, E: OrFault, F: Future<Output = Result<T, E>>>(
    transaction: impl Fn() -> F,
) -> Result<T, E> {
    let mut tries = 1;
    loop {
        let done = transaction().await;
        match done.as_ref().err().and_then(OrFault::fault) {
            Some(fault) if fault.is_conflict() && tries < TRIES => {
                tracing::warn!(error = %fault, tries, "a transaction is done again");
                tokio::time::sleep(pause(tries)).await;
                tries += 1;
            }
            _ => return done,
        }
    }
}

fn pause(tries: u32) -> Duration {
    let longest = PAUSE_MS << tries;
    Duration::from_millis(longest / 2 + u64::from_le_bytes(random()) % longest)
}
