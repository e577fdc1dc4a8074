//! Whose money went back, of whatever may happen to a payment.
#![allow(clippy::unwrap_used)]

use domain::{
    attribution::{Dispute, Failure, Fate, Held, Payment, Refund, Taken, TakenFrom, attribute},
    payment::{DisputeState, RefundState},
};
use proptest::prelude::*;

fn held() -> impl Strategy<Value = Held> {
    let fate = prop::sample::select(vec![Fate::Waits, Fate::Sent, Fate::Kept]);
    (1..50_i64, fate).prop_map(|(amount, fate)| Held { amount, fate, back: 0 })
}

fn refund(held: usize) -> impl Strategy<Value = Refund> {
    let from = prop_oneof![
        Just(TakenFrom::Own),
        Just(TakenFrom::Anywhere),
        (0..held.max(1)).prop_map(move |place| if held == 0 {
            TakenFrom::Own
        } else {
            TakenFrom::Held(place)
        })
    ];
    let failure = prop::sample::select(vec![Failure::Waits, Failure::Kept, Failure::SentAgain]);
    (from, prop::sample::select(RefundState::ALL.to_vec()), 1..60_i64, failure).prop_map(
        |(from, state, amount, failure)| Refund { from, state, amount, failure, held_for: Vec::new() },
    )
}

fn payment() -> impl Strategy<Value = Payment> {
    let dispute =
        || {
            (prop::sample::select(DisputeState::ALL.to_vec()), 1..60_i64)
                .prop_map(|(state, amount)| Dispute { state, amount, held_for: Vec::new() })
        };
    prop::collection::vec(held(), 0..3).prop_flat_map(move |held| {
        let refunds = prop::collection::vec(refund(held.len()), 0..6);
        // Each of what is held may be so because of one of them.
        let because = prop::collection::vec(0..9_usize, held.len());
        (0..100_i64, Just(held), refunds, prop::collection::vec(dispute(), 0..3), because).prop_map(
            |(applied, held, mut refunds, mut disputes, because)| {
                refunds.sort_by_key(|it| it.from != TakenFrom::Anywhere);
                for (place, because) in because.into_iter().enumerate() {
                    match refunds.get_mut(because).filter(|it| it.from == TakenFrom::Anywhere) {
                        Some(refund) => refund.held_for.push(place),
                        None if because < disputes.len() => disputes[because].held_for.push(place),
                        None => {}
                    }
                }
                Payment { applied, held, refunds, disputes }
            },
        )
    })
}

fn total(taken: &Taken) -> i64 {
    taken.own + taken.held + taken.short
}

proptest! {
    /// Nothing is taken twice, and nothing out of nowhere: each cent that went back is the order's own, is
    /// held by an exception, or is short; and what waits to be explained is here.
    #[test]
    fn each_cent_is_taken_once(payment in payment()) {
        let says = attribute(&payment);
        for (refund, taken) in payment.refunds.iter().zip(&says.refunds) {
            let takes = if refund.state == RefundState::Failed { 0 } else { refund.amount };
            prop_assert_eq!(total(taken), takes);
        }
        for (dispute, taken) in payment.disputes.iter().zip(&says.disputes) {
            let takes = if dispute.state == DisputeState::Won { 0 } else { dispute.amount };
            prop_assert_eq!(total(taken), takes);
        }
        let all = || says.refunds.iter().chain(&says.disputes);
        let own: i64 = all().map(|it| it.own).sum();
        prop_assert!(own <= payment.applied);
        prop_assert_eq!(all().map(|it| it.held).sum::<i64>(), says.back.iter().sum::<i64>());
        let (mut sent, mut here) = (0, payment.applied - own);
        for (held, back) in payment.held.iter().zip(&says.back) {
            prop_assert!((0..=held.amount).contains(back));
            if held.fate == Fate::Sent {
                sent += held.amount - back;
            }
        }
        here += sent;
        prop_assert!(says.still_here.iter().sum::<i64>() <= here);
        for (refund, still_here) in payment.refunds.iter().zip(&says.still_here) {
            let may_be = refund.state == RefundState::Failed && *still_here <= refund.amount;
            prop_assert!(*still_here == 0 || may_be);
        }
    }

    /// What a failed refund was to bring back comes back without it only if nothing of its money is here.
    #[test]
    fn what_is_here_did_not_go_otherwise(payment in payment()) {
        let says = attribute(&payment);
        for (place, refund) in payment.refunds.iter().enumerate() {
            let waits = refund.failure != Failure::SentAgain && refund.from == TakenFrom::Own;
            prop_assert!(!(waits && payment.went_back_otherwise(place) && says.still_here[place] > 0));
        }
    }

    /// While anything of the payment is left, whatever went back has a reason.
    #[test]
    fn what_went_back_is_short_only_when_nothing_is_left(payment in payment()) {
        let says = attribute(&payment);
        let is_back = |it: &Refund| it.state == RefundState::Succeeded;
        let refunds = payment.refunds.iter().zip(&says.refunds);
        let short: i64 = refunds.filter(|(it, _)| is_back(it)).map(|(_, it)| it.short).sum();
        let all = says.refunds.iter().chain(&says.disputes);
        let taken: i64 = all.map(|it| it.own + it.held).sum();
        let kept = |it: &&Held| it.fate != Fate::Kept;
        let whole = payment.applied + payment.held.iter().filter(kept).map(|it| it.amount).sum::<i64>();
        prop_assert!(short == 0 || taken == whole, "{short} short, {taken} of {whole} taken");
    }
}
