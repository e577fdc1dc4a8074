//! Brokers of two makes, and a client of a third.

use std::{path::Path, process::Stdio, time::Duration};

use devstack::{Tansu, TansuOptions};
use serde::Deserialize;
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, process::Command};

use super::{
    apache::{Apache, Tests},
    programs::{printed, python},
    test_dir, tools,
};

/// librdkafka, in Python.
const CLIENT: &str = "confluent-kafka==2.16.1";
const LIMIT: Duration = Duration::from_secs(120);

/// A broker that tests write to and read from.
pub enum Broker {
    Tansu(Box<Tansu>),
    Apache(&'static Apache),
}

impl Broker {
    /// In memory: what it holds ends with it.
    pub async fn tansu() -> Self {
        Self::tansu_at(None).await
    }

    pub async fn tansu_at(port: Option<u16>) -> Self {
        let options = TansuOptions { port, log_file: test_dir().join("kafka.log") };
        Self::Tansu(Box::new(Tansu::start(&tools(), options).await.unwrap()))
    }

    /// The run's, for a test that is run on both makes; none, if it cannot be had.
    pub async fn apache() -> Option<Self> {
        Apache::shared(Tests::Core).await.map(Self::Apache)
    }

    /// The same for a test that is run on it only if somebody asks for it.
    pub async fn apache_if_wanted() -> Option<Self> {
        Apache::shared(Tests::All).await.map(Self::Apache)
    }

    pub fn address(&self) -> String {
        match self {
            Self::Tansu(tansu) => tansu.address(),
            Self::Apache(apache) => apache.address(),
        }
    }

    /// It hangs, or goes on.
    pub fn freeze(&self, frozen: bool) {
        let pid = match self {
            Self::Tansu(tansu) => tansu.pid().unwrap(),
            Self::Apache(apache) => apache.pid(),
        };
        let signal = if frozen { "STOP" } else { "CONT" };
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args(["-s", signal, &pid.to_string()]).status().unwrap().success());
    }
}

/// A record as another's client reads it.
#[derive(Debug, Clone, Deserialize)]
pub struct Record {
    pub topic: String,
    pub key: Option<String>,
    pub value: Option<String>,
    pub headers: std::collections::BTreeMap<String, Option<String>>,
}

impl Record {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(Option::as_deref).unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(self.value.as_deref().unwrap()).unwrap()
    }
}

async fn client(script: &str) -> Command {
    let (mut python, _) = python(CLIENT).await;
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kafka").join(script));
    python
}

/// All that is in these topics, each partition in its order.
pub async fn read(brokers: &str, topics: &[&str]) -> Vec<Record> {
    let printed = printed(client("read.py").await.arg(brokers).args(topics)).await;
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Writes these: `{"topic": ..., "key": ..., "value": ..., "headers": {...}}`.
pub async fn write(brokers: &str, records: &[Value]) {
    let mut client = client("write.py").await;
    client
        .arg(brokers)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = client.spawn().unwrap();
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).await.unwrap();
    drop(stdin);
    let ended =
        tokio::time::timeout(LIMIT, child.wait_with_output()).await.expect("it goes on and on").unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}
