//! Bad input, said so that the sender can mend it.

use serde::Serialize;

/// One field that broke a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = FieldError))]
#[error("{field}: {message}")]
pub struct Invalid {
    /// As the client wrote it: `lines[2].quantity`.
    pub field: String,
    pub message: String,
}

impl Invalid {
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }

    /// The same complaint, seen from the object that holds the field.
    pub fn within(mut self, parent: &str) -> Self {
        self.field = match self.field.is_empty() {
            true => parent.to_owned(),
            false => format!("{parent}.{}", self.field),
        };
        self
    }
}

/// Collects every complaint about one request, so the client hears of all at once.
#[derive(Debug, Default)]
pub struct Invalids(Vec<Invalid>);

impl Invalids {
    /// Keeps the value, or notes the complaint and gives `None`.
    pub fn check<T>(&mut self, result: Result<T, Invalid>) -> Option<T> {
        result.map_err(|invalid| self.0.push(invalid)).ok()
    }

    /// Keeps the value, or notes the complaint as one about `field`.
    pub fn check_in<T>(&mut self, field: &str, result: Result<T, Invalid>) -> Option<T> {
        self.check(result.map_err(|invalid| invalid.within(field)))
    }

    /// Keeps the value, or notes all complaints as such about fields of `parent`.
    pub fn check_all_in<T>(&mut self, parent: &str, result: Result<T, Vec<Invalid>>) -> Option<T> {
        let within = |invalids: Vec<Invalid>| self.0.extend(invalids.into_iter().map(|it| it.within(parent)));
        result.map_err(within).ok()
    }

    /// Notes what was collected elsewhere.
    pub fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    pub fn push(&mut self, invalid: Invalid) {
        self.0.push(invalid);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn into_vec(self) -> Vec<Invalid> {
        self.0
    }
}
