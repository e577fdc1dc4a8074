//! Of `holdfast dev` alone: a shop window, a payer, time that passes, and parts that can be taken away.

use axum::{
    Router,
    extract::{Path, RawQuery},
    http::StatusCode,
    routing::{get, post},
};
use domain::{
    api_key::Scope,
    money::{Currency, from_decimal},
};
use serde_json::{Value, json};

use super::{Shown, done, notice, order::path_of, refused, show};
use crate::{
    Console,
    documents::{List, Order, Problem, Product},
    failure::Failure,
    faults::Fault,
    fields::{Fields, Form as Sent},
    operator::Operator,
    view::{Cell, Field, Form, Link, Section, money},
};

const ADDRESS: &str = "/console/dev";
/// What a key must be good for to take parts away.
const BREAKS: Scope = Scope::Operations;
const SAID: [(&str, &str); 6] = [
    ("paid", "The payer has paid: the provider tells us by its webhook."),
    ("failed", "The payer's bank said no, and the provider has told us."),
    ("skipped", "So much time has passed for this order."),
    ("away", "It is away. Place an order, pay it, and see what becomes of it."),
    ("back", "It is back."),
    ("books", "The provider's books are being read: what nobody told us of is found within seconds."),
];

pub fn routes() -> Router<Console> {
    Router::new()
        .route(ADDRESS, get(window))
        .route("/console/dev/place", post(place))
        .route("/console/dev/faults/{part}", post(switch))
        .route("/console/dev/books", post(read_books))
        .route("/console/dev/orders/{id}", get(order))
        .route("/console/dev/orders/{id}/pay", post(pay))
        .route("/console/dev/orders/{id}/skip", post(skip))
}

/// What a customer would see of the shop.
async fn window(operator: Operator, RawQuery(asked): RawQuery) -> Shown {
    let said = notice(&Fields::parse(&asked.unwrap_or_default()), &SAID);
    let mut sections: Vec<Section> = said.into_iter().collect();
    let form = place_form(&operator).await?;
    let mut links = vec![Link::new("All orders", "/console/orders")];
    if let Some(dev) = &operator.console.settings.dev {
        let places = [
            ("The mails", &dev.mails),
            ("Temporal's own pages", &dev.temporal_ui),
            ("What webhooks bring", &dev.events),
        ];
        links.extend(places.into_iter().filter_map(|(text, url)| Some(Link::new(text, url.as_deref()?))));
        links.push(Link::new("The API, to try", "/docs"));
    }
    let said = "Place an order as a customer would. Then pay it, too little or twice, let time pass, and see \
                on its page what becomes of it.";
    sections.extend([Section::text(said), Section::Form(form), Section::Links(links)]);
    if operator.may(BREAKS) {
        let faults = operator.console.settings.dev.iter().flat_map(|dev| &dev.faults);
        sections.extend(faults.flat_map(fault_sections));
        sections.push(Section::heading("The provider's books"));
        sections.push(Section::Form(Form::new("/console/dev/books", "Read them now")));
    }
    Ok(show(&operator, "Play", sections))
}

/// No route of the API takes parts away, so nobody else asks for the right to it.
fn check(operator: &Operator) -> Result<(), Failure> {
    let detail = format!("Your key is not good for this: it wants `{BREAKS}`.");
    match operator.may(BREAKS) {
        true => Ok(()),
        false => Err(operator.fail(Problem::own(StatusCode::FORBIDDEN, detail))),
    }
}

/// A part, and the button that takes it away or brings it back.
fn fault_sections(Fault { part, is_on }: &Fault) -> [Section; 3] {
    let is_away = *is_on.borrow();
    let (state, button) = match is_away {
        true => ("It is away.", part.bring_back()),
        false => ("It works.", part.take_away()),
    };
    let form = Form::new(format!("{ADDRESS}/faults/{}", part.name()), button);
    let form = form.hide("away", if is_away { "" } else { "on" });
    let form = if is_away { form } else { form.grave() };
    let said = format!("{state} {}", part.meaning());
    [Section::heading(part.title()), Section::text(said), Section::Form(form)]
}

async fn switch(Path(name): Path<String>, Sent(operator, fields): Sent) -> Shown {
    check(&operator)?;
    let faults = operator.console.settings.dev.iter().flat_map(|dev| &dev.faults);
    let Some(fault) = faults.into_iter().find(|fault| fault.part.name() == name) else {
        return Err(operator.fail(Problem::own(StatusCode::NOT_FOUND, "There is no such part here.")));
    };
    let is_away = fields.is_on("away");
    fault.is_on.send_replace(is_away);
    Ok(done(&format!("{ADDRESS}?done={}", if is_away { "away" } else { "back" })))
}

async fn place_form(operator: &Operator) -> Result<Form, Failure> {
    let products: List<Product> = operator.get("/v1/products?limit=100").await?;
    let goods = products.data.into_iter().filter(|product| product.kind == "goods" && product.active);
    let option = |it: Product| {
        let text = format!("{}, {}", it.name, money(it.unit_price, &it.currency));
        (format!("{} {}", it.currency, it.sku), text)
    };
    let choice = |words: &[(&str, &str)]| -> Vec<(String, String)> {
        words.iter().map(|(value, text)| ((*value).to_owned(), (*text).to_owned())).collect()
    };
    let fulfilment = choice(&[
        ("immediate", "Completed once it is paid"),
        ("manual", "Waits until the shop hands it over"),
    ]);
    let late = choice(&[
        ("refund", "Goes back"),
        ("reinstate", "Takes the order back"),
        ("exception", "A person looks"),
    ]);
    let fields = vec![
        Field::choice("product", "Product", goods.map(option).collect()),
        Field::number("quantity", "Quantity").value("1").required(),
        Field::line("customer", "Customer's id").value("ann").required(),
        Field::line("name", "Name").value("Ann"),
        Field::line("email", "E-mail").value("ann@example.org").required(),
        Field::choice("fulfilment", "Fulfilment", fulfilment),
        Field::choice("late_payment", "Money that comes late", late),
    ];
    Ok(Form::new("/console/dev/place", "Place the order").titled("The shop").with(fields).once())
}

async fn place(Sent(operator, fields): Sent) -> Shown {
    let (currency, sku) = fields.text("product").split_once(' ').unwrap_or_default();
    let quantity: Option<i64> = fields.text("quantity").parse().ok();
    let body = json!({
        "customer": {
            "id": fields.text("customer"),
            "email": fields.text("email"),
            "name": fields.given("name"),
        },
        "currency": currency,
        "lines": [{"sku": sku, "quantity": quantity.unwrap_or(0)}],
        "policy": {"fulfilment": fields.text("fulfilment"), "late_payment": fields.text("late_payment")},
    });
    match operator.post("/v1/orders", fields.text("key"), body).await {
        Ok(answer) => {
            let order: Order = operator.read(&answer)?;
            Ok(done(&format!("/console/orders/{}?done=placed", order.id)))
        }
        Err(failure) => {
            let names = [
                ("customer.id", "customer"),
                ("customer.email", "email"),
                ("customer.name", "name"),
                ("lines[0].quantity", "quantity"),
            ];
            let form = place_form(&operator).await?;
            refused(&operator, "Play", Vec::new(), form, &fields, failure, &names)
        }
    }
}

async fn read_books(Sent(operator, _): Sent) -> Shown {
    check(&operator)?;
    if let Some(dev) = &operator.console.settings.dev {
        dev.read_books.notify_one();
    }
    Ok(done(&format!("{ADDRESS}?done=books")))
}

async fn order(operator: Operator, Path(id): Path<String>, RawQuery(asked): RawQuery) -> Shown {
    let order: Order = operator.get(&path_of(&operator, &id)?).await?;
    let said = notice(&Fields::parse(&asked.unwrap_or_default()), &SAID);
    let mut sections: Vec<Section> = said.into_iter().collect();
    sections.push(Section::Facts(vec![
        ("Order", Cell::order(&order.id)),
        ("Status", Cell::state(&order.status)),
        ("Total", Cell::money(order.total, &order.currency)),
        ("Due", Cell::money(order.amount_due, &order.currency)),
    ]));
    sections.push(Section::Form(pay_form(&order)));
    sections.push(Section::Form(skip_form(&order)));
    Ok(show(&operator, "Play with an order", sections))
}

fn pay_form(order: &Order) -> Form {
    let outcomes = [("succeeded", "The bank says yes"), ("failed", "The bank says no")];
    let outcomes = outcomes.map(|(value, text)| (value.to_owned(), text.to_owned())).to_vec();
    let hint = format!(
        "In {}. Empty: what is due. Pay less or more, pay again, or after the order has ended.",
        order.currency
    );
    Form::new(format!("{ADDRESS}/orders/{}/pay", order.id), "Pay")
        .titled("The payer")
        .with(vec![Field::line("amount", "Amount").hint(hint), Field::choice("outcome", "Outcome", outcomes)])
}

fn skip_form(order: &Order) -> Form {
    let spans = [
        ("PT1H", "1 hour"),
        ("PT5H", "5 hours"),
        ("PT12H", "12 hours"),
        ("PT26H", "26 hours"),
        ("P7D", "7 days"),
    ];
    let spans = spans.map(|(value, text)| (value.to_owned(), text.to_owned())).to_vec();
    Form::new(format!("{ADDRESS}/orders/{}/skip", order.id), "Let it pass")
        .titled("Time")
        .with(vec![Field::choice("duration", "How much", spans)])
}

async fn pay(Path(id): Path<String>, Sent(operator, fields): Sent) -> Shown {
    let order: Order = operator.get(&path_of(&operator, &id)?).await?;
    let outcome = fields.text("outcome");
    let asked = match payment(&order, &fields) {
        Ok(body) => {
            let path = format!("/v1/sandbox/orders/{}/pay", order.id);
            operator.post(&path, &uuid::Uuid::new_v4().to_string(), body).await.map(drop)
        }
        Err(problem) => Err(operator.fail(problem)),
    };
    let word = if outcome == "failed" { "failed" } else { "paid" };
    after(&operator, &order, asked, word, pay_form(&order), &fields)
}

fn payment(order: &Order, fields: &Fields) -> Result<Value, Problem> {
    let mut body = json!({"outcome": fields.text("outcome")});
    if let Some(text) = fields.given("amount") {
        let currency = Currency::parse(&order.currency).ok();
        let amount = currency.and_then(|currency| from_decimal(text, currency));
        let wrong = || Problem::field("amount", "must be an amount such as 12.50");
        body["amount"] = json!(amount.ok_or_else(wrong)?);
    }
    Ok(body)
}

async fn skip(Path(id): Path<String>, Sent(operator, fields): Sent) -> Shown {
    let order: Order = operator.get(&path_of(&operator, &id)?).await?;
    let path = format!("/v1/sandbox/orders/{}/fast-forward", order.id);
    let body = json!({"duration": fields.text("duration")});
    let asked = operator.post(&path, &uuid::Uuid::new_v4().to_string(), body).await.map(drop);
    after(&operator, &order, asked, "skipped", skip_form(&order), &fields)
}

fn after(
    operator: &Operator,
    order: &Order,
    asked: Result<(), Failure>,
    word: &str,
    form: Form,
    fields: &Fields,
) -> Shown {
    match asked {
        Ok(()) => Ok(done(&format!("{ADDRESS}/orders/{}?done={word}", order.id))),
        Err(failure) => refused(operator, "Play with an order", Vec::new(), form, fields, failure, &[]),
    }
}
