//! A provider's statement against ours. What a lost webhook left behind is taken up as if it had come now.

use domain::{
    SignedDuration, Timestamp, exception, money,
    payment::{DisputeReport, Outcome, PaymentReport, RefundReport, RefundSource, RefundState},
    provider_event::{Notice, ProviderEvent},
    statement::LineKind,
};
use providers::{
    Error, Provider, Providers, RefundRef, Statement, StatementLine, StatementLineKind, Unreadable,
};
use serde_json::json;
use store::{
    Db,
    inbox::{self, Stored},
    refunds,
    settlements::{self, Verdict},
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
    #[expect(clippy::disallowed_methods, reason = "a provider's statement knows nothing of skipped time")]
    let now = Timestamp::now();
    let from = match settlements::read_until(db, &step.provider).await? {
        Some(until) => until.min(now).saturating_sub(OVERLAP)?,
        None => now.saturating_sub(FIRST)?,
    };
    let Statement { lines, unreadable } = provider.statement(from, now.saturating_add(AHEAD)?).await?;
    let mut found = Reconciled { lines: lines.len() as u64, ..Reconciled::default() };
    if unreadable.len() > MAX_UNREADABLE {
        anyhow::bail!(
            "{} lines of the statement cannot be read, such as: {}",
            unreadable.len(),
            unreadable[0].why
        );
    }
    for line in &unreadable {
        if line.order.is_some() || !providers.is_shared(provider.name()) {
            found.unmatched += 1;
            note_unreadable(db, provider.name(), line, now).await?;
        } else {
            tracing::warn!(
                provider = provider.name(),
                why = line.why,
                "a line of others' money cannot be read"
            );
        }
    }
    for line in &lines {
        if is_foreign(db, providers, provider, line).await? {
            continue;
        }
        match book(db, provider, line, now).await? {
            Booked::Matched => {}
            Booked::Healed => found.healed += 1,
            Booked::Contradicted => found.unmatched += 1,
        }
    }
    found.healed += taken_back(db, provider, &lines, from, now).await?;
    // All of this was read, now or before.
    let (from, until) = (now.saturating_sub(FIRST)?, now.saturating_sub(OVERLAP)?);
    found.missing = settlements::raise_missing(db, &step.provider, from, until, now).await?;
    let kind = exception::Kind::NotInBooks.as_str();
    telemetry::metrics().exceptions.with_label_values(&[kind]).inc_by(found.missing);
    settlements::note_read(db, &step.provider, now).await?;
    tracing::info!(provider = step.provider, ?found, "statement read");
    Ok(found)
}

/// So many lines that cannot be read are not the lines' fault: the statement has another form than we know.
const MAX_UNREADABLE: usize = 100;
/// Refunds that one run asks a provider for, one by one.
const MAX_LOOKED_UP: i64 = 200;

enum Booked {
    Matched,
    Healed,
    /// We wrote down something else.
    Contradicted,
}

/// Whether a line is about money of those who share the provider's account with us.
async fn is_foreign(
    db: &Db,
    providers: &Providers,
    provider: &dyn Provider,
    line: &StatementLine,
) -> anyhow::Result<bool> {
    if line.order.is_some() || !providers.is_shared(provider.name()) {
        return Ok(false);
    }
    Ok(!inbox::knows_payment(db, provider.name(), &row(provider, line).payment).await?)
}

/// A line that nobody can read is an exception, once: it may be about money.
async fn note_unreadable(db: &Db, provider: &str, line: &Unreadable, now: Timestamp) -> anyhow::Result<()> {
    let event = ProviderEvent {
        provider: provider.to_owned(),
        event_id: format!("books-line-{}", line.reference),
        kind: "books.line".to_owned(),
        body: Vec::new(),
        told_at: None,
        notice: None,
    };
    if inbox::store_unreadable(db, &event, &line.why, now).await? {
        telemetry::metrics().exceptions.with_label_values(&[exception::Kind::UnreadableEvent.as_str()]).inc();
        tracing::error!(provider, why = line.why, "a line of the statement cannot be read");
    }
    Ok(())
}

async fn book(
    db: &Db,
    provider: &dyn Provider,
    line: &StatementLine,
    now: Timestamp,
) -> anyhow::Result<Booked> {
    let verdict = settlements::book(db, &row(provider, line)).await?;
    let mut event = missed_event(provider, line);
    match verdict {
        Verdict::Matched => return Ok(Booked::Matched),
        Verdict::Missing => {}
        Verdict::Contradicted if went_back_after_all(provider, line).await? => {
            event.event_id = format!("{}-after-all-{}", event.event_id, line.at.as_microsecond());
            if let Some(Notice::Refund { report, .. }) = &mut event.notice {
                report.event_id.clone_from(&event.event_id);
            }
        }
        Verdict::Contradicted => return Ok(Booked::Contradicted),
    }
    if money::told(line.money.amount).is_err() {
        tracing::error!(provider = provider.name(), "the statement has an amount that we cannot take up");
        return Ok(Booked::Contradicted);
    }
    Ok(match inbox::store(db, &event, now).await? {
        Stored::Repeated if verdict == Verdict::Contradicted => Booked::Contradicted,
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

/// What we believe to be back and the statement does not have: a bank may have taken it back, and no webhook
/// came. The provider is asked. Gives how many there were.
async fn taken_back(
    db: &Db,
    provider: &dyn Provider,
    lines: &[StatementLine],
    from: Timestamp,
    now: Timestamp,
) -> anyhow::Result<u64> {
    let is_booked = |id: &String| {
        lines.iter().any(|line| {
            matches!(&line.kind, StatementLineKind::Refunded { provider_refund_id, .. } if provider_refund_id == id)
        })
    };
    let mut taken_back = 0;
    for refund in refunds::back_since(db, provider.name(), from, MAX_LOOKED_UP).await? {
        let Some(id) = refund.provider_refund_id.filter(|id| !is_booked(id)) else { continue };
        let ours = (refund.source != RefundSource::Provider).then_some(refund.id);
        let seen = match provider.look_up_refund(&RefundRef { refund: ours, provider_refund_id: id }).await {
            Ok(seen) if seen.state == RefundState::Failed => seen,
            Ok(_) | Err(Error::Refused { .. } | Error::NotFound) => continue,
            Err(error @ Error::Unavailable(_)) => return Err(error.into()),
        };
        let (name, order) = (provider.name().to_owned(), refund.order_id);
        let event_id = format!("books-{}-{}", seen.provider_refund_id, refund.updated_at.as_microsecond());
        let body = json!({"state": seen.state_text}).to_string().into_bytes();
        let report = RefundReport { event_id: event_id.clone(), ..seen };
        let notice = Some(Notice::Refund { order, report });
        let kind = "books.refund_failed".to_owned();
        let event = ProviderEvent { provider: name, event_id, kind, body, told_at: None, notice };
        taken_back += u64::from(!matches!(inbox::store(db, &event, now).await?, Stored::Repeated));
    }
    Ok(taken_back)
}

/// A refund that failed stands in some providers' statements all the same. Whether it was made after all says
/// the provider.
async fn went_back_after_all(provider: &dyn Provider, line: &StatementLine) -> anyhow::Result<bool> {
    let StatementLineKind::Refunded { refund, provider_refund_id, .. } = &line.kind else { return Ok(false) };
    let id = RefundRef { refund: *refund, provider_refund_id: provider_refund_id.clone() };
    match provider.look_up_refund(&id).await {
        Ok(seen) => Ok(seen.state == RefundState::Succeeded && seen.money == line.money),
        Err(error @ Error::Unavailable(_)) => Err(error.into()),
        Err(Error::Refused { .. } | Error::NotFound) => Ok(false),
    }
}

fn row(provider: &dyn Provider, line: &StatementLine) -> settlements::Line {
    let (kind, reference, payment) = match &line.kind {
        StatementLineKind::Captured { provider_payment_id: payment } => {
            (LineKind::Captured, payment, payment)
        }
        StatementLineKind::Refunded { provider_refund_id, provider_payment_id, .. } => {
            (LineKind::Refunded, provider_refund_id, provider_payment_id)
        }
        StatementLineKind::Disputed(it) => (LineKind::Disputed, &it.provider_dispute_id, &it.payment_id),
        StatementLineKind::DisputeReversed(it) => {
            (LineKind::DisputeReversed, &it.provider_dispute_id, &it.payment_id)
        }
    };
    let state = match &line.kind {
        StatementLineKind::Captured { .. } | StatementLineKind::Refunded { .. } => None,
        StatementLineKind::Disputed(it) | StatementLineKind::DisputeReversed(it) => Some(it.state),
    };
    settlements::Line {
        provider: provider.name().to_owned(),
        kind,
        reference: reference.clone(),
        payment: payment.clone(),
        order: line.order,
        amount: line.money.amount,
        currency: line.money.currency,
        fee: line.fee,
        at: line.at,
        state,
    }
}

/// The event that should have come. Its id is made of what it tells, so it is taken up once.
fn missed_event(provider: &dyn Provider, line: &StatementLine) -> ProviderEvent {
    let name = provider.name().to_owned();
    let (event_id, kind, notice) = match &line.kind {
        StatementLineKind::Captured { provider_payment_id } => {
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
        StatementLineKind::Refunded { refund, provider_refund_id, provider_payment_id } => {
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
        StatementLineKind::Disputed(dispute) | StatementLineKind::DisputeReversed(dispute) => {
            let DisputeReport { provider_dispute_id, state, money, .. } = dispute;
            let event_id = format!("books-{provider_dispute_id}-{}-{}", state.as_str(), money.amount);
            let report = DisputeReport { event_id: event_id.clone(), ..dispute.clone() };
            (event_id, "books.disputed", Notice::Dispute(report))
        }
    };
    let body = json!({"at": line.at, "amount": line.money.amount, "currency": line.money.currency});
    let body = body.to_string().into_bytes();
    let (kind, notice) = (kind.to_owned(), Some(notice));
    ProviderEvent { provider: name, event_id, kind, body, told_at: None, notice }
}
