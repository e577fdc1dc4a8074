//! A database that cannot be had: each command says where and why, at once, and never the password.

use std::time::{Duration, Instant};

use sqlx::Executor as _;

use crate::harness::{Holdfast, Shop, run, servers, unique};

/// Long before any pool would give up.
const AT_ONCE: Duration = Duration::from_secs(5);
const SECRET: &str = "s3cret-of-the-database";

/// What is wrong, and the words that have to be said of it.
async fn bad_urls() -> Vec<(String, Vec<String>)> {
    let postgres = &servers().await.postgres;
    let right = url::Url::parse(&postgres.url("postgres")).unwrap();
    let mut wrong_password = right.clone();
    wrong_password.set_password(Some(SECRET)).unwrap();
    let nothing = format!("no_{}", unique());
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let place = format!("127.0.0.1:{}", postgres.port());
    vec![
        (format!("postgres://shop:{SECRET}@127.0.0.1:1/x"), words(&["127.0.0.1:1", "refused"])),
        (
            format!("postgres://shop:{SECRET}@nowhere.invalid:5433/x"),
            words(&["nowhere.invalid:5433", "lookup"]),
        ),
        (wrong_password.to_string(), words(&[&place, "password authentication failed"])),
        (postgres.url(&nothing), words(&[&place, &nothing, "does not exist"])),
    ]
}

#[tokio::test]
async fn commands_that_end_say_why_at_once() {
    for (url, words) in bad_urls().await {
        for command in ["migrate", "audit", "rebuild-catalogue"] {
            let began = Instant::now();
            let (succeeded, said) = run(command, &[("DATABASE_URL", url.clone())]);
            assert!(!succeeded && began.elapsed() < AT_ONCE, "{command}: {said}");
            check(&said, &words);
        }
    }
}

#[tokio::test]
async fn services_start_and_say_why_at_once() {
    let shop = Shop::without_worker().await;
    for (url, words) in bad_urls().await {
        let changes = [("DATABASE_URL", url)];
        let (_api, mut api) = shop.start_api(&changes).await;
        let mut worker = shop.another_worker(&changes).await;
        for process in [&mut api, &mut worker] {
            said_by(process, &words).await;
        }
    }
    shop.close();
}

async fn said_by(process: &mut Holdfast, words: &[String]) {
    let line = process.says("the database cannot be used").await;
    check(line["error"].as_str().unwrap(), words);
    check(&process.log(), &[]);
}

#[track_caller]
fn check(said: &str, words: &[String]) {
    for word in words {
        assert!(said.contains(word.as_str()), "`{word}` is missing: {said}");
    }
    assert!(!said.contains(SECRET) && !said.contains("pool timed out"), "{said}");
}

#[tokio::test]
async fn a_database_that_nobody_has_migrated_says_so() {
    let shop = Shop::without_worker().await;
    let mut sql = shop.sql().await;
    sql.execute("ALTER SCHEMA public RENAME TO away; CREATE SCHEMA public").await.unwrap();
    let migrate = "run `holdfast migrate`";
    let (api, mut process) = shop.start_api(&[]).await;
    let said = process.says("the database cannot be used").await;
    assert!(said["error"].as_str().unwrap().contains(migrate), "{said}");
    let ready = api.readiness(503).await;
    assert!(ready.checks["postgresql"].contains(migrate), "{ready:?}");
    for command in ["audit", "rebuild-catalogue"] {
        let mut process = shop.start(command, &[]);
        assert!(!process.ended().await.success() && process.log().contains(migrate), "{}", process.log());
    }
    sql.execute("DROP SCHEMA public; ALTER SCHEMA away RENAME TO public").await.unwrap();
    process.says("the database can be used again").await;
    shop.close();
}

/// Each says where it looked and what it met, in no words of Rust.
#[tokio::test]
async fn what_else_cannot_be_reached_is_told_at_once() {
    let shop = Shop::without_worker().await;
    let away = "127.0.0.1:1";
    let (_api, mut api) = shop.start_api(&[("TEMPORAL_ADDRESS", away.to_owned())]).await;
    let said = api.says("Temporal cannot be used").await["error"].to_string();
    assert!(said.contains(away) && said.contains("refused") && !said.contains("tonic"), "{said}");
    let smtp = format!("smtp://{away}");
    let mut worker =
        shop.start("worker", &[("HOLDFAST_SMTP_URL", smtp), ("TEMPORAL_ADDRESS", away.to_owned())]);
    let said = worker.says("mails cannot be sent").await["error"].to_string();
    assert!(said.contains(away) && said.contains("refused"), "{said}");
    let said = worker.says("waiting for Temporal").await["error"].to_string();
    assert!(said.contains(away) && said.contains("refused"), "{said}");
    for (name, value, words) in [
        ("TEMPORAL_TLS_SERVER_CA_CERT_PATH", "/nowhere.pem\n", "/nowhere.pem: No such file"),
        ("TEMPORAL_TLS_CLIENT_CERT_PATH", "/etc/passwd", "/etc/passwd: holds no"),
        ("DATABASE_URL", "postgres://a:b@localhost/x?sslmod=verify-full", "known are sslmode"),
        ("HOLDFAST_API_KEY", "schl\u{fc}sselschl\u{fc}ssel", "ASCII"),
        ("HOLDFAST_MAX_WAITING", "18446744073709551615", "1 to 1000000"),
    ] {
        let mut process = shop.start("api", &[(name, value.to_owned())]);
        let has_failed = !process.ended().await.success();
        let said = process.log();
        assert!(has_failed && said.contains(name) && said.contains(words), "{name}: {said}");
    }
    shop.close();
}

#[test]
fn a_url_that_is_none_is_named() {
    let (succeeded, said) = run("migrate", &[("DATABASE_URL", format!("mysql://a:{SECRET}@b/c"))]);
    assert!(!succeeded, "{said}");
    check(&said, &["DATABASE_URL".to_owned()]);
}
