//! A database that cannot be had: each command says where and why, at once, and never the password.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crate::harness::{Holdfast, Setup, Shop, servers, test_dir, unique};

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
            let output = Command::new(env!("CARGO_BIN_EXE_holdfast"))
                .arg(command)
                .env("DATABASE_URL", &url)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(!output.status.success() && began.elapsed() < AT_ONCE, "{command}: {said}");
            check(&said, &words);
        }
    }
}

#[tokio::test]
async fn services_start_and_say_why_at_once() {
    let shop = Shop::with(Setup { without_worker: true, ..Setup::default() }).await;
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
    let line = process.says("the database cannot be reached").await;
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

/// A parameter that sqlx does not know it would log with its value.
#[tokio::test]
async fn what_a_url_says_in_vain_is_named_without_its_value() {
    let shop = Shop::with(Setup { without_worker: true, ..Setup::default() }).await;
    let separator = if shop.database_url.contains('?') { '&' } else { '?' };
    let url = format!("{}{separator}sslpassword={SECRET}", shop.database_url);
    let (_api, mut process) = shop.start_api(&[("DATABASE_URL", url)]).await;
    let line = process.says("DATABASE_URL says something that is not known here").await;
    assert_eq!(line["name"], "sslpassword");
    assert!(!process.log().contains(SECRET));
    shop.close();
}

#[test]
fn a_url_that_is_none_is_named() {
    let dir = test_dir();
    let mut holdfast = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let output = holdfast
        .current_dir(dir)
        .arg("migrate")
        .env("DATABASE_URL", format!("mysql://a:{SECRET}@b/c"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    check(&said, &["DATABASE_URL".to_owned()]);
}
