//! What is told of an endpoint and of a delivery.

use axum::http::{HeaderName, header};
use domain::{
    Timestamp,
    public_event::PublicEventType,
    webhook::{DeliveryState, DisabledReason, EndpointStatus},
};
use serde::Serialize;
use store::webhook_endpoints::{Endpoint, deliveries::Delivery};
use utoipa::ToSchema;

/// Where events are sent.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub struct EndpointDocument {
    /// Always `webhook_endpoint`.
    object: &'static str,
    pub id: String,
    url: String,
    /// The types of events that are sent. Empty: all.
    types: Vec<PublicEventType>,
    description: String,
    status: EndpointStatus,
    /// Why it is disabled. What happens meanwhile is kept for it.
    disabled_reason: Option<DisabledReason>,
    disabled_at: Option<Timestamp>,
    /// The first failure since something was delivered. After five days of nothing else it is disabled.
    failing_since: Option<Timestamp>,
    /// Until then the secret before this one signs, too.
    previous_secret_until: Option<Timestamp>,
    created_at: Timestamp,
    /// The name of the key that made it, or `api` (a key of the environment).
    created_by: String,
    updated_at: Timestamp,
}

impl From<Endpoint> for EndpointDocument {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            object: "webhook_endpoint",
            id: endpoint.id.to_string(),
            url: endpoint.url,
            types: endpoint.types,
            description: endpoint.description,
            status: endpoint.status,
            disabled_reason: endpoint.disabled_reason,
            disabled_at: endpoint.disabled_at,
            failing_since: endpoint.failing_since,
            previous_secret_until: endpoint.previous_secret_until,
            created_at: endpoint.created_at,
            created_by: endpoint.created_by,
            updated_at: endpoint.updated_at,
        }
    }
}

/// An endpoint with a new secret.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpointWithSecret)]
pub struct SecretDocument {
    #[serde(flatten)]
    known: EndpointDocument,
    /// By what messages are signed, as Standard Webhooks writes it. This is the only answer that has it.
    secret: String,
}

impl SecretDocument {
    pub fn new(endpoint: Endpoint, secret: String) -> Self {
        Self { known: endpoint.into(), secret }
    }
}

/// No cache on the way keeps a secret.
pub type Secret = ([(HeaderName, &'static str); 1], axum::Json<SecretDocument>);

pub fn secret(endpoint: Endpoint, secret: String) -> Secret {
    ([(header::CACHE_CONTROL, "no-store")], axum::Json(SecretDocument::new(endpoint, secret)))
}

/// One event for one endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub struct DeliveryDocument {
    /// Always `webhook_delivery`.
    object: &'static str,
    pub endpoint_id: String,
    /// Also the message's `webhook-id`.
    pub event_id: String,
    r#type: PublicEventType,
    subject: String,
    /// When it happened.
    at: Timestamp,
    status: DeliveryState,
    /// Tries since it was made, or asked for again.
    attempts: i32,
    /// When it is tried next. None: it has come to its end, or waits for an earlier one of its subject.
    due_at: Option<Timestamp>,
    /// The status of the last answer.
    answer_code: Option<i16>,
    /// How the last answer began: 1 KB at most.
    answer: Option<String>,
    /// Why there was no answer: `address_refused`, `name_unknown`, `no_connection`, `timeout`,
    /// `connection_broke`...
    error: Option<String>,
    tried_at: Option<Timestamp>,
    delivered_at: Option<Timestamp>,
}

impl From<Delivery> for DeliveryDocument {
    fn from(delivery: Delivery) -> Self {
        Self {
            object: "webhook_delivery",
            endpoint_id: delivery.endpoint.to_string(),
            event_id: delivery.event.to_string(),
            r#type: delivery.event_type,
            subject: delivery.subject,
            at: delivery.at,
            status: delivery.state,
            attempts: delivery.attempts,
            due_at: delivery.due_at,
            answer_code: delivery.answer_code,
            answer: delivery.answer,
            error: delivery.error,
            tried_at: delivery.tried_at,
            delivered_at: delivery.delivered_at,
        }
    }
}
