//! Servers and a shop for one benchmark. Unlike the tests' PostgreSQL, this one keeps every promise: each
//! commit waits for the disk.

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
    _temporal: Option<Temporal>,
    _mail: MailCatcher,
}

impl House {
    /// PostgreSQL and an API; the engine cannot be reached, so that what is measured is the door's.
    pub async fn with_door_alone() -> Self {
        let (postgres, mail) = basics().await;
        let setup = Setup {
            without_worker: true,
            temporal_address: Some("127.0.0.1:1".to_owned()),
            ..setup(&postgres, &mail).await
        };
        Self { shop: Shop::with(setup).await, postgres, _temporal: None, _mail: mail }
    }

    /// All of it.
    pub async fn whole() -> Self {
        Self::whole_with(Vec::new()).await
    }

    /// All of it, with some of the processes' environment changed.
    pub async fn whole_with(env: Vec<(&'static str, String)>) -> Self {
        Self::around(engine().await, env).await
    }

    /// All of it, the engine on processors of its own.
    pub async fn apart(halves: &Halves) -> Self {
        halves.for_engine();
        let temporal = engine().await;
        halves.for_others();
        Self::around(temporal, Vec::new()).await
    }

    async fn around(temporal: Temporal, env: Vec<(&'static str, String)>) -> Self {
        let (postgres, mail) = basics().await;
        let temporal_address = Some(temporal.address());
        let setup = Setup { temporal_address, env, ..setup(&postgres, &mail).await };
        let mut shop = Shop::with(setup).await;
        shop.worker.as_mut().unwrap().says("worker started").await;
        Self { shop, postgres, _temporal: Some(temporal), _mail: mail }
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

async fn basics() -> (Postgres, MailCatcher) {
    let options = PostgresOptions { data_dir: test_dir().join("postgres"), port: None, durable: true };
    let postgres = Postgres::start(&tools(), options).await.unwrap();
    season(&postgres).await;
    (postgres, MailCatcher::start(None, None, None).await.unwrap())
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
        ..Setup::default()
    }
}
