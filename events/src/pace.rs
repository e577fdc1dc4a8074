//! How fast a backlog is carried away: a process spends a third of its time on it at most. Whoever catches up
//! reads and writes as fast as the database can, and would take it from whoever places an order.

use std::time::Duration;

/// Rounds with fewer rows are no backlog: what happens one by one is never held back.
const ROWS: usize = 100;
/// How much longer than a round is rested after it.
const REST: u32 = 2;
const LONGEST_REST: Duration = Duration::from_secs(1);

/// How long to rest after a round of so many rows, which took so long. When the database is busy rounds take
/// longer, and so do the rests.
pub(crate) fn rest(rows: usize, took: Duration) -> Duration {
    match rows {
        0..ROWS => Duration::ZERO,
        ROWS.. => (took * REST).min(LONGEST_REST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_gives_way_and_nothing_else_does() {
        let ms = Duration::from_millis;
        assert_eq!(rest(ROWS - 1, ms(200)), Duration::ZERO);
        assert_eq!(rest(2000, ms(50)), ms(100));
        assert_eq!(rest(2000, ms(5000)), LONGEST_REST, "it never stops");
    }
}
