//! How many requests are answered: a limit for each group of routes.

use std::{num::NonZeroU32, time::Duration};

use governor::Quota;

/// What is limited together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// What a caller looks at.
    Reads,
    /// What a caller changes.
    Writes,
    /// What a caller has added up for them, over much of the database.
    Reports,
    /// All that one customer asks for, with a token of their own.
    Customers,
    /// Requests without a key that is good for anything, of one address.
    Strangers,
}

impl Group {
    pub const ALL: [Self; 5] = [Self::Reads, Self::Writes, Self::Reports, Self::Customers, Self::Strangers];

    /// As it is called in settings, headers and figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reads => "reads",
            Self::Writes => "writes",
            Self::Reports => "reports",
            Self::Customers => "customers",
            Self::Strangers => "strangers",
        }
    }
}

/// So many requests at once, if there were none for a while; and as many in each window, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    pub requests: NonZeroU32,
    pub window_s: NonZeroU32,
}

impl RateLimit {
    /// None: one of them is 0.
    pub const fn new(requests: u32, window_s: u32) -> Option<Self> {
        match (NonZeroU32::new(requests), NonZeroU32::new(window_s)) {
            (Some(requests), Some(window_s)) => Some(Self { requests, window_s }),
            _ => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (requests, window_s) = text.split_once('/')?;
        Self::new(requests.trim().parse().ok()?, window_s.trim().parse().ok()?)
            .filter(|it| it.requests.get() <= MAX_REQUESTS && it.window_s.get() <= MAX_WINDOW_S)
    }

    /// One more after each part of the window.
    pub fn interval(self) -> Duration {
        let window = Duration::from_secs(self.window_s.get().into());
        (window / self.requests.get()).max(Duration::from_nanos(1))
    }

    pub fn quota(self) -> Option<Quota> {
        Some(Quota::with_period(self.interval())?.allow_burst(self.requests))
    }
}

/// More is a slip of the finger.
const MAX_REQUESTS: u32 = 10_000_000;
const MAX_WINDOW_S: u32 = 24 * 3600;

/// The limits of one process. None: as many as there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    pub reads: Option<RateLimit>,
    pub writes: Option<RateLimit>,
    pub reports: Option<RateLimit>,
    pub customers: Option<RateLimit>,
    pub strangers: Option<RateLimit>,
}

/// No honest shop meets them: 30,000 orders at once are three of the flash sales that we measure, and 500 a
/// second after that are 43 million a day. A loop without an end meets them soon.
impl Default for RateLimits {
    fn default() -> Self {
        Self {
            reads: RateLimit::new(60_000, 60),
            writes: RateLimit::new(30_000, 60),
            reports: RateLimit::new(600, 60),
            customers: RateLimit::new(600, 60),
            strangers: RateLimit::new(300, 60),
        }
    }
}

impl RateLimits {
    pub const OFF: Self = Self { reads: None, writes: None, reports: None, customers: None, strangers: None };

    /// `off`, or limits that differ from the defaults: `writes=1000/60, strangers=off` (requests, seconds).
    ///
    /// # Errors
    /// A sentence that names what cannot be meant.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::OFF);
        }
        let mut limits = Self::default();
        for part in text.split(',').map(str::trim) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let group = Group::ALL.into_iter().find(|group| group.name() == name.trim());
            let limit = match value.trim() {
                "off" => Some(None),
                value => RateLimit::parse(value).map(Some),
            };
            match (group, limit) {
                (Some(group), Some(limit)) => *limits.of_mut(group) = limit,
                _ => {
                    return Err(format!(
                        "`{part}` cannot be meant; write `off`, or writes=1000/60, strangers=off"
                    ));
                }
            }
        }
        Ok(limits)
    }

    pub fn of(&self, group: Group) -> Option<RateLimit> {
        let mut limits = *self;
        *limits.of_mut(group)
    }

    fn of_mut(&mut self, group: Group) -> &mut Option<RateLimit> {
        match group {
            Group::Reads => &mut self.reads,
            Group::Writes => &mut self.writes,
            Group::Reports => &mut self.reports,
            Group::Customers => &mut self.customers,
            Group::Strangers => &mut self.strangers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_they_are_documented() {
        let default = RateLimits::default();
        assert_eq!(RateLimits::parse("off"), Ok(RateLimits::OFF));
        let some = RateLimits { writes: RateLimit::new(1000, 60), strangers: None, ..default };
        assert_eq!(RateLimits::parse("writes=1000/60, strangers = off"), Ok(some));
        for bad in ["", "on", "writes", "writes=0/60", "writes=10", "writes=10/0", "orders=1/1", "reads=1/1,"]
        {
            assert!(RateLimits::parse(bad).is_err(), "{bad}");
        }
    }
}
