//! One exception, with what is known of it.

use axum::extract::{Path, State, rejection::PathRejection};
use domain::{ExceptionId, Timestamp, exception::Kind, money::Currency, next_step::money_rule};
use serde::Serialize;
use store::exceptions::{self, Exception, Line, Told};
use utoipa::ToSchema;

use super::ExceptionDocument;
use crate::{app::App, error::Problem, orders::load};

/// An exception, with what a person needs to decide about it.
#[derive(Serialize, ToSchema)]
#[schema(as = ExceptionWithEvidence)]
pub struct EvidenceDocument {
    #[serde(flatten)]
    exception: ExceptionDocument,
    /// The provider's events of the payment, oldest first; 20 at most.
    provider_events: Vec<ToldDocument>,
    /// What the provider's statement has of the payment; 20 lines at most.
    statement_lines: Vec<LineDocument>,
    /// The rule of the order's policy that was asked about the money. None: there is none for this, or it is
    /// not known how much was due then.
    rule: Option<RuleDocument>,
}

/// A provider's event, as it came.
#[derive(Serialize, ToSchema)]
#[schema(as = ProviderEvent)]
struct ToldDocument {
    /// The provider's own.
    event_id: String,
    r#type: String,
    /// What it says became of the money, as we read it.
    outcome: Option<&'static str>,
    amount: Option<i64>,
    currency: Option<&'static str>,
    received_at: Timestamp,
    /// When it was acted on.
    settled_at: Option<Timestamp>,
    /// As it was sent; 16 KiB of it at most.
    body: String,
}

/// A line of a provider's statement.
#[derive(Serialize, ToSchema)]
#[schema(as = StatementLine)]
struct LineDocument {
    /// `captured`, `refunded`, `disputed` or `dispute_reversed`.
    kind: String,
    /// The provider's id of the payment, refund or dispute.
    reference: String,
    amount: i64,
    currency: &'static str,
    fee: Option<i64>,
    at: Timestamp,
    /// Ours said the same when it was read.
    matched: bool,
}

/// A rule of an order's policy.
#[derive(Serialize, ToSchema)]
#[schema(as = MoneyRule)]
struct RuleDocument {
    /// As the policy calls it, such as `late_payment`.
    name: &'static str,
    /// What the policy has there, such as `refund`.
    value: String,
}

impl From<Told> for ToldDocument {
    fn from(told: Told) -> Self {
        Self {
            event_id: told.event_id,
            r#type: told.kind,
            outcome: told.outcome.map(|outcome| outcome.as_str()),
            amount: told.amount,
            currency: told.currency.map(Currency::code),
            received_at: told.received_at,
            settled_at: told.settled_at,
            body: told.body,
        }
    }
}

impl From<Line> for LineDocument {
    fn from(line: Line) -> Self {
        let Line { kind, reference, amount, currency, fee, at, matched } = line;
        Self { kind, reference, amount, currency: currency.code(), fee, at, matched }
    }
}

/// Read an exception, with the provider's events and the lines of its statement.
#[utoipa::path(
    get, path = "/v1/exceptions/{id}", operation_id = "get_exception", tag = "Payments",
    params(("id" = String, Path)),
    responses((status = 200, body = EvidenceDocument)),
)]
pub async fn get(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Result<axum::Json<EvidenceDocument>, Problem> {
    let id: Option<ExceptionId> = path.ok().and_then(|path| path.0.parse().ok());
    let exception = exceptions::get(&app.db, id.ok_or(exceptions::Error::NotFound)?).await?;
    let evidence = exceptions::evidence(&app.db, &exception).await?;
    let rule = rule(&app, &exception).await?;
    Ok(axum::Json(EvidenceDocument {
        exception: exception.into(),
        provider_events: evidence.events.into_iter().map(ToldDocument::from).collect(),
        statement_lines: evidence.lines.into_iter().map(LineDocument::from).collect(),
        rule,
    }))
}

async fn rule(app: &App, exception: &Exception) -> Result<Option<RuleDocument>, Problem> {
    let Some(order) = exception.order_id else { return Ok(None) };
    let order = load(app, order).await?;
    let is_less = match exception.kind {
        Kind::WrongAmount => exceptions::was_too_little(&app.db, exception, order.total).await?,
        _ => Some(false), // no matter
    };
    let Some(is_less) = is_less else { return Ok(None) };
    let rule = money_rule(&order.policy, exception.kind, is_less);
    Ok(rule.map(|(name, value)| RuleDocument { name, value: value.to_owned() }))
}
