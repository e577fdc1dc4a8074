//! Refunds. Most are `PROCESSING` at first; the end comes by webhook or is looked up.

use domain::payment::RefundReport;
use serde::Serialize;

use super::{
    CURRENCY, WechatPay,
    payments::{checked, cut, refuse},
    types::RefundAnswer,
};
use crate::{Error, NewRefund, client::unavailable};

/// WeChat Pay's limit for what the payer reads.
const MAX_REASON_BYTES: usize = 80;

#[derive(Serialize)]
struct RefundRequest<'a> {
    out_trade_no: &'a str,
    out_refund_no: &'a str,
    reason: &'a str,
    notify_url: &'a str,
    amount: RefundAmount,
}

#[derive(Serialize)]
struct RefundAmount {
    refund: i64,
    total: i64,
    currency: &'static str,
}

impl WechatPay {
    /// `out_refund_no` makes it safe to repeat: WeChat Pay answers with the refund it has.
    pub(super) async fn make_refund(&self, new: &NewRefund) -> Result<RefundReport, Error> {
        if [new.money, new.captured].iter().any(|money| money.currency.code() != CURRENCY) {
            return Err(refuse("CURRENCY", "only CNY can be refunded"));
        }
        let out_refund_no = new.refund.uuid().simple().to_string();
        let request = RefundRequest {
            out_trade_no: &new.attempt.provider_payment_id,
            out_refund_no: &out_refund_no,
            reason: cut(&new.reason, MAX_REASON_BYTES),
            notify_url: &self.notify_url,
            amount: RefundAmount { refund: new.money.amount, total: new.captured.amount, currency: CURRENCY },
        };
        let answer = self.client.post(&["v3", "refund", "domestic", "refunds"], &request).await?;
        understood(answer, &out_refund_no)
    }

    pub(super) async fn find_refund(&self, out_refund_no: &str) -> Result<RefundReport, Error> {
        let path = ["v3", "refund", "domestic", "refunds", checked(out_refund_no)?];
        understood(self.client.get(&path, &[]).await?, out_refund_no)
    }
}

fn understood(answer: RefundAnswer, out_refund_no: &str) -> Result<RefundReport, Error> {
    answer
        .report()
        .filter(|refund| refund.provider_refund_id == out_refund_no)
        .ok_or_else(|| unavailable("the state of the refund is not understood"))
}
