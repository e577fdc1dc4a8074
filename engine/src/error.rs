use prost::Message as _;
use temporalio_client::{
    errors::{ClientConnectError, WorkflowInteractionError, WorkflowStartError},
    schedules::ScheduleError,
    tonic::{Code, Status},
};
use temporalio_common::protos::{google::rpc, temporal::api::errordetails::v1::NamespaceNotFoundFailure};

/// Why the engine did not do as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// It may work later.
    #[error("Temporal: {0}")]
    Unavailable(String),
    /// It will not work until somebody changes the configuration, ours or the server's.
    #[error("the configuration of Temporal: {0}")]
    Misconfigured(String),
    /// The order's workflow has ended.
    #[error("the order's workflow has ended")]
    Closed,
}

impl Error {
    /// The same, with the server's place.
    pub(crate) fn at(self, place: &str) -> Self {
        match self {
            Self::Unavailable(why) => Self::Unavailable(format!("{place}: {why}")),
            other => other,
        }
    }

    pub(crate) fn unavailable(error: impl std::fmt::Display) -> Self {
        Self::Unavailable(error.to_string())
    }

    pub(crate) fn misconfigured(error: impl std::fmt::Display) -> Self {
        Self::Misconfigured(error.to_string())
    }

    /// Of a call to a workflow that should run: it may have ended.
    pub(crate) fn of_running(status: Status) -> Self {
        match is_about_the_workflow(&status) {
            true => Self::Closed,
            false => status.into(),
        }
    }

    /// Of a call that starts a workflow: it may have run already.
    pub(crate) fn of_start(status: Status) -> Self {
        match status.code() == Code::AlreadyExists
            && detail(&status, "WorkflowExecutionAlreadyStartedFailure").is_some()
        {
            true => Self::Closed,
            false => status.into(),
        }
    }
}

/// "Not found" is said of a workflow and of the namespace it should be in.
fn is_about_the_workflow(status: &Status) -> bool {
    status.code() == Code::NotFound
        && missing_namespace(status).is_none()
        && status.message().to_lowercase().contains("workflow")
}

fn missing_namespace(status: &Status) -> Option<String> {
    let missing = detail(status, "NamespaceNotFoundFailure")?;
    NamespaceNotFoundFailure::decode(missing.as_slice()).ok().map(|missing| missing.namespace)
}

/// What the server says of an error in a form of its own, if it is in this one. (Read as another, it would do
/// as well.)
fn detail(status: &Status, form: &str) -> Option<Vec<u8>> {
    let told = rpc::Status::decode(status.details()).ok()?;
    let is_it = |url: &str| url.rsplit(['/', '.']).next() == Some(form);
    told.details.into_iter().find(|detail| is_it(&detail.type_url)).map(|detail| detail.value)
}

/// Says nothing of workflows: what is not found or there already is something that we were set up with.
impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let said = status.message();
        if let Some(namespace) = missing_namespace(&status) {
            return Self::Misconfigured(format!("there is no namespace `{namespace}`"));
        }
        match status.code() {
            code @ (Code::NotFound
            | Code::AlreadyExists
            | Code::InvalidArgument
            | Code::OutOfRange
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented) => Self::Misconfigured(format!("{code:?}: {said}")),
            code => Self::Unavailable(format!("{code:?}: {}", with_root(said, &status))),
        }
    }
}

/// What it says, and what was at the bottom of it, in the system's or the certificate checker's own words;
/// and what to do about it where these do not say.
fn with_root(said: &str, error: &dyn std::error::Error) -> String {
    let root = std::iter::successors(error.source(), |error| error.source()).last();
    let said = match root.map(ToString::to_string) {
        Some(root) if !said.contains(&root) && said.is_empty() => root,
        Some(root) if !said.contains(&root) => format!("{said}: {root}"),
        _ => said.to_owned(),
    };
    let advice = [
        ("UnknownIssuer", "name its authority with TEMPORAL_TLS_SERVER_CA_CERT_PATH"),
        ("InvalidContentType", "the server does not speak TLS there"),
        ("CertificateRequired", "it wants TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH"),
        ("NotValidForName", "name it as its certificate does, or set TEMPORAL_TLS_SERVER_NAME"),
    ];
    let advice = advice.into_iter().find(|(word, _)| said.contains(word));
    advice.map_or(said.clone(), |(_, advice)| format!("{said}: {advice}"))
}

impl From<ClientConnectError> for Error {
    fn from(error: ClientConnectError) -> Self {
        match error {
            ClientConnectError::SystemInfoCallError(status) => status.into(),
            error @ (ClientConnectError::InvalidUri(_)
            | ClientConnectError::InvalidHeaders(_)
            | ClientConnectError::InvalidConfig(_)) => Self::misconfigured(error),
            ClientConnectError::TonicTransportError(error) => Self::Unavailable(with_root("", &error)),
            other => Self::unavailable(other),
        }
    }
}

impl From<WorkflowStartError> for Error {
    fn from(error: WorkflowStartError) -> Self {
        match error {
            WorkflowStartError::AlreadyStarted { source, .. } => Self::of_start(source),
            WorkflowStartError::Rpc(status) => Self::of_start(status),
            WorkflowStartError::PayloadConversion(error) => Self::misconfigured(error),
            other => Self::unavailable(other),
        }
    }
}

impl From<WorkflowInteractionError> for Error {
    fn from(error: WorkflowInteractionError) -> Self {
        match error {
            WorkflowInteractionError::NotFound(status) => Self::of_running(status),
            WorkflowInteractionError::Rpc(status) => status.into(),
            other => Self::unavailable(other),
        }
    }
}

impl From<ScheduleError> for Error {
    fn from(error: ScheduleError) -> Self {
        match error {
            ScheduleError::Rpc(status) => status.into(),
            other => Self::unavailable(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use temporalio_common::protos::{
        temporal::api::errordetails::v1::{NotFoundFailure, WorkflowExecutionAlreadyStartedFailure},
        utilities::pack_any,
    };

    use super::*;

    fn status<T: prost::Message>(code: Code, message: &str, name: &str, detail: &T) -> Status {
        let detail = pack_any(format!("type.googleapis.com/temporal.api.errordetails.v1.{name}"), detail);
        let told =
            rpc::Status { code: code as i32, message: message.to_owned(), details: vec![detail.unwrap()] };
        Status::with_details(code, message, told.encode_to_vec().into())
    }

    fn no_namespace() -> Status {
        let detail = NamespaceNotFoundFailure { namespace: "nowhere".to_owned() };
        status(Code::NotFound, "Namespace nowhere is not found.", "NamespaceNotFoundFailure", &detail)
    }

    fn no_workflow() -> Status {
        let said = "workflow not found for ID: ord_1";
        let here = NotFoundFailure { current_cluster: "active".to_owned(), ..NotFoundFailure::default() };
        status(Code::NotFound, said, "NotFoundFailure", &here)
    }

    fn ran_already() -> Status {
        let name = "WorkflowExecutionAlreadyStartedFailure";
        let detail = WorkflowExecutionAlreadyStartedFailure::default();
        status(Code::AlreadyExists, "Workflow execution is already running.", name, &detail)
    }

    #[test]
    fn only_a_workflow_that_was_addressed_is_closed() {
        assert!(matches!(Error::of_running(no_workflow()), Error::Closed));
        assert!(matches!(
            Error::of_running(Status::not_found("workflow execution already completed")),
            Error::Closed
        ));
        assert!(matches!(Error::of_start(ran_already()), Error::Closed));
        for error in [
            Error::of_running(no_namespace()),
            Error::of_start(no_namespace()),
            Error::from(no_namespace()),
            Error::from(WorkflowInteractionError::NotFound(no_namespace())),
            Error::from(WorkflowStartError::Rpc(no_namespace())),
        ] {
            assert_eq!(error.to_string(), "the configuration of Temporal: there is no namespace `nowhere`");
        }
        for error in [
            Error::from(no_workflow()),
            Error::from(ran_already()),
            Error::of_start(no_workflow()),
            Error::of_start(Status::already_exists("search attribute HoldfastOrderStatus already exists")),
            Error::of_running(Status::not_found("sql: no rows in result set")),
        ] {
            assert!(matches!(error, Error::Misconfigured(_)), "{error:?}");
        }
    }

    #[test]
    fn what_will_not_pass_is_told_from_what_may() {
        for code in
            [Code::PermissionDenied, Code::Unauthenticated, Code::InvalidArgument, Code::Unimplemented]
        {
            assert!(matches!(Error::from(Status::new(code, "no")), Error::Misconfigured(_)), "{code:?}");
        }
        for code in [
            Code::Unavailable,
            Code::DeadlineExceeded,
            Code::ResourceExhausted,
            Code::Cancelled,
            Code::Internal,
        ] {
            assert!(matches!(Error::from(Status::new(code, "no")), Error::Unavailable(_)), "{code:?}");
        }
    }
}
