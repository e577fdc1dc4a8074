//! What pages are made of. One template shows all of it, so that each table can be read by a screen reader
//! and each field has its label and what is wrong with it.

use std::collections::HashMap;

use domain::{Timestamp, money::Currency, money::Money};

use crate::{documents::Problem, fields::Fields, words};

/// A part of a page, from top to bottom.
pub enum Section {
    Heading(String),
    Text(String),
    Problem(Problem),
    /// Something was done.
    Notice(String),
    Facts(Vec<(&'static str, Cell)>),
    Table(Table),
    Form(Form),
    Links(Vec<Link>),
    /// Text as it came, under a heading.
    Quote {
        title: String,
        text: String,
    },
    Chart(Chart),
}

impl Section {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub fn heading(text: impl Into<String>) -> Self {
        Self::Heading(text.into())
    }
}

pub struct Link {
    pub text: String,
    pub to: String,
    /// It leads to what cannot be undone.
    pub is_grave: bool,
}

impl Link {
    pub fn new(text: impl Into<String>, to: impl Into<String>) -> Self {
        Self { text: text.into(), to: to.into(), is_grave: false }
    }

    pub fn grave(text: impl Into<String>, to: impl Into<String>) -> Self {
        Self { is_grave: true, ..Self::new(text, to) }
    }
}

/// What stands in a table or beside a name.
pub enum Cell {
    Text(String),
    Number(String),
    Link(Link),
    Time(Timestamp),
    /// A state, in the words of people and in a colour.
    State(Badge),
    Code(String),
    Nothing,
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub fn maybe(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::Nothing, Self::text)
    }

    pub fn code(text: impl Into<String>) -> Self {
        Self::Code(text.into())
    }

    pub fn number(number: i64) -> Self {
        Self::Number(words::grouped(number))
    }

    pub fn money(amount: i64, currency: &str) -> Self {
        Self::Number(money(amount, currency))
    }

    pub fn link(text: impl Into<String>, to: impl Into<String>) -> Self {
        Self::Link(Link::new(text, to))
    }

    pub fn order(id: &str) -> Self {
        Self::link(id, format!("/console/orders/{id}"))
    }

    pub fn maybe_order(id: Option<&str>) -> Self {
        id.map_or(Self::Nothing, Self::order)
    }

    pub fn time(at: Option<Timestamp>) -> Self {
        at.map_or(Self::Nothing, Self::Time)
    }

    pub fn state(word: &str) -> Self {
        Self::State(Badge { text: words::spoken(word), tone: words::tone(word) })
    }

    pub const fn is_number(&self) -> bool {
        matches!(self, Self::Number(_))
    }
}

/// `12.50 EUR`.
pub fn money(amount: i64, currency: &str) -> String {
    match Currency::parse(currency) {
        Ok(currency) => Money::new(amount, currency).to_string(),
        Err(_) => format!("{amount} {currency}"),
    }
}

pub struct Badge {
    pub text: String,
    /// `good`, `bad`, `open` or `plain`: a class of the style sheet.
    pub tone: &'static str,
}

pub struct Table {
    pub caption: String,
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<Cell>>,
    /// What is said if there are no rows.
    pub empty: &'static str,
    /// Where the next page is.
    pub more: Option<String>,
}

impl Table {
    pub fn new(caption: impl Into<String>, columns: &[&'static str], rows: Vec<Vec<Cell>>) -> Self {
        let empty = "There are none.";
        Self { caption: caption.into(), columns: columns.to_vec(), rows, empty, more: None }
    }

    pub fn with_more(self, more: Option<String>) -> Self {
        Self { more, ..self }
    }

    /// Whether a column holds numbers, which stand one above the other.
    pub fn is_number(&self, column: &usize) -> bool {
        self.rows.iter().any(|row| row.get(*column).is_some_and(Cell::is_number))
    }
}

/// How a field is filled in.
pub enum Input {
    Line,
    /// A line with a number.
    Number,
    /// A day, and a time of day, in UTC.
    Time,
    Day,
    Lines,
    Password,
    Tick,
    /// Value and text of each.
    Choice(Vec<(String, String)>),
}

pub struct Field {
    pub name: &'static str,
    /// For a field whose name is made of what it is about.
    pub suffix: String,
    pub label: String,
    pub input: Input,
    pub value: String,
    pub hint: Option<String>,
    pub error: Option<String>,
    pub is_required: bool,
}

impl Field {
    fn of(name: &'static str, label: impl Into<String>, input: Input) -> Self {
        Self {
            name,
            suffix: String::new(),
            label: label.into(),
            input,
            value: String::new(),
            hint: None,
            error: None,
            is_required: false,
        }
    }

    pub fn line(name: &'static str, label: impl Into<String>) -> Self {
        Self::of(name, label, Input::Line)
    }

    pub fn number(name: &'static str, label: impl Into<String>) -> Self {
        Self::of(name, label, Input::Number)
    }

    pub fn time(name: &'static str, label: impl Into<String>) -> Self {
        Self::of(name, label, Input::Time).hint("In UTC.")
    }

    pub fn day(name: &'static str, label: impl Into<String>) -> Self {
        Self::of(name, label, Input::Day)
    }

    pub fn lines(name: &'static str, label: impl Into<String>) -> Self {
        Self::of(name, label, Input::Lines)
    }

    pub fn password(name: &'static str, label: impl Into<String>) -> Self {
        Self::of(name, label, Input::Password)
    }

    pub fn tick(name: &'static str, label: impl Into<String>) -> Self {
        Self::of(name, label, Input::Tick)
    }

    pub fn choice(name: &'static str, label: impl Into<String>, of: Vec<(String, String)>) -> Self {
        Self::of(name, label, Input::Choice(of))
    }

    pub fn about(self, suffix: &str) -> Self {
        Self { suffix: suffix.to_owned(), ..self }
    }

    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub fn value(self, value: impl Into<String>) -> Self {
        Self { value: value.into(), ..self }
    }

    pub fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    pub fn full_name(&self) -> String {
        format!("{}{}", self.name, self.suffix)
    }

    pub const fn is_time(&self) -> bool {
        matches!(self.input, Input::Time)
    }

    /// The attributes by which it is heard what a field is about. The id is of letters, digits and dashes.
    pub fn aria(&self, id: &str) -> String {
        let hint = self.hint.as_ref().map(|_| format!("{id}-hint"));
        let error = self.error.as_ref().map(|_| format!("{id}-error"));
        let described: Vec<String> = [hint, error].into_iter().flatten().collect();
        let mut attributes = String::new();
        if !described.is_empty() {
            attributes.push_str(&format!(" aria-describedby=\"{}\"", described.join(" ")));
        }
        if self.error.is_some() {
            attributes.push_str(" aria-invalid=\"true\"");
        }
        if self.is_required {
            attributes.push_str(" required");
        }
        attributes
    }
}

/// A button of a form that says what is to be done, in the field `action`.
pub struct Choice {
    pub value: &'static str,
    pub text: &'static str,
    pub is_grave: bool,
}

pub struct Form {
    pub title: Option<String>,
    pub action: String,
    /// A search, which changes nothing and can be kept as an address.
    pub is_search: bool,
    pub fields: Vec<Field>,
    pub hidden: Vec<(&'static str, String)>,
    pub submit: String,
    /// Instead of one button: several, each of which does something else.
    pub choices: Vec<Choice>,
    pub is_grave: bool,
    /// Where "do not" leads.
    pub back: Option<String>,
}

impl Form {
    pub fn new(action: impl Into<String>, submit: impl Into<String>) -> Self {
        Self {
            title: None,
            action: action.into(),
            is_search: false,
            fields: Vec::new(),
            hidden: Vec::new(),
            submit: submit.into(),
            choices: Vec::new(),
            is_grave: false,
            back: None,
        }
    }

    pub fn search(action: impl Into<String>, fields: Vec<Field>) -> Self {
        Self { is_search: true, fields, ..Self::new(action, "Search") }
    }

    pub fn titled(self, title: impl Into<String>) -> Self {
        Self { title: Some(title.into()), ..self }
    }

    pub fn with(self, fields: Vec<Field>) -> Self {
        Self { fields, ..self }
    }

    pub fn hide(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.hidden.push((name, value.into()));
        self
    }

    /// Of its nth field: no two forms of a page have the same action. By its number, for names may differ by
    /// what no id can have.
    pub fn id_of(&self, n: &usize) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let action: String = self.action.chars().map(plain).collect();
        format!("f{action}-{n}")
    }

    /// Does once what it does, however often it is sent.
    pub fn once(self) -> Self {
        self.once_by(uuid::Uuid::new_v4().to_string())
    }

    fn once_by(self, key: String) -> Self {
        self.hide("key", key)
    }

    pub fn grave(self) -> Self {
        Self { is_grave: true, ..self }
    }

    pub fn or_back(self, to: impl Into<String>) -> Self {
        Self { back: Some(to.into()), ..self }
    }

    /// The same form, as it was filled in.
    pub fn filled(mut self, with: &Fields) -> Self {
        for field in &mut self.fields {
            field.value = with.text(&field.full_name()).to_owned();
        }
        self
    }

    /// The same form with what is wrong beside its fields. Gives what belongs to none of them.
    pub fn refused(mut self, problem: &Problem, names: &[(&str, &str)]) -> (Self, Vec<String>) {
        let names: HashMap<_, _> = names.iter().copied().collect();
        let mut rest = Vec::new();
        for error in &problem.errors {
            let name = names.get(error.field.as_str()).copied().unwrap_or(&error.field);
            match self.fields.iter_mut().find(|field| field.full_name() == name) {
                Some(field) => field.error = Some(error.message.clone()),
                None => rest.push(format!("{}: {}", error.field, error.message)),
            }
        }
        (self, rest)
    }
}

/// Bars, hour by hour.
pub struct Chart {
    pub title: String,
    pub bars: Vec<Bar>,
    pub width: usize,
}

pub struct Bar {
    pub x: usize,
    pub parts: Vec<BarPart>,
    pub title: String,
}

pub struct BarPart {
    pub y: i64,
    pub height: i64,
    pub class: &'static str,
}
