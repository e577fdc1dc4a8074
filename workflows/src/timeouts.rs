//! Every timeout and retry policy of the workflows, in one place.
//!
//! | step              | quick local try | then, durable                                  |
//! |-------------------|-----------------|------------------------------------------------|
//! | touches PostgreSQL | 5 s             | each try 15 s, backoff 1 s to 1 min, for ever  |
//! | sends a mail      | 8 s             | each try 30 s, backoff 5 s to 10 min, 3 days   |
//! | sends a reminder  | 8 s             | the same, but only until the next deadline     |

use std::time::Duration;

use temporalio_workflow::{
    ActivityCloseTimeouts, ActivityOptions, LocalActivityOptions, RetryPolicy, WorkflowCancellationToken,
};

/// How one kind of step is tried.
#[derive(Debug, Clone)]
pub struct Effort {
    local_try: Duration,
    each_try: Duration,
    /// Give up after this; `None` is never.
    in_all: Option<Duration>,
    first_backoff: Duration,
    longest_backoff: Duration,
}

pub const DATABASE: Effort = Effort {
    local_try: Duration::from_secs(5),
    each_try: Duration::from_secs(15),
    in_all: None,
    first_backoff: Duration::from_secs(1),
    longest_backoff: Duration::from_secs(60),
};

pub const MAIL: Effort = Effort {
    local_try: Duration::from_secs(8),
    each_try: Duration::from_secs(30),
    in_all: Some(Duration::from_secs(3 * 24 * 3600)),
    first_backoff: Duration::from_secs(5),
    longest_backoff: Duration::from_secs(600),
};

impl Effort {
    /// The same, but given up after `in_all`.
    pub fn within(self, in_all: Duration) -> Self {
        Self { in_all: Some(in_all), ..self }
    }

    /// One try in the worker that runs the workflow: no extra round trip to the engine.
    pub(crate) fn local(&self, token: &WorkflowCancellationToken, summary: &str) -> LocalActivityOptions {
        LocalActivityOptions::builder()
            .start_to_close_timeout(self.local_try)
            .schedule_to_close_timeout(self.local_try * 2)
            .retry_policy(RetryPolicy::builder().maximum_attempts(1).build())
            .cancellation_token(token.clone())
            .summary(summary.to_owned())
            .build()
    }

    /// Scheduled by the server: an outage shows in the Temporal UI and survives a restart.
    pub(crate) fn durable(&self, token: &WorkflowCancellationToken, summary: &str) -> ActivityOptions {
        let timeouts = match self.in_all {
            None => ActivityCloseTimeouts::StartToClose(self.each_try),
            Some(in_all) => ActivityCloseTimeouts::ScheduleAndStartToClose {
                start_to_close: self.each_try.min(in_all),
                schedule_to_close: in_all,
            },
        };
        let retry = RetryPolicy::builder()
            .initial_interval(self.first_backoff)
            .maximum_interval(self.longest_backoff)
            .build();
        ActivityOptions::with_close_timeouts(timeouts)
            .retry_policy(retry)
            .cancellation_token(token.clone())
            .summary(summary)
            .build()
    }
}
