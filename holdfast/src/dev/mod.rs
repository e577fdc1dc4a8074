//! `holdfast dev`: everything on one machine. What is given in the environment is used; what is
//! missing is started here, its data kept in `.holdfast/`.

mod banner;
mod secrets;
mod seed;
mod servers;
mod worker;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use activities::mail::Mailer;
use anyhow::{Context as _, ensure};
use devstack::{DataDirLock, EventReceiver};
use engine::Engine;
use events::webhooks::Networks;
use telemetry::SdkMetrics;
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
};

use crate::{
    config, gateway, identity, mails,
    providers::{self, Configured},
    run,
    stop::Stop,
    webhooks,
};
use servers::Servers;
use worker::Worker;

const API_KEY: &str = "dev-key";
/// By which this machine's own receiver verifies what Holdfast sends it.
const RECEIVER_SECRET: &str = "whsec_ZGV2LXNlY3JldC1vZi10aGUtcmVjZWl2ZXI=";
const WEBHOOK_SECRET: &str = "whsec_ZGV2LXNlY3JldC1kZXYtc2VjcmV0";

#[derive(clap::Args)]
pub struct Args {
    /// Port of the HTTP API [default: 8080, or that of HOLDFAST_LISTEN]
    #[arg(long)]
    port: Option<u16>,
    /// Port of the Temporal server
    #[arg(long, default_value_t = 7233, value_parser = clap::value_parser!(u16).range(1..))]
    temporal_port: u16,
    /// Port of the Temporal web UI
    #[arg(long, default_value_t = 8233, value_parser = clap::value_parser!(u16).range(1..))]
    temporal_ui_port: u16,
    /// Port of the mail catcher's web page
    #[arg(long, default_value_t = 8025, value_parser = clap::value_parser!(u16).range(1..))]
    mail_port: u16,
    /// Port of the page of what webhooks bring
    #[arg(long, default_value_t = 8026, value_parser = clap::value_parser!(u16).range(1..))]
    events_port: u16,
    /// Start a broker that speaks Kafka's protocol, and publish events to it; what it holds ends with it
    #[arg(long)]
    kafka: bool,
    /// Port of that broker
    #[arg(long, default_value_t = 9092, value_parser = clap::value_parser!(u16).range(1..))]
    kafka_port: u16,
    /// Where data and fetched programs are kept
    #[arg(long, default_value = ".holdfast")]
    data_dir: PathBuf,
}

pub async fn execute(mut args: Args) -> anyhow::Result<()> {
    let stop = Stop::on_signal()?;
    let http = http(&args)?;
    let listener = run::listen(&http.listen)
        .await
        .map_err(|error| anyhow::anyhow!("{error:#}; choose another with --port"))?;
    let _claim = claim_data_dir(&mut args).await?;
    let servers = tokio::select! {
        servers = Servers::start(&args) => servers,
        // Ctrl-C before everything is up.
        () = stop.clone().wait() => {
            devstack::wait_for_dropped().await;
            return Ok(());
        }
    };
    let result = match servers {
        Ok(mut servers) => {
            let result = Box::pin(up(&args, http, listener, &mut servers, stop)).await; // as in main
            servers.stop().await;
            result
        }
        Err(error) => Err(error),
    };
    devstack::wait_for_dropped().await;
    result
}

/// Makes the data folder ours alone, and its path absolute.
async fn claim_data_dir(args: &mut Args) -> anyhow::Result<DataDirLock> {
    let mut ports = vec![args.temporal_port, args.temporal_ui_port, args.mail_port, args.events_port];
    ports.extend(args.kafka.then_some(args.kafka_port));
    ensure!(
        BTreeSet::from_iter(&ports).len() == ports.len(),
        "--temporal-port, --temporal-ui-port, --mail-port, --events-port and --kafka-port must differ"
    );
    args.data_dir = secrets::private_folder(&args.data_dir)
        .with_context(|| format!("cannot make the data folder {} (--data-dir)", args.data_dir.display()))?;
    DataDirLock::folder(&args.data_dir, "`holdfast dev`")
        .await
        .map_err(|error| anyhow::anyhow!("{error:#} (--data-dir)"))
}

async fn up(
    args: &Args,
    mut http: config::Http,
    listener: TcpListener,
    servers: &mut Servers,
    stop: Stop,
) -> anyhow::Result<()> {
    let payload_key = secrets::payload_key(&args.data_dir)?;
    let account_secret = secrets::account_secret(&args.data_dir)?;
    let link_secret = secrets::link_secret(&args.data_dir)?;
    // A key as `holdfast api` wants it, for those who run it with `env`.
    http.api_keys.push(secrets::api_key(&args.data_dir)?);
    let address = listener.local_addr()?;
    let own_url = format!("http://{}", api::loopback(address));
    let secret = http.sandbox_secret.as_deref().unwrap_or(WEBHOOK_SECRET);
    let sandbox = sandbox(args, secret, &own_url).await?;
    let sandbox_url = sandbox.as_ref().map(|own| own.url().to_owned()).or_else(providers::sandbox_url);
    let secrets = [payload_key.as_str(), account_secret.as_str(), link_secret.as_str()];
    let environment = servers.environment(&http, secrets, sandbox_url.as_deref(), &own_url);
    servers::write_environment(&args.data_dir, &environment)?;

    let db = servers.database().open()?;
    db.migrate().await.with_context(|| {
        let data_dir = args.data_dir.display();
        format!("the database cannot be brought up to date; start afresh without {data_dir}, or see why")
    })?;
    seed::seed(&db).await?;
    let receiver = receiver(args).await?;
    seed::seed_endpoint(&db, &receiver.url(), RECEIVER_SECRET).await?;
    let metrics = SdkMetrics::start().await?;
    let engine = Arc::new(servers.temporal(&payload_key)?.open(&metrics)?);
    servers.serve_codec(engine.clone());
    let defaults = mails::Defaults { public_url: Some(&own_url), link_secret: Some(&link_secret) };
    let mail = mails::mailer_to(servers.smtp_url(), &defaults)?;
    let configured = Configured::load(sandbox_url.as_deref().map(|url| (url, secret)))?;
    let mail_probe = Arc::new(Mailer::new(&mail)?.probe());
    // What is tried out runs on this machine.
    let webhooks = webhooks::sender(Networks::loopback())?;
    let account_secrets = identity::secrets(Some(&account_secret))?;
    let read_books = Arc::new(Notify::new());
    let reading = keep_reading(engine.clone(), read_books.clone());
    let app = run::api_app(&http, db, engine, configured, webhooks, metrics)?.with_mail(mail_probe);
    let app = identity::with_customers(app, account_secrets.as_deref())?;
    let app = mails::with_hosted_pages(app, &defaults)?;
    let worker_is_away = watch::Sender::new(false);
    let faults = faults(servers, sandbox.as_ref(), &worker_is_away);
    let worker = Worker::new(environment)?.run(worker_is_away.subscribe(), stop.clone());
    let app = run::with_console(app, &http, Some(console(servers, &receiver, &http, faults, &read_books)));
    banner::print(servers, address, &receiver, &http.api_keys[0], &args.data_dir);

    let served = async {
        api::serve(app, listener, http.limits, stop.clone().wait()).await;
        Ok(())
    };
    let work = async { tokio::try_join!(served, worker) };
    tokio::select! {
        result = work => result.map(|_| ()),
        () = reading => Ok(()),
        error = servers.supervise() => Err(error),
    }
}

/// Reads the provider's books whenever somebody wants that.
async fn keep_reading(engine: Arc<Engine>, wanted: Arc<Notify>) {
    loop {
        wanted.notified().await;
        if let Err(error) = engine.reconcile(&uuid::Uuid::new_v4().to_string()).await {
            tracing::warn!(%error, "the provider's books could not be read");
        }
    }
}

/// What the console offers here and nowhere else.
fn console(
    servers: &Servers,
    receiver: &EventReceiver,
    http: &config::Http,
    faults: Vec<console::Fault>,
    read_books: &Arc<Notify>,
) -> console::Dev {
    console::Dev {
        key: http.api_keys[0].clone(),
        mails: servers.mail_page(),
        temporal_ui: servers.temporal_ui(),
        events: Some(receiver.url()),
        faults,
        read_books: read_books.clone(),
    }
}

/// What can be taken away: what is ours.
fn faults(
    servers: &Servers,
    sandbox: Option<&sandbox::Sandbox>,
    worker_is_away: &watch::Sender<bool>,
) -> Vec<console::Fault> {
    let webhooks = sandbox.map(sandbox::Sandbox::webhooks_are_lost);
    let parts = [
        (console::Part::Mail, servers.mail_is_away()),
        (console::Part::Webhooks, webhooks),
        (console::Part::Worker, Some(worker_is_away.clone())),
    ];
    let fault = |(part, is_on): (console::Part, Option<_>)| Some(console::Fault { part, is_on: is_on? });
    parts.into_iter().filter_map(fault).collect()
}

/// A shop's receiver of webhooks, to see what arrives there.
async fn receiver(args: &Args) -> anyhow::Result<EventReceiver> {
    let secret = ::events::webhooks::Secret::parse(RECEIVER_SECRET).map_err(anyhow::Error::msg)?;
    let receiver = EventReceiver::start(args.events_port, secret).await;
    receiver.map_err(|error| anyhow::anyhow!("{error:#}; choose another with --events-port"))
}

/// The payment provider to play with, unless one is given.
async fn sandbox(args: &Args, secret: &str, api_url: &str) -> anyhow::Result<Option<sandbox::Sandbox>> {
    match providers::sandbox_url() {
        Some(_) => Ok(None),
        None => {
            let books = args.data_dir.join("sandbox");
            providers::start_sandbox(secret, api_url, None, Some(books)).await.map(Some)
        }
    }
}

fn http(args: &Args) -> anyhow::Result<config::Http> {
    let given = config::optional("HOLDFAST_LISTEN").filter(|_| args.port.is_none());
    Ok(config::Http {
        listen: given.unwrap_or_else(|| format!("127.0.0.1:{}", args.port.unwrap_or(8080))),
        api_keys: vec![config::optional("HOLDFAST_API_KEY").unwrap_or_else(|| API_KEY.to_owned())],
        sandbox_secret: Some(
            config::optional("HOLDFAST_SANDBOX_WEBHOOK_SECRET").unwrap_or_else(|| WEBHOOK_SECRET.to_owned()),
        ),
        max_waiting: None,
        limits: config::limits()?,
        with_docs: config::with_docs()?,
        with_console: config::with_console()?,
        // Who tries things out tries them often.
        gateway: gateway::load(api::RateLimits::OFF)?,
    })
}
