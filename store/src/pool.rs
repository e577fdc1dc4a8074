//! The connection pool: limits, timeouts, migrations.

use std::time::Duration;

use sqlx::{
    PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::Result;

pub type Tx<'a> = Transaction<'a, Postgres>;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// How long a caller waits for a free connection, and a statement or a lock may take.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
const STATEMENT_TIMEOUT: &str = "15s";
const LOCK_TIMEOUT: &str = "10s";
const REPORT_TIMEOUT: &str = "30min";
/// A group decides one batch after the other.
const CONNECTIONS_APART: u32 = 1;
/// A probe does not wait as long as a buyer.
const READY_TIMEOUT: Duration = Duration::from_secs(3);

/// PostgreSQL, by a bounded pool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db(PgPool);

impl Db {
    /// Prepares a pool. Connects on first use, so a service starts while PostgreSQL is down.
    pub fn open(url: &str, max_connections: u32) -> Result<Self> {
        let options: PgConnectOptions = url.parse()?;
        let options = options.application_name("holdfast").options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("lock_timeout", LOCK_TIMEOUT),
            ("idle_in_transaction_session_timeout", "30s"),
            // A plan made while a table was small is kept while it grows. Every statement of ours has its index
            // (tests/plans.rs sees to it), so none is to be planned as a walk through a table.
            ("enable_seqscan", "off"),
        ]);
        Ok(Self::pooled(options, max_connections))
    }

    /// The same database by connections of its own, for a thread of its own: a connection lives with the thread that
    /// opened it.
    pub(crate) fn apart(&self) -> Self {
        Self::pooled(self.0.connect_options().as_ref().clone(), CONNECTIONS_APART)
    }

    fn pooled(options: PgConnectOptions, max_connections: u32) -> Self {
        let pool = PgPoolOptions::new().max_connections(max_connections).acquire_timeout(ACQUIRE_TIMEOUT);
        Self(pool.connect_lazy_with(options))
    }

    pub async fn migrate(&self) -> Result<()> {
        MIGRATIONS.run(&self.0).await?;
        // What a word is cannot be said in SQL.
        crate::products::history::index_rest(self).await?;
        Ok(())
    }

    /// Answers, and knows every migration this program was built with.
    pub async fn ready(&self) -> Result<()> {
        let newest = MIGRATIONS.iter().map(|m| m.version).max();
        let query = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success");
        let applied: Option<i64> = tokio::time::timeout(READY_TIMEOUT, query.fetch_one(&self.0))
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)??;
        match applied >= newest {
            true => Ok(()),
            false => {
                Err(crate::Error::corrupt("the schema is older than this program: run `holdfast migrate`"))
            }
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.0
    }

    pub(crate) async fn begin(&self) -> Result<Tx<'static>> {
        Ok(self.0.begin().await?)
    }

    /// A transaction that reads much and sees one moment: for reports, which may take their time.
    pub(crate) async fn begin_report(&self) -> Result<Tx<'static>> {
        let mut tx = self.0.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let settings =
            format!("SET LOCAL enable_seqscan = on; SET LOCAL statement_timeout = '{REPORT_TIMEOUT}'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(settings)).execute(&mut *tx).await?;
        Ok(tx)
    }

    pub async fn close(&self) {
        self.0.close().await;
    }
}
