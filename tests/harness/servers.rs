//! The servers of a run: started by the first test that asks, shared by all.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use devstack::{MailCatcher, Postgres, PostgresOptions, Temporal, TemporalOptions, Tools};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::{runtime::Runtime, sync::OnceCell};

use super::{managed, process::run, unique, wait_until};

pub struct Servers {
    pub postgres: Postgres,
    pub temporal: Temporal,
    pub mail: MailCatcher,
}

/// The database that each test's own is copied from.
const TEMPLATE: &str = "template_shop";

/// The servers live on a runtime of their own: each test's runtime ends with the test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static SERVERS: OnceCell<Servers> = OnceCell::const_new();
/// This run's folder, locked while the run lives.
static RUN: LazyLock<(PathBuf, File)> = LazyLock::new(new_run);

/// The servers of this run. Each of them ends when this process does, also when it is killed.
pub async fn servers() -> &'static Servers {
    let start = || tokio::task::spawn_blocking(|| RUNTIME.block_on(start()));
    SERVERS.get_or_init(|| async { start().await.unwrap() }).await
}

/// Where server programs are kept that this machine does not have.
pub fn tools() -> Tools {
    Tools::new(tools_dir())
}

pub fn tools_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.holdfast/bin")
}

/// A new folder for a test's files.
pub fn test_dir() -> PathBuf {
    let dir = RUN.0.join(unique());
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// What the run's own PostgreSQL has logged.
pub fn postgres_log() -> String {
    String::from_utf8_lossy(&fs::read(RUN.0.join("postgres.log")).unwrap()).into_owned()
}

/// How a process gets to a database of the run's own server.
pub async fn database_env(database_url: &str) -> Vec<(&'static str, String)> {
    match managed::is_wanted() {
        true => managed::env(&servers().await.postgres, &RUN.0, database_url).await,
        false => vec![("DATABASE_URL", database_url.to_owned())],
    }
}

/// A new migrated database on `postgres`; gives its URL.
pub async fn database(postgres: &Postgres) -> String {
    let name = format!("shop_{}", unique());
    create(postgres, &name, "template1", "").await;
    migrate(&postgres.url(&name));
    postgres.url(&name)
}

/// The same on the run's own server, as a quick copy of one that was migrated before.
pub async fn shared_database() -> String {
    let postgres = &servers().await.postgres;
    let name = format!("shop_{}", unique());
    create(postgres, &name, TEMPLATE, owner()).await;
    postgres.url(&name)
}

async fn start() -> Servers {
    let (tools, dir) = (tools(), &RUN.0);
    let postgres = PostgresOptions { data_dir: dir.join("postgres"), port: None, durable: false };
    let temporal = TemporalOptions {
        port: None,
        ui_port: None,
        ui_codec: None,
        db_file: None,
        log_file: dir.join("temporal.log"),
        settings: vec!["limit.historyCount.suggestContinueAsNew=200".to_owned()],
    };
    let (postgres, temporal, mail) = tokio::try_join!(
        Postgres::start(&tools, postgres),
        Temporal::start(&tools, temporal),
        MailCatcher::start(None, None, None)
    )
    .unwrap();
    if managed::is_wanted() {
        managed::prepare(&postgres).await;
        create(&postgres, TEMPLATE, "template1", owner()).await;
        let env = managed::env(&postgres, &RUN.0, &postgres.url(TEMPLATE)).await;
        wait_until("PgBouncer lets the migrations through", async || run("migrate", &env).0).await;
        managed::leave(&postgres, TEMPLATE).await;
    } else {
        create(&postgres, TEMPLATE, "template1", owner()).await;
        migrate(&postgres.url(TEMPLATE));
    }
    Servers { postgres, temporal, mail }
}

/// Whose the shops' databases are, in words of SQL; our own user's, if nothing.
fn owner() -> &'static str {
    if managed::is_wanted() { managed::OWNER } else { "" }
}

async fn create(postgres: &Postgres, name: &str, template: &str, owner: &str) {
    let mut connection = PgConnection::connect(&postgres.url("postgres")).await.unwrap();
    let statement = format!("CREATE DATABASE {name} TEMPLATE {template} {owner}");
    connection.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
}

fn migrate(url: &str) {
    let (migrated, said) = run("migrate", &[("DATABASE_URL", url.to_owned())]);
    assert!(migrated, "{said}");
}

/// Makes this run's folder and removes those of runs that have ended.
fn new_run() -> (PathBuf, File) {
    let runs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("blackbox");
    fs::create_dir_all(&runs).unwrap();
    for entry in fs::read_dir(&runs).unwrap().flatten() {
        let ended = File::open(entry.path().join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        if ended {
            // Best effort: a server that is just ending may still write.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let dir = runs.join(unique());
    fs::create_dir_all(&dir).unwrap();
    let lock = File::create(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    (dir, lock)
}
