//! PostgreSQL and Temporal by TLS, with authorities that the tests make.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    sync::Arc,
};

use devstack::{Postgres, PostgresOptions};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::harness::{Authority, Setup, Shop, eventually, run, servers, test_dir, tools};

/// A PostgreSQL that is called `localhost` and lets nobody in without TLS; with an empty database.
struct Guarded {
    authority: Authority,
    postgres: Postgres,
}

const DATABASE: &str = "shop";

impl Guarded {
    async fn start() -> Self {
        let (authority, data_dir) = (Authority::new(), test_dir().join("postgres"));
        let options = PostgresOptions { data_dir: data_dir.clone(), port: None, durable: false };
        let postgres = Postgres::start(&tools(), options).await.unwrap();
        let (certificate, key) = authority.issue("localhost");
        give(&certificate, &data_dir.join("server.crt"));
        give(&key, &data_dir.join("server.key"));
        let mut sql = PgConnection::connect(&postgres.url("postgres")).await.unwrap();
        sql.execute(format!("CREATE DATABASE {DATABASE}").leak() as &str).await.unwrap();
        sql.execute("ALTER SYSTEM SET ssl = on").await.unwrap();
        fs::write(data_dir.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 scram-sha-256\n").unwrap();
        sql.execute("SELECT pg_reload_conf()").await.unwrap();
        let guarded = Self { authority, postgres };
        eventually("PostgreSQL wants TLS", async || {
            PgConnection::connect(&guarded.url("localhost", "sslmode=disable")).await.err()
        })
        .await;
        guarded
    }

    fn url(&self, host: &str, parameters: &str) -> String {
        format!("{}?{parameters}", self.postgres.url(DATABASE).replace("127.0.0.1", host))
    }

    fn verified(&self) -> String {
        self.url("localhost", &format!("sslmode=verify-full&sslrootcert={}", self.authority.file()))
    }
}

/// Copies a file into PostgreSQL's folder, for its eyes only.
fn give(file: &Path, to: &Path) {
    fs::copy(file, to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o600)).unwrap();
    let folder = fs::metadata(to.parent().unwrap()).unwrap();
    chown(to, Some(folder.uid()), Some(folder.gid())).unwrap();
}

/// Runs `holdfast migrate`; gives whether it succeeded, and what it said.
fn migrate(url: &str) -> (bool, String) {
    run("migrate", &[("DATABASE_URL", url.to_owned())])
}

#[tokio::test]
async fn a_shop_whose_database_takes_tls_alone() {
    let guarded = Guarded::start().await;
    let (migrated, said) = migrate(&guarded.verified());
    assert!(migrated, "{said}");
    for parameters in
        ["sslmode=require", &format!("sslmode=verify-ca&sslrootcert={}", guarded.authority.file())]
    {
        // Its certificate has another name.
        let (migrated, said) = migrate(&guarded.url("127.0.0.1", parameters));
        assert!(migrated, "{parameters}: {said}");
    }
    let shop = Shop::with(Setup { database_url: Some(guarded.verified()), ..Setup::default() }).await;
    shop.stock("tea", 1250, 10).await;
    shop.sell(&[("tea", 1)]).await;
    let open: i64 = shop
        .query(
            "SELECT count(*) FROM pg_stat_activity a JOIN pg_stat_ssl s ON s.pid = a.pid
                WHERE a.application_name = 'holdfast' AND NOT s.ssl",
        )
        .await;
    assert_eq!(open, 0);
    shop.close();
}

#[tokio::test]
async fn why_a_database_cannot_be_reached_by_tls() {
    let (guarded, stranger) = (Guarded::start().await, Authority::new());
    let verify =
        |host: &str, file: &str| guarded.url(host, &format!("sslmode=verify-full&sslrootcert={file}"));
    let without_tls = servers().await.postgres.url("postgres") + "?sslmode=require";
    let place = |host: &str| format!("{host}:{}", guarded.postgres.port());
    let table = [
        (verify("localhost", &stranger.file()), place("localhost"), "no authority that is trusted"),
        (
            verify("127.0.0.1", &guarded.authority.file()),
            place("127.0.0.1"),
            "not valid for name \"127.0.0.1\"",
        ),
        (verify("localhost", "/nowhere.pem"), "/nowhere.pem".to_owned(), "sslrootcert"),
        (guarded.url("localhost", "sslmode=disable"), place("localhost"), "no encryption"),
        (without_tls, "127.0.0.1".to_owned(), "does not support TLS"),
    ];
    for (url, place, why) in table {
        let (migrated, said) = migrate(&url);
        assert!(!migrated && said.contains(&place) && said.contains(why), "{place}, {why}: {said}");
        assert_eq!(said.trim().lines().count(), 1, "{said}");
    }
}

/// A way to Temporal that takes TLS alone, from clients that the authority knows; its name is
/// `temporal.test`.
async fn guarded_temporal(authority: &Authority, server: String) -> String {
    let (certificate, key) = authority.issue("temporal.test");
    let chain = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
    let mut roots = RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, server) = (acceptor.clone(), server.clone());
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut server = TcpStream::connect(server).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await; // who leaves ends it
            });
        }
    });
    address
}

#[tokio::test]
async fn a_shop_whose_temporal_knows_its_clients() {
    let authority = Authority::new();
    let address = guarded_temporal(&authority, servers().await.temporal.address()).await;
    let (certificate, key) = authority.issue("holdfast.test");
    let tls = vec![
        ("TEMPORAL_ADDRESS", address),
        ("TEMPORAL_TLS", "true".to_owned()),
        ("TEMPORAL_TLS_SERVER_CA_CERT_PATH", authority.file()),
        ("TEMPORAL_TLS_SERVER_NAME", "temporal.test".to_owned()),
        ("TEMPORAL_TLS_CLIENT_CERT_PATH", certificate.display().to_string()),
        ("TEMPORAL_TLS_CLIENT_KEY_PATH", key.display().to_string()),
    ];
    let shop = Shop::with_env(tls).await;
    assert_eq!(shop.api.readiness(200).await.status, "ok");
    shop.stock("tea", 1250, 10).await;
    let id = shop.place_started(&[("tea", 1)]).await;
    shop.pay(&id).await;
    shop.until(&id, "completed").await;

    // Somebody whom its authority does not know, and another server's name.
    let (certificate, key) = Authority::new().issue("holdfast.test");
    let stranger = [
        ("TEMPORAL_TLS_CLIENT_CERT_PATH", certificate.display().to_string()),
        ("TEMPORAL_TLS_CLIENT_KEY_PATH", key.display().to_string()),
    ];
    for changes in [&stranger[..], &[("TEMPORAL_TLS_SERVER_NAME", "other.test".to_owned())]] {
        let (api, _process) = shop.start_api(changes).await;
        assert_eq!(api.readiness(200).await.status, "degraded");
    }
    shop.close();
}
