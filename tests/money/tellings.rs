//! Small stories of one payment, told in every order in which they can be: the books end the same.

use std::collections::BTreeMap;

use domain::{
    OrderId, RefundId,
    exception::{Kind, State},
    money::{Currency, Money},
    payment::{DisputeReport, DisputeState, RefundReport, RefundSource, RefundState},
    policy::{LatePayment, Overpayment},
};
use jiff::Timestamp;
use store::{audit, disputes, exceptions, orders, refunds};

use crate::harness::{
    Shop,
    test_process::{TestProcess, ask, money},
    unique,
};

/// What an order costs.
const TOTAL: i64 = 5000;

use RefundState::{Failed, Pending, Succeeded};

/// What is done or told. Refunds of ours are named by the place of their `Ask`, others by a letter.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    /// The provider captured this much.
    Captured(i64),
    /// The order ends unpaid.
    Cancelled,
    /// We ask for a refund of so much.
    Ask(&'static str, i64),
    /// The provider says this of it.
    Ours(&'static str, RefundState),
    /// The rule's own refund, if it made one.
    OfRule(RefundState),
    /// Somebody made this one in the dashboard.
    Theirs(&'static str, i64, RefundState),
    Dispute(&'static str, i64, DisputeState),
}

/// Steps, and of each the places of those that must come before it.
type Story = Vec<(Step, Vec<usize>)>;

/// Every order of a story's steps that keeps what must come before what.
fn orders_of(story: &Story) -> Vec<Vec<usize>> {
    let mut whole = Vec::new();
    let mut open = vec![Vec::new()];
    while let Some(told) = open.pop() {
        if told.len() == story.len() {
            whole.push(told);
            continue;
        }
        for (place, (_, before)) in story.iter().enumerate() {
            if !told.contains(&place) && before.iter().all(|it| told.contains(it)) {
                open.push([told.clone(), vec![place]].concat());
            }
        }
    }
    whole
}

/// How the books of an order stand.
#[derive(Debug, PartialEq)]
struct End {
    payment_status: String,
    refundable: i64,
    open: Vec<(Kind, i64)>,
    refunded: i64,
}

struct Teller<'a> {
    process: &'a TestProcess,
    order: OrderId,
    payment: String,
    ours: BTreeMap<&'static str, RefundId>,
}

fn eur(amount: i64) -> Money {
    Money::new(amount, Currency::parse("EUR").unwrap())
}

impl Teller<'_> {
    async fn tell(&mut self, step: Step) {
        let (db, at) = (&self.process.db, Timestamp::now());
        match step {
            Step::Captured(amount) => {
                self.process.settlements.settle(self.order, &money(&self.payment, amount), at).await.unwrap();
            }
            Step::Cancelled => {
                self.process.settlements.cancel(self.order, "test", false, at).await.unwrap();
            }
            Step::Ask(name, amount) => {
                let request = refunds::Request {
                    amount: Some(amount),
                    reason: "test".into(),
                    restock: false,
                    lines: Vec::new(),
                    by: "test".into(),
                };
                match refunds::request(db, self.order, &request, None, at).await {
                    Ok((refunds, _)) => drop(self.ours.insert(name, refunds[0].id)),
                    // It is known already that the money is not there.
                    Err(refunds::Error::BeyondCaptured(_)) => {}
                    Err(fault) => panic!("{fault}"),
                }
            }
            Step::Ours(name, state) => {
                let Some(id) = self.ours.get(name) else { return };
                let refund = refunds::get(db, *id).await.unwrap().unwrap();
                let report = self.report(Some(*id), &format!("{id}"), refund.amount, state);
                refunds::record_event(db, &report, at).await.unwrap();
            }
            Step::OfRule(state) => {
                let all = refunds::of_order(db, self.order).await.unwrap();
                if let Some(refund) = all.into_iter().find(|it| it.source == RefundSource::Rule) {
                    let name = refund.id.to_string();
                    let report = self.report(Some(refund.id), &name, refund.amount, state);
                    refunds::record_answer(db, refund.id, &report, at).await.unwrap();
                }
            }
            Step::Theirs(name, amount, state) => {
                let name = format!("{name}-{}", self.payment);
                let report = self.report(None, &name, amount, state);
                refunds::record_event(db, &report, at).await.unwrap();
            }
            Step::Dispute(name, amount, state) => {
                let report = DisputeReport {
                    provider: "sandbox".into(),
                    event_id: unique(),
                    provider_dispute_id: format!("{name}-{}", self.payment),
                    payment_id: self.payment.clone(),
                    state,
                    state_text: state.as_str().into(),
                    money: eur(amount),
                };
                disputes::record_event(db, &report, at).await.unwrap();
            }
        }
    }

    fn report(&self, refund: Option<RefundId>, name: &str, amount: i64, state: RefundState) -> RefundReport {
        RefundReport {
            provider: "sandbox".into(),
            event_id: unique(),
            refund,
            provider_refund_id: name.to_owned(),
            payment_id: self.payment.clone(),
            state,
            state_text: state.as_str().into(),
            money: eur(amount),
        }
    }

    async fn end(&self) -> End {
        let db = &self.process.db;
        let order = orders::get(db, self.order).await.unwrap().unwrap();
        let all = refunds::of_order(db, self.order).await.unwrap();
        let back = all.iter().filter(|it| it.state == Succeeded).map(|it| it.amount);
        let open =
            exceptions::Filter { state: Some(State::Open), order: Some(self.order), ..Default::default() };
        let open = exceptions::list(db, &open, 100).await.unwrap();
        let mut open: Vec<_> = open.into_iter().map(|it| (it.kind, it.amount - it.back)).collect();
        open.sort();
        let too_much = refunds::Request {
            amount: Some(i64::MAX),
            reason: "test".into(),
            restock: false,
            lines: Vec::new(),
            by: "test".into(),
        };
        let refused = refunds::request(db, self.order, &too_much, None, Timestamp::now()).await;
        let Err(refunds::Error::BeyondCaptured(refundable)) = refused else { panic!("{refused:?}") };
        End {
            payment_status: order.payment_status.as_str().to_owned(),
            refundable,
            open,
            refunded: back.sum(),
        }
    }
}

/// Tells a story in every order, each to an order of its own.
async fn tell_all(process: &TestProcess, late: LatePayment, story: &Story, end: &End) {
    let all = orders_of(story);
    assert!(all.len() > 1);
    for told in all {
        let mut ask = ask(&[("tea", 1)], late);
        ask.placement.policy.money.overpayment = Overpayment::RefundDifference;
        let order = ask.id;
        process.placements.place(ask).await.unwrap();
        let mut teller = Teller { process, order, payment: unique(), ours: BTreeMap::new() };
        for place in &told {
            teller.tell(story[*place].0).await;
        }
        let steps: Vec<Step> = told.iter().map(|place| story[*place].0).collect();
        assert_eq!(&teller.end().await, end, "{steps:#?}");
    }
}

fn end(payment_status: &str, refundable: i64, open: &[(Kind, i64)], refunded: i64) -> End {
    End { payment_status: payment_status.to_owned(), refundable, open: open.to_vec(), refunded }
}

#[tokio::test]
async fn in_whatever_order_it_is_told_the_books_end_the_same() {
    use Step::{Ask, Cancelled, Captured, Dispute, OfRule, Ours, Theirs};
    let shop = Shop::without_worker().await;
    shop.stock("tea", TOTAL, 10_000).await;
    let process = TestProcess::of(&shop);
    let ordinary = LatePayment::Exception;
    let captured = || (Captured(TOTAL), vec![]);
    let stories: Vec<(Story, End)> = vec![
        // All of it here and in the dashboard at once: ours is refused.
        (
            vec![
                captured(),
                (Ask("a", TOTAL), vec![0]),
                (Ours("a", Failed), vec![1]),
                (Theirs("x", TOTAL, Pending), vec![]),
                (Theirs("x", TOTAL, Succeeded), vec![]),
            ],
            end("refunded", 0, &[], TOTAL),
        ),
        // A part of it in the dashboard: what is left waits for a person, once, and can go back.
        (
            vec![
                captured(),
                (Ask("a", TOTAL), vec![0]),
                (Ours("a", Failed), vec![1]),
                (Theirs("x", 1500, Succeeded), vec![1]),
            ],
            end("partially_refunded", 3500, &[(Kind::RefundFailed, 3500)], 1500),
        ),
        // Two of the dashboard, one of which fails, and one of ours.
        (
            vec![
                captured(),
                (Ask("a", 1000), vec![0]),
                (Ours("a", Succeeded), vec![1]),
                (Theirs("x", 2000, Succeeded), vec![]),
                (Theirs("y", 500, Failed), vec![]),
                (Theirs("y", 500, Pending), vec![]),
            ],
            end("partially_refunded", 2000, &[(Kind::RefundFailed, 500)], 3000),
        ),
        // It failed, was settled by hand, and the rest goes back in the dashboard.
        (
            vec![
                captured(),
                (Ask("a", 2000), vec![0]),
                (Ours("a", Failed), vec![1]),
                (Ours("a", Succeeded), vec![2]),
                (Theirs("x", 3000, Succeeded), vec![]),
            ],
            end("refunded", 0, &[], TOTAL),
        ),
        // The bank takes it back.
        (
            vec![
                captured(),
                (Ask("a", 2000), vec![0]),
                (Ours("a", Succeeded), vec![1]),
                (Ours("a", Failed), vec![2]),
                (Theirs("x", 1000, Succeeded), vec![]),
            ],
            end("partially_refunded", 4000, &[(Kind::RefundFailed, 2000)], 1000),
        ),
        // It is tried again, and in the dashboard as well.
        (
            vec![
                captured(),
                (Ask("a", 4000), vec![0]),
                (Ours("a", Failed), vec![1]),
                (Ask("b", 4000), vec![2]),
                (Ours("b", Failed), vec![3]),
                (Theirs("x", 4500, Succeeded), vec![3]),
            ],
            end("partially_refunded", 500, &[(Kind::RefundFailed, 500)], 4500),
        ),
        // Too much came, the difference is to go back, and all of it does in the dashboard.
        (
            vec![
                (Captured(TOTAL + 50), vec![]),
                (OfRule(Failed), vec![0]),
                (Theirs("x", TOTAL + 50, Succeeded), vec![]),
            ],
            end("refunded", 0, &[], TOTAL + 50),
        ),
        // The difference goes back in the dashboard by itself.
        (
            vec![
                (Captured(TOTAL + 50), vec![]),
                (OfRule(Failed), vec![0]),
                (Theirs("x", 50, Succeeded), vec![]),
                (Theirs("y", 100, Succeeded), vec![]),
            ],
            end("partially_refunded", TOTAL - 100, &[], 150),
        ),
        // Money for an ended order waits for a person, and goes back in parts, one of which fails.
        (
            vec![
                (Cancelled, vec![]),
                (Captured(TOTAL), vec![0]),
                (Theirs("x", 1500, Succeeded), vec![]),
                (Theirs("y", 500, Pending), vec![]),
                (Theirs("y", 500, Failed), vec![]),
            ],
            end("unpaid", 0, &[(Kind::OrderClosed, 3500)], 1500),
        ),
        (
            vec![
                (Cancelled, vec![]),
                (Captured(TOTAL), vec![0]),
                (Theirs("x", 1500, Succeeded), vec![]),
                (Theirs("y", 3500, Succeeded), vec![]),
            ],
            end("refunded", 0, &[], TOTAL),
        ),
        // A dispute is lost, after a part went back.
        (
            vec![
                captured(),
                (Theirs("x", 1000, Succeeded), vec![]),
                (Dispute("d", 4000, DisputeState::Open), vec![]),
                (Dispute("d", 4000, DisputeState::Lost), vec![]),
            ],
            end("refunded", 0, &[], 1000),
        ),
        // One is won, another is open; what was asked for could not be made.
        (
            vec![
                captured(),
                (Ask("a", TOTAL), vec![0]),
                (Ours("a", Failed), vec![1]),
                (Dispute("d", 3000, DisputeState::Won), vec![]),
                (Dispute("e", 2000, DisputeState::Open), vec![1]),
            ],
            end("paid", 3000, &[(Kind::RefundFailed, 3000), (Kind::Disputed, 2000)], 0),
        ),
    ];
    for (story, end) in &stories {
        tell_all(&process, ordinary, story, end).await;
    }
    // The rule's refund of late money, and the dashboard's of the same.
    let late: Story = vec![
        (Cancelled, vec![]),
        (Captured(TOTAL), vec![0]),
        (OfRule(Failed), vec![1]),
        (Theirs("x", TOTAL, Succeeded), vec![]),
    ];
    tell_all(&process, LatePayment::Refund, &late, &end("refunded", 0, &[], TOTAL)).await;

    for finding in audit::run(&process.db).await.unwrap() {
        assert_eq!(finding.broken, 0, "{finding:#?}");
    }
    assert!(audit::money(&process.db).await.unwrap().iter().all(audit::Money::adds_up));
    shop.close();
}
