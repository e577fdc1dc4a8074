//! The servers `dev` needs: those that are given, and those that it starts, watches and stops.

use std::{net::Ipv4Addr, path::Path, sync::Arc};

use anyhow::Context as _;
use devstack::{
    MailCatcher, PortTaken, Postgres, PostgresOptions, Tansu, TansuOptions, Temporal, TemporalOptions, Tools,
    port_is_free,
};
use engine::{Engine, PayloadKeys};
use tokio::{net::TcpListener, sync::watch};

use super::{Args, secrets};
use crate::config;

const SMTP_PORT: u16 = 1025;
const DATABASE: &str = "postgres";
const MAX_CONNECTIONS: u32 = 20;
const WEBHOOK_NETWORKS: &str = "HOLDFAST_WEBHOOK_ALLOW_NETWORKS";
/// What is tried out runs on this machine.
const LOOPBACK: &str = "127.0.0.0/8, ::1/128";

/// A server that was given to us by its address, or one of our own.
enum Place<T> {
    Given(String),
    Own(T),
}

pub struct Servers {
    tools: Tools,
    postgres: Place<(Postgres, PostgresOptions)>,
    /// In front of a PostgreSQL that is given.
    pooler: store::Pooler,
    temporal: Place<(Temporal, TemporalOptions)>,
    mail: Place<MailCatcher>,
    /// Only if it is asked for.
    kafka: Option<(Tansu, TansuOptions)>,
    /// Where our Temporal UI asks for payloads in clear.
    codec: Option<TcpListener>,
}

impl Servers {
    pub async fn start(args: &Args) -> anyhow::Result<Self> {
        let pooler = config::pooler()?;
        if let Some(url) = config::optional("DATABASE_URL") {
            check_database(url, pooler).await?;
        }
        let tools = Tools::new(args.data_dir.join("bin"));
        let codec = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let codec_port = codec.local_addr()?.port();
        let (postgres, temporal, mail, kafka) = tokio::try_join!(
            postgres(&tools, args),
            temporal(&tools, args, codec_port),
            mail(args),
            broker(&tools, args)
        )?;
        Ok(Self { tools, postgres, pooler, temporal, mail, kafka, codec: Some(codec) })
    }

    pub fn database(&self) -> config::Database {
        let (url, pooler) = match &self.postgres {
            Place::Given(url) => (url.clone(), self.pooler),
            Place::Own((postgres, _)) => (postgres.url(DATABASE), store::Pooler::Session),
        };
        config::Database { url, max_connections: MAX_CONNECTIONS, pooler }
    }

    /// To be shown: the password of a PostgreSQL that is given stays where it was.
    pub fn database_place(&self) -> String {
        let url = self.database().url;
        match (&self.postgres, url::Url::parse(&url)) {
            (Place::Given(_), Ok(url)) => {
                let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
                format!("{}{port}{}        (given)", url.host_str().unwrap_or_default(), url.path())
            }
            _ => url,
        }
    }

    pub fn temporal(&self, payload_key: &str) -> anyhow::Result<config::Temporal> {
        let address = match &self.temporal {
            Place::Given(_) => None, // the SDK reads TEMPORAL_* itself, TLS and all
            Place::Own((temporal, _)) => Some(temporal.address()),
        };
        let payload_keys =
            PayloadKeys::parse(payload_key).map_err(|why| anyhow::anyhow!("the payload key: {why}"))?;
        let ui_url = config::optional("HOLDFAST_TEMPORAL_UI_URL").or_else(|| self.temporal_ui());
        Ok(config::Temporal {
            address,
            payload_keys: Some(payload_keys),
            ui_url,
            ..config::Temporal::load()?
        })
    }

    pub fn temporal_address(&self) -> String {
        match &self.temporal {
            Place::Given(address) => address.clone(),
            Place::Own((temporal, _)) => temporal.address(),
        }
    }

    pub fn temporal_ui(&self) -> Option<String> {
        match &self.temporal {
            Place::Given(_) => None,
            Place::Own((temporal, _)) => temporal.ui_url(),
        }
    }

    /// Starts to decrypt for our Temporal UI, which cannot read payloads by itself.
    pub fn serve_codec(&mut self, engine: Arc<Engine>) {
        if let (Some(ui), Some(listener)) = (self.temporal_ui(), self.codec.take()) {
            #[expect(clippy::disallowed_methods, reason = "one for each process")]
            tokio::spawn(async move { api::serve_codec(engine, Some(&ui), listener).await });
        }
    }

    pub fn smtp_url(&self) -> String {
        match &self.mail {
            Place::Given(url) => url.clone(),
            Place::Own(mail) => mail.smtp_url(),
        }
    }

    pub fn mail_page(&self) -> Option<String> {
        match &self.mail {
            Place::Given(_) => None,
            Place::Own(mail) => Some(mail.http_url()),
        }
    }

    /// The switch of our mail catcher.
    pub fn mail_is_away(&self) -> Option<watch::Sender<bool>> {
        match &self.mail {
            Place::Given(_) => None,
            Place::Own(mail) => Some(mail.is_away()),
        }
    }

    /// Where our broker is, if there is one.
    pub fn kafka_place(&self) -> Option<String> {
        self.kafka.as_ref().map(|(broker, _)| broker.address())
    }

    /// Starts again what dies, on the same port and data. Returns only if that fails.
    pub async fn supervise(&mut self) -> anyhow::Error {
        loop {
            let restarted = tokio::select! {
                status = exited_postgres(&mut self.postgres) => {
                    tracing::warn!(%status, "PostgreSQL ended, starting it again");
                    restart_postgres(&self.tools, &mut self.postgres).await
                }
                status = exited_temporal(&mut self.temporal) => {
                    tracing::warn!(%status, "Temporal ended, starting it again");
                    restart_temporal(&self.tools, &mut self.temporal).await
                }
                status = exited_broker(&mut self.kafka) => {
                    tracing::warn!(%status, "the Kafka broker ended, starting it again without what it held");
                    restart_broker(&self.tools, &mut self.kafka).await
                }
            };
            if let Err(error) = restarted {
                return error;
            }
        }
    }

    /// Stops what was started here, in the order that loses nothing.
    pub async fn stop(self) {
        if let Some((broker, _)) = self.kafka
            && let Err(error) = broker.stop().await
        {
            tracing::warn!(%error, "the Kafka broker did not stop well");
        }
        if let Place::Own((temporal, _)) = self.temporal
            && let Err(error) = temporal.stop().await
        {
            tracing::warn!(%error, "Temporal did not stop well");
        }
        if let Place::Own((postgres, _)) = self.postgres
            && let Err(error) = postgres.stop().await
        {
            tracing::warn!(%error, "PostgreSQL did not stop well");
        }
        if let Place::Own(mail) = self.mail {
            mail.stop().await;
        }
    }

    /// With it `holdfast api`, `worker` and `audit` run against these servers.
    pub fn environment(
        &self,
        http: &config::Http,
        [payload_key, account_secret, link_secret]: [&str; 3],
        sandbox_url: Option<&str>,
        public_url: &str,
    ) -> Vec<(&'static str, String)> {
        let database = self.database();
        let pooler = match database.pooler {
            store::Pooler::Session => "session",
            store::Pooler::Transaction => "transaction",
        };
        let given = |name, default: &str| config::optional(name).unwrap_or_else(|| default.to_owned());
        let mut variables = vec![
            ("DATABASE_URL", database.url),
            ("HOLDFAST_DATABASE_POOLER", pooler.to_owned()),
            ("TEMPORAL_ADDRESS", self.temporal_address()),
            ("HOLDFAST_TEMPORAL_UI_URL", self.temporal_ui().unwrap_or_default()),
            (
                "HOLDFAST_API_KEY",
                http.api_keys.iter().find(|key| config::is_long(key)).cloned().unwrap_or_default(),
            ),
            ("HOLDFAST_PAYLOAD_KEY", payload_key.to_owned()),
            ("HOLDFAST_ACCOUNT_SECRET", account_secret.to_owned()),
            ("HOLDFAST_LINK_SECRET", link_secret.to_owned()),
            ("HOLDFAST_PUBLIC_URL", given("HOLDFAST_PUBLIC_URL", public_url)),
            ("HOLDFAST_SANDBOX_WEBHOOK_SECRET", http.sandbox_secret.clone().unwrap_or_default()),
            ("HOLDFAST_SANDBOX_URL", sandbox_url.unwrap_or_default().to_owned()),
            ("HOLDFAST_SMTP_URL", self.smtp_url()),
            ("HOLDFAST_MAIL_FROM", config::mail_from()),
            (WEBHOOK_NETWORKS, given(WEBHOOK_NETWORKS, LOOPBACK)),
        ];
        // One that is given stays as it is: an empty one would take it away from whoever reads this.
        variables.extend(self.kafka_place().map(|place| ("HOLDFAST_KAFKA_BROKERS", place)));
        variables
    }
}

/// Leaves `env` in the data folder, for another terminal.
pub fn write_environment(data_dir: &Path, variables: &[(&'static str, String)]) -> anyhow::Result<()> {
    let file = data_dir.join("env");
    let mut text = format!("# Written by `holdfast dev`. Use: . {}\n", quoted(&file.to_string_lossy()));
    for (name, value) in variables {
        text.push_str(&format!("export {name}={}\n", quoted(value)));
    }
    secrets::write_private(&file, &text)
}

/// Says in one sentence why a database that was given cannot be used, before anything is started.
async fn check_database(url: String, pooler: store::Pooler) -> anyhow::Result<()> {
    let db = config::Database { url, max_connections: 1, pooler }.open()?;
    db.migrate().await.context("the database of DATABASE_URL cannot be used")
}

/// As a shell reads it back.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=+@%,".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

async fn postgres(tools: &Tools, args: &Args) -> anyhow::Result<Place<(Postgres, PostgresOptions)>> {
    if let Some(url) = config::optional("DATABASE_URL") {
        return Ok(Place::Given(url));
    }
    let mut options = PostgresOptions { data_dir: args.data_dir.join("postgres"), port: None, durable: true };
    let server = Postgres::start(tools, options.clone()).await?;
    // A port of its own choice, kept when it has to be started again.
    options.port = Some(server.port());
    Ok(Place::Own((server, options)))
}

async fn temporal(
    tools: &Tools,
    args: &Args,
    codec_port: u16,
) -> anyhow::Result<Place<(Temporal, TemporalOptions)>> {
    if let Some(address) = config::optional("TEMPORAL_ADDRESS") {
        return Ok(Place::Given(address));
    }
    let options = TemporalOptions {
        port: Some(args.temporal_port),
        ui_port: Some(args.temporal_ui_port),
        ui_codec: Some(format!("http://127.0.0.1:{codec_port}")),
        db_file: Some(args.data_dir.join("temporal.db")),
        log_file: args.data_dir.join("temporal.log"),
        settings: Vec::new(),
    };
    let server = Temporal::start(tools, options.clone()).await.map_err(name_flag)?;
    Ok(Place::Own((server, options)))
}

async fn mail(args: &Args) -> anyhow::Result<Place<MailCatcher>> {
    if let Some(url) = config::optional("HOLDFAST_SMTP_URL") {
        return Ok(Place::Given(url));
    }
    let smtp_port = port_is_free(SMTP_PORT).then_some(SMTP_PORT);
    let folder = args.data_dir.join("mails");
    let catcher = MailCatcher::start(smtp_port, Some(args.mail_port), Some(folder)).await;
    Ok(Place::Own(catcher.map_err(name_flag)?))
}

/// Only `--kafka` starts one: most of what is tried needs none.
async fn broker(tools: &Tools, args: &Args) -> anyhow::Result<Option<(Tansu, TansuOptions)>> {
    if !args.kafka {
        return Ok(None);
    }
    anyhow::ensure!(
        config::optional("HOLDFAST_KAFKA_BROKERS").is_none(),
        "HOLDFAST_KAFKA_BROKERS gives a Kafka: leave --kafka out"
    );
    let log_file = args.data_dir.join("kafka.log");
    let options = TansuOptions { port: Some(args.kafka_port), log_file };
    let broker = Tansu::start(tools, options.clone()).await.map_err(name_flag)?;
    Ok(Some((broker, options)))
}

/// A port that is taken: say which flag chooses another.
fn name_flag(error: anyhow::Error) -> anyhow::Error {
    let flag = match error.downcast_ref::<PortTaken>().map(|taken| taken.what) {
        Some("Temporal") => "--temporal-port",
        Some("Temporal UI") => "--temporal-ui-port",
        Some("Kafka") => "--kafka-port",
        Some(_) => "--mail-port",
        None => return error,
    };
    anyhow::anyhow!("{error:#}; choose another with {flag}")
}

async fn exited_postgres(place: &mut Place<(Postgres, PostgresOptions)>) -> std::process::ExitStatus {
    match place {
        Place::Given(_) => std::future::pending().await,
        Place::Own((server, _)) => server.exited().await,
    }
}

async fn exited_temporal(place: &mut Place<(Temporal, TemporalOptions)>) -> std::process::ExitStatus {
    match place {
        Place::Given(_) => std::future::pending().await,
        Place::Own((server, _)) => server.exited().await,
    }
}

async fn exited_broker(broker: &mut Option<(Tansu, TansuOptions)>) -> std::process::ExitStatus {
    match broker {
        None => std::future::pending().await,
        Some((broker, _)) => broker.exited().await,
    }
}

async fn restart_broker(tools: &Tools, broker: &mut Option<(Tansu, TansuOptions)>) -> anyhow::Result<()> {
    if let Some((broker, options)) = broker {
        *broker = Tansu::start(tools, options.clone()).await?;
    }
    Ok(())
}

async fn restart_postgres(
    tools: &Tools,
    place: &mut Place<(Postgres, PostgresOptions)>,
) -> anyhow::Result<()> {
    if let Place::Own((server, options)) = place {
        *server = Postgres::start(tools, options.clone()).await?;
    }
    Ok(())
}

async fn restart_temporal(
    tools: &Tools,
    place: &mut Place<(Temporal, TemporalOptions)>,
) -> anyhow::Result<()> {
    if let Place::Own((server, options)) = place {
        *server = Temporal::start(tools, options.clone()).await?;
    }
    Ok(())
}
