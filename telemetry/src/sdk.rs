//! The Temporal SDK's own figures (requests, workflow tasks, activities, cache, pollers). The SDK
//! exports them only through a server of its own, so it gets one on a free loopback port, and
//! `/metrics` asks it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use temporalio_common::telemetry::{
    PrometheusExporterOptions, TelemetryOptions,
    metrics::{CoreMeter, TemporalMeter},
    start_prometheus_metric_exporter, telemetry_init,
};

#[derive(Clone)]
pub struct SdkMetrics {
    meter: Arc<dyn CoreMeter>,
    address: SocketAddr,
    http: reqwest::Client,
}

impl SdkMetrics {
    /// Needs a running tokio runtime.
    pub fn start() -> anyhow::Result<Self> {
        let options = PrometheusExporterOptions::builder()
            .socket_addr(SocketAddr::from(([127, 0, 0, 1], 0)))
            .counters_total_suffix(true)
            .build();
        let server = start_prometheus_metric_exporter(options)?;
        let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).build()?;
        Ok(Self { meter: server.meter, address: server.bound_addr, http })
    }

    /// What the SDK's workers record to.
    pub fn meter(&self) -> Arc<dyn CoreMeter> {
        self.meter.clone()
    }

    /// What the SDK's client records to.
    pub fn temporal_meter(&self) -> anyhow::Result<TemporalMeter> {
        let options = TelemetryOptions::builder().metrics(self.meter()).build();
        let meter = telemetry_init(options)?.get_temporal_metric_meter();
        meter.ok_or_else(|| anyhow::anyhow!("the SDK has no meter though it was given one"))
    }

    pub(crate) async fn render(&self) -> String {
        let url = format!("http://{}/metrics", self.address);
        let text = async { self.http.get(url).send().await?.text().await };
        text.await.unwrap_or_else(|error| format!("# the SDK's metrics did not answer: {error}\n"))
    }
}
