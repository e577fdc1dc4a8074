//! The production commands, one process each.

use std::sync::Arc;

use activities::mail::Mailer;
use anyhow::Context as _;
use telemetry::SdkMetrics;
use tokio::net::TcpListener;

use crate::{config, stop::Stop};

pub async fn api() -> anyhow::Result<()> {
    let stop = Stop::on_signal()?;
    let http = config::Http::load()?;
    let metrics = SdkMetrics::start()?;
    let db = config::Database::load()?.open()?;
    let engine = Arc::new(config::Temporal::load()?.open(&metrics)?);
    let listener = listen(&http.listen).await?;
    let app = api_app(&http, db, engine, metrics, &listener)?;
    tracing::info!(address = %listener.local_addr()?, "api started");
    api::serve(app, listener, stop.wait()).await
}

pub async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} (HOLDFAST_LISTEN)"))
}

/// The API, with the sandbox provider if there is a secret for it.
pub fn api_app(
    http: &config::Http,
    db: store::Db,
    engine: Arc<engine::Engine>,
    metrics: SdkMetrics,
    listener: &TcpListener,
) -> anyhow::Result<api::App> {
    let app = api::App::new(db, engine, api::ApiKey::new(&http.api_key), Some(metrics));
    let Some(secret) = &http.sandbox_secret else { return Ok(app) };
    let secret = api::Secret::parse(secret)
        .map_err(|why| anyhow::anyhow!("HOLDFAST_SANDBOX_WEBHOOK_SECRET: {why}"))?;
    tracing::warn!(
        "the sandbox payment provider is on: anyone with the API key can pay orders with play money"
    );
    app.with_sandbox(secret, format!("http://{}", api::loopback(listener.local_addr()?)))
}

pub async fn worker() -> anyhow::Result<()> {
    let stop = Stop::on_signal()?;
    let metrics = SdkMetrics::start()?;
    let db = config::Database::load()?.open()?;
    let engine = Arc::new(config::Temporal::load()?.open(&metrics)?);
    let mailer = Mailer::new(&config::mail()?)?;
    if let Some(address) = config::optional("HOLDFAST_METRICS_LISTEN") {
        let listener = TcpListener::bind(&address)
            .await
            .with_context(|| format!("cannot listen on {address} (HOLDFAST_METRICS_LISTEN)"))?;
        let app = api::App::new(db.clone(), engine.clone(), api::ApiKey::none(), Some(metrics.clone()));
        tokio::spawn(api::serve_operations(app, listener));
    }
    if let Some(address) = config::optional("HOLDFAST_CODEC_LISTEN") {
        let listener = TcpListener::bind(&address)
            .await
            .with_context(|| format!("cannot listen on {address} (HOLDFAST_CODEC_LISTEN)"))?;
        let (engine, ui_url) = (engine.clone(), config::optional("HOLDFAST_TEMPORAL_UI_URL"));
        tokio::spawn(async move { api::serve_codec(engine, ui_url.as_deref(), listener).await });
    }
    worker::Worker::new(db, engine, mailer, metrics).run(stop.wait()).await
}

pub async fn migrate() -> anyhow::Result<()> {
    let db = config::Database::load()?.open()?;
    db.migrate().await?;
    tracing::info!("the schema is up to date");
    Ok(())
}

/// Prints each invariant, and the rows that break it.
#[expect(clippy::print_stdout, reason = "the report is this command's output")]
pub async fn audit() -> anyhow::Result<()> {
    let db = config::Database::load()?.open()?;
    let findings = store::audit::run(&db).await?;
    let mut broken = 0;
    for finding in &findings {
        let verdict = if finding.broken.is_empty() { "ok    " } else { "BROKEN" };
        println!("{verdict} {}", finding.invariant);
        for row in &finding.broken {
            println!("         {row}");
        }
        broken += usize::from(!finding.broken.is_empty());
    }
    anyhow::ensure!(broken == 0, "{broken} of {} invariants are broken", findings.len());
    Ok(())
}
