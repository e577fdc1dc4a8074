use std::borrow::Cow;

use domain::{Invalid, order::Status, returns::Run, stock::Shortage};
use sqlx::migrate::MigrateError;

use crate::stays::Night;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the store did not do as asked. Except for `Database`, these are answers, not faults.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not found")]
    NotFound,
    #[error("the idempotency key was used before with another request")]
    KeyReused,
    #[error("the request does not fit the catalogue")]
    Invalid(Vec<Invalid>),
    #[error("not enough stock")]
    Shortage(Vec<Shortage>),
    #[error("the adjustment would leave less on hand than is held")]
    BelowHeld,
    #[error("the product is not sold by the night")]
    NotAStay,
    #[error("the product is sold by the night")]
    NotGoods,
    /// The nights of which more is held and sold than there would be.
    #[error("more is held and sold than there would be")]
    CapacityBelowSold(Vec<Night>),
    /// The product is at another version than the client expects, or is not there.
    #[error("the product is at version {0:?}")]
    Stale(Option<i32>),
    #[error("the order is {0}")]
    WrongStatus(Status),
    #[error("the exception was resolved before")]
    AlreadyResolved,
    /// An exception's money cannot count towards its order: why, and where the order stands.
    #[error("{why}")]
    NotApplicable { why: String, status: Option<Status> },
    /// At most this much can still go back, in minor units.
    #[error("at most {0} can be refunded")]
    BeyondCaptured(i64),
    /// So many changes of this order wait that its workflow should be let catch up; nothing was done.
    #[error("too many changes of the order are waiting")]
    TooManyWaiting,
    /// More than was sold less what came back, or is about to; this is what can come back.
    #[error("more is to come back than was sold and is still there")]
    BeyondSold(Vec<Run>),
    /// Another process committed the same key in between; nothing was done.
    #[error("the idempotency key was taken a moment ago")]
    Raced,
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

/// A column that cannot be read holds a word that nobody wrote.
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::ColumnDecode { index, source } => Self::Corrupt(format!("column {index}: {source}")),
            error => Self::Database(error),
        }
    }
}

impl From<MigrateError> for Error {
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

impl Error {
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
