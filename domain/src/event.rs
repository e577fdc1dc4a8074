//! What happens to an order: the one list of event types, each with the shape of its data. All of them stand
//! on the order's timeline; what others are told of them: [`crate::public_event`].

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    ChangeId, ExceptionId, OrderId, RefundId, exception,
    mail::MailKind,
    money::{Currency, Money},
    order::Line,
    payment::{Action, RefundSource, RefundState},
    returns::Run,
    stock::Sku,
};

/// Declares the words and the shapes together, so that no type can lack either.
macro_rules! events {
    ($( $(#[$meta:meta])* $name:ident = $word:literal $data:tt, )+) => {
        text_enum! {
            pub enum EventType("type") {
                $( $name = $word, )+
            }
        }

        /// An event with its data, as the timeline has it. What is skipped there is only in what others are
        /// told.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
        #[serde(untagged)]
        pub enum OrderEvent {
            $( $(#[$meta])* $name $data, )+
        }

        impl OrderEvent {
            pub const fn event_type(&self) -> EventType {
                match self {
                    $( Self::$name { .. } => EventType::$name, )+
                }
            }
        }
    };
}

events! {
    OrderPlaced = "order.placed" {
        total: i64,
        #[cfg_attr(feature = "utoipa", schema(value_type = String))]
        currency: Currency,
        /// The ended order whose late money pays this one.
        #[serde(skip_serializing_if = "Option::is_none")]
        in_place_of: Option<OrderId>,
        #[serde(skip)]
        customer_id: String,
        #[serde(skip)]
        lines: Vec<EventLine>,
    },
    /// Without lines: an order in the place of another holds what that one held.
    StockHeld = "stock.held" {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        lines: Vec<EventLine>,
    },
    WorkflowStarted = "workflow.started" {},
    ReminderSent = "reminder.sent" { number: u8 },
    MailSent = "mail.sent" (Mail),
    /// The mail server will never take it.
    MailRejected = "mail.rejected" {
        #[serde(flatten)]
        mail: Mail,
        /// The server's reply, if it was the server that refused.
        code: Option<u16>,
        reason: String,
    },
    OrderExtended = "order.extended" { from: Timestamp, to: Timestamp },
    PaymentReceived = "payment.received" (ReceivedMoney),
    /// A part counts towards the order.
    PaymentApplied = "payment.applied" {
        #[serde(flatten)]
        money: ReceivedMoney,
        amount_due: i64,
    },
    OrderPaid = "order.paid" {
        #[serde(skip)]
        customer_id: String,
    },
    StockCommitted = "stock.committed" {},
    OrderCheckedIn = "order.checked_in" {},
    /// The stay is over, and nobody came.
    StayUnused = "stay.unused" {},
    OrderCompleted = "order.completed" {
        /// Of an order with a stay.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        #[serde(skip)]
        customer_id: String,
    },
    OrderCancelled = "order.cancelled" {
        reason: String,
        #[serde(skip)]
        customer_id: String,
    },
    OrderExpired = "order.expired" {
        reason: String,
        #[serde(skip)]
        customer_id: String,
    },
    StockReleased = "stock.released" {},
    StockReturned = "stock.returned" {
        /// None: the order was cancelled, and all that was left of it came back.
        #[serde(skip_serializing_if = "Option::is_none")]
        refund_id: Option<RefundId>,
        lines: Vec<EventLine>,
    },
    /// Money came after the order's end, and a new order took its place.
    OrderReinstated = "order.reinstated" {
        #[serde(rename = "as")]
        successor: OrderId,
    },
    CodeRenewed = "check_in.code_renewed" { change_id: ChangeId },
    CheckInLocked = "check_in.locked" { wrong_attempts: i32 },
    RefundRequested = "refund.requested" {
        #[serde(flatten)]
        refund: Refund,
        source: RefundSource,
    },
    RefundFailed = "refund.failed" {
        #[serde(flatten)]
        refund: Refund,
        state_text: String,
    },
    /// The provider says something of a refund of ours that is not what was asked.
    RefundContradicted = "refund.contradicted" { refund_id: RefundId, said: RefundSaid },
    PaymentRefunded = "payment.refunded" (Refund),
    PaymentDisputed = "payment.disputed" (Dispute),
    DisputeWon = "dispute.won" (Dispute),
    DisputeLost = "dispute.lost" (Dispute),
    ExceptionRaised = "exception.raised" {
        exception_id: ExceptionId,
        #[serde(flatten)]
        about: ExceptionData,
    },
    ExceptionReopened = "exception.reopened" { exception_id: ExceptionId, amount: i64 },
    ExceptionResolved = "exception.resolved" {
        exception_id: ExceptionId,
        action: Action,
        note: String,
        /// None: a person.
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<exception::ResolvedBy>,
    },
}

impl OrderEvent {
    /// The data as the timeline has it.
    pub fn data(&self) -> Value {
        json!(self)
    }
}

/// Pieces of a SKU; of a stay, as many rooms in each night from one day to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct EventLine {
    #[cfg_attr(feature = "utoipa", schema(value_type = String))]
    pub sku: Sku,
    pub quantity: i64,
    #[serde(flatten)]
    pub stay: Option<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Span {
    pub from: Date,
    /// The day of departure.
    pub to: Date,
}

impl From<&Line> for EventLine {
    fn from(line: &Line) -> Self {
        let stay = line.stay.as_ref().map(|stay| Span { from: stay.from, to: stay.to });
        Self { sku: line.sku.clone(), quantity: line.quantity, stay }
    }
}

impl From<Run> for EventLine {
    fn from(run: Run) -> Self {
        Self { sku: run.sku, quantity: run.quantity, stay: run.stay.map(|(from, to)| Span { from, to }) }
    }
}

/// Which mail it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = MailData))]
pub struct Mail {
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_due_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_id: Option<ChangeId>,
}

impl From<MailKind> for Mail {
    fn from(kind: MailKind) -> Self {
        let plain = |kind: String| Self { kind, payment_due_at: None, change_id: None };
        match kind {
            MailKind::Extended(due) => Self { payment_due_at: Some(due), ..plain("extended".to_owned()) },
            MailKind::NewCheckInCode(change) => {
                Self { change_id: Some(change), ..plain("new_check_in_code".to_owned()) }
            }
            other => plain(other.name()),
        }
    }
}

/// Money that came by a provider's payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct ReceivedMoney {
    pub provider: String,
    /// The provider's own.
    pub payment_id: String,
    #[serde(flatten)]
    pub money: Money,
}

impl ReceivedMoney {
    pub fn new(provider: &str, payment_id: &str, money: Money) -> Self {
        Self { provider: provider.to_owned(), payment_id: payment_id.to_owned(), money }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = RefundData))]
pub struct Refund {
    pub refund_id: RefundId,
    #[serde(flatten)]
    pub money: Money,
    pub reason: String,
}

/// What a provider said of a refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct RefundSaid {
    #[serde(flatten)]
    pub money: ReceivedMoney,
    pub state: RefundState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = DisputeData))]
pub struct Dispute {
    /// The provider's own.
    pub dispute_id: String,
    #[serde(flatten)]
    pub money: Money,
    /// The provider's own word for the state.
    pub state_text: String,
}

/// What an exception is about. It is stored with the exception, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct ExceptionData {
    pub kind: exception::Kind,
    #[serde(flatten)]
    pub cause: Cause,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Cause {
    Money(ReceivedMoney),
    /// A mail that the server will never take.
    Mail {
        /// The server's reply, if it was the server that refused.
        code: Option<u16>,
        reason: String,
    },
    /// A provider's event that could not be read.
    Event {
        provider: String,
        /// The provider's own.
        event_id: String,
        #[serde(rename = "type")]
        event_type: String,
        why: String,
    },
}

impl ExceptionData {
    /// Without what was quoted of somebody else's words, which may be about anybody.
    pub fn public(self) -> Self {
        let cause = match self.cause {
            Cause::Event { provider, event_id, event_type, why: _ } => {
                Cause::Event { provider, event_id, event_type, why: "unreadable".to_owned() }
            }
            Cause::Mail { code, reason: _ } => Cause::Mail { code, reason: "refused".to_owned() },
            money @ Cause::Money(_) => money,
        };
        Self { cause, ..self }
    }
}

json_in_sql!(ExceptionData);
