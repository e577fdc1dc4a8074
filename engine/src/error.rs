use temporalio_client::errors::{
    ClientConnectError, WorkflowInteractionError, WorkflowStartError, WorkflowUpdateError,
    WorkflowUpdateWithStartError,
};
use temporalio_client::tonic::{Code, Status};

/// Why the engine did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It may work later.
    #[error("Temporal: {0}")]
    Unavailable(String),
    /// The workflow's task was thrown away with our question in it (an event came in between). Nothing
    /// is wrong: ask again.
    #[error("Temporal: {0}")]
    Interrupted(String),
    /// The order's workflow has ended.
    #[error("the order's workflow has ended")]
    Closed,
    /// The workflow's validator said no.
    #[error("the order's workflow refused: {0}")]
    Refused(String),
}

impl Error {
    pub(crate) fn unavailable(error: impl std::fmt::Display) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::AlreadyExists | Code::NotFound => Self::Closed,
            Code::FailedPrecondition => Self::Interrupted(status.message().to_owned()),
            code => Self::Unavailable(format!("{code:?}: {}", status.message())),
        }
    }
}

impl From<ClientConnectError> for Error {
    fn from(error: ClientConnectError) -> Self {
        Self::unavailable(error)
    }
}

impl From<WorkflowStartError> for Error {
    fn from(error: WorkflowStartError) -> Self {
        match error {
            WorkflowStartError::AlreadyStarted { .. } => Self::Closed,
            WorkflowStartError::Rpc(status) => status.into(),
            other => Self::unavailable(other),
        }
    }
}

impl From<WorkflowInteractionError> for Error {
    fn from(error: WorkflowInteractionError) -> Self {
        match error {
            WorkflowInteractionError::NotFound(_) => Self::Closed,
            WorkflowInteractionError::Rpc(status) => status.into(),
            other => Self::unavailable(other),
        }
    }
}

impl From<WorkflowUpdateError> for Error {
    fn from(error: WorkflowUpdateError) -> Self {
        match error {
            WorkflowUpdateError::NotFound(_) => Self::Closed,
            WorkflowUpdateError::Failed(failure) => Self::Refused(failure.message),
            WorkflowUpdateError::Rpc(status) => status.into(),
            other => Self::unavailable(other),
        }
    }
}

impl From<WorkflowUpdateWithStartError> for Error {
    fn from(error: WorkflowUpdateWithStartError) -> Self {
        match error {
            WorkflowUpdateWithStartError::Start(error) => error.into(),
            WorkflowUpdateWithStartError::Update(error) => error.into(),
            WorkflowUpdateWithStartError::Rpc(status) => status.into(),
            other => Self::unavailable(other),
        }
    }
}
