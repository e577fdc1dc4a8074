//! The rules, on whatever anybody might send.
#![allow(clippy::unwrap_used)]

use domain::{
    Invalids, SignedDuration, Timestamp,
    money::{Currency, Money, unit_price},
    order::{self, MAX_LINES},
    policy::{self, Policy},
    stock::{self, Level, MAX_QUANTITY, Movement},
};
use proptest::prelude::*;

proptest! {
    /// The text of an amount holds its digits: nothing is rounded away.
    #[test]
    fn money_is_shown_exactly(amount: i64, code in prop::sample::select(vec!["EUR", "JPY", "KWD", "USD"])) {
        let text = Money::new(amount, Currency::parse(code).unwrap()).to_string();
        let digits: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '-').collect();
        prop_assert_eq!(digits.parse::<i64>().unwrap(), amount);
        prop_assert!(text.ends_with(code));
    }

    /// The dearest order there can be has a total.
    #[test]
    fn a_valid_order_never_overflows(price: i64, quantity: i64) {
        if let (Ok(price), Ok(quantity)) = (unit_price(price), stock::quantity(quantity)) {
            let line = price.checked_mul(quantity).unwrap();
            prop_assert!(line.checked_mul(MAX_LINES as i64).is_some());
        }
    }

    /// Lines of one SKU are summed, none is lost, and none exceeds the limit.
    #[test]
    fn lines_are_summed_or_complained_about(
        entries in prop::collection::vec(("[a-c]{1,2}", -2..MAX_QUANTITY * 2), 0..120)
    ) {
        let mut invalids = Invalids::default();
        let lines = order::lines(entries.iter().map(|(sku, quantity)| (sku.as_str(), *quantity)), &mut invalids);
        let is_good = (1..=MAX_LINES).contains(&entries.len())
            && entries.iter().all(|(_, quantity)| (1..=MAX_QUANTITY).contains(quantity))
            && lines.values().all(|quantity| *quantity <= MAX_QUANTITY);
        prop_assert_eq!(invalids.is_empty(), is_good);
        if is_good {
            prop_assert_eq!(lines.values().sum::<i64>(), entries.iter().map(|(_, quantity)| quantity).sum::<i64>());
        }
    }

    /// Whatever moves, available and held are parts of what is on hand, and only a hold that is
    /// committed or an adjustment changes that.
    #[test]
    fn movements_keep_the_books(quantity in 1..=MAX_QUANTITY, on_hand in MAX_QUANTITY..1_000_000_i64) {
        let apply = |level: Level, movement: Movement| {
            let (on_hand, held) = movement.deltas(quantity);
            Level { on_hand: level.on_hand + on_hand, held: level.held + held }
        };
        let start = Level { on_hand, held: 0 };
        let held = apply(start, Movement::Held);
        prop_assert_eq!((held.on_hand, held.available()), (on_hand, on_hand - quantity));
        prop_assert_eq!(apply(held, Movement::Released), start);
        let sold = apply(held, Movement::Committed);
        prop_assert_eq!((sold.held, sold.available()), (0, held.available()));
    }

    #[test]
    fn an_adjustment_is_bounded(delta: i64) {
        prop_assert_eq!(stock::adjustment(delta).is_ok(), delta != 0 && (-1_000_000_000..=1_000_000_000).contains(&delta));
    }

    /// No text is too strange for a duration to be refused.
    #[test]
    fn durations_of_any_text_are_read_or_refused(text in "-?P?[0-9YMWDTHS.,]{0,12}") {
        let _ = policy::duration("f", &text);
    }

    /// Reminders of an accepted policy come in order, after the placement and before the deadline.
    #[test]
    fn reminders_lie_before_the_deadline(
        window_s in -10_i64..90 * 24 * 3600 + 10,
        reminders_s in prop::option::of(prop::collection::vec(-10_i64..90 * 24 * 3600, 0..12)),
        placed_s in 0_i64..4_000_000_000
    ) {
        let text = |seconds: &i64| format!("PT{seconds}S");
        let reminders: Option<Vec<String>> = reminders_s.as_ref().map(|all| all.iter().map(text).collect());
        if let Ok(policy) = Policy::parse(Some(&text(&window_s)), reminders.as_deref(), None, Default::default()) {
            let placed_at = Timestamp::from_second(placed_s).unwrap();
            let due = policy.payment_due_at(placed_at);
            prop_assert_eq!(due.duration_since(placed_at), SignedDuration::from_secs(window_s));
            let at = policy.reminders_at(placed_at);
            prop_assert!(at.is_sorted() && at.iter().all(|at| placed_at < *at && *at < due));
            if let Some(asked) = reminders_s {
                prop_assert!(asked.iter().all(|r| policy.reminders.contains(&SignedDuration::from_secs(*r))));
            }
        }
    }
}
