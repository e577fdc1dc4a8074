//! Exceptions: money that no rule has settled, for a person to look at.

mod evidence;

use axum::extract::{Path, State};
use domain::{
    ExceptionId, Invalid, Timestamp,
    exception::{self, Kind, ResolvedBy},
    money::Currency,
    payment::Action,
};
use serde::{Deserialize, Serialize};
use store::{
    exceptions::{self, Exception, Filter},
    orders::Applied,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    app::App,
    auth::Caller,
    clock::now,
    error::{Problem, ProblemDocument},
    extract::Json,
    list::{self, List, Parameters},
    query::Query,
    scoped::{Scope, Scoped},
};

pub fn routes() -> Scoped {
    Scoped::new()
        .with(Scope::PaymentsRead, routes!(list))
        .with(Scope::PaymentsRead, routes!(evidence::get))
        .with(Scope::PaymentsWrite, routes!(resolve))
}

#[derive(Serialize, ToSchema)]
#[schema(as = ExceptionRecord)]
struct ExceptionDocument {
    /// Always `exception`.
    object: &'static str,
    id: String,
    /// None: the provider named no order of ours.
    order_id: Option<String>,
    payment_id: Option<String>,
    /// `wrong_amount`, `wrong_currency`, `paid_twice`, `order_closed`, `overpaid`, `unknown_order`,
    /// `refund_failed`, `refund_unexplained`, `refund_contradicted`, `disputed`, `attempt_uncertain`,
    /// `not_in_books`, `unreadable_event` or `check_in_code_undelivered`.
    kind: Kind,
    /// `open` or `resolved`.
    state: exception::State,
    provider: Option<String>,
    provider_payment_id: Option<String>,
    /// Of an `unreadable_event`: which it is, and what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<UnreadableDocument>,
    /// The money in question, in minor units. Of `refund_failed`: what should have gone back and is still
    /// here.
    amount: i64,
    /// What of it went back without anybody having decided (part of it, in the provider's dashboard), or is
    /// on its way.
    back: i64,
    currency: Option<&'static str>,
    /// `refund`, `accept`, `dismiss` or `apply`, once resolved.
    action: Option<Action>,
    /// What the action does and does not do, in words.
    effect: Option<&'static str>,
    note: Option<String>,
    /// `rule` (the order's policy, or a new code that was sent), `api` (a person) or `provider` (it went back
    /// there).
    resolved_by: Option<ResolvedBy>,
    /// Of `api`: the name of the key.
    by: Option<String>,
    raised_at: Timestamp,
    resolved_at: Option<Timestamp>,
}

/// A provider's event that could not be read. Its body is in the inbox.
#[derive(Serialize, ToSchema)]
#[schema(as = UnreadableEvent)]
struct UnreadableDocument {
    /// The provider's, or one of ours if it has none.
    id: String,
    r#type: String,
    detail: String,
}

fn unreadable(exception: &Exception) -> Option<UnreadableDocument> {
    let text = |field: &str| exception.data[field].as_str().map(str::to_owned);
    (exception.kind == Kind::UnreadableEvent).then_some(())?;
    Some(UnreadableDocument { id: text("event_id")?, r#type: text("type")?, detail: text("why")? })
}

impl From<Exception> for ExceptionDocument {
    fn from(exception: Exception) -> Self {
        Self {
            event: unreadable(&exception),
            object: "exception",
            id: exception.id.to_string(),
            order_id: exception.order_id.map(|id| id.to_string()),
            payment_id: exception.payment_id.map(|id| id.to_string()),
            raised_at: exception.raised_at,
            resolved_at: exception.resolved_at(),
            kind: exception.kind,
            state: exception.state,
            provider: exception.provider,
            provider_payment_id: exception.provider_payment_id,
            amount: exception.amount,
            back: exception.back,
            currency: exception.currency.map(Currency::code),
            effect: exception.action.map(Action::effect),
            action: exception.action,
            note: exception.note,
            resolved_by: exception.resolved_by,
            by: exception.asked_by,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListExceptions {
    /// `open` or `resolved`; default both.
    state: Option<String>,
    /// Such as `wrong_amount`; default all.
    kind: Option<String>,
    /// An order's id.
    order: Option<String>,
    /// `true` begins with those that have waited longest. Default `false`.
    oldest_first: Option<String>,
    /// 1-100, default 20.
    limit: Option<String>,
    /// An exception's id; the page starts after it.
    starting_after: Option<String>,
}

/// List exceptions, newest first unless it is asked otherwise.
#[utoipa::path(
    get, path = "/v1/exceptions", operation_id = "list_exceptions", tag = "Payments", params(ListExceptions),
    responses((status = 200, body = List<ExceptionDocument>)),
)]
async fn list(
    State(app): State<App>,
    Query(query): Query<ListExceptions>,
) -> Result<axum::Json<List<ExceptionDocument>>, Problem> {
    let mut parameters = Parameters::default();
    let limit = parameters.limit(query.limit);
    let filter = Filter {
        state: parameters.optional(query.state, exception::State::parse),
        kind: parameters.optional(query.kind, Kind::parse),
        order: parameters.optional(query.order, list::order_id),
        after: parameters.optional(query.starting_after, list::cursor("an exception id")),
        oldest_first: parameters.optional(query.oldest_first, list::flag("oldest_first")).unwrap_or_default(),
    };
    parameters.finish()?;
    let found = exceptions::list(&app.db, &filter, limit + 1).await?;
    let documents = found.into_iter().map(ExceptionDocument::from).collect();
    Ok(axum::Json(List::page(documents, limit, |exception| exception.id.clone())))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Resolve {
    /// `refund`: the money goes back. `accept`: it is kept, and does not pay the order, which goes on as if
    /// it had not come. `dismiss`: there is nothing to do. `apply`: money of a wrong amount counts towards
    /// its order, which is paid once nothing is due any more; what is too much is an exception of its own.
    action: Action,
    /// Why; at most 200 characters. Of a `refund` it is the refund's reason, which the customer may read.
    note: String,
}

/// Decide about an exception. What was decided, and why, stays on record.
#[utoipa::path(
    post, path = "/v1/exceptions/{id}/resolve", operation_id = "resolve_exception", tag = "Payments",
    params(("id" = String, Path)),
    request_body = Resolve,
    responses(
        (status = 200, body = ExceptionDocument),
        (status = 409, body = ProblemDocument, description = "`exception_resolved`; \
            `refund_exceeds_captured`: there is no money to send back; `exception_not_applicable`: the money \
            cannot count towards an order, with `current_status`"),
    ),
)]
async fn resolve(
    State(app): State<App>,
    caller: Caller,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
    Json(request): Json<Resolve>,
) -> Result<axum::Json<ExceptionDocument>, Problem> {
    let id: Option<ExceptionId> = path.ok().and_then(|path| path.0.parse().ok());
    let id = id.ok_or(exceptions::Error::NotFound)?;
    let note =
        domain::stock::reason(&request.note).map_err(|invalid| Invalid::new("note", invalid.message))?;
    let (exception, applied) =
        exceptions::resolve(&app.db, id, request.action, &note, caller.name(), now()).await?;
    tracing::info!(exception_id = %id, action = request.action.as_str(), "exception resolved");
    if let Some(applied) = applied {
        tell(&app, applied);
    }
    Ok(axum::Json(exception.into()))
}

/// What was applied is on record; the order's workflow, which sends the mails, hears of it after the
/// response.
fn tell(app: &App, applied: Applied) {
    if let Some(status) = applied.paid {
        telemetry::metrics().orders.with_label_values(&[status.as_str()]).inc();
        telemetry::metrics().holds.with_label_values(&["committed"]).inc();
    }
    app.dispatcher.report(applied.event);
}
