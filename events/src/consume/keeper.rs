//! Noting how far a member is: as it goes, and before a partition is given up.

use std::sync::{Arc, OnceLock, Weak};

use tokio::time::timeout;

use super::{board::Board, runner::DRAIN};
use crate::kafka::{Assigned, Error, Group, Partition};

/// Notes how far we are; what cannot be noted now is noted later, or done again.
pub(super) async fn commit(board: &Board, group: &Group, of: Option<&[Partition]>) {
    let mut marks = board.to_commit(of);
    if marks.is_empty() {
        return;
    }
    let mut committed = group.commit(&marks).await;
    if committed.as_ref().is_err_and(Error::is_of_note) {
        // Tries are then counted anew by the next one.
        marks.values_mut().for_each(|mark| mark.note.clear());
        committed = group.commit(&marks).await;
    }
    match committed {
        Ok(()) => board.committed(marks),
        Err(error) => tracing::debug!(%error, "not committed"),
    }
}

/// Sees to it that a partition is given up in good order.
pub(super) struct Keeper {
    pub board: Arc<Board>,
    pub group: Arc<OnceLock<Weak<Group>>>,
}

impl Assigned for Keeper {
    async fn revoked(&self, partitions: &[Partition]) {
        self.board.halt(Some(partitions));
        // So that nobody else has a key's next message while we have this one.
        let _ = timeout(DRAIN, self.board.quiet(Some(partitions))).await;
        if let Some(group) = self.group.get().and_then(Weak::upgrade) {
            commit(&self.board, &group, Some(partitions)).await;
        }
        self.board.forget(partitions);
    }

    fn lost(&self, partitions: &[Partition]) {
        self.board.forget(partitions);
    }
}
