//! The cells of the table: what the provider does in each, and what must come of it.

use serde_json::{Value, json};

use super::{
    books::Account,
    model::{Model, Rules},
};
use crate::harness::{Shop, documents::Exception};

pub const TOTAL: i64 = 1250;

macro_rules! choices {
    ($name:ident { $($choice:ident),* }) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($choice),* }
        impl $name {
            pub const ALL: &[Self] = &[$(Self::$choice),*];
        }
    };
}

choices!(Money { Captured, Failed, Late, Twice, TooMuch, TooLittle, WrongCurrency, RefundedAtProvider });
choices!(Webhook { Arrives, Lost, Late, Twice, Reordered });
choices!(State { Awaiting, Paid, Expired, Cancelled });

pub struct Cell {
    pub money: Money,
    pub webhook: Webhook,
    pub state: State,
    pub order: String,
    pub model: Model,
    /// The attempt that the money comes by, where there is one.
    payment: String,
}

impl Cell {
    pub fn name(&self) -> String {
        format!("{:?} x {:?} x {:?} ({})", self.money, self.webhook, self.state, self.order)
    }

    /// Places the order and brings it into the cell's state.
    pub async fn set_up(shop: &Shop, money: Money, webhook: Webhook, state: State) -> Self {
        let rules = rules(money, webhook, state);
        let (fulfilment, when_paid) = match state {
            State::Paid => ("manual", "paid"), // so it stays `paid`
            _ => ("immediate", "completed"),
        };
        let order = shop.place_with(&[("tea", 1)], rules.policy(fulfilment)).await;
        let model = Model::placed(rules, TOTAL, when_paid);
        let payment = shop.attempt(&order).await.provider_payment_id;
        let mut cell = Self { money, webhook, state, order, model, payment };
        cell.enter_state(shop).await;
        shop.provider.faults_of(&cell.order, cell.faults()).await;
        cell
    }

    async fn enter_state(&mut self, shop: &Shop) {
        if self.money == Money::Late && matches!(self.state, State::Awaiting | State::Paid) {
            let second = shop.attempt(&self.order).await.provider_payment_id;
            shop.provider.until_states(&self.order, &["cancelled", "open"]).await;
            if self.state == State::Paid {
                shop.provider.capture(&second, json!({})).await.is(200);
            }
        }
        match self.state {
            State::Awaiting => {}
            State::Paid => {
                if self.money == Money::Captured {
                    // Its webhook does what the cell says; the order hears of the money by itself.
                    shop.provider.faults_of(&self.order, self.faults()).await;
                }
                if self.money != Money::Late {
                    shop.provider.capture(&self.payment, json!({})).await.is(200);
                }
                if self.money == Money::Captured && self.webhook != Webhook::Arrives {
                    let ours = shop.payments(&self.order).await.remove(0).id;
                    shop.refresh(&self.order, &ours).await.is(200);
                }
                shop.until(&self.order, "paid").await;
                self.model.captured(TOTAL, "EUR");
            }
            State::Expired => {
                shop.fast_forward(&self.order, "PT25H").await;
                shop.until(&self.order, "expired").await;
                self.model.status = "expired";
                assert_eq!(shop.provider.states(&self.order).await, ["cancelled"]);
            }
            State::Cancelled => {
                shop.cancel(&self.order).await.is(200);
                self.model.status = "cancelled";
                assert_eq!(shop.provider.states(&self.order).await, ["cancelled"]);
            }
        }
    }

    fn faults(&self) -> Value {
        match self.webhook {
            Webhook::Arrives => json!({}),
            Webhook::Lost => json!({"webhooks": "lose"}),
            Webhook::Late | Webhook::Reordered => json!({"webhooks": "hold"}),
            Webhook::Twice => json!({"copies": 2}),
        }
    }

    /// What the provider does, and what it must lead to.
    pub async fn act(&mut self, shop: &Shop) {
        if self.webhook == Webhook::Reordered {
            self.fail_first(shop).await;
        }
        let direct = self.state == State::Paid;
        match self.money {
            Money::Captured if self.state == State::Paid => {} // it is captured already
            Money::Captured => self.bring(shop, self.state != State::Awaiting, TOTAL, "EUR").await,
            Money::Failed if self.state == State::Awaiting => {
                shop.provider.fail(&self.payment, json!({})).await.is(200);
            }
            Money::Failed => {
                shop.provider.pay(&self.order, TOTAL, json!({"outcome": "failed"})).await.is(200);
            }
            Money::Late => {
                assert_eq!(shop.provider.states(&self.order).await[0], "cancelled");
                self.bring(shop, false, TOTAL, "EUR").await;
            }
            Money::Twice => {
                self.bring(shop, direct, TOTAL, "EUR").await;
                self.bring(shop, true, TOTAL, "EUR").await;
            }
            Money::TooMuch => self.bring(shop, direct, TOTAL + 250, "EUR").await,
            Money::TooLittle => self.bring(shop, direct, TOTAL - 1, "EUR").await,
            Money::WrongCurrency => self.bring(shop, direct, TOTAL, "USD").await,
            Money::RefundedAtProvider if self.state == State::Paid => {
                self.give_back(shop, 300).await;
                self.give_back(shop, TOTAL - 300).await;
            }
            Money::RefundedAtProvider => {
                self.bring(shop, false, TOTAL, "EUR").await;
                self.give_back(shop, TOTAL).await;
            }
        }
        if matches!(self.webhook, Webhook::Lost | Webhook::Late | Webhook::Reordered) {
            // Nobody has told us, so nothing has changed.
            let awaits = self.state == State::Awaiting;
            let status = shop.order(&self.order).await.status;
            assert_eq!(status == "awaiting_payment", awaits, "{}: {status}", self.name());
        }
    }

    /// A try that fails, so that there are two events to be told in the wrong order.
    async fn fail_first(&self, shop: &Shop) {
        if self.state == State::Awaiting && self.money != Money::Late {
            shop.provider.fail(&self.payment, json!({"retry": true})).await.is(200);
        } else {
            shop.provider.pay(&self.order, TOTAL, json!({"outcome": "failed"})).await.is(200);
        }
    }

    /// Money comes by the attempt, or without one.
    async fn bring(&mut self, shop: &Shop, direct: bool, amount: i64, currency: &str) {
        if direct {
            shop.provider.pay(&self.order, amount, json!({"currency": currency})).await.is(200);
        } else {
            let is_late = self.state != State::Awaiting || self.money == Money::Late;
            let how = json!({"amount": amount, "currency": currency, "late": is_late});
            shop.provider.capture(&self.payment, how).await.is(200);
        }
        self.model.captured(amount, currency);
    }

    async fn give_back(&mut self, shop: &Shop, amount: i64) {
        shop.provider.refund(&self.payment, amount).await;
        self.model.given_back(amount);
    }

    /// Holds what became of the order against the model. Gives the books of the order and of its successor.
    pub async fn check(&self, shop: &Shop) -> Vec<Account> {
        let account = self.check_one(shop, &self.order, &self.model).await;
        let Some(model) = &self.model.successor else { return vec![account] };
        let successor = shop.until_reinstated(&self.order).await;
        vec![account, self.check_one(shop, &successor, model).await]
    }

    async fn check_one(&self, shop: &Shop, order: &str, model: &Model) -> Account {
        shop.until(order, model.status).await;
        let account = Account::of(shop, order).await;
        let name = format!("{} as {order}: {:#?}", self.name(), account.exceptions);
        assert_eq!(account.order.status, model.status, "{name}");
        assert_eq!(account.order.payment_status, model.payment_status(), "{name}");
        // A refund that was told before its capture is unexplained until the capture is known.
        let explained = |it: &&Exception| it.kind != "refund_unexplained" || it.state == "open";
        for is_open in [true, false] {
            let state = if is_open { "open" } else { "resolved" };
            let wanted = account.exceptions.iter().filter(explained).filter(|it| it.state == state);
            let mut kinds: Vec<&str> = wanted.map(|it| it.kind.as_str()).collect();
            kinds.sort_unstable();
            assert_eq!(kinds, model.exceptions(is_open), "{state} exceptions of {name}");
        }
        let back: i64 = account.refunded().map(|refund| refund.amount).sum();
        assert_eq!(back, model.refunded(), "refunds of {name}");
        let story = shop.story(order).await;
        for (kind, times) in model.told() {
            let told = story.iter().filter(|it| *it == kind).count();
            assert_eq!(told, times, "{kind} on the timeline of {name}: {story:?}");
        }
        account
    }
}

/// Every rule meets every kind of money, in some cells.
fn rules(money: Money, webhook: Webhook, state: State) -> Rules {
    let cell = money as usize + webhook as usize + state as usize;
    // Whether the rule or the dashboard gives it back first would be chance.
    let by_hand = money == Money::RefundedAtProvider && matches!(state, State::Expired | State::Cancelled);
    match cell % 3 {
        0 if by_hand => Rules::ASK,
        0 => Rules::DEFAULT,
        1 => Rules::ASK,
        _ => Rules::KEEP,
    }
}
