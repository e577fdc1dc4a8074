//! How the sandbox misbehaves when a test asks it to: as a service, for one order, or for one payment.

use std::collections::HashMap;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Refusal};

/// Orders and payments with faults of their own.
const MAX_OWN: usize = 10_000;

/// What is not given behaves well.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    pub webhooks: Webhooks,
    /// How often each event is sent, 1 to 10; default 1.
    pub copies: Option<u8>,
    pub capture: Capturing,
    /// Captures go through though the payment expired, failed or was cancelled.
    pub late: bool,
    pub refunds: Refunding,
    /// Kept of each capture; default: nothing.
    pub fee: Option<Fee>,
    /// The merchant's calls are not done.
    pub outage: Option<Outage>,
    /// So many of the merchant's next changes are done, and then answered 500.
    pub answers_lost: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Webhooks {
    #[default]
    Send,
    /// Never sent, until somebody releases them.
    Lose,
    /// Kept until somebody releases them.
    Hold,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capturing {
    #[default]
    Succeed,
    Fail,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refunding {
    #[default]
    Succeed,
    /// Stay pending until somebody settles them.
    Pend,
    Fail,
}

/// Hundredths of a percent of the amount, rounded down, and a fixed part in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fee {
    /// At most 10,000, which is all of it.
    pub basis_points: u16,
    pub fixed: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    pub answer: OutageAnswer,
    /// How many calls it lasts; default: until it is cleared.
    #[serde(default)]
    pub calls: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutageAnswer {
    /// 503.
    Unavailable,
    /// The connection ends in the middle of the answer.
    HangUp,
}

impl Fee {
    /// Never more than the amount, which is positive.
    pub fn of(self, amount: i64) -> i64 {
        let share = i128::from(amount) * i128::from(self.basis_points) / 10_000;
        let fee = share + i128::from(self.fixed);
        i64::try_from(fee).unwrap_or(amount).min(amount)
    }
}

impl Faults {
    pub fn check(self) -> Answer<Self> {
        if self.copies.is_some_and(|copies| !(1..=10).contains(&copies)) {
            return Err(Refusal::invalid("copies: must be 1 to 10"));
        }
        if self.fee.is_some_and(|fee| fee.basis_points > 10_000) {
            return Err(Refusal::invalid("fee.basis_points: must be at most 10000"));
        }
        Ok(self)
    }

    /// Counts a call against the outage.
    fn gate(&mut self) -> Answer<()> {
        let Some(outage) = &mut self.outage else { return Ok(()) };
        let answer = outage.answer;
        match &mut outage.calls {
            None => {}
            Some(0) => {
                self.outage = None;
                return Ok(());
            }
            Some(left) => *left -= 1,
        }
        if self.outage.as_ref().is_some_and(|outage| outage.calls == Some(0)) {
            self.outage = None;
        }
        match answer {
            OutageAnswer::HangUp => Err(Refusal::HungUp),
            OutageAnswer::Unavailable => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Err(Refusal::new(status, "unavailable", "the sandbox pretends to be down"))
            }
        }
    }

    fn lose_answer(&mut self) -> bool {
        let lost = self.answers_lost > 0;
        self.answers_lost = self.answers_lost.saturating_sub(1);
        lost
    }
}

/// Not kept over a restart.
#[derive(Debug, Default)]
pub struct FaultTable {
    service: Faults,
    /// By payment id, key or order id. They stand in the service's place, not beside them.
    own: HashMap<String, Faults>,
}

impl FaultTable {
    /// The faults of the first of `names` that has any, else the service's.
    pub fn of(&self, names: &[String]) -> Faults {
        names.iter().find_map(|name| self.own.get(name)).unwrap_or(&self.service).clone()
    }

    /// None as a name: the service.
    pub fn set(&mut self, name: Option<String>, faults: Faults) -> Answer<()> {
        let Some(name) = name else {
            self.service = faults;
            return Ok(());
        };
        if self.own.len() >= MAX_OWN && !self.own.contains_key(&name) {
            return Err(Refusal::conflict("too_many_faults", "clear some faults first"));
        }
        self.own.insert(name, faults);
        Ok(())
    }

    /// None as a name: every fault of all.
    pub fn clear(&mut self, name: Option<&str>) {
        match name {
            Some(name) => drop(self.own.remove(name)),
            None => *self = Self::default(),
        }
    }

    /// Refuses a merchant's call while there is an outage, of the whole service or of one of `names`.
    pub fn gate(&mut self, names: &[String]) -> Answer<()> {
        self.service.gate()?;
        match names.iter().find(|name| self.own.contains_key(*name)).and_then(|name| self.own.get_mut(name)) {
            Some(own) => own.gate(),
            None => Ok(()),
        }
    }

    /// Whether the answer to a change that was done is to be lost.
    pub fn lose_answer(&mut self, names: &[String]) -> bool {
        let own = names.iter().find(|name| self.own.contains_key(*name));
        let own = own.and_then(|name| self.own.get_mut(name)).is_some_and(Faults::lose_answer);
        own || self.service.lose_answer()
    }
}
