//! A product is what its events add up to, whatever is done to it.
#![allow(clippy::unwrap_used)]

use domain::{
    Timestamp,
    money::Currency,
    product::{self, Details, Event, Kind, Product},
    search,
    stay::{Offer, Terms},
    stock::Sku,
};
use proptest::prelude::*;
use unicode_normalization::char::is_combining_mark;

fn details() -> impl Strategy<Value = Details> {
    let kind = prop::sample::select(vec![Kind::Goods, Kind::Stay]);
    let currency = prop::sample::select(vec!["EUR", "JPY"]);
    // Few values, so that a change often leaves fields, or everything, as they were.
    let stay = prop::option::of(1..3_i64)
        .prop_map(|guests| guests.map(|max_guests| Terms { max_guests, ..Terms::default() }));
    let day = domain::stay::date("from", "2026-07-01").unwrap();
    let nights = prop::option::of((1..3_i64, prop::option::of(1..3_i64))).prop_map(move |offer| {
        offer.map(|(capacity, unit_price)| Offer { from: day, to: day, capacity, unit_price })
    });
    (kind, "[ab]", "[ab]?", 1..3_i64, currency, any::<bool>(), any::<bool>(), stay, nights).prop_map(
        |(kind, name, description, unit_price, currency, active, retired, stay, nights)| Details {
            kind,
            name,
            description,
            unit_price,
            currency: Currency::parse(currency).unwrap(),
            active: active && !retired,
            retired,
            stay,
            nights,
        },
    )
}

fn sku() -> Sku {
    Sku::parse("tea").unwrap()
}

proptest! {
    /// The fold of all events is the last product, after each of them; a change that changes nothing has no
    /// event; versions count up by one, and time does not go back whatever the clocks say.
    #[test]
    fn a_product_is_the_fold_of_its_events(
        changes in prop::collection::vec((details(), 0..1_000_i64), 1..20)
    ) {
        let mut events: Vec<Event> = Vec::new();
        let mut product: Option<Product> = None;
        for (details, second) in changes {
            let at = Timestamp::from_second(second).unwrap();
            let event = product::change(product.as_ref(), &details, at, "test");
            let is_same = product.as_ref().is_some_and(|product| product.details == details);
            prop_assert_eq!(event.is_none(), is_same);
            if let Some(event) = event {
                prop_assert!(events.last().is_none_or(|last| last.at <= event.at));
                product = Some(product::apply(&sku(), product.clone(), &event).unwrap());
                events.push(event);
            }
            let folded = product::fold(&sku(), &events).unwrap().unwrap();
            prop_assert_eq!(&folded.details, &details);
            prop_assert_eq!(folded.version, i32::try_from(events.len()).unwrap());
            prop_assert_eq!(folded.created_at, events[0].at);
            prop_assert_eq!(folded.retired_at.is_some(), details.retired);
            prop_assert_eq!(Some(folded), product.clone());
        }
    }

    /// Events that were lost, doubled or exchanged do not add up unnoticed.
    #[test]
    fn a_torn_history_is_refused(
        changes in prop::collection::vec(details(), 2..10), gap: prop::sample::Index,
        other: prop::sample::Index
    ) {
        let mut events = Vec::new();
        let mut product = None;
        for details in &changes {
            if let Some(event) = product::change(product.as_ref(), details, Timestamp::UNIX_EPOCH, "test") {
                product = Some(product::apply(&sku(), product, &event).unwrap());
                events.push(event);
            }
        }
        let (gap, other) = (gap.index(events.len()), other.index(events.len()));
        let mut lost = events.clone();
        lost.remove(gap);
        prop_assert!(gap + 1 == events.len() || product::fold(&sku(), &lost).is_err());
        let mut doubled = events.clone();
        doubled.insert(gap, events[gap].clone());
        prop_assert!(product::fold(&sku(), &doubled).is_err());
        let mut exchanged = events.clone();
        exchanged.swap(gap, other);
        prop_assert_eq!(product::fold(&sku(), &exchanged).is_err(), gap != other);
    }

    /// Words are letters and digits, with their marks: nothing in them needs quoting.
    #[test]
    fn words_are_plain(text in "\\PC{0,60}") {
        let words = search::words(&text);
        let is_plain = |c: char| c.is_alphanumeric() || is_combining_mark(c);
        prop_assert!(words.iter().all(|word| !word.is_empty() && word.chars().all(is_plain)));
        prop_assert_eq!(search::words(&words.join(" ")), words);
    }
}
