//! `holdfast consume`: messages of Kafka, given to services' own HTTP routes (docs/kafka.md). It needs Kafka
//! and its file alone, neither PostgreSQL nor Temporal.

use std::{future::pending, path::PathBuf};

use anyhow::{Context as _, bail};
use axum::{Router, http::header, routing::get};
use domain::Timestamp;
use events::consume::{self, Route, Routes, Wanted};
use telemetry::SdkMetrics;
use tokio::net::TcpListener;
use web::Limits;

use crate::{config, kafka, stop::Stop};

const TEXT: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;

#[derive(clap::Args)]
pub struct Args {
    /// The file of routes, in TOML
    #[arg(long)]
    config: PathBuf,
    /// Let failures be tried again sooner than 45 seconds later: for trying things out
    #[arg(long)]
    allow_short_intervals: bool,
    /// Put back what has failed of this route, and end
    #[arg(long, value_name = "ROUTE")]
    replay_failed: Option<String>,
    /// With --replay-failed: only what failed at this time or later, such as 2027-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", requires = "replay_failed", conflicts_with = "all")]
    failed_since: Option<Timestamp>,
    /// With --replay-failed: also where it is not known what was put back before
    #[arg(long, requires = "replay_failed")]
    all: bool,
}

impl Args {
    fn wanted(&self) -> Wanted {
        match self.failed_since {
            Some(time) => Wanted::Since(time),
            None if self.all => Wanted::All,
            None => Wanted::New,
        }
    }
}

pub async fn execute(args: Args) -> anyhow::Result<()> {
    let settings = kafka::settings()?
        .context("HOLDFAST_KAFKA_BROKERS is not set; it should be host:port of your Kafka")?;
    let routes = read(&args)?;
    if let Some(name) = &args.replay_failed {
        let route = routes.iter().find(|route| &route.name == name);
        let route =
            route.with_context(|| format!("there is no route `{name}` in {}", args.config.display()))?;
        let count = consume::replay_failed(route, &settings, args.wanted()).await?;
        tracing::info!(route = name, count, "put back");
        return Ok(());
    }
    let stop = Stop::on_signal()?;
    let metrics = SdkMetrics::start().await?;
    if let Some(address) = config::optional("HOLDFAST_METRICS_LISTEN") {
        let listener = TcpListener::bind(&address)
            .await
            .with_context(|| format!("cannot listen on {address} (HOLDFAST_METRICS_LISTEN)"))?;
        #[expect(clippy::disallowed_methods, reason = "one for each process")]
        tokio::spawn(web::serve(listener, operations(metrics), Limits::small(), pending()));
    }
    tracing::info!(routes = routes.len(), "consuming");
    consume::serve(routes, settings, stop.token()).await.map_err(anyhow::Error::msg)
}

fn read(args: &Args) -> anyhow::Result<Vec<Route>> {
    let file = args.config.display();
    let size = std::fs::metadata(&args.config).with_context(|| format!("{file} (--config)"))?.len();
    if size > MAX_CONFIG_BYTES {
        bail!("{file} (--config) has more than {MAX_CONFIG_BYTES} bytes");
    }
    let text = std::fs::read_to_string(&args.config).with_context(|| format!("{file} (--config)"))?;
    let routes = Routes::parse(&text, args.allow_short_intervals);
    Ok(routes.map_err(|why| anyhow::anyhow!("{file} (--config): {why}"))?.0)
}

/// Alive, and figures.
fn operations(metrics: SdkMetrics) -> Router {
    let figures = move || {
        let metrics = metrics.clone();
        async move { (TEXT, telemetry::render(&metrics).await) }
    };
    Router::new().route("/healthz", get(async || "alive")).route("/metrics", get(figures))
}
