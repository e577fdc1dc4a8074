//! What an operator does with an order: each with its consequences said before.

mod known;

use axum::{
    Router,
    extract::Path,
    http::{Method, StatusCode},
    routing::get,
};
use domain::{
    api_key::Scope,
    money::{Currency, from_decimal},
};
use serde_json::{Map, Value, json};

use known::{Known, refundable};

use super::{Shown, done, order::path_of, orders::as_time, refused, show};
use crate::{
    Console,
    api_client::{Answer, Ask},
    documents::{Line, List, Order, Payment, Problem},
    failure::Failure,
    fields::{Fields, Form as Sent},
    operator::Operator,
    view::{Field, Form, Link, Section},
};

/// Something to do with an order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Cancel,
    Extend,
    Fulfil,
    Refund,
    NewCode,
    RevokeLinks,
}

use Action::{Cancel, Extend, Fulfil, NewCode, Refund, RevokeLinks};

impl Action {
    const ALL: [Self; 6] = [Extend, Fulfil, NewCode, RevokeLinks, Refund, Cancel];

    /// As it stands in addresses.
    const fn name(self) -> &'static str {
        match self {
            Cancel => "cancel",
            Extend => "extend",
            Fulfil => "fulfil",
            Refund => "refund",
            NewCode => "new-code",
            RevokeLinks => "revoke-links",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Cancel => "Cancel the order",
            Extend => "Give more time to pay",
            Fulfil => "Say that it is handed over",
            Refund => "Send money back",
            NewCode => "Send a new check-in code",
            RevokeLinks => "Revoke the links in its mails",
        }
    }

    const fn scope(self) -> Scope {
        match self {
            Refund => Scope::PaymentsWrite,
            _ => Scope::OrdersWrite,
        }
    }

    const fn is_grave(self) -> bool {
        matches!(self, Cancel | Refund | RevokeLinks)
    }

    /// Whether it makes sense where the order stands, of which so much can go back as far as that is known;
    /// whether it is done decides its workflow.
    fn fits(self, order: &Order, refundable: Option<i64>) -> bool {
        let has_stay = order.lines.iter().any(|line| line.stay.is_some());
        match self {
            Cancel => matches!(order.status.as_str(), "awaiting_payment" | "paid"),
            Extend => order.status == "awaiting_payment",
            Fulfil => order.status == "paid",
            NewCode => order.status == "paid" && has_stay,
            // Parts of an order that awaits payment go back when it ends, and not before.
            Refund if order.status == "awaiting_payment" || order.payment_status == "refunded" => false,
            Refund => refundable.unwrap_or(order.amount_paid) > 0,
            RevokeLinks => true,
        }
    }

    /// What it comes to, before it is done.
    fn consequences(self, known: &Known) -> Vec<String> {
        let order = &known.order;
        match self {
            Cancel => known.if_cancelled(),
            Extend => vec![
                format!("The order is to be paid until {} now.", order.payment_due_at),
                "Its stock stays set aside for as long. Reminders move with the deadline, and a mail says so."
                    .to_owned(),
            ],
            Fulfil => vec![
                "The order is completed, and the customer is told by mail.".to_owned(),
                "It cannot be cancelled afterwards; money can still go back.".to_owned(),
            ],
            Refund => vec![
                known.can_go_back(),
                "Money goes back the way it came.".to_owned(),
                "The customer is told when it is on its way. It cannot be undone.".to_owned(),
                "If all of it goes back before the order is handed over, the order is cancelled.".to_owned(),
            ],
            NewCode => {
                let new = "The guests get a new code by mail; the one before it is worth nothing any more.";
                let came_back = "Mails to this address came back: this is tried all the same.";
                let mut all = vec![new.to_owned()];
                all.extend(known.mails_came_back.then(|| came_back.to_owned()));
                all
            }
            RevokeLinks => vec![
                "Whoever has a link out of a mail about this order sees, pays and cancels nothing by it."
                    .to_owned(),
                "Nobody is told. Mails that go out later bring new links. It cannot be undone.".to_owned(),
            ],
        }
    }

    fn form(self, order: &Order) -> Form {
        let address = format!("/console/orders/{}", order.id);
        let form = Form::new(format!("{address}/{}", self.name()), self.title()).once().or_back(address);
        let form = form.with(match self {
            Cancel => vec![
                Field::line("reason", "Reason")
                    .hint("The customer and the histories read it. At most 200 characters."),
                Field::tick("force", "Also if the time to cancel a stay has passed"),
            ],
            Extend => vec![Field::time("payment_due_at", "To be paid until").required()],
            Fulfil | NewCode | RevokeLinks => Vec::new(),
            Refund => refund_fields(order),
        });
        if self.is_grave() { form.grave() } else { form }
    }
}

/// Of the whole order or by line; what comes back is on the shelf again.
fn refund_fields(order: &Order) -> Vec<Field> {
    let hint =
        format!("In {}. Empty: all that can go back, or what was paid for the lines below.", order.currency);
    let mut fields = vec![
        Field::line("amount", "Amount").hint(hint),
        Field::line("reason", "Reason").required().hint("The customer may read it."),
        Field::tick("restock", "Put all of it back on the shelf"),
    ];
    fields.extend(order.lines.iter().map(|line| {
        let unit = if line.stay.is_some() { "rooms, all their nights" } else { "pieces" };
        let left = line.quantity - if line.stay.is_some() { 0 } else { line.returned };
        Field::number("line-", format!("Comes back: {}", line.name))
            .about(&line.sku)
            .hint(format!("0 to {left} {unit}."))
    }));
    fields
}

pub fn routes() -> Router<Console> {
    Router::new().route("/console/orders/{id}/{action}", get(ask).post(act))
}

/// What this operator is offered for an order, by its payments if they may see them.
pub fn offered(operator: &Operator, order: &Order, payments: Option<&List<Payment>>) -> Vec<Link> {
    let left = payments.map(refundable);
    let offered = Action::ALL.into_iter().filter(|it| operator.may(it.scope()) && it.fits(order, left));
    let link = |action: Action| {
        let to = format!("/console/orders/{}/{}", order.id, action.name());
        if action.is_grave() { Link::grave(action.title(), to) } else { Link::new(action.title(), to) }
    };
    offered.map(link).collect()
}

fn before(action: Action, known: &Known) -> Vec<Section> {
    let mut sections = vec![Section::heading(format!("Order {}", known.order.id))];
    sections.extend(action.consequences(known).into_iter().map(Section::Text));
    sections
}

fn find(operator: &Operator, name: &str) -> Result<Action, Failure> {
    let found = Action::ALL.into_iter().find(|action| action.name() == name);
    found.ok_or_else(|| {
        operator.fail(Problem::own(StatusCode::NOT_FOUND, "There is nothing like that to do with an order."))
    })
}

async fn ask(operator: Operator, Path((id, name)): Path<(String, String)>) -> Shown {
    let action = find(&operator, &name)?;
    let known = Known::load(&operator, &path_of(&operator, &id)?, action).await?;
    let mut sections = before(action, &known);
    sections.push(Section::Form(action.form(&known.order)));
    Ok(show(&operator, action.title(), sections))
}

async fn act(Path((id, name)): Path<(String, String)>, Sent(operator, fields): Sent) -> Shown {
    let action = find(&operator, &name)?;
    let path = path_of(&operator, &id)?;
    let known = Known::load(&operator, &path, action).await?;
    match submit(&operator, action, &path, &known.order, &fields).await {
        Ok(answer) => {
            let word = if answer.status == StatusCode::ACCEPTED { "accepted" } else { action.name() };
            Ok(done(&format!("/console/orders/{id}?done={word}")))
        }
        Err(failure) => {
            let form = action.form(&known.order);
            refused(&operator, action.title(), before(action, &known), form, &fields, failure, &[])
        }
    }
}

async fn submit(
    operator: &Operator,
    action: Action,
    path: &str,
    order: &Order,
    fields: &Fields,
) -> Result<Answer, Failure> {
    let body = request(action, order, fields).map_err(|problem| operator.fail(problem))?;
    let path = format!("{path}/{}", route(action));
    match action {
        RevokeLinks => operator.ask(Method::DELETE, &path, Ask::default()).await,
        _ => operator.post(&path, fields.text("key"), body).await,
    }
}

/// As the API calls it.
const fn route(action: Action) -> &'static str {
    match action {
        Cancel => "cancel",
        Extend => "extend",
        Fulfil => "fulfil",
        Refund => "refunds",
        NewCode => "check-in-code",
        RevokeLinks => "links",
    }
}

fn request(action: Action, order: &Order, fields: &Fields) -> Result<Value, Problem> {
    Ok(match action {
        Cancel => {
            let mut body = Map::new();
            body.extend(fields.given("reason").map(|reason| ("reason".to_owned(), json!(reason))));
            body.insert("force".to_owned(), json!(fields.is_on("force")));
            Value::Object(body)
        }
        Extend => json!({"payment_due_at": as_time(fields.text("payment_due_at"))}),
        Fulfil | NewCode | RevokeLinks => json!({}),
        Refund => refund(order, fields)?,
    })
}

fn refund(order: &Order, fields: &Fields) -> Result<Value, Problem> {
    let mut body = Map::new();
    body.insert("reason".to_owned(), json!(fields.text("reason")));
    if let Some(text) = fields.given("amount") {
        let currency = Currency::parse(&order.currency).ok();
        let amount = currency.and_then(|currency| from_decimal(text, currency));
        let wrong = || Problem::field("amount", "must be an amount such as 12.50");
        body.insert("amount".to_owned(), json!(amount.ok_or_else(wrong)?));
    }
    let mut lines = Vec::new();
    for line in &order.lines {
        lines.extend(returned(line, fields)?);
    }
    match lines.is_empty() {
        true => body.insert("restock".to_owned(), json!(fields.is_on("restock"))),
        false => body.insert("lines".to_owned(), json!(lines)),
    };
    Ok(Value::Object(body))
}

/// What of a line comes back; none if nothing is said of it.
fn returned(line: &Line, fields: &Fields) -> Result<Option<Value>, Problem> {
    let name = format!("line-{}", line.sku);
    let Some(text) = fields.given(&name).filter(|text| *text != "0") else { return Ok(None) };
    let quantity: i64 = text.parse().map_err(|_| Problem::field(&name, "must be a number"))?;
    let stay = line.stay.as_ref().map(|stay| json!({"from": stay.from, "to": stay.to}));
    Ok(Some(match stay {
        Some(stay) => json!({"sku": line.sku, "quantity": quantity, "stay": stay}),
        None => json!({"sku": line.sku, "quantity": quantity}),
    }))
}
