//! What Holdfast counts. Labels are few and bounded: never an id, never personal data.

use std::sync::LazyLock;

use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// The counters of this process.
pub struct Metrics {
    registry: Registry,
    /// By route, method and status.
    pub http_requests: IntCounterVec,
    /// By route and method.
    pub http_seconds: HistogramVec,
    /// Requests without a key or token that is good for them, by reason: missing, malformed, unknown,
    /// expired, revoked, scope_missing, and of tokens the words of `identity::Refused`.
    pub keys_refused: IntCounterVec,
    /// What became of those who sign in, and of their codes: signed_in, not_verified, wrong_password,
    /// verified, wrong_code, refresh_reused, limited.
    pub sign_ins: IntCounterVec,
    /// Requests that were too many, by what is limited: reads, writes, reports, customers,
    /// strangers.
    pub rate_limited: IntCounterVec,
    /// Orders by what became of them: placed, paid, completed, cancelled, expired.
    pub orders: IntCounterVec,
    /// Holds by result: held, refused, committed, released.
    pub holds: IntCounterVec,
    /// Mails by kind and result: sent, moot, rejected.
    pub mails: IntCounterVec,
    /// Provider events by provider and result: stored, repeated, ignored, refused, malformed.
    pub webhooks: IntCounterVec,
    /// Tries of webhooks that we send, by what came of them: delivered, retried (and so it failed, and is
    /// tried again), failed (for good).
    pub webhook_deliveries: IntCounterVec,
    /// Endpoints that were disabled, by reason: gone, failing.
    pub webhook_endpoints_disabled: IntCounterVec,
    /// Exceptions by kind.
    pub exceptions: IntCounterVec,
    /// Refunds by provider and how they ended: succeeded, failed.
    pub refunds: IntCounterVec,
    /// What the sweepers had to hand to the engine, by kind: order, payment.
    pub swept: IntCounterVec,
    pub orders_unstarted: Gauge,
    pub exceptions_open: Gauge,
    pub webhook_deliveries_pending: Gauge,
    /// 0 if there is none.
    pub webhook_deliveries_oldest_pending_seconds: Gauge,
    pub webhook_endpoints_disabled_now: Gauge,
    pub outbox_unpublished: Gauge,
    /// Events written to Kafka, by topic: orders, payments, products.
    pub events_published: IntCounterVec,
    /// Rounds of events that were not written to Kafka, by whose fault it was: kafka, database.
    pub events_failed: IntCounterVec,
    /// Of the process that publishes; not there in the others.
    pub events_behind: Gauge,
    pub events_oldest_seconds: Gauge,
    /// Messages of Kafka that were given to a service, by route and result: done, retried, failed, skipped.
    pub consumed: IntCounterVec,
    /// 0 if there is none.
    pub inbox_oldest_unsettled_seconds: Gauge,
    pub database_connections_in_use: Gauge,
    pub database_connections_open: Gauge,
    pub database_connections_max: Gauge,
    /// 1 or 0.
    pub postgresql_reachable: Gauge,
    pub temporal_reachable: Gauge,
    pub mail_reachable: Gauge,
}

/// A figure that goes up and down, and is not there while nobody knows it.
pub struct Gauge(IntGaugeVec);

impl Gauge {
    pub fn tell(&self, value: Option<i64>) {
        match value {
            Some(value) => self.0.with_label_values::<&str>(&[]).set(value),
            None => self.0.reset(),
        }
    }
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
        let gauge = |name: &str, help: &str| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &[]).expect(VALID);
            registry.register(Box::new(gauge.clone())).expect(VALID);
            Gauge(gauge)
        };
        Self {
            http_requests: counter(
                "holdfast_http_requests_total",
                "HTTP requests answered",
                &["route", "method", "status"],
            ),
            keys_refused: counter(
                "holdfast_keys_refused_total",
                "Requests refused for their API key",
                &["reason"],
            ),
            sign_ins: counter("holdfast_sign_ins_total", "Sign-ins and codes by result", &["result"]),
            rate_limited: counter(
                "holdfast_rate_limited_total",
                "Requests refused because they were too many",
                &["limit"],
            ),
            orders: counter("holdfast_orders_total", "Orders by outcome", &["outcome"]),
            holds: counter("holdfast_holds_total", "Stock holds by result", &["result"]),
            mails: counter("holdfast_mails_total", "Mails by kind and result", &["kind", "result"]),
            webhooks: counter(
                "holdfast_webhooks_total",
                "Provider events by result",
                &["provider", "result"],
            ),
            webhook_deliveries: counter(
                "holdfast_webhook_deliveries_total",
                "Tries to deliver a webhook, by result",
                &["result"],
            ),
            webhook_endpoints_disabled: counter(
                "holdfast_webhook_endpoints_disabled_total",
                "Webhook endpoints that were disabled, by reason",
                &["reason"],
            ),
            refunds: counter("holdfast_refunds_total", "Refunds by their end", &["provider", "result"]),
            exceptions: counter("holdfast_exceptions_total", "Exceptions raised", &["kind"]),
            swept: counter(
                "holdfast_swept_total",
                "Left behind by a crash or an outage, and handed over later",
                &["kind"],
            ),
            orders_unstarted: gauge("holdfast_orders_unstarted", "Orders that Temporal does not know yet"),
            exceptions_open: gauge("holdfast_exceptions_open", "Exceptions that wait for a person"),
            outbox_unpublished: gauge(
                "holdfast_outbox_unpublished",
                "Public events that were not carried away yet",
            ),
            webhook_deliveries_pending: gauge(
                "holdfast_webhook_deliveries_pending",
                "Deliveries that wait, of endpoints that are enabled",
            ),
            webhook_deliveries_oldest_pending_seconds: gauge(
                "holdfast_webhook_deliveries_oldest_pending_seconds",
                "Age of the oldest delivery that waits, of endpoints that are enabled",
            ),
            webhook_endpoints_disabled_now: gauge(
                "holdfast_webhook_endpoints_disabled",
                "Webhook endpoints that are disabled",
            ),
            events_published: counter(
                "holdfast_events_published_total",
                "Events written to Kafka",
                &["topic"],
            ),
            events_failed: counter(
                "holdfast_events_failed_total",
                "Rounds of events that were not written to Kafka, and are written again",
                &["fault"],
            ),
            events_behind: gauge(
                "holdfast_events_behind",
                "How far the publisher to Kafka is behind, in numbers of events",
            ),
            events_oldest_seconds: gauge(
                "holdfast_events_oldest_seconds",
                "Age of the oldest event that is not written to Kafka",
            ),
            consumed: counter(
                "holdfast_consumed_total",
                "Messages of Kafka by what became of them",
                &["route", "result"],
            ),
            inbox_oldest_unsettled_seconds: gauge(
                "holdfast_inbox_oldest_unsettled_seconds",
                "Age of the oldest provider event of which nothing is done yet",
            ),
            database_connections_in_use: gauge(
                "holdfast_database_connections_in_use",
                "Connections of this process's pool that are at work",
            ),
            database_connections_open: gauge(
                "holdfast_database_connections_open",
                "Connections of this process's pool",
            ),
            database_connections_max: gauge(
                "holdfast_database_connections_max",
                "The most connections that this process's pool opens",
            ),
            postgresql_reachable: gauge("holdfast_postgresql_reachable", "Whether PostgreSQL answers"),
            temporal_reachable: gauge(
                "holdfast_temporal_reachable",
                "Whether Temporal answers for our namespace",
            ),
            mail_reachable: gauge("holdfast_mail_reachable", "Whether the mail server answers"),
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
