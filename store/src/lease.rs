//! Leases: how a sweeper takes what waits in a table for the engine. One statement, committed at once, gives
//! each row a time (`dispatch_after`) before which nobody else takes it. Nothing is locked while the engine
//! is asked; who dies with a lease holds nobody up for longer than that (docs/adr/0026).

use domain::{SignedDuration, Timestamp};

/// What is younger is still on its way by the ordinary road: whoever stored it hands it to the engine.
pub const GRACE: SignedDuration = SignedDuration::from_secs(5);

/// What a sweeper asks for.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    pub now: Timestamp,
    /// Younger rows are still on their way by the ordinary road ([`GRACE`]).
    pub older_than: Timestamp,
    /// Until then the rows are the sweeper's.
    pub until: Timestamp,
    pub limit: i64,
}

/// Puts rows of a table off until another time. Never waits: a row that somebody has locked keeps the lease
/// it has.
macro_rules! put_off {
    ($table:literal, $ids:expr, $until:expr) => {
        sqlx::query!(
            "UPDATE "
                + $table
                + " SET dispatch_after = $2 WHERE id = ANY(ARRAY(SELECT id FROM "
                + $table
                + " WHERE id = ANY($1) FOR NO KEY UPDATE SKIP LOCKED))",
            $ids,
            $crate::sql($until)
        )
    };
}
pub(crate) use put_off;
