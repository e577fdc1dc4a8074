//! Behind PgBouncer in transaction mode: each transaction may have another session.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use devstack::port_is_free;
use rustix::process::geteuid;
use tokio::net::TcpStream;

use crate::{
    harness::{Setup, Shop, database, eventually, run, servers, test_dir},
    update::Walk,
};

struct PgBouncer {
    process: Child,
    port: u16,
}

impl PgBouncer {
    /// In front of a database, with fewer sessions than its clients have connections.
    async fn start(program: &Path, database_url: &str) -> Self {
        let url = url::Url::parse(database_url).unwrap();
        let port = (20_000..).find(|port| port_is_free(*port)).unwrap();
        let dir = test_dir();
        let config = dir.join("pgbouncer.ini");
        let text = format!(
            "[databases]\nshop = host=127.0.0.1 port={} dbname={} user={} password={}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = transaction\n\
             default_pool_size = 4\nunix_socket_dir =\n",
            url.port().unwrap(),
            &url.path()[1..],
            url.username(),
            url.password().unwrap()
        );
        fs::write(&config, text).unwrap();
        fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
        let mut command = Command::new("setpriv");
        if geteuid().is_root() {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]); // it refuses to be root
        }
        command.args(["--pdeathsig=KILL", "--"]).arg(program).arg(&config);
        let log = fs::File::create(dir.join("pgbouncer.log")).unwrap();
        let process = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
        eventually("PgBouncer takes connections", async || {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Self { process, port }
    }

    fn url(&self) -> String {
        format!("postgres://anybody@127.0.0.1:{}/shop", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill(); // fails only if it has ended already
        let _ = self.process.wait();
    }
}

/// Where it is, if this machine has it.
fn program() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let folders = env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.map(|folder| folder.join("pgbouncer")).find(|file| file.is_file())
}

#[tokio::test]
async fn every_route_works_behind_a_pooler_of_transactions() {
    let Some(program) = program() else {
        eprintln!("SKIPPED: there is no pgbouncer on this machine, so nothing was tried behind one");
        return;
    };
    let database_url = database(&servers().await.postgres).await;
    let pooler = PgBouncer::start(&program, &database_url).await;
    let env = vec![("DATABASE_URL", pooler.url()), ("HOLDFAST_DATABASE_POOLER", "transaction".to_owned())];
    for command in ["migrate", "migrate"] {
        done(command, &env);
    }
    let setup = Setup { database_url: Some(database_url), env: env.clone(), ..Setup::default() };
    let shop = Shop::with(setup).await;
    Walk::around(&shop, "before").await;
    let (one, other) = tokio::join!(Walk::around(&shop, "again"), Walk::around(&shop, "after"));
    assert_eq!(one, other);
    let figures = shop.figures().await;
    let faults = figures.lines().filter(|line| line.contains("status=\"5"));
    assert_eq!(faults.collect::<Vec<_>>(), Vec::<&str>::new());
    done("audit", &env);
    shop.close();
}

#[tokio::test]
async fn a_pooler_that_was_not_told_of_is_named() {
    let Some(program) = program() else { return };
    let database_url = database(&servers().await.postgres).await;
    let pooler = PgBouncer::start(&program, &database_url).await;
    let (migrated, said) = run("migrate", &[("DATABASE_URL", pooler.url())]);
    assert!(!migrated && said.contains("HOLDFAST_DATABASE_POOLER=transaction"), "{said}");
}

fn done(command: &str, env: &[(&'static str, String)]) {
    let (done, said) = run(command, env);
    assert!(done, "{command}: {said}");
}
