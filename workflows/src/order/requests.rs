//! What callers may ask a running order for, and what is refused at once.

use domain::{Timestamp, order::Status};
use serde::{Deserialize, Serialize};

use super::OrderWorkflow;

/// Cancel the order, for this reason.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CancelRequest {
    pub reason: String,
}

/// Wait for the money until then.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExtendRequest {
    pub payment_due_at: Timestamp,
}

/// The shop has handed the order over.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct FulfilRequest {}

/// The guest's code was found right. It does not come here itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CheckInRequest {}

#[derive(Debug, Clone)]
pub(crate) enum Request {
    Cancel(CancelRequest),
    Extend(ExtendRequest),
    Fulfil,
    CheckIn,
}

/// A refused request leaves no trace in the history.
pub(crate) type Verdict = Result<(), Box<dyn std::error::Error + Send + Sync>>;

impl OrderWorkflow {
    /// Before the first step is through, the request waits for its turn.
    pub(crate) fn must_be(&self, status: Status) -> Verdict {
        match &self.facts {
            Some(facts) if facts.status != status => Err(format!("the order is {}", facts.status).into()),
            _ => Ok(()),
        }
    }

    pub(crate) fn must_be_later(&self, due: Timestamp) -> Verdict {
        match &self.facts {
            Some(facts) if due <= facts.payment_due_at => {
                Err(format!("payment is due {} already", facts.payment_due_at).into())
            }
            _ => Ok(()),
        }
    }
}
