//! Products that are sold by the night: what they offer, and their nights.

use axum::extract::State;
use domain::{
    Date, Invalid, Invalids, Timestamp, money,
    product::Condition,
    stay,
    stay::{Extra, Offer, Per, Terms},
    stock::Sku,
};
use serde::{Deserialize, Serialize};
use store::{products::Edit, stays};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    app::App,
    auth::Caller,
    clock::now,
    condition::Conditions,
    error::{Problem, ProblemDocument},
    extract::{Json, SkuPath},
    list::List,
    query::Query,
    scoped::{Scope, Scoped},
};

pub fn routes() -> Scoped {
    Scoped::new()
        .shared(Scope::CatalogueRead, routes!(get_terms))
        .shared(Scope::CatalogueRead, routes!(get_nights))
        .with(Scope::CatalogueWrite, routes!(put_terms))
        .with(Scope::CatalogueWrite, routes!(put_nights))
}

/// What a `stay` offers with its nights.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = StayTerms)]
#[serde(deny_unknown_fields)]
struct TermsDocument {
    /// In one room, 1 to 50. Default 4.
    max_guests: Option<i64>,
    /// IANA name, such as `Europe/Vienna`: where the days of the stay begin and end. Default UTC.
    time_zone: Option<String>,
    /// At most 20.
    extras: Option<Vec<ExtraDocument>>,
}

/// Something that can be had with a stay, such as breakfast.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = Extra)]
#[serde(deny_unknown_fields)]
struct ExtraDocument {
    /// By which orders name it: 1-64 characters out of letters, digits, `.`, `_` and `-`.
    code: String,
    name: String,
    /// Minor units.
    unit_price: i64,
    /// `stay` (once for each room), `night` (each room and night), `guest` (once for each guest) or
    /// `guest_night`.
    #[schema(value_type = String)]
    per: Per,
}

impl From<Terms> for TermsDocument {
    fn from(terms: Terms) -> Self {
        let Terms { max_guests, time_zone, extras } = terms;
        let extra =
            |Extra { code, name, unit_price, per }: Extra| ExtraDocument { code, name, unit_price, per };
        Self {
            max_guests: Some(max_guests),
            time_zone: Some(time_zone),
            extras: Some(extras.into_iter().map(extra).collect()),
        }
    }
}

impl From<TermsDocument> for Terms {
    fn from(document: TermsDocument) -> Self {
        let default = Self::default();
        let extra = |ExtraDocument { code, name, unit_price, per }: ExtraDocument| Extra {
            code,
            name,
            unit_price,
            per,
        };
        Self {
            max_guests: document.max_guests.unwrap_or(default.max_guests),
            time_zone: document.time_zone.unwrap_or(default.time_zone),
            extras: document.extras.map_or(default.extras, |extras| extras.into_iter().map(extra).collect()),
        }
    }
}

/// Set what a product offers with its nights; what is absent takes its default. Orders already placed keep
/// what they booked.
#[utoipa::path(
    put, path = "/v1/products/{sku}/stay", operation_id = "put_stay_terms", tag = "Stays",
    params(
        ("sku" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The product's `ETag`: only if it still has it"),
    ),
    responses(
        (status = 200, body = TermsDocument),
        (status = 400, body = ProblemDocument, description = "`precondition_invalid`"),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "`product_not_a_stay`"),
        (status = 412, body = ProblemDocument, description = "`precondition_failed`: somebody was faster"),
        (status = 422, body = ProblemDocument),
    ),
)]
async fn put_terms(
    State(app): State<App>,
    caller: Caller,
    sku: SkuPath,
    Conditions(condition): Conditions,
    Json(request): Json<TermsDocument>,
) -> Result<axum::Json<TermsDocument>, Problem> {
    let sku = sku.existing()?;
    terms_of(&app, &sku).await?;
    let terms = Terms::from(request).parse()?;
    stays::put_terms(&app.db, &sku, &terms, &edit(&caller, now(), condition)).await?;
    Ok(axum::Json(terms.into()))
}

/// Read what a product offers with its nights.
#[utoipa::path(
    get, path = "/v1/products/{sku}/stay", operation_id = "get_stay_terms", tag = "Stays",
    params(("sku" = String, Path)),
    responses(
        (status = 200, body = TermsDocument),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "`product_not_a_stay`"),
    ),
)]
async fn get_terms(State(app): State<App>, sku: SkuPath) -> Result<axum::Json<TermsDocument>, Problem> {
    Ok(axum::Json(terms_of(&app, &sku.existing()?).await?.into()))
}

fn edit(caller: &Caller, at: Timestamp, condition: Condition) -> Edit {
    Edit { by: caller.name().to_owned(), at, condition }
}

async fn terms_of(app: &App, sku: &Sku) -> Result<Terms, Problem> {
    Ok(stays::terms(&app.db, sku).await?)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PutNights {
    /// The first night, as the date it begins on. Not in the past.
    #[schema(format = Date)]
    from: String,
    /// The day after the last night; at most 366 nights after `from`.
    #[schema(format = Date)]
    to: String,
    /// Rooms in each night, 0 to 10,000.
    capacity: i64,
    /// Of one room for one night, in minor units. Default: the product's price, as it is when it is ordered.
    unit_price: Option<i64>,
}

/// A night on offer. `available + held + sold = capacity`.
#[derive(Debug, Serialize, ToSchema)]
struct Night {
    #[schema(value_type = String, format = Date)]
    date: Date,
    capacity: i64,
    /// Set aside for orders that are not paid yet.
    held: i64,
    sold: i64,
    available: i64,
    /// Of one room, in minor units of the product's currency.
    unit_price: i64,
}

impl From<stays::Night> for Night {
    fn from(night: stays::Night) -> Self {
        Self {
            date: night.date,
            capacity: night.capacity,
            held: night.level.held,
            sold: night.sold(),
            available: night.level.available(),
            unit_price: night.unit_price,
        }
    }
}

/// Offer the nights from one day to another: how many rooms each has, at what price. All of them or none.
#[utoipa::path(
    put, path = "/v1/products/{sku}/nights", operation_id = "put_nights", tag = "Stays",
    params(
        ("sku" = String, Path),
        ("If-Match" = Option<String>, Header, description = "The product's `ETag`: only if it still has it"),
    ),
    responses(
        (status = 200, body = List<Night>),
        (status = 400, body = ProblemDocument, description = "`precondition_invalid`"),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument,
            description = "`product_not_a_stay`, or `capacity_below_sold`, with `nights`"),
        (status = 412, body = ProblemDocument, description = "`precondition_failed`: somebody was faster"),
        (status = 422, body = ProblemDocument),
    ),
)]
async fn put_nights(
    State(app): State<App>,
    caller: Caller,
    sku: SkuPath,
    Conditions(condition): Conditions,
    Json(request): Json<PutNights>,
) -> Result<axum::Json<List<Night>>, Problem> {
    let sku = sku.existing()?;
    let terms = terms_of(&app, &sku).await?;
    let at = now();
    let offer = parse(&request, &terms, at)?;
    let nights = stays::put_nights(&app.db, &sku, &offer, &edit(&caller, at, condition)).await?;
    Ok(axum::Json(List::whole(nights.into_iter().map(Night::from).collect())))
}

fn parse(request: &PutNights, terms: &Terms, at: Timestamp) -> Result<Offer, Vec<Invalid>> {
    let mut invalids = Invalids::default();
    let span =
        invalids.check(not_past(&request.from, terms, at)).zip(invalids.check(stay::date("to", &request.to)));
    if let Some((from, to)) = span {
        invalids.check(stay::count_nights("to", from, to, stay::MAX_OFFERED));
    }
    let capacity = invalids.check(stay::capacity(request.capacity));
    let unit_price = invalids.check(request.unit_price.map(money::unit_price).transpose());
    match (span, capacity, unit_price) {
        (Some((from, to)), Some(capacity), Some(unit_price)) if invalids.is_empty() => {
            Ok(Offer { from, to, capacity, unit_price })
        }
        _ => Err(invalids.into_vec()),
    }
}

fn not_past(from: &str, terms: &Terms, at: Timestamp) -> Result<Date, Invalid> {
    match stay::date("from", from)? {
        from if from < terms.today(at) => Err(Invalid::new("from", "must not be in the past")),
        from => Ok(from),
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListNights {
    /// The first night. Default: today, where the product is.
    from: Option<String>,
    /// The day after the last night, at most 366 nights later. Default: 31 nights later.
    to: Option<String>,
}

/// The nights on offer, in order. Days without an offer are left out.
#[utoipa::path(
    get, path = "/v1/products/{sku}/nights", operation_id = "list_nights", tag = "Stays",
    params(("sku" = String, Path), ListNights),
    responses(
        (status = 200, body = List<Night>),
        (status = 404, body = ProblemDocument),
        (status = 409, body = ProblemDocument, description = "`product_not_a_stay`"),
        (status = 422, body = ProblemDocument),
    ),
)]
async fn get_nights(
    State(app): State<App>,
    sku: SkuPath,
    Query(query): Query<ListNights>,
) -> Result<axum::Json<List<Night>>, Problem> {
    let sku = sku.existing()?;
    let terms = terms_of(&app, &sku).await?;
    let (from, to) = span(&query, terms.today(now()))?;
    let nights = stays::nights(&app.db, &sku, from, to).await?;
    Ok(axum::Json(List::whole(nights.into_iter().map(Night::from).collect())))
}

const DEFAULT_NIGHTS: i64 = 31;

fn span(query: &ListNights, today: Date) -> Result<(Date, Date), Vec<Invalid>> {
    let mut invalids = Invalids::default();
    let from = query.from.as_deref().map(|text| stay::date("from", text));
    let from = invalids.check(from.unwrap_or(Ok(today)));
    let later = from.unwrap_or(today).saturating_add(jiff::Span::new().days(DEFAULT_NIGHTS));
    let to = query.to.as_deref().map(|text| stay::date("to", text));
    let to = invalids.check(to.unwrap_or(Ok(later)));
    if let Some((from, to)) = from.zip(to) {
        invalids.check(stay::count_nights("to", from, to, stay::MAX_OFFERED));
    }
    match from.zip(to) {
        Some(span) if invalids.is_empty() => Ok(span),
        _ => Err(invalids.into_vec()),
    }
}
