//! A database as providers of databases give it: by TLS with `verify-full`, behind PgBouncer in transaction
//! mode, for a role that is no superuser. With `HOLDFAST_TEST_DATABASE=managed` every process of every test
//! has such a one.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use devstack::{Postgres, port_is_free};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::geteuid;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::sync::OnceCell;

use super::wait_until;

/// Who owns the shops' databases.
const ROLE: &str = "shop";
pub const OWNER: &str = "OWNER shop";
const PASSWORD: &str = "the-password-of-a-shop";

static FRONT: OnceCell<Front> = OnceCell::const_new();

/// The way in.
struct Front {
    port: u16,
    authority: PathBuf,
}

pub fn is_wanted() -> bool {
    env::var("HOLDFAST_TEST_DATABASE").is_ok_and(|it| it == "managed")
}

/// Makes the role, before there are databases.
pub async fn prepare(postgres: &Postgres) {
    let mut sql = PgConnection::connect(&postgres.url("postgres")).await.unwrap();
    let role = format!("CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}' CREATEDB");
    sql.execute(sqlx::AssertSqlSafe(role)).await.unwrap();
}

/// Ends PgBouncer's sessions with a database that is to be copied.
pub async fn leave(postgres: &Postgres, database: &str) {
    let mut sql = PgConnection::connect(&postgres.url("postgres")).await.unwrap();
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1";
    wait_until("nobody uses the template", async || {
        let left: i64 = sqlx::query_scalar(end).bind(database).fetch_one(&mut sql).await.unwrap();
        left == 0
    })
    .await;
}

/// The environment of a process that uses this database, over the one it would have had.
pub async fn env(postgres: &Postgres, dir: &Path, database_url: &str) -> Vec<(&'static str, String)> {
    let front = FRONT.get_or_init(|| async { Front::open(postgres, dir) }).await;
    let name = url::Url::parse(database_url).unwrap().path()[1..].to_owned();
    let url = format!(
        "postgres://{ROLE}:{PASSWORD}@localhost:{}/{name}?sslmode=verify-full&sslrootcert={}",
        front.port,
        front.authority.display()
    );
    vec![("DATABASE_URL", url), ("HOLDFAST_DATABASE_POOLER", "transaction".to_owned())]
}

impl Front {
    /// It ends with the tests.
    fn open(postgres: &Postgres, dir: &Path) -> Self {
        let port = (20_000..).find(|port| port_is_free(*port)).unwrap();
        let authority = dir.join("authority.pem");
        certificate(dir, &authority);
        let url = url::Url::parse(&postgres.url("postgres")).unwrap();
        let config = dir.join("pgbouncer.ini");
        let users = dir.join("users.txt");
        fs::write(&users, format!("\"{ROLE}\" \"{PASSWORD}\"\n")).unwrap();
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             auth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 8\n\
             max_client_conn = 2000\nserver_idle_timeout = 3\nunix_socket_dir =\n\
             client_tls_sslmode = require\nclient_tls_key_file = {}\nclient_tls_cert_file = {}\n",
            url.port().unwrap(),
            users.display(),
            dir.join("front.key").display(),
            dir.join("front.crt").display()
        );
        fs::write(&config, text).unwrap();
        for file in [&config, &users, &dir.join("front.key"), &dir.join("front.crt"), &authority] {
            fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
        }
        let mut command = Command::new("setpriv");
        if geteuid().is_root() {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]); // it refuses to be root
        }
        let log = fs::File::create(dir.join("pgbouncer.log")).unwrap();
        command.args(["--pdeathsig=KILL", "--", "pgbouncer"]).arg(&config).stdin(Stdio::null()).stderr(log);
        // It dies with the thread that started it, which is one of its own: tests' threads end.
        std::thread::spawn(move || {
            let mut bouncer = command.spawn().expect("HOLDFAST_TEST_DATABASE=managed wants pgbouncer");
            bouncer.wait()
        });
        Self { port, authority }
    }
}

/// Of `localhost`, by an authority of the run's own.
fn certificate(dir: &Path, authority: &Path) {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    fs::write(authority, issuer.pem()).unwrap();
    fs::write(dir.join("front.key"), key.serialize_pem()).unwrap();
    fs::write(dir.join("front.crt"), own.pem()).unwrap();
}
