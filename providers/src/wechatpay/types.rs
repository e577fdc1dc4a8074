//! What WeChat Pay says, as far as it concerns us. What it says of the payer (`openid`, bank, account) is
//! not even read, so it cannot get into a log.

use domain::{
    OrderId, RefundId, Timestamp,
    money::{Currency, Money},
    payment::{RefundReport, RefundState},
};
use serde::Deserialize;

use super::{CURRENCY, NAME};
use crate::{Attempt, AttemptState};

/// An order of theirs, which is an attempt of ours: the answer to a query, and in a webhook.
#[derive(Deserialize)]
pub struct Transaction {
    pub mchid: String,
    pub out_trade_no: String,
    pub trade_state: String,
    attach: Option<String>,
    success_time: Option<Timestamp>,
    /// Only promised once it is paid.
    amount: Option<Amount>,
}

#[derive(Deserialize)]
struct Amount {
    /// What the order costs, in fen. The payer may have paid less, with a coupon of WeChat Pay's.
    total: i64,
    currency: Option<String>,
}

impl Transaction {
    /// `None` for a word or a currency that we do not know, or captured money without an amount.
    pub fn attempt(self) -> Option<Attempt> {
        let state = attempt_state(&self.trade_state)?;
        let money = match self.amount {
            Some(Amount { total, currency }) => money(total, currency.as_deref())?,
            None if state == AttemptState::Succeeded => return None,
            None => money(0, None)?,
        };
        Some(Attempt {
            provider_payment_id: self.out_trade_no,
            state,
            state_text: self.trade_state,
            money,
            captured_at: self.success_time.filter(|_| state == AttemptState::Succeeded),
        })
    }

    pub fn order(&self) -> Option<OrderId> {
        self.attach.as_deref().and_then(|attach| attach.parse().ok())
    }
}

/// A refund. Queries call its state `status`, webhooks `refund_status`.
#[derive(Deserialize)]
pub struct RefundAnswer {
    pub mchid: Option<String>,
    out_refund_no: String,
    out_trade_no: String,
    #[serde(alias = "refund_status")]
    status: String,
    amount: RefundAmount,
}

#[derive(Deserialize)]
struct RefundAmount {
    refund: i64,
    currency: Option<String>,
}

impl RefundAnswer {
    pub fn report(self) -> Option<RefundReport> {
        Some(RefundReport {
            provider: NAME.to_owned(),
            event_id: String::new(),
            refund: refund_id(&self.out_refund_no),
            state: refund_state(&self.status)?,
            state_text: self.status,
            money: money(self.amount.refund, self.amount.currency.as_deref())?,
            provider_refund_id: self.out_refund_no,
            payment_id: self.out_trade_no,
        })
    }
}

fn attempt_state(word: &str) -> Option<AttemptState> {
    match word {
        "SUCCESS" | "REFUND" => Some(AttemptState::Succeeded),
        "NOTPAY" | "USERPAYING" | "PAYERROR" => Some(AttemptState::Open),
        "CLOSED" => Some(AttemptState::Cancelled),
        "REVOKED" => Some(AttemptState::Failed),
        _ => None,
    }
}

fn refund_state(word: &str) -> Option<RefundState> {
    match word {
        "PROCESSING" => Some(RefundState::Pending),
        "SUCCESS" => Some(RefundState::Succeeded),
        "CLOSED" | "ABNORMAL" => Some(RefundState::Failed),
        _ => None,
    }
}

/// Refunds in webhooks say no currency: it is the one of the merchant.
pub fn money(fen: i64, currency: Option<&str>) -> Option<Money> {
    Money::parse(fen, Currency::parse(currency.unwrap_or(CURRENCY)).ok()?).ok()
}

/// `out_refund_no` of ours, read back.
pub fn refund_id(out_refund_no: &str) -> Option<RefundId> {
    format!("{}{out_refund_no}", RefundId::PREFIX).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_kept_apart_and_an_unknown_word_is_no_state() {
        let of = |state: &str| {
            let amount = r#","amount":{"total":5}"#;
            let text = format!(r#"{{"mchid":"1","out_trade_no":"a","trade_state":"{state}"{amount}}}"#);
            let attempt = serde_json::from_str::<Transaction>(&text).unwrap().attempt();
            attempt.map(|attempt| (attempt.state, attempt.state_text))
        };
        for (word, state) in [
            ("SUCCESS", AttemptState::Succeeded),
            ("REFUND", AttemptState::Succeeded),
            ("NOTPAY", AttemptState::Open),
            ("USERPAYING", AttemptState::Open),
            ("PAYERROR", AttemptState::Open),
            ("CLOSED", AttemptState::Cancelled),
            ("REVOKED", AttemptState::Failed),
        ] {
            assert_eq!(of(word), Some((state, word.to_owned())));
        }
        assert_eq!(of("ACCEPT"), None);
        assert_eq!(refund_state("PROCESSING"), Some(RefundState::Pending));
        assert_eq!(refund_state("ABNORMAL"), Some(RefundState::Failed));
        assert_eq!(refund_state("CHANGE"), None);
    }

    #[test]
    fn captured_money_without_an_amount_is_not_believed() {
        let of = |state: &str| {
            let text = format!(r#"{{"mchid":"1","out_trade_no":"a","trade_state":"{state}"}}"#);
            serde_json::from_str::<Transaction>(&text).unwrap().attempt()
        };
        assert_eq!(of("SUCCESS"), None);
        assert_eq!(of("NOTPAY").map(|attempt| attempt.money.amount), Some(0));
    }
}
