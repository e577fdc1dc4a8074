//! What is known of an order, beyond the order itself, as far as an action's consequences are told by it.

use domain::api_key::Scope;

use super::Action;
use crate::{
    documents::{List, Mail, Order, Payment},
    failure::Failure,
    operator::Operator,
    view::money,
};

/// What has become of money that was paid and cannot go back.
const GONE: &str = "went back before, is on its way, or is in dispute";

pub struct Known {
    pub order: Order,
    /// What can go back now. None: whoever looks may not see it, or it cannot be had.
    refundable: Option<i64>,
    pub mails_came_back: bool,
}

/// What can go back of all payments of an order.
pub fn refundable(payments: &List<Payment>) -> i64 {
    payments.data.iter().map(|payment| payment.refundable).sum()
}

impl Known {
    pub(super) async fn load(operator: &Operator, path: &str, action: Action) -> Result<Self, Failure> {
        let order: Order = operator.get(path).await?;
        let mut known = Self { order, refundable: None, mails_came_back: false };
        if matches!(action, Action::Cancel | Action::Refund) {
            let path = format!("{path}/payments");
            let payments = operator.part::<List<Payment>>(Scope::PaymentsRead, &path).await?;
            known.refundable = payments.told().map(refundable);
        }
        if action == Action::NewCode {
            let mails = operator.part::<List<Mail>>(Scope::OrdersRead, &format!("{path}/mails")).await?;
            let came_back = |all: &List<Mail>| all.data.iter().any(|mail| mail.state == "bounced");
            known.mails_came_back = mails.told().is_some_and(came_back);
        }
        Ok(known)
    }

    pub fn if_cancelled(&self) -> Vec<String> {
        let told = match self.order.status.as_str() {
            "awaiting_payment" => {
                "The customer is told by mail, and money that comes later is late. It cannot be undone."
            }
            _ => "The customer is told by mail. It cannot be undone.",
        };
        let mut all: Vec<String> = self.goes_back().into_iter().collect();
        all.push("What is set aside for the order is for sale again.".to_owned());
        all.push(told.to_owned());
        all
    }

    /// What becomes of the money if the order is cancelled. None: none came.
    fn goes_back(&self) -> Option<String> {
        if self.order.amount_paid == 0 {
            return None;
        }
        let paid = self.paid();
        if self.order.status == "awaiting_payment" {
            return Some(format!(
                "What came towards it so far, {paid}, is money for an ended order then: it goes back, or \
                 waits for somebody to decide, as the order's rules say."
            ));
        }
        Some(match self.refundable {
            None => format!("What is left of the {paid} that were paid goes back to the payer."),
            Some(0) => format!("Nothing goes back: the {paid} that were paid {GONE}."),
            Some(left) if left == self.order.amount_paid => {
                format!("All that was paid goes back to the payer: {paid}.")
            }
            Some(left) => {
                let left = self.money(left);
                format!("{left} go back to the payer: the rest of the {paid} that were paid {GONE}.")
            }
        })
    }

    /// What a refund can be of.
    pub fn can_go_back(&self) -> String {
        let paid = self.paid();
        if self.order.status == "awaiting_payment" {
            return "Nothing can go back yet: what came towards the order does when it ends.".to_owned();
        }
        match self.refundable {
            None => format!("{paid} were paid. What went back of it does not go back again."),
            Some(0) => format!("Nothing can go back: the {paid} that were paid {GONE}."),
            Some(left) if left == self.order.amount_paid => {
                format!("All that was paid can go back: {paid}.")
            }
            Some(left) => {
                format!("{} can go back: the rest of the {paid} that were paid {GONE}.", self.money(left))
            }
        }
    }

    fn paid(&self) -> String {
        self.money(self.order.amount_paid)
    }

    fn money(&self, amount: i64) -> String {
        money(amount, &self.order.currency)
    }
}
