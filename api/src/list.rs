//! Lists: `{object: "list", data, has_more, next_cursor}`, `limit`, `starting_after`.

use domain::Invalid;
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

    /// The same page, of documents.
    pub fn map<D>(self, document: impl Fn(T) -> D) -> List<D> {
        let Self { object, data, has_more, next_cursor } = self;
        List { object, data: data.into_iter().map(document).collect(), has_more, next_cursor }
    }
}

/// Parses `limit`: 1 to 100, default 20.
pub fn limit(text: Option<&str>) -> Result<i64, Invalid> {
    let Some(text) = text else { return Ok(DEFAULT_LIMIT) };
    text.parse()
        .ok()
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| Invalid::new("limit", format!("must be 1 to {MAX_LIMIT}")))
}
