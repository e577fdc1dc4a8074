//! Lists: `{object: "list", data, has_more, next_cursor}`, `limit`, `starting_after`.

use std::str::FromStr;

use domain::{Invalid, Invalids, OrderId};
use serde::Serialize;
use utoipa::ToSchema;

const DEFAULT_LIMIT: i64 = 20;
const MAX_LIMIT: i64 = 100;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// Always `list`.
    object: &'static str,
    data: Vec<T>,
    has_more: bool,
    /// Give it as `starting_after` to get the next page.
    next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A list that is not paged.
    pub fn whole(data: Vec<T>) -> Self {
        Self { object: "list", data, has_more: false, next_cursor: None }
    }

    /// A page out of `limit + 1` items: the one too many tells that there are more.
    pub fn page(mut data: Vec<T>, limit: i64, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(0);
        let has_more = data.len() > limit;
        data.truncate(limit);
        let next_cursor = data.last().filter(|_| has_more).map(cursor);
        Self { object: "list", data, has_more, next_cursor }
    }

    /// The same page of a list that was not looked through to its end, unless there is more before that.
    pub fn going_on(self, cursor: String) -> Self {
        Self { has_more: true, next_cursor: self.next_cursor.or(Some(cursor)), ..self }
    }

    /// The same page, of documents.
    pub fn map<D>(self, document: impl Fn(T) -> D) -> List<D> {
        let Self { object, data, has_more, next_cursor } = self;
        List { object, data: data.into_iter().map(document).collect(), has_more, next_cursor }
    }
}

/// Reads the parameters of a list, each by itself, so that the client hears of all that are wrong at once.
#[derive(Default)]
pub struct Parameters(Invalids);

impl Parameters {
    /// 1 to 100, default 20.
    pub fn limit(&mut self, text: Option<String>) -> i64 {
        let limit = self.optional(text, |text| {
            let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
            limit.ok_or_else(|| Invalid::new("limit", format!("must be 1 to {MAX_LIMIT}")))
        });
        limit.unwrap_or(DEFAULT_LIMIT)
    }

    /// A parameter that may be left out. What is wrong with it is kept for [`Self::finish`].
    pub fn optional<T>(
        &mut self,
        text: Option<String>,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        self.0.check(parse(&text?))
    }

    /// # Errors
    /// All that was wrong: nothing that was read is to be used then.
    pub fn finish(self) -> Result<(), Vec<Invalid>> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(self.0.into_vec()),
        }
    }
}

/// Parses the id of an order whose items are listed.
pub fn order_id(text: &str) -> Result<OrderId, Invalid> {
    text.parse().map_err(|_| Invalid::new("order", "must be an order id"))
}

/// Parses what is `true` or `false`.
pub fn flag(field: &'static str) -> impl FnOnce(&str) -> Result<bool, Invalid> {
    move |text| text.parse().map_err(|_| Invalid::new(field, "must be true or false"))
}

/// Parses `starting_after`: the id of the item before the page, `what` it is.
pub fn cursor<T: FromStr>(what: &str) -> impl FnOnce(&str) -> Result<T, Invalid> {
    move |text| {
        let bad = || Invalid::new("starting_after", format!("must be {what} or a next_cursor"));
        text.parse().map_err(|_| bad())
    }
}
