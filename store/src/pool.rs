//! The connection pools: limits, timeouts, and what a session is set to (docs/adr/0031 and 0035).

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{
    AssertSqlSafe, Executor as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::Semaphore;

use crate::{
    Fault, Result,
    executor::{Report, Tx},
};

/// Whatever the database's default is: a lone statement, too, locks what it changes, and is undone by nobody.
const ISOLATION: &str = "read committed";
/// How long a caller waits for a free connection, and a statement or a lock may take.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
const STATEMENT_TIMEOUT: &str = "15s";
const LOCK_TIMEOUT: &str = "10s";
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "30s";
const REPORT_TIMEOUT: &str = "30min";
/// Of a report that a request waits for, which is given up after 30 s.
const ASKED_REPORT_TIMEOUT: &str = "25s";
/// A group decides one batch after the other, and a probe asks one question after the other.
const CONNECTIONS_APART: u32 = 1;
/// Reports have one connection in so many, and wait so long for one of these.
const CONNECTIONS_PER_REPORT: u32 = 4;
const REPORT_PATIENCE: Duration = Duration::from_secs(5);
/// So old may the plans of a batcher's statements get.
const PLANS_LAST: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(10);

/// What stands between us and PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooler {
    /// Nothing, or what gives each client a session of its own.
    Session,
    /// A pooler that gives a client another session for each transaction, such as PgBouncer in transaction
    /// mode: nothing may be left in a session, neither settings nor prepared statements.
    Transaction,
}

/// PostgreSQL, by bounded pools. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    pub(crate) pool: PgPool,
    /// A connection of its own for those who ask whether we are ready.
    probe: PgPool,
    reports: Arc<Semaphore>,
    pub(crate) pooler: Pooler,
}

impl Db {
    /// Prepares the pools. They connect on first use, so a service starts while PostgreSQL is down.
    pub fn open(url: &str, max_connections: u32) -> Result<Self> {
        Self::open_behind(Pooler::Session, url, max_connections)
    }

    /// The same with something between us and PostgreSQL.
    pub fn open_behind(pooler: Pooler, url: &str, max_connections: u32) -> Result<Self> {
        let options = crate::database_url::parse(url)?.application_name("holdfast");
        let options = match pooler {
            Pooler::Session => {
                options.options(settings()).options([("default_transaction_isolation", ISOLATION)])
            }
            // What a pooler does not know at the start of a session it refuses, and what it knows it may
            // forget.
            Pooler::Transaction => options.extra_float_digits(None).statement_cache_capacity(0),
        };
        let by_key = planned_by_key(&options, pooler, "auto");
        let reports = (max_connections / CONNECTIONS_PER_REPORT).max(1);
        Ok(Self {
            pool: pool(max_connections).connect_lazy_with(by_key),
            probe: pool(CONNECTIONS_APART).connect_lazy_with(options),
            reports: Arc::new(Semaphore::new(reports as usize)),
            pooler,
        })
    }

    /// The same database by a connection of its own, for a thread of its own: a connection lives with the
    /// thread that opened it. Its statements are few, and are asked thousands of times a second: each is
    /// planned once for any parameters, and again when its plan is old.
    pub(crate) fn apart(&self) -> Self {
        let options = self.pool.connect_options().as_ref().clone();
        let (pooler, plans) = (self.pooler, Arc::new(Mutex::new(Plans::new())));
        let pool = pool(CONNECTIONS_APART).before_acquire(move |connection, _| {
            let are_old = pooler == Pooler::Session
                && plans.lock().unwrap_or_else(PoisonError::into_inner).begin_anew_if_old();
            Box::pin(async move {
                if are_old {
                    connection.execute("DISCARD PLANS").await?;
                }
                Ok(true)
            })
        });
        let pool = pool.connect_lazy_with(planned_by_key(&options, pooler, "force_generic_plan"));
        Self { pool, ..self.clone() }
    }

    /// Makes a connection now, to say why there is none. A pool would try on, and tell that it waited.
    ///
    /// # Errors
    /// [`Fault::Unreachable`].
    pub async fn reach(&self) -> Result<()> {
        let options = self.pool.connect_options();
        crate::reach::connect(&options).await.map(drop)
    }

    /// The same by the connection for probes.
    pub(crate) fn by_probe(&self) -> Self {
        Self { pool: self.probe.clone(), ..self.clone() }
    }

    pub(crate) fn pool(&self) -> &Self {
        self
    }

    pub(crate) async fn begin(&self) -> Result<Tx> {
        self.begin_with(self.begin_statement()).await
    }

    /// A transaction whose statements may walk through tables, and are planned each time for what they are
    /// asked.
    pub(crate) async fn begin_walking(&self) -> Result<Tx> {
        let (begin, ways) = (self.begin_statement(), set_local(ways_to_walk("on")));
        self.begin_with(format!("{begin}{ways}; SET LOCAL plan_cache_mode = 'force_custom_plan'")).await
    }

    fn begin_statement(&self) -> String {
        match self.pooler {
            Pooler::Session => "BEGIN".to_owned(),
            Pooler::Transaction => {
                format!("BEGIN ISOLATION LEVEL {ISOLATION}{}", set_local(settings()))
            }
        }
    }

    /// By a task of its own: whoever gives up while a transaction begins would leave one behind that nobody
    /// knows of, in a connection that the next one gets.
    async fn begin_with(&self, begin: String) -> Result<Tx> {
        let pool = self.pool.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where a transaction begins, bounded by the pool"
        )]
        let begun = tokio::spawn(async move { pool.begin_with(AssertSqlSafe(begin)).await });
        // A task that nobody aborts ends without its result only with the whole runtime.
        let tx = begun.await.map_err(|_| sqlx::Error::WorkerCrashed)??;
        Ok(Tx::new(tx, self.pooler))
    }

    /// A transaction that reads much and sees one moment: for reports, which may take their time. So few of
    /// them run at once that most connections are left to others.
    ///
    /// # Errors
    /// [`Fault::ReportsBusy`] if too many run already.
    pub(crate) async fn begin_report(&self) -> Result<Report> {
        self.begin_report_within(ASKED_REPORT_TIMEOUT).await
    }

    /// The same for one that nobody waits for at the other end of a request.
    pub(crate) async fn begin_long_report(&self) -> Result<Report> {
        self.begin_report_within(REPORT_TIMEOUT).await
    }

    async fn begin_report_within(&self, timeout: &str) -> Result<Report> {
        let place = self.reports.clone().acquire_owned();
        let place = tokio::time::timeout(REPORT_PATIENCE, place).await.map_err(|_| Fault::ReportsBusy)?;
        let place = place.expect("nobody closes the semaphore");
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY{}{}; SET LOCAL statement_timeout = '{timeout}'",
            set_local(settings()),
            set_local(ways_to_walk("on"))
        );
        Ok(Report::new(self.begin_with(begin).await?, place))
    }

    /// Closes all connections, once they are given back.
    pub async fn close(&self) {
        self.pool.close().await;
        self.probe.close().await;
    }
}

fn pool(max_connections: u32) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(max_connections).acquire_timeout(ACQUIRE_TIMEOUT)
}

/// What a session is set to. Our statements are short: compiling one takes longer than running it.
fn settings() -> [(&'static str, &'static str); 4] {
    [
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("lock_timeout", LOCK_TIMEOUT),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
        ("jit", "off"),
    ]
}

fn set_local<const N: usize>(settings: [(&str, &str); N]) -> String {
    settings.map(|(name, value)| format!("; SET LOCAL {name} = '{value}'")).concat()
}

/// What leads through all rows of a table, which looks cheap as long as there are few.
pub(crate) const fn ways_to_walk(value: &str) -> [(&'static str, &str); 4] {
    [
        ("enable_seqscan", value),
        ("enable_hashjoin", value),
        ("enable_mergejoin", value),
        ("enable_material", value),
    ]
}

/// Sessions whose statements find their rows by keys, whatever the statistics say: so a plan can be kept,
/// though it was made while the tables were small. Unnamed statements, as a pooler wants them, are planned
/// each time anyway.
fn planned_by_key(options: &PgConnectOptions, pooler: Pooler, mode: &str) -> PgConnectOptions {
    match pooler {
        Pooler::Session => options.clone().options(ways_to_walk("off")).options([("plan_cache_mode", mode)]),
        Pooler::Transaction => options.clone(),
    }
}

/// How old the plans of a batcher's connection are.
struct Plans {
    opened: Instant,
    made: Instant,
}

impl Plans {
    fn new() -> Self {
        let now = Instant::now();
        Self { opened: now, made: now }
    }

    /// Whether they are to be made anew, from now on. They last about as long as the batcher was old when
    /// they were made: what has grown evenly since has at most doubled.
    fn begin_anew_if_old(&mut self) -> bool {
        let age = self.made.duration_since(self.opened);
        let are_old = self.made.elapsed() >= age.clamp(*PLANS_LAST.start(), *PLANS_LAST.end());
        if are_old {
            self.made = Instant::now();
        }
        are_old
    }
}
