//! Every timeout and retry policy of the workflows, in one place.
//!
//! | step              | quick local try | then, durable                                  |
//! |-------------------|-----------------|------------------------------------------------|
//! | touches PostgreSQL | 5 s             | each try 15 s, backoff 1 s to 1 min, for ever  |
//! | sends a mail      | 8 s             | each try 30 s, backoff 5 s to 10 min, 3 days   |
//! | sends a reminder  | 8 s             | the same, but only until the next deadline     |
//! | sends a check-in code | 8 s         | the same, but until the stay is over           |
//! | asks a provider   | 8 s | each try 40 s, backoff 2 s to 5 min; open attempts for 1 h, refunds for ever |
//! | reads a provider's statement | 8 s       | 2 tries of 10 min, 5 s apart: the next run reads on |

use std::time::Duration;

use temporalio_workflow::{
    ActivityCloseTimeouts, ActivityOptions, LocalActivityOptions, RetryPolicy, WorkflowCancellationToken,
};

/// How one kind of step is tried.
#[derive(Debug, Clone)]
pub struct RetryProfile {
    local_try: Duration,
    each_try: Duration,
    /// Give up after this; `None` is never.
    give_up_after: Option<Duration>,
    /// Or after so many tries by the server; 0 is never.
    tries: u32,
    first_backoff: Duration,
    longest_backoff: Duration,
}

/// A step that only asks PostgreSQL.
pub const DATABASE: RetryProfile = RetryProfile {
    local_try: Duration::from_secs(5),
    each_try: Duration::from_secs(15),
    give_up_after: None,
    tries: 0,
    first_backoff: Duration::from_secs(1),
    longest_backoff: Duration::from_secs(60),
};

/// A mail is tried for days, and then given up: it is told of as an exception.
pub const MAIL: RetryProfile = RetryProfile {
    local_try: Duration::from_secs(8),
    each_try: Duration::from_secs(30),
    give_up_after: Some(Duration::from_secs(3 * 24 * 3600)),
    tries: 0,
    first_backoff: Duration::from_secs(5),
    longest_backoff: Duration::from_secs(600),
};

/// The mail of a code is waited for by somebody at a screen: after a while it is not worth trying any more.
pub const CODE_MAIL: RetryProfile = RetryProfile {
    local_try: Duration::from_secs(8),
    each_try: Duration::from_secs(30),
    give_up_after: Some(Duration::from_secs(60)),
    tries: 0,
    first_backoff: Duration::from_secs(2),
    longest_backoff: Duration::from_secs(30),
};

/// A provider that does not answer is asked again; nothing is lost by it.
pub const PROVIDER: RetryProfile = RetryProfile {
    local_try: Duration::from_secs(8),
    each_try: Duration::from_secs(40),
    give_up_after: None,
    tries: 0,
    first_backoff: Duration::from_secs(2),
    longest_backoff: Duration::from_secs(300),
};

/// How long an order past its end waits for a provider that does not say whether money came.
pub const PROVIDER_GIVE_UP_AFTER: Duration = Duration::from_secs(3600);

/// Reading a provider's statement may take long. One that is down does not keep the others waiting, nor the
/// person who asked: the next run reads what this one did not.
pub const STATEMENT: RetryProfile = RetryProfile {
    local_try: Duration::from_secs(8),
    each_try: Duration::from_secs(600),
    give_up_after: Some(Duration::from_secs(3600)),
    tries: 2,
    first_backoff: Duration::from_secs(5),
    longest_backoff: Duration::from_secs(60),
};

/// How long to wait before a pending refund is asked about again.
pub const REFUND_POLL: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(30)..=Duration::from_secs(6 * 3600);

impl RetryProfile {
    /// The same, but given up after `give_up_after`.
    pub fn within(self, give_up_after: Duration) -> Self {
        Self { give_up_after: Some(give_up_after), ..self }
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
        let timeouts = match self.give_up_after {
            None => ActivityCloseTimeouts::StartToClose(self.each_try),
            Some(give_up_after) => ActivityCloseTimeouts::ScheduleAndStartToClose {
                start_to_close: self.each_try.min(give_up_after),
                schedule_to_close: give_up_after,
            },
        };
        let retry = RetryPolicy::builder()
            .initial_interval(self.first_backoff)
            .maximum_interval(self.longest_backoff)
            .maximum_attempts(self.tries)
            .build();
        ActivityOptions::with_close_timeouts(timeouts)
            .retry_policy(retry)
            .cancellation_token(token.clone())
            .summary(summary)
            .build()
    }
}
