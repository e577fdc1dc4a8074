//! Logs, traces and metrics: one set-up for every program of Holdfast.

mod logs;
mod metrics;
mod sdk;

pub use logs::{Format, Guard, init};
pub use metrics::{Gauge, Metrics, metrics};
pub use sdk::SdkMetrics;

/// Everything for `/metrics`, as Prometheus text: our own figures, then those of the Temporal SDK.
pub async fn render(sdk: &SdkMetrics) -> String {
    let mut text = metrics().render();
    text.push_str(&sdk.render().await);
    text
}
