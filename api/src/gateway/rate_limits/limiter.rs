//! One limit, for everybody whom it is for.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    http::{HeaderMap, HeaderValue},
    response::{IntoResponse as _, Response},
};
use governor::{
    RateLimiter,
    clock::{Clock, DefaultClock, Reference},
    middleware::StateInformationMiddleware,
    nanos::Nanos,
};

use super::{
    RATE_LIMIT, RATE_LIMIT_POLICY,
    buckets::{Buckets, Who},
    settings::{Group, RateLimit},
};
use crate::error::Problem;

/// Buckets that are full again are looked for at most so often: it takes a millisecond.
const PRUNE_EVERY: Duration = Duration::from_secs(1);

pub struct Limiter<C: Clock = DefaultClock> {
    group: Group,
    policy: HeaderValue,
    interval: Duration,
    limiter: RateLimiter<Who, Buckets, C, StateInformationMiddleware>,
    buckets: Buckets,
    clock: C,
    pruned: Mutex<Option<C::Instant>>,
}

/// What a client is told of its limit.
#[derive(Debug, Clone)]
pub struct Told {
    policy: HeaderValue,
    limit: HeaderValue,
}

impl Told {
    pub fn add_to(self, headers: &mut HeaderMap) {
        headers.insert(RATE_LIMIT_POLICY.clone(), self.policy);
        headers.insert(RATE_LIMIT.clone(), self.limit);
    }
}

impl<C: Clock<Instant: Reference> + Clone> Limiter<C> {
    /// None: the limit is no limit.
    pub fn new(group: Group, limit: RateLimit, clock: C) -> Option<Self> {
        let buckets = Buckets::new();
        let limiter = RateLimiter::new(limit.quota()?, buckets.clone(), clock.clone());
        let RateLimit { requests, window_s } = limit;
        let policy =
            HeaderValue::from_str(&format!("\"{}\";q={requests};w={window_s}", group.name())).ok()?;
        let (interval, pruned) = (limit.interval(), Mutex::default());
        Some(Self { group, policy, interval, limiter, buckets, clock, pruned })
    }

    /// Counts a request.
    ///
    /// # Errors
    /// The answer, 429: it is one too many.
    pub fn check(&self, who: &Who) -> Result<Told, Box<Response>> {
        let checked = self.limiter.check_key(who);
        if self.buckets.was_crowded() {
            self.prune();
        }
        match checked {
            Ok(state) => Ok(self.told(state.remaining_burst_capacity(), self.interval)),
            Err(refused) => Err(Box::new(self.refusal(refused.wait_time_from(self.clock.now())))),
        }
    }

    /// `remaining` requests at once, and one more after `next`.
    fn told(&self, remaining: u32, next: Duration) -> Told {
        let text = format!("\"{}\";r={remaining};t={}", self.group.name(), whole_seconds(next));
        // Digits and a word of ours are a header's value.
        let limit = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
        Told { policy: self.policy.clone(), limit }
    }

    fn refusal(&self, wait: Duration) -> Response {
        telemetry::metrics().rate_limited.with_label_values(&[self.group.name()]).inc();
        let mut response = Problem::rate_limited(self.group, whole_seconds(wait)).into_response();
        self.told(0, wait).add_to(response.headers_mut());
        response
    }

    /// Forgets who has not come for so long that their bucket is as a new one.
    fn prune(&self) {
        let mut pruned = self.pruned.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        if pruned.is_none_or(|at| now.duration_since(at) >= Nanos::from(PRUNE_EVERY)) {
            *pruned = Some(now);
            self.limiter.retain_recent();
        }
    }
}

/// Up, and one at least: who comes then is not too early.
fn whole_seconds(duration: Duration) -> u32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use axum::http::header;
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limiter(requests: u32, window_s: u32) -> (Limiter<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        clock.advance(Duration::from_secs(3600));
        let limit = RateLimit::new(requests, window_s).expect("a limit");
        (Limiter::new(Group::Writes, limit, clock.clone()).expect("a limit"), clock)
    }

    fn caller(name: &str) -> Who {
        Who::Caller(name.into())
    }

    fn headers(checked: Result<Told, Box<Response>>) -> (u16, HeaderMap) {
        match checked {
            Ok(told) => {
                let mut headers = HeaderMap::new();
                told.add_to(&mut headers);
                (200, headers)
            }
            Err(refused) => (refused.status().as_u16(), refused.headers().clone()),
        }
    }

    #[test]
    fn so_many_at_once_and_then_one_after_the_other() {
        let (limiter, clock) = limiter(3, 6);
        for remaining in [2, 1, 0] {
            let (status, headers) = headers(limiter.check(&caller("a")));
            assert_eq!(
                (status, &headers[&RATE_LIMIT_POLICY]),
                (200, &HeaderValue::from_static("\"writes\";q=3;w=6"))
            );
            assert_eq!(headers[&RATE_LIMIT], format!("\"writes\";r={remaining};t=2"));
        }
        clock.advance(Duration::from_millis(500));
        let (status, told) = headers(limiter.check(&caller("a")));
        assert_eq!((status, told[&RATE_LIMIT].to_str().expect("text")), (429, "\"writes\";r=0;t=2"));
        assert_eq!(headers(limiter.check(&caller("b"))).0, 200, "others are not concerned");
        clock.advance(Duration::from_millis(1500));
        assert_eq!(headers(limiter.check(&caller("a"))).0, 200);
        assert_eq!(headers(limiter.check(&caller("a"))).0, 429);
        clock.advance(Duration::from_secs(6));
        for status in [200, 200, 200, 429] {
            assert_eq!(headers(limiter.check(&caller("a"))).0, status);
        }
        assert!(!told.contains_key(header::RETRY_AFTER), "the problem has it");
    }

    #[test]
    fn many_addresses_share_what_there_is() {
        let (limiter, clock) = limiter(10, 10);
        let networks = |from: u32, to: u32| (from..to).map(|n| Who::Network(IpAddr::V4(Ipv4Addr::from(n))));
        let refused = |checked: Result<Told, _>| checked.is_err();
        let count = networks(0, 100_000).map(|who| limiter.check(&who)).filter(|it| it.is_err()).count();
        assert!(count > 60_000, "{count}");
        assert!(limiter.limiter.len() <= 32_768, "{}", limiter.limiter.len());
        assert!(
            !refused(limiter.check(&Who::Network(IpAddr::V4(Ipv4Addr::from(0))))),
            "the first has its own"
        );
        clock.advance(Duration::from_secs(3));
        let _ = networks(200_000, 220_000).map(|who| limiter.check(&who)).filter(|it| it.is_err()).count();
        assert!(
            !refused(limiter.check(&Who::Network(IpAddr::V4(Ipv4Addr::from(219_999))))),
            "old ones made room"
        );
    }

    #[test]
    fn callers_at_once_are_counted_each() {
        let (limiter, _) = limiter(10_000, 60);
        let admitted: usize = std::thread::scope(|scope| {
            let storm = || (0..5_000).filter(|_| limiter.check(&caller("a")).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(storm)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(admitted, 10_000);
    }
}
