//! What a problem tells beyond its `code`, for a program to act upon.

use domain::{Date, Invalid, Timestamp, api_key::Scope, order::Status, returns::Run, stock::Shortage};
use serde::Serialize;
use store::stays::Night;
use utoipa::ToSchema;

/// A member of a problem's JSON, by the variant's name in small letters. It is what is sent and what is
/// documented, so no problem has a member that the OpenAPI document does not know.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Details {
    /// With `invalid_request`: each field that broke a rule.
    Errors(Vec<Invalid>),
    /// With `scope_missing`: the scope that a key must have for this.
    Scope(Scope),
    /// With `insufficient_stock`: each SKU that fell short.
    Shortages(Vec<Shortage>),
    /// With `order_not_...` and `exception_not_applicable`: where the order stands.
    CurrentStatus(Status),
    /// With `capacity_below_sold`: the nights of which more is held and sold.
    Nights(Vec<NightDocument>),
    /// With `check_in_code_wrong`: how many more codes can be tried.
    AttemptsLeft(i32),
    /// With `check_in_too_early`: when the stay begins.
    OpensAt(Timestamp),
    /// With `cancellation_closed`: until when the order could be cancelled.
    ClosedAt(Timestamp),
    /// With `precondition_failed`: the `ETag` of the product now, null if there is none.
    CurrentEtag(Option<String>),
    /// With `refund_exceeds_captured`: what can still go back, in minor units.
    Refundable(i64),
    /// With `restock_exceeds_sold`: what can still come back, of each SKU that was named.
    Returnable(Vec<ReturnDocument>),
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = NightTaken)]
pub struct NightDocument {
    date: Date,
    held: i64,
    sold: i64,
}

impl From<&Night> for NightDocument {
    fn from(night: &Night) -> Self {
        Self { date: night.date, held: night.level.held, sold: night.sold() }
    }
}

/// What comes back, or can.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ReturnedItem)]
pub struct ReturnDocument {
    sku: String,
    /// Of what is sold by the night: which nights.
    #[serde(skip_serializing_if = "Option::is_none")]
    stay: Option<NightsDocument>,
    /// Pieces, or rooms in each night.
    quantity: i64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Nights)]
struct NightsDocument {
    from: Date,
    /// The last night ends on this day.
    to: Date,
}

impl From<Run> for ReturnDocument {
    fn from(run: Run) -> Self {
        let stay = run.stay.map(|(from, to)| NightsDocument { from, to });
        Self { sku: run.sku.to_string(), stay, quantity: run.quantity }
    }
}
