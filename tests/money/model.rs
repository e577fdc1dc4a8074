//! What must become of money, told without looking at the product: one order, its rules, and what the
//! provider did, in the order in which it did it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// What the policy says about money that does not simply pay the order.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub late: &'static str,
    pub over: &'static str,
    pub under: &'static str,
    pub twice: &'static str,
}

impl Rules {
    pub const DEFAULT: Self = Self { late: "refund", over: "exception", under: "exception", twice: "refund" };
    pub const ASK: Self =
        Self { late: "exception", over: "refund_difference", under: "refund", twice: "exception" };
    pub const KEEP: Self =
        Self { late: "reinstate", over: "refund_difference", under: "exception", twice: "refund" };

    pub fn policy(&self, fulfilment: &str) -> Value {
        json!({"reminders": [], "fulfilment": fulfilment, "late_payment": self.late, "overpayment": self.over,
               "underpayment": self.under, "duplicate_payment": self.twice})
    }
}

#[derive(Debug, Clone)]
struct Payment {
    amount: i64,
    applied: i64,
}

/// An exception about the money of one payment; `is_open`, or settled by a refund.
#[derive(Debug, Clone)]
struct Exception {
    kind: &'static str,
    payment: usize,
    amount: i64,
    is_open: bool,
}

#[derive(Debug, Clone)]
pub struct Model {
    rules: Rules,
    total: i64,
    /// What a payment makes of the order.
    when_paid: &'static str,
    pub status: &'static str,
    payments: Vec<Payment>,
    exceptions: Vec<Exception>,
    /// What went back of what pays the order.
    own_refunds: i64,
    refunds: Vec<i64>,
    pub successor: Option<Box<Model>>,
}

impl Model {
    pub fn placed(rules: Rules, total: i64, when_paid: &'static str) -> Self {
        Self {
            rules,
            total,
            when_paid,
            status: "awaiting_payment",
            payments: Vec::new(),
            exceptions: Vec::new(),
            own_refunds: 0,
            refunds: Vec::new(),
            successor: None,
        }
    }

    fn has_ended_unpaid(&self) -> bool {
        matches!(self.status, "expired" | "cancelled")
    }

    /// The provider has captured this.
    pub fn captured(&mut self, amount: i64, currency: &str) {
        let fits = currency == "EUR";
        let is_exact = fits && amount == self.total;
        if self.has_ended_unpaid() && self.rules.late == "reinstate" && is_exact && self.successor.is_none() {
            let mut successor = Self::placed(self.rules, self.total, self.when_paid);
            successor.captured(amount, currency);
            self.successor = Some(Box::new(successor));
            return;
        }
        let payment = self.payments.len();
        self.payments.push(Payment { amount, applied: 0 });
        if self.has_ended_unpaid() {
            self.raise("order_closed", payment, amount, self.rules.late != "exception");
        } else if self.status != "awaiting_payment" {
            self.raise("paid_twice", payment, amount, self.rules.twice == "refund");
        } else if !fits {
            self.raise("wrong_currency", payment, amount, self.rules.under == "refund");
        } else if amount < self.total {
            self.raise("wrong_amount", payment, amount, self.rules.under == "refund");
        } else if amount > self.total && self.rules.over == "exception" {
            self.raise("wrong_amount", payment, amount, false);
        } else {
            self.payments[payment].applied = self.total;
            self.status = self.when_paid;
            if amount > self.total {
                self.raise("overpaid", payment, amount - self.total, true);
            }
        }
    }

    fn raise(&mut self, kind: &'static str, payment: usize, amount: i64, goes_back: bool) {
        self.exceptions.push(Exception { kind, payment, amount, is_open: !goes_back });
        if goes_back {
            self.refunds.push(amount);
        }
    }

    /// Somebody gave this much of the last captured payment back in the provider's dashboard.
    pub fn given_back(&mut self, amount: i64) {
        if let Some(successor) = &mut self.successor {
            return successor.given_back(amount);
        }
        let last = self.payments.len() - 1;
        self.refunds.push(amount);
        let of_it = |it: &&mut Exception| it.is_open && it.payment == last && it.amount == amount;
        if let Some(exception) = self.exceptions.iter_mut().find(of_it) {
            exception.is_open = false;
        } else {
            self.own_refunds += amount;
            assert!(self.own_refunds <= self.payments[last].applied, "the table has no such cell");
            if self.status == "paid" && self.own_refunds == self.total {
                self.status = "cancelled"; // it was not handed over, and is not any more
            }
        }
    }

    pub fn payment_status(&self) -> &'static str {
        let captured: i64 = self.payments.iter().map(|it| it.amount).sum();
        let refunded: i64 = self.refunds.iter().sum();
        let is_paid = self.payments.iter().any(|it| it.applied > 0);
        match refunded {
            0 if is_paid => "paid",
            0 => "unpaid",
            all if all == captured => "refunded",
            _ if is_paid && self.own_refunds > 0 => "partially_refunded",
            _ if is_paid => "paid",
            _ => "unpaid",
        }
    }

    pub fn refunded(&self) -> i64 {
        self.refunds.iter().sum()
    }

    /// Kinds, sorted.
    pub fn exceptions(&self, is_open: bool) -> Vec<&'static str> {
        let wanted = self.exceptions.iter().filter(|it| it.is_open == is_open);
        let mut kinds: Vec<_> = wanted.map(|it| it.kind).collect();
        kinds.sort_unstable();
        kinds
    }

    /// How often the timeline must tell of these.
    pub fn told(&self) -> BTreeMap<&'static str, usize> {
        let reinstated = usize::from(self.successor.is_some());
        let paid = usize::from(self.payments.iter().any(|it| it.applied > 0));
        [
            ("payment.received", self.payments.len() + reinstated),
            ("order.paid", paid),
            ("stock.committed", paid),
            ("order.reinstated", reinstated),
            ("payment.refunded", self.refunds.len()),
            ("exception.raised", self.exceptions.len()),
        ]
        .into()
    }

    /// Pieces sold and pieces on hold, if the order is of one piece; with its successor.
    pub fn pieces(&self) -> (i64, i64) {
        let is_sold = self.payments.iter().any(|it| it.applied > 0) && self.status != "cancelled";
        let sold = i64::from(is_sold);
        let held = i64::from(self.status == "awaiting_payment");
        let of_successor = self.successor.as_ref().map_or(0, |it| it.pieces().0);
        (sold + of_successor, held)
    }
}
