//! What others are told: the one list of public event types, each with the shape of its data, and what an
//! event says of itself besides (docs/adr/0039).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::{
    ExceptionId, OrderId,
    event::{Dispute, EventLine, ExceptionData, OrderEvent, ReceivedMoney, Refund},
    exception,
    money::Currency,
    payment::{Action, RefundSource},
    product::{self, Product},
};

mod cause;
mod id;

pub use cause::{Cause, is_traceparent};
pub use id::EventId;

/// Declares the words, the topics and the shapes together, so that no type can lack one.
macro_rules! public_events {
    ($( $(#[$meta:meta])* $name:ident = $word:literal to $topic:ident $data:tt, )+) => {
        text_enum! {
            pub enum PublicEventType("type" as "EventType") {
                $( $name = $word, )+
            }
        }

        /// The data of an event, by its type.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = EventData))]
        #[serde(untagged)]
        pub enum PublicData {
            $( $(#[$meta])* $name $data, )+
        }

        impl PublicData {
            pub const fn event_type(&self) -> PublicEventType {
                match self {
                    $( Self::$name { .. } => PublicEventType::$name, )+
                }
            }
        }

        impl PublicEventType {
            /// Where events of this type are published.
            pub const fn topic(self) -> Topic {
                match self {
                    $( Self::$name => Topic::$topic, )+
                }
            }
        }
    };
}

public_events! {
    OrderPlaced = "order.placed" to Orders {
        customer_id: String,
        total: i64,
        #[cfg_attr(feature = "utoipa", schema(value_type = String))]
        currency: Currency,
        lines: Vec<EventLine>,
        /// The ended order whose late money pays this one.
        #[serde(skip_serializing_if = "Option::is_none")]
        in_place_of: Option<OrderId>,
    },
    OrderExtended = "order.extended" to Orders { from: Timestamp, to: Timestamp },
    OrderPaid = "order.paid" to Orders { customer_id: String },
    OrderCompleted = "order.completed" to Orders {
        customer_id: String,
        /// Of an order with a stay.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    OrderCancelled = "order.cancelled" to Orders { customer_id: String, reason: String },
    OrderExpired = "order.expired" to Orders { customer_id: String, reason: String },
    /// Money came after the order's end, and a new order took its place.
    OrderReinstated = "order.reinstated" to Orders {
        #[serde(rename = "as")]
        successor: OrderId,
    },
    OrderCheckedIn = "order.checked_in" to Orders {},
    /// The stay is over, and nobody came.
    StayUnused = "stay.unused" to Orders {},
    CheckInLocked = "check_in.locked" to Orders { wrong_attempts: i32 },
    PaymentReceived = "payment.received" to Payments (ReceivedMoney),
    /// A part counts towards the order.
    PaymentApplied = "payment.applied" to Payments {
        #[serde(flatten)]
        money: ReceivedMoney,
        amount_due: i64,
    },
    PaymentRefunded = "payment.refunded" to Payments (Refund),
    PaymentDisputed = "payment.disputed" to Payments (Dispute),
    DisputeWon = "dispute.won" to Payments (Dispute),
    DisputeLost = "dispute.lost" to Payments (Dispute),
    RefundRequested = "refund.requested" to Payments {
        #[serde(flatten)]
        refund: Refund,
        source: RefundSource,
    },
    RefundFailed = "refund.failed" to Payments {
        #[serde(flatten)]
        refund: Refund,
        state_text: String,
    },
    /// Money or a mail that no rule could settle: a person must look.
    ExceptionRaised = "exception.raised" to Payments {
        exception_id: ExceptionId,
        #[serde(flatten)]
        about: ExceptionData,
    },
    ExceptionReopened = "exception.reopened" to Payments { exception_id: ExceptionId, amount: i64 },
    ExceptionResolved = "exception.resolved" to Payments {
        exception_id: ExceptionId,
        action: Action,
        /// None: a person.
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<exception::ResolvedBy>,
    },
    ProductCreated = "product.created" to Products (ProductData),
    ProductChanged = "product.changed" to Products (ProductData),
    ProductRetired = "product.retired" to Products (ProductData),
    /// In the catalogue again.
    ProductRestored = "product.restored" to Products (ProductData),
    /// The last piece, or room in a night, is taken.
    StockDepleted = "stock.depleted" to Products (StockData),
    /// There is some again.
    StockRestocked = "stock.restocked" to Products (StockData),
    /// There is no more than the SKU's threshold.
    StockLow = "stock.low" to Products (StockData),
    /// There is more than the SKU's threshold again.
    StockRecovered = "stock.recovered" to Products (StockData),
}

/// Where events are published: a topic of Kafka is `holdfast.` and this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    Orders,
    Payments,
    Products,
}

impl Topic {
    pub const ALL: [Self; 3] = [Self::Orders, Self::Payments, Self::Products];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Payments => "payments",
            Self::Products => "products",
        }
    }
}

/// A product as the event left it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct ProductData {
    pub sku: String,
    pub name: String,
    pub unit_price: i64,
    #[cfg_attr(feature = "utoipa", schema(value_type = String))]
    pub currency: Currency,
    /// Whether it can be ordered.
    pub active: bool,
    /// The fields that are not what they were before.
    pub changed: Vec<String>,
}

// The trigger `tell_of_level` writes it (migrations/0023).
/// A level as the movement left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct StockData {
    /// Of a night: the stay's SKU, `@`, and the night's date.
    pub sku: String,
    pub on_hand: i64,
    pub held: i64,
    pub available: i64,
    /// None: the SKU has none.
    pub low_stock_threshold: Option<i64>,
}

impl OrderEvent {
    /// What others are told of it. None: the event is nobody's but ours.
    pub fn public(&self) -> Option<PublicData> {
        Some(match self.clone() {
            Self::OrderPlaced { total, currency, in_place_of, customer_id, lines } => {
                PublicData::OrderPlaced { customer_id, total, currency, lines, in_place_of }
            }
            Self::OrderExtended { from, to } => PublicData::OrderExtended { from, to },
            Self::OrderPaid { customer_id } => PublicData::OrderPaid { customer_id },
            Self::OrderCompleted { reason, customer_id } => {
                PublicData::OrderCompleted { customer_id, reason }
            }
            Self::OrderCancelled { reason, customer_id } => {
                PublicData::OrderCancelled { customer_id, reason }
            }
            Self::OrderExpired { reason, customer_id } => PublicData::OrderExpired { customer_id, reason },
            Self::OrderReinstated { successor } => PublicData::OrderReinstated { successor },
            Self::OrderCheckedIn {} => PublicData::OrderCheckedIn {},
            Self::StayUnused {} => PublicData::StayUnused {},
            Self::CheckInLocked { wrong_attempts } => PublicData::CheckInLocked { wrong_attempts },
            Self::PaymentReceived(money) => PublicData::PaymentReceived(money),
            Self::PaymentApplied { money, amount_due } => PublicData::PaymentApplied { money, amount_due },
            Self::PaymentRefunded(refund) => PublicData::PaymentRefunded(refund),
            Self::PaymentDisputed(dispute) => PublicData::PaymentDisputed(dispute),
            Self::DisputeWon(dispute) => PublicData::DisputeWon(dispute),
            Self::DisputeLost(dispute) => PublicData::DisputeLost(dispute),
            Self::RefundRequested { refund, source } => PublicData::RefundRequested { refund, source },
            Self::RefundFailed { refund, state_text } => PublicData::RefundFailed { refund, state_text },
            Self::ExceptionRaised { exception_id, about } => {
                PublicData::ExceptionRaised { exception_id, about: about.public() }
            }
            Self::ExceptionReopened { exception_id, amount } => {
                PublicData::ExceptionReopened { exception_id, amount }
            }
            Self::ExceptionResolved { exception_id, action, by, .. } => {
                PublicData::ExceptionResolved { exception_id, action, by }
            }
            Self::StockHeld { .. }
            | Self::WorkflowStarted {}
            | Self::ReminderSent { .. }
            | Self::MailSent(_)
            | Self::MailRejected { .. }
            | Self::StockCommitted {}
            | Self::StockReleased {}
            | Self::StockReturned { .. }
            | Self::CodeRenewed { .. }
            | Self::RefundContradicted { .. } => return None,
        })
    }
}

/// What others are told of a change of a product.
pub fn of_product(product: &Product, event: &product::Event) -> PublicData {
    let Product { sku, details, .. } = product;
    let data = ProductData {
        sku: sku.to_string(),
        name: details.name.clone(),
        unit_price: details.unit_price,
        currency: details.currency,
        active: details.active,
        changed: event.changes.keys().cloned().collect(),
    };
    match event.kind {
        product::EventKind::Created => PublicData::ProductCreated(data),
        product::EventKind::Changed => PublicData::ProductChanged(data),
        product::EventKind::Retired => PublicData::ProductRetired(data),
        product::EventKind::Restored => PublicData::ProductRestored(data),
    }
}

/// A public event as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct PublicEvent {
    pub id: EventId,
    pub event_type: PublicEventType,
    /// Of the shape of its data.
    pub version: i16,
    /// What it is about: an order's id, a SKU, `inventory:{sku}`, or the id of an exception without an order.
    pub subject: String,
    /// The how-manieth event of its subject, from 1 without a gap. None: a version of Holdfast that did not
    /// count wrote it.
    pub sequence: Option<i32>,
    pub at: Timestamp,
    pub cause: Cause,
    pub data: Value,
}

/// What every event says it is from, unless the shop gives a name of its own.
pub const SOURCE: &str = "holdfast";

/// What the schema of a type's data is called: CloudEvents wants a whole URI.
pub fn data_schema(of: PublicEventType, version: i16) -> String {
    format!("urn:holdfast:event:{of}:{version}")
}

impl PublicEvent {
    /// The name of the schema of its data, which the API serves at `/v1/event-schemas/{type}/{version}`.
    pub fn data_schema(&self) -> String {
        data_schema(self.event_type, self.version)
    }

    /// The event as CloudEvents 1.0 has it.
    pub fn cloud_event(&self) -> CloudEvent<'_> {
        let named = |(name, value): (&String, &String)| {
            (name.chars().filter(char::is_ascii_alphanumeric).collect(), value.clone())
        };
        CloudEvent {
            specversion: "1.0",
            id: self.id,
            source: SOURCE,
            event_type: self.event_type,
            subject: &self.subject,
            time: self.at,
            datacontenttype: "application/json",
            dataschema: self.data_schema(),
            version: self.version,
            sequence: self.sequence,
            traceparent: self.cause.traceparent.as_deref(),
            data: &self.data,
            headers: self.cause.headers.iter().map(named).collect(),
        }
    }
}

/// A public event, in the JSON format of CloudEvents 1.0. The `x-*` headers of the request that caused it
/// stand beside these members, without the dashes of their names: `x-tenant-id` is `xtenantid`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = Event))]
pub struct CloudEvent<'a> {
    /// Always `1.0`.
    pub specversion: &'static str,
    /// Give it as `after` to go on behind it. Who has seen it has seen the event.
    pub id: EventId,
    pub source: &'static str,
    #[serde(rename = "type")]
    #[cfg_attr(feature = "utoipa", schema(value_type = PublicEventType))]
    pub event_type: PublicEventType,
    /// What it is about: an order's id, a SKU, `inventory:` and a SKU, or the id of an exception of no order.
    pub subject: &'a str,
    pub time: Timestamp,
    /// Always `application/json`.
    pub datacontenttype: &'static str,
    /// The `$id` of the schema of the data, which is at `/v1/event-schemas/{type}/{version}`.
    pub dataschema: String,
    /// Of the shape of the data.
    pub version: i16,
    /// The how-manieth event of its subject, from 1 without a gap. Left out where an older version of
    /// Holdfast, which did not count, wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<i32>,
    /// W3C Trace Context of what caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<&'a str>,
    #[cfg_attr(feature = "utoipa", schema(value_type = PublicData))]
    pub data: &'a Value,
    #[serde(flatten)]
    #[cfg_attr(feature = "utoipa", schema(ignore))]
    pub headers: BTreeMap<String, String>,
}
