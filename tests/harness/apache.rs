//! Apache Kafka: the broker of another make. One node, controller and broker, whose programs Maven fetches
//! once; it needs Java.

use std::{
    collections::BTreeMap,
    fs,
    io::{PipeWriter, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use devstack::free_port;
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpStream, sync::OnceCell};

use super::{authority::Authority, process::guarded, test_dir, tools_dir, wait_until};

/// `core`: the tests of what brokers could do differently must be run on it. `1`: all tests of Kafka must.
/// `0`: none. Not set: the former, where it can be had.
const WANTED: &str = "HOLDFAST_TEST_APACHE_KAFKA";
const OLDEST_JAVA: u32 = 17;
const FETCH_LIMIT: Duration = Duration::from_secs(300);
const NAME: &str = "kafka-4.1.0";
/// Of the names and hashes of all that belongs to it.
const HASH: &str = "5f35c12b270f391992c40cefad1cb1339ddce13e119f7d112669af32b71bee6a";
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>shop.test</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
  <version>4.1.0</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId>
  <version>4.1.0</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
  <version>2.25.1</version>
</dependency></dependencies></project>"#;

/// Who is let in at the door that is guarded.
pub const USER: &str = "shop";
pub const PASSWORD: &str = "the-password-of-the-shop-at-kafka";

/// Which tests are run on it.
#[derive(PartialEq, Eq)]
pub enum Tests {
    Core,
    All,
}

static JARS: OnceCell<Option<PathBuf>> = OnceCell::const_new();
static SHARED: OnceCell<Apache> = OnceCell::const_new();

pub struct Apache {
    dir: PathBuf,
    port: u16,
    guarded_port: u16,
    /// Whose certificate it has, for the name `localhost`.
    pub authority: Authority,
    process: Process,
}

/// Java, which ends with us.
struct Process {
    child: Child,
    guard: PipeWriter,
}

impl Apache {
    /// The one that all tests of a run share. None, and a word about it, if it cannot be had or is not
    /// wanted for these.
    pub async fn shared(of: Tests) -> Option<&'static Self> {
        let jars = Self::jars(of).await?;
        Some(SHARED.get_or_init(|| Self::start(jars)).await)
    }

    /// One of the test's own, which it may kill.
    pub async fn own(of: Tests) -> Option<Self> {
        Some(Self::start(Self::jars(of).await?).await)
    }

    async fn jars(of: Tests) -> Option<&'static Path> {
        let wanted = std::env::var(WANTED).ok();
        let is_required = match wanted.as_deref() {
            None => false,
            Some("core" | "1") => true,
            Some("0") => return None,
            Some(_) => panic!("{WANTED} must be core, 1 or 0"),
        };
        if of == Tests::All && wanted.as_deref() != Some("1") {
            return None;
        }
        let jars = JARS.get_or_init(|| async {
            match fetched().await {
                Ok(jars) => Some(jars),
                Err(why) => {
                    assert!(!is_required, "Apache Kafka is wanted ({WANTED}): {why}");
                    // Not by `eprintln!`, which nobody sees of a test that passes.
                    let _ = writeln!(std::io::stderr(), "skipped: all tests on Apache Kafka: {why}");
                    None
                }
            }
        });
        jars.await.as_deref()
    }

    async fn start(jars: &Path) -> Self {
        let (dir, authority) = (test_dir(), Authority::new());
        let [port, guarded_port, controller] = [free_port(), free_port(), free_port()];
        let (certificate, key) = authority.issue("localhost");
        let pem = fs::read_to_string(key).unwrap() + &fs::read_to_string(certificate).unwrap();
        fs::write(dir.join("broker.pem"), pem).unwrap();
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{guarded_port},\
             CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://localhost:{guarded_port}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL\n\
             ssl.keystore.type=PEM\nssl.keystore.location={}\n\
             sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
             listener.name.sasl_ssl.plain.sasl.jaas.config=\
             org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";\n\
             listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
             listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
             log.dirs={}\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=5\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n",
            dir.join("broker.pem").display(),
            dir.join("data").display(),
        );
        fs::write(dir.join("server.properties"), properties).unwrap();
        let mut format = java(jars, &dir);
        format.args(["kafka.tools.StorageTool", "format", "-t", "AAECAwQFBgcICQoLDA0ODw"]);
        format.args(["-c", "server.properties"]);
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            format.args(["--add-scram", &format!("{mechanism}=[name={USER},password={PASSWORD}]")]);
        }
        super::programs::done(&mut format.into()).await;
        let process = Process::launch(jars, &dir);
        let apache = Self { dir, port, guarded_port, authority, process };
        apache.until_it_answers().await;
        apache
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it wants TLS, a name and a password; by this name of the machine.
    pub fn guarded_address(&self, host: &str) -> String {
        format!("{host}:{}", self.guarded_port)
    }

    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    async fn until_it_answers(&self) {
        let address = self.address();
        wait_until("Kafka answers", async || TcpStream::connect(&address).await.is_ok()).await;
    }

    /// `kill -9`, and after a while it is there again, with what it held.
    pub async fn restart(&mut self, after: Duration) {
        self.process.kill();
        tokio::time::sleep(after).await;
        let jars = JARS.get().and_then(Option::as_deref).expect("it was started before");
        self.process = Process::launch(jars, &self.dir);
        self.until_it_answers().await;
    }
}

impl Process {
    fn launch(jars: &Path, dir: &Path) -> Self {
        let log = fs::File::options().create(true).append(true).open(dir.join("kafka.log")).unwrap();
        let java = java(jars, dir);
        let (mut command, guard) = guarded(java.get_program());
        command.args(java.get_args()).args(["kafka.Kafka", "server.properties"]).current_dir(dir);
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self { child, guard }
    }

    fn kill(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
        let _ = self.guard.write_all(b"\n");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn java(jars: &Path, dir: &Path) -> Command {
    let mut java = Command::new("java");
    java.current_dir(dir).args(["-Xmx384m", "-cp"]).arg(format!("{}/*", jars.display()));
    java
}

/// The folder of what it is made of, which is fetched if it is not there.
///
/// # Errors
/// Why it cannot be had, in a few words.
async fn fetched() -> Result<PathBuf, String> {
    java_is_new_enough().await?;
    let jars = tools_dir().join(NAME);
    if !jars.is_dir() {
        let part = test_dir();
        fs::write(part.join("pom.xml"), POM).unwrap();
        let mut maven = tokio::process::Command::new("mvn");
        maven.current_dir(&part).args(["-q", "-B", "dependency:copy-dependencies"]).kill_on_drop(true);
        maven.arg(format!("-DoutputDirectory={}", part.join("lib").display()));
        let ended = tokio::time::timeout(FETCH_LIMIT, maven.output()).await;
        let output = ended.map_err(|_| "Maven took too long")?.map_err(|why| format!("no Maven: {why}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let first = said.lines().next().unwrap_or_default();
            return Err(format!("Maven could not fetch it: {first}"));
        }
        let hash = hash(&part.join("lib"));
        assert_eq!(hash, HASH, "what Maven fetched is not what it was");
        fs::create_dir_all(tools_dir()).unwrap();
        // Two runs may have fetched it; either's will do.
        let _ = fs::rename(part.join("lib"), &jars);
    }
    Ok(jars.canonicalize().unwrap())
}

async fn java_is_new_enough() -> Result<(), String> {
    let mut java = tokio::process::Command::new("java");
    let output = java.arg("-version").stdin(Stdio::null()).output().await;
    let said = output.map_err(|why| format!("no Java: {why}"))?.stderr;
    let said = String::from_utf8_lossy(&said);
    // openjdk version "17.0.15" 2025-04-15
    let version = said.split('"').nth(1).and_then(|it| it.split('.').next()?.parse::<u32>().ok());
    match version {
        Some(version) if version >= OLDEST_JAVA => Ok(()),
        _ => Err(format!("it needs Java {OLDEST_JAVA} or newer")),
    }
}

fn hash(dir: &Path) -> String {
    let hex = |hash: &[u8]| -> String { hash.iter().map(|byte| format!("{byte:02x}")).collect() };
    let files: BTreeMap<String, String> = fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|file| {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            (name, hex(&Sha256::digest(fs::read(file).unwrap())))
        })
        .collect();
    let all: String = files.iter().map(|(name, hash)| format!("{hash}  {name}\n")).collect();
    hex(&Sha256::digest(all))
}
