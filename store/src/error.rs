use domain::{Invalid, order::Status, stock::Shortage};

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
    #[error("the order is {0}")]
    WrongStatus(Status),
    #[error("a stored value cannot be read: {0}")]
    Corrupt(String),
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl Error {
    /// A value that this crate wrote and cannot read back.
    pub(crate) fn corrupt(what: impl std::fmt::Display) -> Self {
        Self::Corrupt(what.to_string())
    }
}
