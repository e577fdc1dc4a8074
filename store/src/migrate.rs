//! The schema: brought up to date, and looked at.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, migrate::Migrator};

use crate::{
    Db, Fault, Result,
    pool::{Pooler, ways_to_walk},
};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Everybody who migrates takes this, one after the other. A number of our own.
const LOCK: &str =
    "SET LOCAL idle_in_transaction_session_timeout = 0; SELECT pg_advisory_xact_lock(7402185190355)";

/// A big table takes its time. But others queue up behind a statement that waits for a lock: after this it
/// waits no longer, and its migration is done again. PostgreSQL looks for deadlocks only later, so that
/// nobody else is the victim of one.
const TIMEOUTS: [&str; 2] = ["statement_timeout = 0", "lock_timeout = '200ms'"];
/// So long is that tried, with so long a pause before each.
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_secs(1);

/// A probe does not wait as long as a buyer; this long may a request wait for a connection before we are
/// called busy.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
const BUSY_AFTER: Duration = Duration::from_millis(500);

const UNDEFINED_TABLE: &str = "42P01";
const LOCK_TIMEOUT: &str = "55P03";

/// What a probe is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// PostgreSQL answers, but requests use all our connections, and others wait for one.
    Busy,
}

impl Db {
    /// # Errors
    /// [`Fault::Migration`] if a lock was not to be had for minutes; what was done before stays, and the next
    /// call goes on.
    pub async fn migrate(&self) -> Result<()> {
        self.reach().await?;
        let mut since = Instant::now();
        loop {
            let began = Instant::now();
            let migrated = match self.pooler {
                Pooler::Session => self.migrate_one_by_one().await,
                Pooler::Transaction => self.migrate_in_one().await,
            };
            match migrated {
                Err(error) if is_in_the_way(&error) && began.duration_since(since) < PATIENCE => {
                    if began.elapsed() > PAUSE {
                        since = Instant::now(); // it has worked, not waited
                    }
                    tracing::warn!(%error, "another transaction is in the way: the migration is done again");
                    tokio::time::sleep(PAUSE).await;
                }
                done => break done?,
            }
        }
        // What a word is cannot be said in SQL.
        crate::products::history::index_rest(self).await?;
        Ok(())
    }

    async fn migrate_one_by_one(&self) -> Result<()> {
        let mut connection = self.pool.acquire().await?.detach();
        let ways = ways_to_walk("on").map(|(name, value)| format!("{name} = {value}"));
        for setting in TIMEOUTS.map(str::to_owned).into_iter().chain(ways) {
            connection.execute(AssertSqlSafe(format!("SET {setting}"))).await?;
        }
        let migrated = migrator().run(&mut connection).await;
        connection.close().await?;
        Ok(migrated?)
    }

    /// In one transaction, the only thing that stays in one session: the migrator's lock is the session's,
    /// and its statements have names. These are left in nobody's session.
    async fn migrate_in_one(&self) -> Result<()> {
        let mut tx = self.begin().await?;
        for timeout in TIMEOUTS {
            tx.session().execute(AssertSqlSafe(format!("SET LOCAL {timeout}"))).await?;
        }
        tx.session().execute(LOCK).await?;
        tx.session().execute("DEALLOCATE ALL").await?;
        let mut migrator = migrator();
        migrator.set_locking(false);
        migrator.run_direct(None, tx.session(), false).await?;
        tx.session().execute("DEALLOCATE ALL").await?;
        tx.commit().await?;
        Ok(())
    }

    /// Makes a connection now, and looks whether the schema is ours.
    ///
    /// # Errors
    /// Why it cannot be used: [`Fault::Unreachable`], or [`Fault::SchemaOutdated`].
    pub async fn usable(&self) -> Result<()> {
        self.reach().await?;
        self.knows_our_schema().await
    }

    /// Whether PostgreSQL answers, knows every migration this program was built with, and has a connection
    /// for a request.
    pub async fn ready(&self) -> Result<Readiness> {
        self.knows_our_schema().await?;
        self.has_room().await
    }

    async fn knows_our_schema(&self) -> Result<()> {
        let newest = MIGRATIONS.iter().map(|m| m.version).max();
        match self.applied().await? >= newest {
            true => Ok(()),
            false => Err(Fault::SchemaOutdated),
        }
    }

    async fn applied(&self) -> Result<Option<i64>> {
        let asked = self.by_probe();
        let query = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success");
        match tokio::time::timeout(PROBE_TIMEOUT, query.fetch_one(&asked)).await {
            Ok(applied) => match applied.map_err(Fault::from) {
                Err(error) if error.code() == UNDEFINED_TABLE => Ok(None), // nobody has ever migrated it
                applied => applied,
            },
            Err(_) => Err(Fault::Outage(format!("no answer within {} s", PROBE_TIMEOUT.as_secs()))),
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

/// Ours, for a schema that may be newer: a program that goes back a version starts all the same.
fn migrator() -> Migrator {
    let mut migrator = Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
    migrator.set_ignore_missing(true);
    migrator
}

fn is_in_the_way(error: &Fault) -> bool {
    error.is_conflict() || error.code() == LOCK_TIMEOUT
}
