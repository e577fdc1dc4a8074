//! A provider's books against ours. What a lost webhook left behind is taken up as if it had come now.

use domain::{
    SignedDuration, Timestamp, money,
    payment::{Mismatch, Outcome, PaymentReport, RefundReport, RefundState},
};
use providers::{Movement, MovementKind, Provider, Providers};
use serde_json::json;
use store::{
    Db,
    inbox::{self, Notice, Stored},
    settlements::{self, Kind, Verdict},
};
use workflows::contract::{ReconcileStep, Reconciled};

/// Providers book late, by days: what was read before is read again.
const OVERLAP: SignedDuration = SignedDuration::from_hours(3 * 24);
/// How far the first run looks back.
const FIRST: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Clocks differ: what a provider dates in our future is read, too.
const AHEAD: SignedDuration = SignedDuration::from_mins(10);

pub(crate) async fn reconcile(
    db: &Db,
    providers: &Providers,
    step: ReconcileStep,
) -> anyhow::Result<Reconciled> {
    let Some(provider) = providers.get(&step.provider) else {
        anyhow::bail!("the payment provider {} is not configured", step.provider);
    };
    // The machine's clock: a provider's books know nothing of skipped time.
    let now = Timestamp::now();
    let from = match settlements::read_until(db, &step.provider).await? {
        Some(until) => until.min(now).saturating_sub(OVERLAP)?,
        None => now.saturating_sub(FIRST)?,
    };
    let lines = provider.statement(from, now.saturating_add(AHEAD)?).await?;
    let mut found = Reconciled { lines: lines.len() as u64, ..Reconciled::default() };
    for line in &lines {
        match book(db, provider, line, now).await? {
            Booked::Matched => {}
            Booked::Healed => found.healed += 1,
            Booked::Contradicted => found.unmatched += 1,
        }
    }
    // All of this was read, now or before.
    let (from, until) = (now.saturating_sub(FIRST)?, now.saturating_sub(OVERLAP)?);
    found.missing = settlements::raise_missing(db, &step.provider, from, until, now).await?;
    let kind = Mismatch::NotInBooks.as_str();
    telemetry::metrics().exceptions.with_label_values(&[kind]).inc_by(found.missing);
    settlements::note_read(db, &step.provider, now).await?;
    tracing::info!(provider = step.provider, ?found, "books read");
    Ok(found)
}

enum Booked {
    Matched,
    Healed,
    /// We wrote down something else.
    Contradicted,
}

async fn book(db: &Db, provider: &dyn Provider, line: &Movement, now: Timestamp) -> anyhow::Result<Booked> {
    match settlements::book(db, &row(provider, line)).await? {
        Verdict::Matched => return Ok(Booked::Matched),
        Verdict::Contradicted => return Ok(Booked::Contradicted),
        Verdict::Missing => {}
    }
    if money::told(line.money.amount).is_err() {
        tracing::error!(provider = provider.name(), "the books have an amount that we cannot take up");
        return Ok(Booked::Contradicted);
    }
    let event = missed_event(provider, line);
    Ok(match inbox::store(db, &event, now).await? {
        // Taken up by the run before, or by a try of this one that died, and not settled yet.
        Stored::Repeated => Booked::Healed,
        Stored::Kept | Stored::UnknownOrder | Stored::Pending(_) => {
            tracing::warn!(
                provider = provider.name(),
                event_id = event.event_id,
                "a webhook was lost: taken up now"
            );
            Booked::Healed
        }
    })
}

fn row(provider: &dyn Provider, line: &Movement) -> settlements::Movement {
    let (kind, reference, payment) = match &line.kind {
        MovementKind::Captured { provider_payment_id: payment } => (Kind::Captured, payment, payment),
        MovementKind::Refunded { provider_refund_id, provider_payment_id, .. } => {
            (Kind::Refunded, provider_refund_id, provider_payment_id)
        }
    };
    settlements::Movement {
        provider: provider.name().to_owned(),
        kind,
        reference: reference.clone(),
        payment: payment.clone(),
        order: line.order,
        amount: line.money.amount,
        currency: line.money.currency.code().to_owned(),
        fee: line.fee,
        at: line.at,
    }
}

/// The event that should have come. Its id is made of what it tells, so it is taken up once.
fn missed_event(provider: &dyn Provider, line: &Movement) -> inbox::Event {
    let name = provider.name().to_owned();
    let (event_id, kind, notice) = match &line.kind {
        MovementKind::Captured { provider_payment_id } => {
            let event_id = format!("books-{provider_payment_id}");
            let report = PaymentReport {
                provider: name.clone(),
                event_id: event_id.clone(),
                payment_id: provider_payment_id.clone(),
                outcome: Outcome::Succeeded,
                money: line.money,
            };
            (event_id, "books.captured", Notice::Payment { order: line.order, report })
        }
        MovementKind::Refunded { refund, provider_refund_id, provider_payment_id } => {
            let event_id = format!("books-{provider_refund_id}");
            let report = RefundReport {
                provider: name.clone(),
                event_id: event_id.clone(),
                refund: *refund,
                provider_refund_id: provider_refund_id.clone(),
                payment_id: provider_payment_id.clone(),
                state: RefundState::Succeeded,
                state_text: "booked".to_owned(),
                money: line.money,
            };
            (event_id, "books.refunded", Notice::Refund { order: line.order, report })
        }
    };
    let body = json!({"at": line.at, "amount": line.money.amount, "currency": line.money.currency});
    let body = body.to_string().into_bytes();
    inbox::Event { provider: name, event_id, kind: kind.to_owned(), body, notice: Some(notice) }
}
