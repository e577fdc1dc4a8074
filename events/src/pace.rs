//! How fast a backlog is carried away: as fast as can be while the database has nothing else to do, and in a
//! small part of the time while it has. Whoever places an order then does not notice that somebody catches
//! up.
//!
//! Nobody tells us how busy the database is, and it need not be asked: the same work takes longer then. (So
//! do transfers that give way to others' on a network: LEDBAT, RFC 6817.)

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Rounds with fewer rows are no backlog, and their time tells nothing.
const ROWS: usize = 100;
/// Single rounds are late for many reasons; so many in turn that all are, for one.
const ROUNDS: usize = 5;
/// What may be longer than the best time without giving way.
const TOLERANCE: f64 = 1.3;
/// How much longer than the round is rested, for each best time that a row took beyond that.
const GAIN: f64 = 8.0;
/// And at most: a tenth of the time remains, so that a backlog ends one day.
const MOST: f64 = 9.0;
const LONGEST_REST: Duration = Duration::from_secs(1);
/// The best time is trusted less and less, by so much a second: what is read may have become more.
const DRIFT: f64 = 0.001;

/// The pace of one kind of round.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Seconds for one row, in the last rounds.
    recent: VecDeque<f64>,
    /// The best that half of the rounds in turn have kept, and when that was seen.
    best: Option<(f64, Instant)>,
    /// How much longer than a round is rested after it.
    share: f64,
}

impl Pace {
    /// So many rows were read or written, which took so long.
    pub(crate) fn saw(&mut self, rows: usize, took: Duration) {
        self.share = 0.0;
        if rows < ROWS {
            return;
        }
        self.recent.push_back(took.as_secs_f64() / rows as f64);
        if self.recent.len() < ROUNDS {
            return;
        }
        let mut sorted: Vec<f64> = self.recent.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        self.recent.pop_front();
        let (quickest, usual, now) = (sorted[0], sorted[ROUNDS / 2], Instant::now());
        let drifted =
            |(best, seen): (f64, Instant)| best * (1.0 + DRIFT * now.duration_since(seen).as_secs_f64());
        let best = self.best.map_or(usual, drifted).min(usual);
        self.best = Some((best, now));
        self.share = ((quickest / best - TOLERANCE) * GAIN).clamp(0.0, MOST);
    }

    /// How long to rest after a round.
    pub(crate) fn rest(&self, round: Duration) -> Duration {
        round.mul_f64(self.share).min(LONGEST_REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// How long is rested after the last of some rounds of 1,000 rows that took so long.
    fn after(pace: &mut Pace, rounds: [u64; 5]) -> Duration {
        rounds.into_iter().for_each(|took| pace.saw(1000, ms(took)));
        pace.rest(ms(50))
    }

    #[tokio::test(start_paused = true)]
    async fn a_backlog_gives_way_while_the_database_is_busy() {
        let mut pace = Pace::default();
        assert_eq!(after(&mut pace, [20, 20, 18, 35, 20]), Duration::ZERO);
        assert_eq!(after(&mut pace, [24, 50, 20, 60, 200]), Duration::ZERO, "single ones are late");
        assert!(after(&mut pace, [44, 40, 50, 45, 41]) > ms(250), "all are twice as slow");
        assert_eq!(after(&mut pace, [200; 5]), ms(450), "it never stops");
        assert_eq!(pace.rest(ms(400)), LONGEST_REST);
        for _ in 0..5 {
            pace.saw(500, ms(10));
        }
        assert_eq!(pace.rest(ms(50)), Duration::ZERO, "half of the rows in half of the time");
        after(&mut pace, [200; 5]);
        pace.saw(10, ms(100));
        assert_eq!(pace.rest(ms(50)), Duration::ZERO, "ten rows are no backlog");
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_become_slower_for_good_is_what_is_best_one_day() {
        let mut pace = Pace::default();
        after(&mut pace, [20; 5]);
        assert!(after(&mut pace, [30; 5]) > Duration::ZERO);
        for _ in 0..600 {
            tokio::time::advance(ms(1000)).await;
            pace.saw(1000, ms(30));
        }
        assert_eq!(pace.rest(ms(50)), Duration::ZERO);
    }
}
