//! Servers and a shop for one benchmark. Unlike the tests' PostgreSQL, this one keeps every promise: each
//! commit waits for the disk.

use std::path::Path;

use devstack::{MailCatcher, Postgres, PostgresOptions, Temporal, TemporalOptions};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::{
    harness::{Setup, Shop, database, test_dir, tools},
    processors::Halves,
};

/// The pool of an API process, and of what it is compared with.
pub const CONNECTIONS: u32 = 20;

pub struct House {
    pub shop: Shop,
    pub postgres: Postgres,
    temporal: Option<Temporal>,
    _mail: MailCatcher,
}

impl House {
    /// PostgreSQL and an API; the engine cannot be reached, so that what is measured is the door's.
    pub async fn with_door_alone() -> Self {
        Self::with_door_alone_and(Vec::new()).await
    }

    /// The same, with some of the processes' environment changed.
    pub async fn with_door_alone_and(env: Vec<(&'static str, String)>) -> Self {
        let (postgres, mail) = (postgres().await, mail_catcher().await);
        let mut setup = Setup {
            without_worker: true,
            temporal_address: Some("127.0.0.1:1".to_owned()),
            ..setup(&postgres, &mail).await
        };
        setup.env.extend(env);
        Self { shop: Shop::with(setup).await, postgres, temporal: None, _mail: mail }
    }

    /// All of it.
    pub async fn whole() -> Self {
        Self::whole_with(Vec::new()).await
    }

    /// All of it, with some of the processes' environment changed.
    pub async fn whole_with(env: Vec<(&'static str, String)>) -> Self {
        Self::around(engine().await, env).await
    }

    /// All of it, and PostgreSQL counts how often it plans and runs each statement, if it can.
    pub async fn counting_statements() -> Self {
        let data_dir = test_dir().join("postgres");
        let postgres = Postgres::start(&tools(), durable(&data_dir)).await.unwrap();
        let counts = count_statements(&postgres).await;
        postgres.stop().await.unwrap();
        let postgres = Postgres::start(&tools(), durable(&data_dir)).await.unwrap();
        if counts {
            let settings =
                ["ALTER SYSTEM SET pg_stat_statements.track_planning = on", "SELECT pg_reload_conf()"];
            // Also for the databases that are made from this one.
            let settings = std::iter::once("CREATE EXTENSION pg_stat_statements").chain(settings);
            set(&postgres, "template1", settings).await;
        }
        season(&postgres).await;
        Self::of(engine().await, postgres, Vec::new()).await
    }

    /// All of it, the engine on processors of its own.
    pub async fn apart(halves: &Halves) -> Self {
        halves.for_engine();
        let temporal = engine().await;
        halves.for_others();
        Self::around(temporal, Vec::new()).await
    }

    /// The process of the engine, if there is one.
    pub fn engine_pid(&self) -> Option<u32> {
        self.temporal.as_ref()?.pid()
    }

    async fn around(temporal: Temporal, env: Vec<(&'static str, String)>) -> Self {
        Self::of(temporal, postgres().await, env).await
    }

    async fn of(temporal: Temporal, postgres: Postgres, env: Vec<(&'static str, String)>) -> Self {
        let mail = mail_catcher().await;
        let temporal_address = Some(temporal.address());
        let mut setup = Setup { temporal_address, ..setup(&postgres, &mail).await };
        setup.env.extend(env);
        let mut shop = Shop::with(setup).await;
        shop.until_worker_works().await;
        Self { shop, postgres, temporal: Some(temporal), _mail: mail }
    }
}

async fn engine() -> Temporal {
    let options = TemporalOptions {
        port: None,
        ui_port: None,
        ui_codec: None,
        db_file: None,
        log_file: test_dir().join("temporal.log"),
        settings: Vec::new(),
    };
    Temporal::start(&tools(), options).await.unwrap()
}

/// Whether statements are counted from the next start on: that is a library, and not installed everywhere.
async fn count_statements(postgres: &Postgres) -> bool {
    let mut sql = PgConnection::connect(&postgres.url("postgres")).await.unwrap();
    let is_there = "SELECT EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'pg_stat_statements')";
    let is_there: bool = sqlx::query_scalar(is_there).fetch_one(&mut sql).await.unwrap();
    if is_there {
        sql.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'").await.unwrap();
    }
    is_there
}

async fn set(postgres: &Postgres, database: &str, settings: impl IntoIterator<Item = &'static str>) {
    let mut sql = PgConnection::connect(&postgres.url(database)).await.unwrap();
    for setting in settings {
        sql.execute(setting).await.unwrap();
    }
}

fn durable(data_dir: &Path) -> PostgresOptions {
    PostgresOptions { data_dir: data_dir.to_owned(), port: None, durable: true }
}

async fn postgres() -> Postgres {
    let postgres = Postgres::start(&tools(), durable(&test_dir().join("postgres"))).await.unwrap();
    season(&postgres).await;
    postgres
}

async fn mail_catcher() -> MailCatcher {
    MailCatcher::start(None, None, None).await.unwrap()
}

/// A server that has run for a while writes its log into files that it has used before. A new one makes them
/// first, and whoever commits meanwhile waits for that.
async fn season(postgres: &Postgres) {
    let mut sql = PgConnection::connect(&postgres.url("postgres")).await.unwrap();
    for settings in ["ALTER SYSTEM SET min_wal_size = '1GB'", "SELECT pg_reload_conf()"] {
        sql.execute(settings).await.unwrap();
    }
    for _ in 0..60 {
        sql.execute("SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()").await.unwrap();
    }
    sql.execute("CHECKPOINT").await.unwrap();
}

async fn setup(postgres: &Postgres, mail: &MailCatcher) -> Setup {
    Setup {
        database_url: Some(database(postgres).await),
        smtp_url: Some(mail.smtp_url()),
        // What is measured is how much there can be.
        env: vec![("HOLDFAST_RATE_LIMITS", "off".to_owned())],
        ..Setup::default()
    }
}
