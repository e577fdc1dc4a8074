//! An order as clients see it.

use domain::{
    Date, OrderId, Timestamp,
    customer::Customer,
    metadata::Metadata,
    order::{Line, Order, PaymentStatus, Status},
    returns::Gone,
    stay::{Charge, Night, Per, Stay},
    stock::Sku,
};
use engine::Engine;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{app::App, auth::Caller};

#[derive(Serialize, ToSchema)]
#[schema(as = Order)]
pub struct OrderDocument {
    /// Always `order`.
    object: &'static str,
    #[schema(value_type = String)]
    pub id: OrderId,
    /// `awaiting_payment`, `paid`, `completed`, `cancelled` or `expired`.
    status: Status,
    /// `unpaid`, `paid`, `refund_pending`, `refunded` or `partially_refunded`.
    payment_status: PaymentStatus,
    currency: &'static str,
    /// Minor units.
    total: i64,
    /// What came and counts towards the order, whether or not it went back since. 0 if the order ended
    /// unpaid.
    amount_paid: i64,
    /// What is still to come, while the order awaits payment.
    amount_due: i64,
    lines: Vec<LineDocument>,
    customer: CustomerDocument,
    placed_at: Timestamp,
    payment_due_at: Timestamp,
    paid_at: Option<Timestamp>,
    closed_at: Option<Timestamp>,
    close_reason: Option<String>,
    /// The provider that collects the money, if the order has one.
    payment_method: Option<String>,
    #[schema(value_type = Object)]
    metadata: Metadata,
    workflow: WorkflowDocument,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Line)]
struct LineDocument {
    sku: String,
    name: String,
    /// Pieces, or rooms.
    quantity: i64,
    /// Minor units, as it was when the order was placed; of a stay, all its nights for one room.
    unit_price: i64,
    /// `quantity * unit_price`, and the extras of a stay.
    amount: i64,
    /// Pieces that came back with refunds; of a stay, its nights of one room each. Absent while there are
    /// none.
    #[serde(skip_serializing_if = "is_zero")]
    returned: i64,
    /// What was booked, if the product is sold by the night.
    #[serde(skip_serializing_if = "Option::is_none")]
    stay: Option<StayDocument>,
}

/// A stay as it was booked. The amounts of its nights and extras add up to the line's.
#[derive(Serialize, ToSchema)]
#[schema(as = Stay)]
struct StayDocument {
    from: Date,
    /// The day of departure.
    to: Date,
    /// In all rooms together.
    guests: i64,
    /// Where its days begin and end.
    time_zone: String,
    nights: Vec<NightDocument>,
    extras: Vec<ChargeDocument>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = BookedNight)]
struct NightDocument {
    date: Date,
    /// Of one room.
    unit_price: i64,
    /// Of all rooms.
    amount: i64,
    /// Rooms that came back with refunds. Absent while there are none.
    #[serde(skip_serializing_if = "is_zero")]
    returned: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[derive(Serialize, ToSchema)]
#[schema(as = BookedExtra)]
struct ChargeDocument {
    code: String,
    name: String,
    /// `stay`, `night`, `guest` or `guest_night`.
    #[schema(value_type = String)]
    per: Per,
    quantity: i64,
    unit_price: i64,
    amount: i64,
}

#[derive(Clone, Serialize, ToSchema)]
#[schema(as = Customer)]
pub struct CustomerDocument {
    /// Your id for the customer, such as `auth0|abc`: 1-128 characters with a letter or digit, without `@`.
    /// Visible in the Temporal UI, so never an e-mail address.
    pub id: String,
    /// In any letters. Mails go to it; one that the mail server refuses for good is told on the timeline.
    pub email: String,
    pub name: Option<String>,
    /// A language tag as BCP 47 writes it, such as `de-AT`. `de_AT.UTF-8` is understood as that.
    pub locale: Option<String>,
    /// IANA name, such as `Europe/Vienna`; due dates in mails are written in it, with their offset. Default
    /// UTC.
    pub time_zone: Option<String>,
}

impl From<&Customer> for CustomerDocument {
    fn from(customer: &Customer) -> Self {
        Self {
            id: customer.id().to_owned(),
            email: customer.email().to_owned(),
            name: customer.name().map(str::to_owned),
            locale: customer.locale().map(str::to_owned),
            time_zone: customer.time_zone().map(str::to_owned),
        }
    }
}

/// The workflow that looks after the order.
#[derive(Serialize, ToSchema)]
#[schema(as = Workflow)]
struct WorkflowDocument {
    id: String,
    /// In the Temporal UI, where it is known.
    url: Option<String>,
}

impl OrderDocument {
    pub fn new(order: Order, engine: &Engine) -> Self {
        let workflow_id = workflows::names::order_workflow(order.id);
        let (paid, due) = (order.amount_paid(), order.amount_due());
        Self {
            object: "order",
            id: order.id,
            status: order.status,
            payment_status: order.payment_status,
            currency: order.currency.code(),
            total: order.total,
            amount_paid: paid.amount,
            amount_due: due.amount,
            lines: order.lines.into_iter().map(|line| LineDocument::new(line, &order.gone)).collect(),
            customer: CustomerDocument::from(&order.customer),
            placed_at: order.placed_at,
            payment_due_at: order.payment_due_at,
            paid_at: order.paid_at,
            closed_at: order.closed_at,
            close_reason: order.close_reason,
            payment_method: order.payment_method,
            metadata: order.metadata,
            workflow: WorkflowDocument { url: engine.ui_link(&workflow_id), id: workflow_id },
        }
    }

    /// As whoever calls may see it: where the shop's people look is theirs.
    pub fn told(order: Order, app: &App, caller: &Caller) -> Self {
        let mut document = Self::new(order, &app.engine);
        if caller.customer().is_some() {
            document.workflow.url = None;
        }
        document
    }
}

impl LineDocument {
    fn new(line: Line, gone: &Gone) -> Self {
        let returned = |unit: &Sku| gone.get(unit).map_or(0, |back| back.returned);
        Self {
            amount: line.amount(),
            returned: line.units().iter().map(returned).sum(),
            name: line.name,
            quantity: line.quantity,
            unit_price: line.unit_price,
            stay: line
                .stay
                .map(|stay| StayDocument::new(stay, line.quantity, |date| returned(&line.sku.night(date)))),
            sku: line.sku.to_string(),
        }
    }
}

impl StayDocument {
    fn new(stay: Stay, rooms: i64, returned: impl Fn(Date) -> i64) -> Self {
        let Stay { from, to, guests, time_zone, nights, extras } = stay;
        let night = |Night { date, unit_price }| NightDocument {
            date,
            unit_price,
            amount: rooms * unit_price,
            returned: returned(date),
        };
        let charge = |Charge { code, name, per, quantity, unit_price, amount }| ChargeDocument {
            code,
            name,
            per,
            quantity,
            unit_price,
            amount,
        };
        Self {
            from,
            to,
            guests,
            time_zone,
            nights: nights.into_iter().map(night).collect(),
            extras: extras.into_iter().map(charge).collect(),
        }
    }
}
