//! Somebody who does at random whatever can be done to one order and its money: the customer, the shop, the
//! provider and its staff, and the network between them.

use serde_json::{Value, json};

use super::table_cells::TOTAL;
use crate::harness::{
    Api, Provider, SeededRng,
    documents::{Exception, Payment},
};

pub struct Player {
    pub order: String,
    pub rng: SeededRng,
    pub api: Api,
    pub provider: Provider,
    /// What was done, for whoever reads of a failure.
    pub done: Vec<String>,
}

/// A policy, out of all that there are.
pub fn policy(rng: &mut SeededRng) -> Value {
    let mut pick = |choices: &[&'static str]| *rng.pick(choices).unwrap();
    json!({
        "reminders": [],
        "payment_window": "PT20H",
        "grace": pick(&["PT0S", "PT3H"]),
        "fulfilment": pick(&["immediate", "manual"]),
        "late_payment": pick(&["refund", "reinstate", "exception"]),
        "overpayment": pick(&["refund_difference", "exception"]),
        "underpayment": pick(&["refund", "exception", "accumulate"]),
        "duplicate_payment": pick(&["refund", "exception"]),
    })
}

impl Player {
    pub async fn act(&mut self) {
        for _ in 0..2 {
            self.act_once().await;
        }
    }

    async fn act_once(&mut self) {
        match self.rng.below(20) {
            0..=2 => self.open_attempt().await,
            3..=6 => self.capture().await,
            7 => self.fail().await,
            8 => self.pay_directly().await,
            9 => self.ask("cancel", json!({}), &[200, 409]).await,
            10 => self.ask("fulfil", json!({}), &[200, 409]).await,
            11 => self.extend().await,
            12 => self.skip_time().await,
            13 | 14 => self.refund().await,
            15 if self.rng.one_in(3) => self.end_anew().await,
            15 => self.refund_by_hand().await,
            16 => self.faults().await,
            17 => self.deliver().await,
            18 => self.resolve().await,
            _ => self.refresh().await,
        }
    }

    fn note(&mut self, act: impl Into<String>, answer: impl std::fmt::Display) {
        self.done.push(format!("{} -> {answer}", act.into()));
    }

    /// Asks our API about the order; the answer must be one of these, or 202 while no worker decides, or 503.
    async fn ask(&mut self, what: &str, body: Value, allowed: &[u16]) {
        let answer = self.api.post(&format!("/v1/orders/{}/{what}", self.order), &body).await;
        let status = answer.status.as_u16();
        self.note(format!("{what} {body}"), status);
        assert!(
            [202, 503].contains(&status) || allowed.contains(&status),
            "{what} {body}: {answer:?}\n{:#?}",
            self.done
        );
    }

    async fn open_attempt(&mut self) {
        self.ask("payments", json!({}), &[201, 409]).await;
    }

    async fn extend(&mut self) {
        let hours = 24 + self.rng.amount(24);
        let due = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
        self.ask("extend", json!({"payment_due_at": due}), &[200, 409, 422]).await;
    }

    async fn skip_time(&mut self) {
        let path = format!("/v1/sandbox/orders/{}/fast-forward", self.order);
        let answer = self.api.post(&path, &json!({"duration": "PT11H"})).await;
        let status = answer.status.as_u16();
        self.note("11 hours later", status);
        assert!(matches!(status, 200 | 503), "{answer:?}");
    }

    async fn refund(&mut self) {
        let mut body = json!({"reason": "chance", "restock": self.rng.one_in(2)});
        if self.rng.one_in(2) {
            body["amount"] = json!(self.rng.amount(TOTAL));
        }
        self.ask("refunds", body, &[201, 409]).await;
    }

    async fn refresh(&mut self) {
        let payments = self.api.list::<Payment>(&format!("/v1/orders/{}/payments", self.order)).await.data;
        if let Some(payment) = self.rng.pick(&payments) {
            let what = format!("payments/{}/refresh", payment.id);
            self.ask(&what, json!({}), &[200]).await;
        }
    }

    /// Amount and currency: mostly right.
    fn money(&mut self) -> Value {
        match self.rng.below(8) {
            0 => json!({"amount": TOTAL + self.rng.amount(500)}),
            1 => json!({"amount": self.rng.amount(TOTAL - 1)}),
            2 => json!({"amount": TOTAL, "currency": "USD"}),
            _ => json!({"amount": TOTAL}),
        }
    }

    /// The sandbox's payments for the order.
    async fn known_at_sandbox(&self) -> Vec<String> {
        self.provider.payments(&self.order).await.into_iter().map(|payment| payment.id).collect()
    }

    async fn sandbox(&mut self, path: String, body: Value) {
        let status = self.provider.post(&path, &body).await.status.as_u16();
        self.note(format!("{path} {body}"), status);
        // 422: nothing is left to give back.
        assert!(matches!(status, 200 | 409 | 422), "{:#?}", self.done);
    }

    async fn capture(&mut self) {
        let payments = self.known_at_sandbox().await;
        let Some(payment) = self.rng.pick(&payments) else { return };
        let mut how = self.money();
        how["late"] = json!(!self.rng.one_in(3));
        self.sandbox(format!("/payer/payments/{payment}/capture"), how).await;
    }

    async fn fail(&mut self) {
        let payments = self.known_at_sandbox().await;
        let Some(payment) = self.rng.pick(&payments) else { return };
        let retry = json!({"retry": self.rng.one_in(2)});
        self.sandbox(format!("/payer/payments/{payment}/fail"), retry).await;
    }

    /// Without an attempt; one in four names an order that we do not know.
    async fn pay_directly(&mut self) {
        let money = self.money();
        let order = match self.rng.one_in(4) {
            true => format!("ord_{}", uuid_like(&mut self.rng)),
            false => self.order.clone(),
        };
        let amount = money["amount"].as_i64().unwrap();
        let paid = self.provider.pay(&order, amount, money.clone()).await.is(200);
        let payment = paid["payment_id"].as_str().unwrap();
        self.note(format!("{order} is paid {money}"), payment);
        if order != self.order && self.rng.one_in(2) {
            self.sandbox(format!("/dashboard/payments/{payment}/refunds"), json!({})).await;
        }
    }

    async fn refund_by_hand(&mut self) {
        let payments = self.known_at_sandbox().await;
        let Some(payment) = self.rng.pick(&payments) else { return };
        let amount = if self.rng.one_in(2) { json!({}) } else { json!({"amount": self.rng.amount(TOTAL)}) };
        self.sandbox(format!("/dashboard/payments/{payment}/refunds"), amount).await;
    }

    /// The bank takes a refund back, or one that failed is settled by hand.
    async fn end_anew(&mut self) {
        let refunds = self.provider.payments(&self.order).await.into_iter().flat_map(|it| it.refunds);
        let refunds: Vec<_> = refunds.filter(|refund| refund.state != "pending").collect();
        let Some(refund) = self.rng.pick(&refunds) else { return };
        let to = if refund.state == "succeeded" { "failed" } else { "succeeded" };
        let path = format!("/dashboard/refunds/{}/settle", refund.id);
        self.sandbox(path, json!({"state": to, "late": true})).await;
    }

    async fn faults(&mut self) {
        let webhooks = *self.rng.pick(&["send", "lose", "hold"]).unwrap();
        let refunds = *self.rng.pick(&["succeed", "succeed", "pend", "fail"]).unwrap();
        let faults = json!({"webhooks": webhooks, "refunds": refunds, "copies": self.rng.amount(3)});
        self.provider.faults_of(&self.order, faults.clone()).await;
        self.note(format!("faults {faults}"), "");
    }

    async fn deliver(&mut self) {
        match self.rng.below(3) {
            0 => self.provider.release_again(&self.order).await,
            n => self.provider.release(json!({"order_id": self.order, "reverse": n == 1})).await,
        }
        self.note("webhooks are sent", "");
    }

    async fn resolve(&mut self) {
        let mut mine = self.api.list::<Exception>("/v1/exceptions?state=open&limit=100").await.data;
        mine.retain(|it| it.order_id == self.order || it.order_id.is_empty());
        let Some(exception) = self.rng.pick(&mine) else { return };
        let action = *self.rng.pick(&["refund", "refund", "accept", "dismiss", "apply", "apply"]).unwrap();
        let path = format!("/v1/exceptions/{}/resolve", exception.id);
        let answer = self.api.post(&path, &json!({"action": action, "note": "chance"})).await;
        let status = answer.status.as_u16();
        self.note(format!("{action} {} of {}", exception.kind, exception.amount), status);
        assert!(matches!(status, 200 | 409), "{answer:?}\n{:#?}", self.done);
    }
}

fn uuid_like(rng: &mut SeededRng) -> String {
    (0..32).map(|i| if i == 12 { '7' } else { ['8', '9', 'a', 'b'][rng.below(4)] }).collect()
}
