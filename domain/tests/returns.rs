//! What comes back, in whatever parts, adds up to what was sold, to the cent.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use domain::{
    Date, Timestamp,
    order::Line,
    returns::{CheckInWindow, Gone, Part, Refusal, Run, Sold, Units, check_in_window, rest, runs},
    stay::{Charge, Night, Per, Stay},
    stock::Sku,
};

const FIRST: Date = Date::constant(2026, 7, 1);

fn sku(text: &str) -> Sku {
    Sku::parse_unit(text).unwrap()
}

fn day(n: i8) -> Date {
    Date::constant(2026, 7, n)
}

/// Two rooms for three nights, with an extra of each kind; and tea.
fn sold() -> Sold {
    let nights = [(1, 8000), (2, 9999), (3, 8000)];
    let nights = nights.map(|(n, unit_price)| Night { date: day(n), unit_price }).to_vec();
    let extra = |code: &str, per, quantity, unit_price| Charge {
        code: code.to_owned(),
        name: code.to_owned(),
        per,
        quantity,
        unit_price,
        amount: quantity * unit_price,
    };
    let extras = vec![
        extra("parking", Per::Stay, 2, 999),
        extra("sheets", Per::Guest, 5, 301),
        extra("heating", Per::Night, 6, 77),
        extra("breakfast", Per::GuestNight, 15, 1251),
    ];
    let stay =
        Stay { from: FIRST, to: day(4), guests: 5, time_zone: "Pacific/Auckland".into(), nights, extras };
    let unit_price = stay.room_price();
    let room = Line { sku: sku("room"), name: "Room".into(), quantity: 2, unit_price, stay: Some(stay) };
    let tea = Line { sku: sku("tea"), name: "Tea".into(), quantity: 3, unit_price: 1250, stay: None };
    Sold { lines: vec![room, tea], gone: Gone::new(), in_use: None }
}

fn gone_with(gone: &mut Gone, units: &Units) {
    for (unit, quantity) in units {
        gone.entry(unit.clone()).or_default().claimed += quantity;
    }
}

#[test]
fn in_any_sequence_the_parts_add_up_to_the_whole() {
    let units: Vec<Sku> = sold().all().unwrap().into_keys().collect();
    assert_eq!(units.len(), 4);
    let total: i64 = sold().lines.iter().map(Line::amount).sum();
    // One piece or room at a time, in as many sequences.
    for seed in 0..200_usize {
        let mut sold = sold();
        let mut paid = 0;
        let mut turn = seed;
        while let Ok(left) = sold.all()
            && !left.is_empty()
        {
            turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let unit = left.keys().nth((turn >> 33) % left.len()).unwrap().clone();
            let one = Units::from([(unit, 1)]);
            let worth = sold.paid_for(&one);
            assert!(worth > 0);
            paid += worth;
            gone_with(&mut sold.gone, &one);
            let rest: i64 = sold.lines.iter().flat_map(|line| rest(line, &sold.gone)).map(|it| it.1).sum();
            assert_eq!(paid + rest, total);
        }
        assert_eq!(paid, total);
    }
    assert_eq!(sold().paid_for(&sold().all().unwrap()), total);
}

#[test]
fn runs_are_nights_in_a_row_with_as_many_rooms() {
    let mut sold = sold();
    let night = |n| sku("room").night(day(n));
    gone_with(&mut sold.gone, &BTreeMap::from([(night(2), 1), (sku("tea"), 3)]));
    let run = |from, to, quantity| Run { sku: sku("room"), stay: Some((day(from), day(to))), quantity };
    assert_eq!(runs(&sold.all().unwrap()), [run(1, 2, 2), run(2, 3, 1), run(3, 4, 2)]);
    gone_with(&mut sold.gone, &BTreeMap::from([(night(1), 1), (night(3), 1)]));
    assert_eq!(runs(&sold.all().unwrap()), [run(1, 4, 1)]);
    let part = |quantity| Part { sku: "room".to_owned(), stay: Some((day(1), day(4))), quantity };
    assert_eq!(sold.parts(&[part(None)]).unwrap(), sold.all().unwrap());
    assert_eq!(sold.parts(&[part(Some(2))]), Err(Refusal::Beyond(vec![run(1, 4, 1)])));
}

#[test]
fn the_night_in_which_guests_sleep_does_not_come_back() {
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let at = |text: &str| Sold { in_use: Some(time(text)), ..sold() };
    let nights =
        |from, to| [Part { sku: "room".to_owned(), stay: Some((day(from), day(to))), quantity: None }];
    // In Auckland it is noon of the second day.
    let second = at("2026-07-02T00:00:00Z");
    assert!(matches!(second.all(), Err(Refusal::Beyond(_))));
    assert!(second.parts(&nights(2, 3)).is_err() && second.parts(&nights(1, 4)).is_err());
    assert!(second.parts(&nights(1, 2)).is_ok() && second.parts(&nights(3, 4)).is_ok());
    // The last night is over once the day of departure has begun.
    let over = at("2026-07-03T12:00:00Z");
    assert_eq!(over.all().unwrap(), sold().all().unwrap());
}

#[test]
fn guests_can_come_while_a_night_or_the_day_after_it_is_theirs() {
    let mut sold = sold();
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let begins = time("2026-06-30T12:00:00Z");
    assert_eq!(check_in_window(&sold.spans(), begins), CheckInWindow::Open);
    assert_eq!(check_in_window(&sold.spans(), time("2026-06-30T11:59:59Z")), CheckInWindow::Opens(begins));
    assert_eq!(check_in_window(&sold.spans(), time("2026-07-04T11:59:59Z")), CheckInWindow::Open);
    assert_eq!(check_in_window(&sold.spans(), time("2026-07-04T12:00:00Z")), CheckInWindow::Shut);
    let night = |n| sku("room").night(day(n));
    gone_with(&mut sold.gone, &BTreeMap::from([(night(1), 2), (night(2), 1)]));
    assert_eq!(check_in_window(&sold.spans(), begins), CheckInWindow::Opens(time("2026-07-01T12:00:00Z")));
    gone_with(&mut sold.gone, &BTreeMap::from([(night(2), 1), (night(3), 2)]));
    assert_eq!(check_in_window(&sold.spans(), begins), CheckInWindow::Shut);
}
