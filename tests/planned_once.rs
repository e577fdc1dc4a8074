//! PostgreSQL plans each statement of an order's path once for a session, and not each time it is asked.

use std::collections::BTreeMap;

use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::harness::{Setup, Shop, database, postgres_log, servers};

const ORDERS: usize = 30;

#[tokio::test]
async fn the_statements_of_a_batch_are_planned_once() {
    let database_url = database(&servers().await.postgres).await;
    tell_of_plans(&database_url).await;
    let shop = Shop::with(Setup { database_url: Some(database_url), ..Setup::default() }).await;
    shop.stock("sku-1", 1250, 1000).await;
    for _ in 0..ORDERS {
        let id = shop.place(&[("sku-1", 1)]).await;
        shop.pay(&id).await;
        shop.until(&id, "completed").await;
    }
    let sessions = sessions(&postgres_log());
    let batchers: Vec<&Session> = sessions.values().filter(|session| session.is_batcher()).collect();
    assert!(batchers.len() >= 2, "placements and settlements have a session each");
    for session in batchers {
        let often = session.statements.values().filter(|statement| statement.calls >= ORDERS / 2).count();
        assert!(often >= 4, "only {often} statements were asked often");
        for (sql, statement) in &session.statements {
            // Plans are thrown away now and then, since tables grow.
            let most = 1 + session.discards;
            assert!(statement.plans <= most, "{statement:?}, {} discards: {sql}", session.discards);
        }
    }
}

#[derive(Debug, Default)]
struct Session {
    discards: usize,
    statements: BTreeMap<String, Statement>,
}

impl Session {
    /// Of this test (others log no plans), and one whose plans are kept.
    fn is_batcher(&self) -> bool {
        self.discards > 0 && self.statements.values().any(|statement| statement.plans > 0)
    }
}

#[derive(Debug, Default)]
struct Statement {
    calls: usize,
    plans: usize,
}

/// PostgreSQL writes each call and each plan of this database into its log.
async fn tell_of_plans(database_url: &str) {
    let mut sql = PgConnection::connect(database_url).await.unwrap();
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut sql).await.unwrap();
    for setting in ["log_statement = 'all'", "log_planner_stats = on"] {
        let alter = format!("ALTER DATABASE {name} SET {setting}");
        sql.execute(sqlx::AssertSqlSafe(alter)).await.unwrap();
    }
}

/// What the log tells of each session, by its process id.
fn sessions(log: &str) -> BTreeMap<String, Session> {
    let mut sessions: BTreeMap<String, Session> = BTreeMap::new();
    let mut is_plan = false;
    for entry in entries(log) {
        let Some((pid, text)) = entry.split_once("] ") else { continue };
        let Some((_, pid)) = pid.rsplit_once('[') else { continue };
        let session = sessions.entry(pid.to_owned()).or_default();
        if let Some((_, sql)) = text.strip_prefix("LOG:  execute ").and_then(|it| it.split_once(": ")) {
            session.statements.entry(sql.to_owned()).or_default().calls += 1;
        } else if text.starts_with("LOG:  statement: DISCARD PLANS") {
            session.discards += 1;
        } else if let Some(sql) = text.strip_prefix("STATEMENT:  ").filter(|_| is_plan) {
            session.statements.entry(sql.to_owned()).or_default().plans += 1;
        }
        is_plan = text.starts_with("LOG:  PLANNER STATISTICS") || (is_plan && text.starts_with("DETAIL:"));
    }
    sessions
}

/// Each entry with the lines that belong to it.
fn entries(log: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for line in log.lines() {
        match (line.strip_prefix('\t'), entries.last_mut()) {
            (Some(more), Some(entry)) => {
                entry.push('\n');
                entry.push_str(more);
            }
            _ => entries.push(line.to_owned()),
        }
    }
    entries
}
