//! What the database did, or could not be asked. What was refused is told by an error of each aggregate's
//! own, of which a fault is one case.

use std::borrow::Cow;

use domain::OrderId;
use sqlx::migrate::MigrateError;

/// What the store answers; without an error of its own, only a [`Fault`] keeps it from doing so.
pub type Result<T, E = Fault> = std::result::Result<T, E>;

/// Why it is not known, or not done, whatever was asked.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A bug ended the work, and what it was about may have been done or not.
    #[error("the work was ended by a bug")]
    Panicked,
    /// More is waiting than we promise to serve; nothing was done.
    #[error("too many orders are waiting")]
    Busy,
    /// So many reports run that the others' connections are kept for them.
    #[error("too many reports are running")]
    ReportsBusy,
    #[error("a stored value cannot be read: {0}")]
    Corrupt(String),
    /// What is stored, or a workflow, tells of an order that is not there.
    #[error("there is no order {0}")]
    UnknownOrder(OrderId),
    /// The engine did not take what was handed to it; it is handed over again.
    #[error("{0}")]
    Engine(String),
    /// The database is away; so said another's transaction that we shared.
    #[error("{0}")]
    Outage(String),
    #[error("no connection to PostgreSQL at {place}: {why}")]
    Unreachable { place: String, why: String },
    /// What is set cannot be meant so: why, without any of it that may be a secret.
    #[error("{0}")]
    Misconfigured(String),
    #[error("the schema is older than this program: run `holdfast migrate`")]
    SchemaOutdated,
    #[error("database: {}", said(.0))]
    Database(sqlx::Error),
    #[error("migration {version}: {}", said(.error))]
    Migration { version: i64, error: sqlx::Error },
    #[error("migrations: {0}")]
    Migrations(MigrateError),
}

/// An error of an aggregate, which may be a fault. An error that holds another aggregate's takes the fault
/// out of it: a conflict that nobody sees is not done again.
pub(crate) trait OrFault: From<Fault> {
    fn fault(&self) -> Option<&Fault>;
}

impl OrFault for Fault {
    fn fault(&self) -> Option<&Fault> {
        Some(self)
    }
}

/// Makes faults, and what becomes one, a case `Fault` of an aggregate's error.
macro_rules! or_fault {
    ($error:ty) => {
        impl<T: Into<$crate::Fault>> From<T> for $error {
            fn from(fault: T) -> Self {
                Self::Fault(fault.into())
            }
        }

        impl $crate::error::OrFault for $error {
            fn fault(&self) -> Option<&$crate::Fault> {
                match self {
                    Self::Fault(fault) => Some(fault),
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use or_fault;

/// A column that cannot be read holds a word that nobody wrote.
impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::ColumnDecode { index, source } => Self::Corrupt(format!("column {index}: {source}")),
            error => Self::Database(error),
        }
    }
}

impl From<MigrateError> for Fault {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::ExecuteMigration(error, version) => Self::Migration { version, error },
            MigrateError::Execute(error) => error.into(),
            error => Self::Migrations(error),
        }
    }
}

/// In PostgreSQL's own words, and what to do where these do not say.
fn said(error: &sqlx::Error) -> String {
    let sqlx::Error::Database(told) = error else {
        return match error {
            sqlx::Error::PoolTimedOut => "no connection was free, or could be made, in 10 s".to_owned(),
            error => error.to_string(),
        };
    };
    let code = told.code().unwrap_or_default();
    let advice = match &*code {
        // A name of a statement that another session gave, or that this one did not.
        "42P05" | "26000" | "08P01" => {
            ": behind a pooler of transactions set HOLDFAST_DATABASE_POOLER=transaction"
        }
        // A table, column or function that is not there.
        "42P01" | "42703" | "42883" => ": if the schema is older than this program, run `holdfast migrate`",
        "42501" => ": the user must own the tables, and `migrate` wants CREATE on the schema",
        _ => "",
    };
    format!("{} ({code}){advice}", told.message())
}

impl Fault {
    /// The same outage, told to somebody else.
    pub(crate) fn again(&self) -> Self {
        Self::Outage(self.to_string())
    }

    /// PostgreSQL undid the transaction because of another one that ran beside it. Done again from its start,
    /// it may work.
    pub(crate) fn is_conflict(&self) -> bool {
        // serialisation failure, deadlock
        ["40001", "40P01"].contains(&&*self.code())
    }

    /// PostgreSQL's code, if it has spoken.
    pub(crate) fn code(&self) -> Cow<'_, str> {
        match self {
            Self::Database(error) | Self::Migration { error, .. } => {
                error.as_database_error().and_then(|told| told.code()).unwrap_or_default()
            }
            _ => Cow::default(),
        }
    }

    /// The database is away or too busy; the same call may work later.
    pub fn is_outage(&self) -> bool {
        match self {
            error if error.is_conflict() => true,
            Self::Outage(_) | Self::Unreachable { .. } => true,
            Self::Database(
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed,
            ) => true,
            Self::Database(sqlx::Error::Database(error)) => {
                // 08 connection, 28 a password that was changed, 3D000 the database's name, 53 resources,
                // 55P03 lock timeout, 57 operator intervention
                let code = error.code().unwrap_or_default();
                let classes = ["08", "28", "53", "57"];
                classes.iter().any(|class| code.starts_with(class)) || ["3D000", "55P03"].contains(&&*code)
            }
            _ => false,
        }
    }

    /// A value that this crate wrote and cannot read back.
    pub(crate) fn corrupt(what: impl std::fmt::Display) -> Self {
        Self::Corrupt(what.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{exceptions, products, refunds, stays};

    #[test]
    fn a_fault_is_seen_through_errors_of_other_aggregates() {
        let stay: stays::Error = products::Error::Fault(Fault::Busy).into();
        let exception: exceptions::Error = refunds::Error::Fault(Fault::Busy).into();
        assert!(matches!((stay.fault(), exception.fault()), (Some(Fault::Busy), Some(Fault::Busy))));
    }
}
