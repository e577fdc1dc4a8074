//! A provider's statement against what we have. What a lost webhook left behind is taken up as if it had come
//! now.

use domain::{
    SignedDuration, Timestamp, exception, money,
    payment::{DisputeReport, Outcome, PaymentReport, RefundReport, RefundSource, RefundState},
    provider_event::{Notice, ProviderEvent},
    statement::{LineKind, Statement, StatementLine, UnreadableLine},
};
use providers::{Error, Provider, Providers, RefundRef};
use serde_json::{Value, json};
use store::{
    Db,
    inbox::{self, Stored},
    refunds,
    settlements::{self, Match},
};
use workflows::contract::{ReconcileStep, Reconciled};

/// Providers book late, by days: what was read before is read again.
const OVERLAP: SignedDuration = SignedDuration::from_hours(3 * 24);
/// How far the first run looks back.
const FIRST: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Clocks differ: what a provider dates in our future is read, too.
const AHEAD: SignedDuration = SignedDuration::from_mins(10);
/// So many lines that cannot be read are not the lines' fault: the statement has another form than we know.
const MAX_UNREADABLE: usize = 100;
/// Refunds that one run asks a provider for, one by one.
const MAX_LOOKED_UP: i64 = 200;

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
    let run = Run { db, provider, is_shared: providers.is_shared(provider.name()), now };
    let found = run.reconcile().await?;
    tracing::info!(provider = step.provider, ?found, "statement read");
    Ok(found)
}

/// One reading of one provider's statement.
struct Run<'a> {
    db: &'a Db,
    provider: &'a dyn Provider,
    /// Others use the provider's account, too: a line that names no order of ours may be about their money.
    is_shared: bool,
    now: Timestamp,
}

/// What came of a line.
enum LineResult {
    /// We have the same, or it is none of our business.
    Fine,
    /// Its event had not come, and is taken up now.
    Healed,
    /// We have something else.
    Unmatched,
}

impl Run<'_> {
    async fn reconcile(&self) -> anyhow::Result<Reconciled> {
        let (db, name, now) = (self.db, self.provider.name(), self.now);
        let from = match settlements::read_until(db, name).await? {
            Some(until) => until.min(now).saturating_sub(OVERLAP)?,
            None => now.saturating_sub(FIRST)?,
        };
        let Statement { lines, unreadable } =
            self.provider.statement(from, now.saturating_add(AHEAD)?).await?;
        if unreadable.len() > MAX_UNREADABLE {
            let (count, why) = (unreadable.len(), &unreadable[0].why);
            anyhow::bail!("{count} lines of the statement cannot be read, such as: {why}");
        }
        let mut found = Reconciled { lines: lines.len() as u64, ..Reconciled::default() };
        for line in &unreadable {
            found.unmatched += u64::from(self.raise_unreadable(line).await?);
        }
        for line in &lines {
            match self.compare(line).await? {
                LineResult::Fine => {}
                LineResult::Healed => found.healed += 1,
                LineResult::Unmatched => found.unmatched += 1,
            }
        }
        found.healed += self.find_refunds_that_failed(&lines, from).await?;
        // All of this was read, now or before.
        let (from, until) = (now.saturating_sub(FIRST)?, now.saturating_sub(OVERLAP)?);
        found.missing = settlements::raise_captures_not_in_statement(db, name, from, until, now).await?;
        count_exceptions(exception::Kind::NotInBooks, found.missing);
        settlements::note_read_until(db, name, now).await?;
        Ok(found)
    }

    /// A line that nobody can read is an exception, once: it may be about money of ours. False if it is not.
    async fn raise_unreadable(&self, line: &UnreadableLine) -> anyhow::Result<bool> {
        let (provider, why) = (self.provider.name(), &line.why);
        if self.is_shared && line.order.is_none() {
            tracing::warn!(provider, why, "a line of others' money cannot be read");
            return Ok(false);
        }
        let event = ProviderEvent {
            provider: provider.to_owned(),
            event_id: format!("books-line-{}", line.reference),
            kind: "books.line".to_owned(),
            body: Vec::new(),
            told_at: None,
            notice: None,
        };
        if inbox::store_unreadable(self.db, &event, why, self.now).await? {
            count_exceptions(exception::Kind::UnreadableEvent, 1);
            tracing::error!(provider, why, "a line of the statement cannot be read");
        }
        Ok(true)
    }

    /// Compares a line with what we have, and takes up what is missing.
    async fn compare(&self, line: &StatementLine) -> anyhow::Result<LineResult> {
        let provider = self.provider.name();
        if self.is_shared
            && line.order.is_none()
            && !inbox::knows_payment(self.db, provider, &line.provider_payment_id).await?
        {
            return Ok(LineResult::Fine);
        }
        let ours = settlements::record_line(self.db, provider, line).await?;
        let event_id = match ours {
            Match::Same => return Ok(LineResult::Fine),
            Match::Missing => event_id(line),
            Match::Different if self.went_back_after_all(line).await? => {
                format!("{}-after-all-{}", event_id(line), line.at.as_microsecond())
            }
            Match::Different => return Ok(LineResult::Unmatched),
        };
        if money::told(line.money.amount).is_err() {
            tracing::error!(provider, "the statement has an amount that we cannot take up");
            return Ok(LineResult::Unmatched);
        }
        let event = missed_event(provider, event_id, line);
        Ok(match inbox::store(self.db, &event, self.now).await? {
            Stored::Repeated if ours == Match::Different => LineResult::Unmatched,
            // Taken up by the run before, or by a try of this one that died, and not settled yet.
            Stored::Repeated => LineResult::Healed,
            Stored::Kept | Stored::UnknownOrder | Stored::Pending(_) => {
                tracing::warn!(provider, event_id = event.event_id, "a webhook was lost: taken up now");
                LineResult::Healed
            }
        })
    }

    /// A refund that failed stands in some providers' statements all the same. Whether it was made after all
    /// says the provider.
    async fn went_back_after_all(&self, line: &StatementLine) -> anyhow::Result<bool> {
        let LineKind::Refunded { refund, provider_refund_id } = &line.kind else { return Ok(false) };
        let id = RefundRef { refund: *refund, provider_refund_id: provider_refund_id.clone() };
        let seen = self.look_up_refund(&id).await?;
        let is_it = |seen: RefundReport| seen.state == RefundState::Succeeded && seen.money == line.money;
        Ok(seen.is_some_and(is_it))
    }

    /// What we believe to be back and the statement does not have: a bank may have taken it back, and no
    /// webhook came. The provider is asked, and its word is taken up. Gives how many there were.
    async fn find_refunds_that_failed(
        &self,
        lines: &[StatementLine],
        from: Timestamp,
    ) -> anyhow::Result<u64> {
        let provider = self.provider.name();
        let is_in_statement = |id: &str| {
            lines.iter().any(|it| matches!(it.kind, LineKind::Refunded { .. }) && it.reference() == id)
        };
        let mut failed = 0;
        for refund in refunds::succeeded_since(self.db, provider, from, MAX_LOOKED_UP).await? {
            let Some(id) = refund.provider_refund_id.filter(|id| !is_in_statement(id)) else { continue };
            let ours = (refund.source != RefundSource::Provider).then_some(refund.id);
            let seen = self.look_up_refund(&RefundRef { refund: ours, provider_refund_id: id }).await?;
            let Some(seen) = seen.filter(|it| it.state == RefundState::Failed) else { continue };
            let event_id =
                format!("books-{}-{}", seen.provider_refund_id, refund.updated_at.as_microsecond());
            let body = json!({"state": seen.state_text});
            let report = RefundReport { event_id: event_id.clone(), ..seen };
            let notice = Notice::Refund { order: refund.order_id, report };
            let event = own_event(provider, event_id, "books.refund_failed", &body, notice);
            let stored = inbox::store(self.db, &event, self.now).await?;
            failed += u64::from(!matches!(stored, Stored::Repeated));
        }
        Ok(failed)
    }

    /// None if the provider does not find it.
    async fn look_up_refund(&self, id: &RefundRef) -> anyhow::Result<Option<RefundReport>> {
        match self.provider.look_up_refund(id).await {
            Ok(seen) => Ok(Some(seen)),
            Err(Error::Refused { .. } | Error::NotFound) => Ok(None),
            Err(error @ Error::Unavailable(_)) => Err(error.into()),
        }
    }
}

/// The id of the event that should have come. It is made of what the line tells, so that is taken up once.
fn event_id(line: &StatementLine) -> String {
    let reference = line.reference();
    match line.kind.dispute_state() {
        None => format!("books-{reference}"),
        Some(state) => format!("books-{reference}-{state}-{}", line.money.amount),
    }
}

/// The event that should have come.
fn missed_event(provider: &str, event_id: String, line: &StatementLine) -> ProviderEvent {
    let (payment_id, order, money) = (line.provider_payment_id.clone(), line.order, line.money);
    let (name, id) = (provider.to_owned(), event_id.clone());
    let (kind, notice) = match line.kind.clone() {
        LineKind::Captured => {
            let outcome = Outcome::Succeeded;
            let report = PaymentReport { provider: name, event_id: id, payment_id, outcome, money };
            ("books.captured", Notice::Payment { order, report })
        }
        LineKind::Refunded { refund, provider_refund_id } => {
            let report = RefundReport {
                provider: name,
                event_id: id,
                refund,
                provider_refund_id,
                payment_id,
                state: RefundState::Succeeded,
                state_text: "booked".to_owned(),
                money,
            };
            ("books.refunded", Notice::Refund { order, report })
        }
        LineKind::Disputed { provider_dispute_id, state, state_text, .. } => {
            let report = DisputeReport {
                provider: name,
                event_id: id,
                provider_dispute_id,
                payment_id,
                state,
                state_text,
                money,
            };
            ("books.disputed", Notice::Dispute(report))
        }
    };
    let body = json!({"at": line.at, "amount": money.amount, "currency": money.currency});
    own_event(provider, event_id, kind, &body, notice)
}

fn own_event(provider: &str, event_id: String, kind: &str, body: &Value, notice: Notice) -> ProviderEvent {
    ProviderEvent {
        provider: provider.to_owned(),
        event_id,
        kind: kind.to_owned(),
        body: body.to_string().into_bytes(),
        told_at: None,
        notice: Some(notice),
    }
}

fn count_exceptions(kind: exception::Kind, count: u64) {
    telemetry::metrics().exceptions.with_label_values(&[kind.as_str()]).inc_by(count);
}
