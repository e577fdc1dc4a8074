//! Structured logs to stderr, and traces to an OpenTelemetry collector if `OTEL_EXPORTER_OTLP_ENDPOINT`
//! names one.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use opentelemetry::{global, trace::TracerProvider as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{BatchSpanProcessor, SdkTracerProvider},
};
use temporalio_sdk::opentelemetry::{WorkflowIdGenerator, WorkflowSpanProcessor};
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// What is logged unless `RUST_LOG` says otherwise.
const DEFAULT_FILTER: &str = "info,krafka=error,sqlx::postgres::notice=warn,\
     temporalio_sdk_core=error,temporalio_client=error,temporalio_sdk=error";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line, for machines.
    Json,
    /// One line of text, for a person at a terminal.
    Text,
}

/// Sends what is left of the traces when it is dropped.
#[must_use]
pub struct Guard(Option<SdkTracerProvider>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take() {
            let _ = provider.shutdown(); // the program ends: there is no one left to tell
        }
    }
}

/// Sets up logs and traces for this process. Call once, inside the tokio runtime.
pub fn init(service: &'static str, format: Format) -> anyhow::Result<Guard> {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let provider = tracer_provider(service)?;
    let traces = provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("holdfast")));
    if let Some(provider) = &provider {
        global::set_tracer_provider(provider.clone());
    }
    // Colours are for a terminal: in a file or another program they are rubbish.
    let text = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let text = match format {
        Format::Json => text.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        Format::Text => text.compact().boxed(),
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "named by the convention of all Rust programs, and read before there are settings"
    )]
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => {
            EnvFilter::try_new(filter).context("RUST_LOG must look like info,holdfast=debug")?
        }
        _ => EnvFilter::new(DEFAULT_FILTER),
    };
    tracing_subscriber::registry().with(filter).with(traces).with(text).try_init()?;
    Ok(Guard(provider))
}

#[expect(
    clippy::disallowed_methods,
    reason = "OpenTelemetry's own variables, which its exporter reads as well"
)]
fn tracer_provider(service: &'static str) -> anyhow::Result<Option<SdkTracerProvider>> {
    let endpoint = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
    if !endpoint.iter().any(|name| std::env::var(name).is_ok_and(|url| !url.is_empty())) {
        return Ok(None);
    }
    // The endpoint, headers and timeout are read from OTEL_* by the exporter itself.
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().build()?;
    let processor = BatchSpanProcessor::builder(exporter).build();
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(service).build())
        // Workflow code is replayed: these two keep its spans from being exported twice.
        .with_id_generator(WorkflowIdGenerator::default())
        .with_span_processor(WorkflowSpanProcessor::new(processor))
        .build();
    Ok(Some(provider))
}
