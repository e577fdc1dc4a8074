//! Brokers of two makes, and a client of a third.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use devstack::{Tansu, TansuOptions, free_port};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    process::{Child, Command},
};

use super::{test_dir, tools, wait_until};

/// librdkafka, in Python.
const CLIENT: &str = "confluent-kafka==2.16.1";
/// Set, the tests run on Apache Kafka, too, which is fetched by Maven and needs Java 17.
const APACHE: &str = "HOLDFAST_TEST_APACHE_KAFKA";
const LIMIT: Duration = Duration::from_secs(120);
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>shop.test</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
  <version>4.1.0</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId>
  <version>4.1.0</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
  <version>2.25.1</version>
</dependency></dependencies></project>"#;

/// A broker of one test.
pub enum Broker {
    Tansu(Tansu),
    Apache(Apache),
}

impl Broker {
    /// In memory: what it holds ends with it.
    pub async fn tansu() -> Self {
        Self::tansu_at(None).await
    }

    pub async fn tansu_at(port: Option<u16>) -> Self {
        let options = TansuOptions { port, log_file: test_dir().join("kafka.log") };
        Self::Tansu(Tansu::start(&tools(), options).await.unwrap())
    }

    /// None, and a word about it, if it is not asked for.
    pub async fn apache() -> Option<Self> {
        if std::env::var_os(APACHE).is_none() {
            eprintln!("not run on Apache Kafka: {APACHE} is not set");
            return None;
        }
        Some(Self::Apache(Apache::start().await))
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
            Self::Tansu(tansu) => tansu.pid(),
            Self::Apache(apache) => apache.child.id(),
        };
        let signal = if frozen { "STOP" } else { "CONT" };
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args(["-s", signal, &pid.unwrap().to_string()]).status().unwrap().success());
    }
}

/// Apache Kafka: one node, controller and broker.
pub struct Apache {
    dir: PathBuf,
    port: u16,
    child: Child,
}

impl Apache {
    async fn start() -> Self {
        let (dir, port, controller) = (test_dir(), free_port(), free_port());
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
             log.dirs={}\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=5\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n",
            dir.join("data").display()
        );
        std::fs::write(dir.join("server.properties"), properties).unwrap();
        let mut format = java(&dir).await;
        format.args(["kafka.tools.StorageTool", "format", "-t", "AAECAwQFBgcICQoLDA0ODw"]);
        done(format.args(["-c", "server.properties"])).await;
        let child = launch(&dir).await;
        let apache = Self { dir, port, child };
        apache.until_it_answers().await;
        apache
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    async fn until_it_answers(&self) {
        let address = self.address();
        wait_until("Kafka answers", async || TcpStream::connect(&address).await.is_ok()).await;
    }

    /// `kill -9`, and after a while it is there again, with what it held.
    pub async fn restart(&mut self, after: Duration) {
        self.child.kill().await.unwrap();
        tokio::time::sleep(after).await;
        self.child = launch(&self.dir).await;
        self.until_it_answers().await;
    }
}

async fn launch(dir: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(dir.join("kafka.log")).unwrap();
    let mut command = java(dir).await;
    command.args(["kafka.Kafka", "server.properties"]).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true).spawn().unwrap()
}

/// Java with all that Kafka is made of, fetched once.
async fn java(dir: &Path) -> Command {
    let libraries = super::tools_dir().join("kafka-4.1.0");
    if !libraries.is_dir() {
        let fetched = test_dir();
        std::fs::write(fetched.join("pom.xml"), POM).unwrap();
        let mut maven = Command::new("mvn");
        maven.current_dir(&fetched).args(["-q", "-B", "dependency:copy-dependencies"]);
        done(maven.arg(format!("-DoutputDirectory={}", fetched.join("lib").display()))).await;
        std::fs::create_dir_all(super::tools_dir()).unwrap();
        // Two tests may have fetched it; either's will do.
        let _ = std::fs::rename(fetched.join("lib"), &libraries);
    }
    let mut java = Command::new("java");
    let libraries = libraries.canonicalize().unwrap();
    java.current_dir(dir).args(["-Xmx384m", "-cp"]).arg(format!("{}/*", libraries.display()));
    java
}

async fn done(command: &mut Command) -> String {
    let ended = tokio::time::timeout(LIMIT, command.kill_on_drop(true).output()).await;
    let output = ended.unwrap_or_else(|_| panic!("{command:?} goes on and on")).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
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
    let packages = tools().python_package(CLIENT).await.unwrap();
    let mut python = Command::from(devstack::python(&packages));
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/kafka").join(script));
    python
}

/// All that is in these topics, each partition in its order.
pub async fn read(brokers: &str, topics: &[&str]) -> Vec<Record> {
    let printed = done(client("read.py").await.arg(brokers).args(topics)).await;
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
