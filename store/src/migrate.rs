//! The schema: brought up to date, and looked at.

use std::time::Duration;

use sqlx::{Connection as _, Executor as _, migrate::Migrator};

use crate::{Db, Error, Result, pool::Pooler};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Everybody who migrates takes this, one after the other. A number of our own.
const LOCK: &str = "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0;
     SELECT pg_advisory_xact_lock(7402185190355)";

/// A probe does not wait as long as a buyer; this long may a request wait for a connection before we are called busy.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
const BUSY_AFTER: Duration = Duration::from_millis(500);

/// What a probe is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// PostgreSQL answers, but requests use all our connections, and others wait for one.
    Busy,
}

impl Db {
    pub async fn migrate(&self) -> Result<()> {
        self.reach().await?;
        match self.pooler {
            Pooler::Session => self.migrate_one_by_one().await?,
            Pooler::Transaction => self.migrate_in_one().await?,
        }
        // What a word is cannot be said in SQL.
        crate::products::history::index_rest(self).await?;
        Ok(())
    }

    /// A big table takes its time: no statement is ended, but one that waits for a lock lets others pass after a while.
    async fn migrate_one_by_one(&self) -> Result<()> {
        let mut connection = self.pool.acquire().await?.detach();
        connection.execute("SET statement_timeout = 0").await?;
        MIGRATIONS.run(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// In one transaction, the only thing that stays in one session: the migrator's lock is the session's, and its
    /// statements have names. These are left in nobody's session.
    async fn migrate_in_one(&self) -> Result<()> {
        let mut tx = self.begin().await?;
        let mut migrator = Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
        migrator.set_locking(false);
        tx.session().execute(LOCK).await?;
        tx.session().execute("DEALLOCATE ALL").await?;
        migrator.run_direct(None, tx.session(), false).await?;
        tx.session().execute("DEALLOCATE ALL").await?;
        tx.commit().await?;
        Ok(())
    }

    /// Whether PostgreSQL answers, knows every migration this program was built with, and has a connection for a request.
    pub async fn ready(&self) -> Result<Readiness> {
        let newest = MIGRATIONS.iter().map(|m| m.version).max();
        match self.applied().await? >= newest {
            true => self.has_room().await,
            false => Err(Error::corrupt("the schema is older than this program: run `holdfast migrate`")),
        }
    }

    async fn applied(&self) -> Result<Option<i64>> {
        let asked = self.by_probe();
        let query = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success");
        match tokio::time::timeout(PROBE_TIMEOUT, query.fetch_one(&asked)).await {
            Ok(applied) => Ok(applied?),
            Err(_) => Err(Error::Outage(format!("no answer within {} s", PROBE_TIMEOUT.as_secs()))),
        }
    }

    async fn has_room(&self) -> Result<Readiness> {
        match tokio::time::timeout(BUSY_AFTER, self.pool.acquire()).await {
            Ok(Ok(_)) => Ok(Readiness::Ready),
            // No connection can be made: the one that the probe has may be from better times.
            Ok(Err(error)) if !matches!(error, sqlx::Error::PoolTimedOut) => Err(error.into()),
            Ok(Err(_)) | Err(_) => Ok(Readiness::Busy),
        }
    }
}
