//! What Holdfast counts. Labels are few and bounded: never an id, never personal data.

use std::sync::LazyLock;

use prometheus::{Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

/// The counters of this process.
pub struct Metrics {
    registry: Registry,
    /// By route, method and status.
    pub http_requests: IntCounterVec,
    /// By route and method.
    pub http_seconds: HistogramVec,
    /// Orders by what became of them: placed, paid, completed, cancelled, expired.
    pub orders: IntCounterVec,
    /// Holds by result: held, refused, committed, released.
    pub holds: IntCounterVec,
    /// Mails by kind and result: sent, moot, rejected.
    pub mails: IntCounterVec,
    /// Provider events by provider and result: stored, repeated, ignored, refused, malformed.
    pub webhooks: IntCounterVec,
    /// Exceptions by kind.
    pub exceptions: IntCounterVec,
    /// Refunds by provider and how they ended: succeeded, failed.
    pub refunds: IntCounterVec,
    /// What the sweepers had to hand to the engine, by kind: order, payment.
    pub swept: IntCounterVec,
}

/// The one instance of this process.
pub fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
    &METRICS
}

impl Metrics {
    fn new() -> Self {
        let registry = Registry::new();
        let seconds = HistogramOpts::new("holdfast_http_request_duration_seconds", "Time to answer")
            .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        let http_seconds = HistogramVec::new(seconds, &["route", "method"]).expect(VALID);
        registry.register(Box::new(http_seconds.clone())).expect(VALID);
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels).expect(VALID);
            registry.register(Box::new(counter.clone())).expect(VALID);
            counter
        };
        Self {
            http_requests: counter(
                "holdfast_http_requests_total",
                "HTTP requests answered",
                &["route", "method", "status"],
            ),
            orders: counter("holdfast_orders_total", "Orders by outcome", &["outcome"]),
            holds: counter("holdfast_holds_total", "Stock holds by result", &["result"]),
            mails: counter("holdfast_mails_total", "Mails by kind and result", &["kind", "result"]),
            webhooks: counter(
                "holdfast_webhooks_total",
                "Provider events by result",
                &["provider", "result"],
            ),
            refunds: counter("holdfast_refunds_total", "Refunds by their end", &["provider", "result"]),
            exceptions: counter("holdfast_exceptions_total", "Exceptions raised", &["kind"]),
            swept: counter(
                "holdfast_swept_total",
                "Left behind by a crash or an outage, and handed over later",
                &["kind"],
            ),
            http_seconds,
            registry,
        }
    }

    pub(crate) fn render(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("a Vec takes every write");
        String::from_utf8(text).expect("the text format is UTF-8")
    }
}

/// Names and labels are literals of this file, each used once.
const VALID: &str = "metric names are valid and distinct";
