//! Times as PostgreSQL stores them.

use domain::Timestamp;
use jiff_sqlx::ToSqlx as _;

pub(crate) type SqlTime = jiff_sqlx::Timestamp;

pub(crate) fn sql(at: Timestamp) -> SqlTime {
    at.to_sqlx()
}
