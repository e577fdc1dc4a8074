//! The Temporal SDK's own figures (requests, workflow tasks, activities, cache, pollers). The SDK exports
//! them only through a server of its own, without limits, so nobody else may reach that: it listens on a free
//! loopback port until we have our one connection to it, which is then kept.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use temporalio_common::telemetry::{
    PrometheusExporterOptions, TelemetryOptions,
    metrics::{CoreMeter, TemporalMeter},
    start_prometheus_metric_exporter, telemetry_init,
};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
};

/// Questions that wait for the connection.
const MAX_WAITING: usize = 64;
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct SdkMetrics {
    meter: Arc<dyn CoreMeter>,
    questions: mpsc::Sender<oneshot::Sender<String>>,
}

impl SdkMetrics {
    pub async fn start() -> anyhow::Result<Self> {
        let options = PrometheusExporterOptions::builder()
            .socket_addr(SocketAddr::from(([127, 0, 0, 1], 0)))
            .counters_total_suffix(true)
            .build();
        let server = start_prometheus_metric_exporter(options)?;
        let tcp = TcpStream::connect(server.bound_addr).await?;
        let (mut connection, driver) = http1::handshake(TokioIo::new(tcp)).await?;
        #[expect(clippy::disallowed_methods, reason = "one for each process")]
        tokio::spawn(driver);
        ask(&mut connection).await?; // the server has taken the connection, and needs its listener no more
        server.abort_handle.abort();
        let (questions, asked) = mpsc::channel(MAX_WAITING);
        #[expect(clippy::disallowed_methods, reason = "one for each process")]
        tokio::spawn(answer(connection, asked));
        Ok(Self { meter: server.meter, questions })
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
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.questions.send(answer).await.ok()?;
            answered.await.ok()
        };
        let text = tokio::time::timeout(PATIENCE, asked).await.ok().flatten();
        text.unwrap_or_else(|| "# the SDK's metrics did not answer\n".to_owned())
    }
}

/// One question after the other, each to its end, also if nobody waits for it: a connection that is left in
/// mid-answer cannot be asked again.
async fn answer(
    mut connection: SendRequest<Empty<Bytes>>,
    mut asked: mpsc::Receiver<oneshot::Sender<String>>,
) {
    while let Some(answer) = asked.recv().await {
        let text = ask(&mut connection).await;
        // It may have gone.
        let _ = answer.send(text.unwrap_or_else(|error| format!("# the SDK's metrics: {error}\n")));
    }
}

async fn ask(connection: &mut SendRequest<Empty<Bytes>>) -> anyhow::Result<String> {
    connection.ready().await?;
    let question = Request::get("/metrics").header(header::HOST, "localhost").body(Empty::new())?;
    let text = connection.send_request(question).await?.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&text).into_owned())
}
