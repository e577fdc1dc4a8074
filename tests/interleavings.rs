//! Whatever several processes do to the same stock, and however it meets: the books are right. Each run draws
//! its own story; `HOLDFAST_TEST_SEED` draws the same acts again (what meets what in time is drawn anew).

use std::{
    sync::Mutex,
    time::{SystemTime, UNIX_EPOCH},
};

use domain::{
    OrderId, exception,
    order::Requested,
    payment::{Action, RefundReport, RefundState},
    policy::LatePayment,
    returns::Part,
    stock::{ByHand, Sku},
};
use futures_util::future::join_all;
use jiff::{Timestamp, ToSpan as _};
use store::{
    audit, exceptions,
    orders::{PlaceOrder, Placed, place},
    refunds::{self, Refund},
    stock,
};

use crate::harness::{
    SeededRng, Shop,
    test_process::{TestProcess, ask, money},
};

const STORIES: usize = 4;
const ACTORS: usize = 12;
const ACTS: usize = 40;
/// Few pieces, so that most acts are about the last one.
const SHELF: [(&str, i64); 3] = [("a", 6), ("b", 5), ("c", 4)];
const PRICE: i64 = 100;

/// What all actors know.
#[derive(Default)]
struct Known {
    asks: Vec<PlaceOrder>,
    /// With what it costs.
    orders: Vec<(OrderId, i64)>,
}

struct Actor<'a> {
    rng: SeededRng,
    process: TestProcess,
    known: &'a Mutex<Known>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_meets_the_books_are_right() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("HOLDFAST_TEST_SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap());
    eprintln!("HOLDFAST_TEST_SEED={seed}"); // shown if the test fails
    let mut rng = SeededRng::new(seed);
    for _ in 0..STORIES {
        let shop = Shop::without_worker().await;
        for (sku, on_hand) in SHELF {
            shop.stock(sku, PRICE, on_hand).await;
        }
        let known = Mutex::new(Known::default());
        let processes = [TestProcess::of(&shop), TestProcess::of(&shop), TestProcess::of(&shop)];
        let actors = (0..ACTORS).map(|i| {
            let process = processes[i % processes.len()].clone();
            let mut actor = Actor { rng: rng.another(), process, known: &known };
            async move {
                for _ in 0..ACTS {
                    actor.act().await;
                }
            }
        });
        join_all(actors).await;
        for finding in audit::run(&processes[0].db).await.unwrap() {
            assert_eq!(finding.broken, 0, "{finding:#?}");
        }
        assert!(known.lock().unwrap().orders.len() > ACTORS);
        shop.close();
    }
}

impl Actor<'_> {
    async fn act(&mut self) {
        match self.rng.below(16) {
            0..=4 => self.place().await,
            5 => self.place_again().await,
            6..=8 => self.pay().await,
            9 | 10 => self.cancel().await,
            11 => self.expire().await,
            12 | 13 => self.move_by_hand().await,
            _ => self.give_back().await,
        }
    }

    async fn place(&mut self) {
        let mut lines = Vec::new();
        for (sku, _) in SHELF {
            if lines.is_empty() || self.rng.one_in(2) {
                lines.push((sku, self.rng.amount(2)));
            }
        }
        let late = if self.rng.one_in(2) { LatePayment::Reinstate } else { LatePayment::Refund };
        let ask = ask(&lines, late);
        let total = lines.iter().map(|(_, quantity)| quantity * PRICE).sum();
        self.known.lock().unwrap().asks.push(ask.clone());
        self.send(ask, total).await;
    }

    /// The same request, as by a client that did not hear the answer; perhaps before the first was decided.
    async fn place_again(&mut self) {
        let ask = self.rng.pick(&self.known.lock().unwrap().asks).cloned();
        if let Some(ask) = ask {
            let amount = |requested: &Requested| match requested {
                Requested::Pieces(quantity) => quantity.get() * PRICE,
                Requested::Rooms(booking) => panic!("{booking:?}"),
            };
            let total = ask.placement.lines.values().map(amount).sum();
            self.send(ask, total).await;
        }
    }

    async fn send(&self, ask: PlaceOrder, total: i64) {
        match self.process.placements.place(ask).await {
            Ok(Placed::New(order)) => {
                assert_eq!(order.total, total);
                self.known.lock().unwrap().orders.push((order.id, total));
            }
            Ok(Placed::Replayed(_)) | Err(place::Error::Shortage(_)) => {}
            Err(fault) => panic!("placing: {fault}"),
        }
    }

    fn order(&mut self) -> Option<(OrderId, i64)> {
        self.rng.pick(&self.known.lock().unwrap().orders).copied()
    }

    async fn pay(&mut self) {
        let Some((order, total)) = self.order() else { return };
        let payment = format!("{order}-{}", self.rng.below(3));
        self.process.settlements.settle(order, &money(&payment, total), Timestamp::now()).await.unwrap();
    }

    async fn cancel(&mut self) {
        let Some((order, _)) = self.order() else { return };
        self.process.settlements.cancel(order, "chance", false, Timestamp::now()).await.unwrap();
    }

    async fn expire(&mut self) {
        let Some((order, _)) = self.order() else { return };
        let at = Timestamp::now() + i64::try_from(self.rng.below(2) * 25).unwrap().hours();
        self.process.settlements.expire(order, false, at).await.unwrap();
    }

    async fn move_by_hand(&mut self) {
        let (sku, _) = SHELF[self.rng.below(SHELF.len())];
        let (kind, delta) = match self.rng.below(3) {
            0 => (ByHand::Adjusted, -self.rng.amount(3)),
            1 => (ByHand::Adjusted, self.rng.amount(2)),
            _ => (ByHand::Received, self.rng.amount(2)),
        };
        let sku = Sku::parse(sku).unwrap();
        let adjustment = stock::Adjustment { kind, delta, reason: "chance", by: "test" };
        match stock::adjust(&self.process.db, &sku, &adjustment, None, Timestamp::now()).await {
            Ok(_) | Err(stock::Error::BelowHeld) => {}
            Err(fault) => panic!("{kind:?} {delta}: {fault}"),
        }
    }

    /// Money goes back, and with it all pieces that are there, or some; or it fails, and a person sends it
    /// again.
    async fn give_back(&mut self) {
        let Some((order, _)) = self.order() else { return };
        let lines = match self.rng.one_in(3) {
            true => Vec::new(),
            false => {
                let (sku, _) = SHELF[self.rng.below(SHELF.len())];
                vec![Part { sku: sku.to_owned(), stay: None, quantity: Some(self.rng.amount(2)) }]
            }
        };
        let (amount, reason, by) = (Some(1), "chance".into(), "test".into());
        let request = refunds::Request { amount, reason, restock: true, lines, by };
        let refund = match refunds::request(&self.process.db, order, &request, None, Timestamp::now()).await {
            Ok((mut refunds, _)) => refunds.remove(0), // one payment paid it
            Err(
                refunds::Error::BeyondCaptured(_)
                | refunds::Error::BeyondSold(_)
                | refunds::Error::Invalid(_),
            ) => return,
            Err(fault) => panic!("giving back: {fault}"),
        };
        let state = if self.rng.one_in(3) { RefundState::Failed } else { RefundState::Succeeded };
        self.told(refund, state).await;
        if state == RefundState::Failed {
            self.send_again(order).await;
        }
    }

    /// The provider says twice what became of a refund.
    async fn told(&self, refund: Refund, state: RefundState) {
        let report = RefundReport {
            money: refund.money(),
            provider: refund.provider,
            event_id: "evt".into(),
            refund: Some(refund.id),
            provider_refund_id: format!("re-{}", refund.id),
            payment_id: refund.provider_payment_id,
            state,
            state_text: "done".into(),
        };
        for _ in 0..2 {
            refunds::record_answer(&self.process.db, refund.id, &report, Timestamp::now()).await.unwrap();
        }
    }

    async fn send_again(&self, order: OrderId) {
        let db = &self.process.db;
        let open = exceptions::Filter {
            state: Some(exception::State::Open),
            order: Some(order),
            ..Default::default()
        };
        for failed in exceptions::list(db, &open, 100).await.unwrap() {
            if failed.kind == exception::Kind::RefundFailed {
                let now = Timestamp::now();
                match exceptions::resolve(db, failed.id, Action::Refund, "again", "test", now).await {
                    Ok(_)
                    | Err(
                        exceptions::Error::AlreadyResolved
                        | exceptions::Error::Refund(refunds::Error::BeyondCaptured(_)),
                    ) => {}
                    Err(fault) => panic!("sending again: {fault}"),
                }
            }
        }
        for refund in refunds::of_order(db, order).await.unwrap() {
            if refund.state == RefundState::Requested && refund.exception_id.is_some() {
                self.told(refund, RefundState::Succeeded).await;
            }
        }
    }
}
