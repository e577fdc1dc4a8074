//! The rules, on whatever anybody might send.
#![allow(clippy::unwrap_used)]

use domain::{
    Date, Invalids, SignedDuration, Timestamp, exception,
    money::{Currency, MAX_UNIT_PRICE, Money, unit_price},
    order::{Line, MAX_LINES, Requested, UncheckedLine, parse_lines},
    payment::{self, Fit, Resolution},
    policy::{self, LatePayment, MoneyRules, Overpayment, Policy, Settle},
    stay::{self, Booking, Extra, Night, Per, Terms, UncheckedBooking},
    stock::{self, ByHand, Level, MAX_QUANTITY, Movement, Quantity, Sku},
};
use proptest::prelude::*;

fn money_rules() -> impl Strategy<Value = MoneyRules> {
    let late =
        prop::sample::select(vec![LatePayment::Reinstate, LatePayment::Refund, LatePayment::Exception]);
    let over = prop::sample::select(vec![Overpayment::RefundDifference, Overpayment::Exception]);
    let settle = || prop::sample::select(vec![Settle::Refund, Settle::Exception]);
    (late, over, settle(), settle(), any::<bool>()).prop_map(
        |(late_payment, overpayment, underpayment, duplicate_payment, accumulate)| MoneyRules {
            late_payment,
            overpayment,
            underpayment,
            duplicate_payment,
            accumulate,
            ..MoneyRules::default()
        },
    )
}

fn money(amount: i64, code: &str) -> Money {
    Money::new(amount, Currency::parse(code).unwrap())
}

const PERS: [Per; 4] = [Per::Stay, Per::Night, Per::Guest, Per::GuestNight];

const MISMATCHES: [exception::Kind; 9] = [
    exception::Kind::WrongAmount,
    exception::Kind::WrongCurrency,
    exception::Kind::PaidTwice,
    exception::Kind::OrderClosed,
    exception::Kind::UnknownOrder,
    exception::Kind::Overpaid,
    exception::Kind::RefundFailed,
    exception::Kind::RefundUnexplained,
    exception::Kind::AttemptUncertain,
];

proptest! {
    /// Whatever pays an order is its currency, is enough, and is its total and an excess that is told.
    #[test]
    fn what_pays_an_order_is_its_total_and_the_excess(
        total in 1..=1_000_000_i64, extra in -1_000_000..=1_000_000_i64, usd in prop::bool::weighted(0.2),
        rules in money_rules()
    ) {
        let paid = money(total + extra, if usd { "USD" } else { "EUR" });
        let judged = payment::judge(money(total, "EUR"), paid, &rules);
        let expected = match extra {
            _ if usd => Err(exception::Kind::WrongCurrency),
            0 => Ok(Fit::Pays { excess: 0 }),
            1.. if rules.overpayment == Overpayment::RefundDifference => Ok(Fit::Pays { excess: extra }),
            ..0 if rules.accumulate && paid.amount > 0 => Ok(Fit::Part),
            _ => Err(exception::Kind::WrongAmount),
        };
        prop_assert_eq!(judged, expected);
    }

    /// No amount that a provider might name overflows, and none but the exact one pays without an excess.
    #[test]
    fn any_amount_is_judged(total in 1..=i64::MAX, paid: i64, rules in money_rules()) {
        match payment::judge(money(total, "EUR"), money(paid, "EUR"), &rules) {
            Ok(Fit::Pays { excess }) => prop_assert_eq!(total.checked_add(excess), Some(paid)),
            Ok(Fit::Part) => prop_assert!(rules.accumulate && (1..total).contains(&paid)),
            Err(mismatch) => {
                prop_assert_eq!(mismatch, exception::Kind::WrongAmount);
                prop_assert_ne!(paid, total);
            }
        }
    }

    /// Money goes back by itself only where a rule says so.
    #[test]
    fn money_goes_back_only_by_a_rule(
        mismatch in prop::sample::select(MISMATCHES.to_vec()), too_little: bool, rules in money_rules()
    ) {
        let resolution = payment::resolution(mismatch, too_little, &rules);
        let refund_wanted = match mismatch {
            exception::Kind::Overpaid => rules.overpayment == Overpayment::RefundDifference,
            exception::Kind::PaidTwice => rules.duplicate_payment == Settle::Refund,
            exception::Kind::WrongCurrency => rules.underpayment == Settle::Refund,
            exception::Kind::WrongAmount => too_little && rules.underpayment == Settle::Refund,
            exception::Kind::OrderClosed => rules.late_payment == LatePayment::Refund,
            _ => false,
        };
        prop_assert_eq!(resolution == Resolution::Refund, refund_wanted);
        let reinstated =
            mismatch == exception::Kind::OrderClosed && rules.late_payment == LatePayment::Reinstate;
        prop_assert_eq!(resolution == Resolution::Reinstate, reinstated);
    }

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
        if let (Ok(price), Ok(quantity)) = (unit_price(price), Quantity::parse(quantity)) {
            let line = price.checked_mul(quantity.get()).unwrap();
            prop_assert!(line.checked_mul(MAX_LINES as i64).is_some());
        }
    }

    /// What is shown of a stay, night by night and extra by extra, adds up to what it costs.
    #[test]
    fn the_parts_of_a_stay_add_up(
        prices in prop::collection::vec(0_i64..=MAX_UNIT_PRICE, 1..=90), rooms in 1..=stay::MAX_ROOMS,
        guests in 1..=stay::MAX_GUESTS * stay::MAX_ROOMS,
        extras in prop::collection::vec(
            (0_i64..=MAX_UNIT_PRICE, prop::sample::select(PERS.to_vec())), 0..=stay::MAX_EXTRAS
        )
    ) {
        let from = Date::constant(2026, 12, 30);
        let to = from.checked_add(jiff::Span::new().days(prices.len() as i64)).unwrap();
        let extra = |(i, (unit_price, per)): (usize, &(i64, Per))| {
            Extra { code: format!("x{i}"), name: "X".to_owned(), unit_price: *unit_price, per: *per }
        };
        let extras: Vec<Extra> = extras.iter().enumerate().map(extra).collect();
        let codes = extras.iter().map(|extra| extra.code.clone()).collect();
        let rooms_asked = Quantity::parse(rooms).unwrap();
        let unchecked = UncheckedBooking { from, to, guests, extras: codes };
        let booking = Booking::parse(rooms_asked, unchecked).unwrap();
        let terms = Terms { max_guests: stay::MAX_GUESTS, extras, ..Terms::default() }.parse().unwrap();
        let at = "2026-12-30T23:59:59Z".parse().unwrap();
        prop_assert_eq!(terms.check(&booking, at).is_empty(), guests <= rooms * stay::MAX_GUESTS);

        let night = |(date, price): (_, &i64)| Night { date, unit_price: *price };
        let nights: Vec<Night> = booking.nights().zip(&prices).map(night).collect();
        prop_assert_eq!(nights.len(), prices.len());
        let stay = terms.book(&booking, nights);
        let shown = |per| match per {
            Per::Stay => i128::from(rooms),
            Per::Night => i128::from(rooms) * prices.len() as i128,
            Per::Guest => i128::from(guests),
            Per::GuestNight => i128::from(guests) * prices.len() as i128,
        };
        let by_hand = prices.iter().map(|price| i128::from(rooms * price)).sum::<i128>()
            + terms.extras.iter().map(|extra| shown(extra.per) * i128::from(extra.unit_price)).sum::<i128>();
        let of_parts = stay.nights.iter().map(|night| rooms * night.unit_price).sum::<i64>()
            + stay.extras.iter().map(|charge| charge.quantity * charge.unit_price).sum::<i64>();
        let sku = Sku::parse("room").unwrap();
        let unit_price = stay.room_price();
        let line = Line { sku, name: "Room".to_owned(), quantity: rooms, unit_price, stay: Some(stay) };
        prop_assert_eq!((i128::from(line.amount()), i128::from(of_parts)), (by_hand, by_hand));
        // The dearest order there can be has a total.
        prop_assert!(line.amount().checked_mul(stay::MAX_STAYS as i64).is_some());
    }

    /// Lines of one SKU are summed, none is lost, and none exceeds the limit.
    #[test]
    fn lines_are_summed_or_complained_about(
        entries in prop::collection::vec(("[a-c]{1,2}", -2..MAX_QUANTITY * 2), 0..120)
    ) {
        let mut invalids = Invalids::default();
        let unchecked = entries
            .iter()
            .map(|(sku, quantity)| UncheckedLine { sku, quantity: *quantity, stay: None });
        let lines = parse_lines(unchecked.collect(), &mut invalids);
        let pieces: Vec<i64> = lines.values().map(|requested| match requested {
            Requested::Pieces(quantity) => quantity.get(),
            Requested::Rooms(booking) => panic!("{booking:?}"),
        }).collect();
        let is_good = (1..=MAX_LINES).contains(&entries.len())
            && entries.iter().all(|(_, quantity)| (1..=MAX_QUANTITY).contains(quantity))
            && pieces.iter().all(|quantity| *quantity <= MAX_QUANTITY);
        prop_assert_eq!(invalids.is_empty(), is_good);
        if is_good {
            let asked = entries.iter().map(|(_, quantity)| quantity).sum::<i64>();
            prop_assert_eq!(pieces.iter().sum::<i64>(), asked);
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
        let is_sane = delta != 0 && (-1_000_000_000..=1_000_000_000).contains(&delta);
        prop_assert_eq!(stock::adjustment(ByHand::Adjusted, delta).is_ok(), is_sane);
        prop_assert_eq!(stock::adjustment(ByHand::Received, delta).is_ok(), is_sane && delta > 0);
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
        if let Ok(policy) = Policy::parse(Some(&text(&window_s)), reminders.as_deref()) {
            let placed_at = Timestamp::from_second(placed_s).unwrap();
            let due = policy.payment_due_at(placed_at);
            prop_assert_eq!(due.duration_since(placed_at), SignedDuration::from_secs(window_s));
            let at = policy.reminders_at(placed_at, due);
            prop_assert!(at.is_sorted() && at.iter().all(|at| placed_at < *at && *at < due));
            // A later deadline moves them along.
            let later = SignedDuration::from_hours(7);
            let moved: Vec<_> = at.iter().map(|at| *at + later).collect();
            prop_assert_eq!(policy.reminders_at(placed_at, due + later), moved);
            if let Some(asked) = reminders_s {
                prop_assert!(asked.iter().all(|r| at.contains(&(placed_at + SignedDuration::from_secs(*r)))));
            }
        }
    }
}
