//! Attempts: opened, looked up, closed.

use domain::{PaymentId, Timestamp};
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{CURRENCY, Method, WechatPay, types::Transaction};
use crate::{Attempt, AttemptState, Error, NewAttempt, Opened, client::unavailable};

/// WeChat Pay's limit for what the payer reads.
const MAX_DESCRIPTION_BYTES: usize = 127;

#[derive(Serialize)]
struct Prepay<'a> {
    appid: &'a str,
    mchid: &'a str,
    description: &'a str,
    out_trade_no: &'a str,
    time_expire: String,
    attach: String,
    notify_url: &'a str,
    amount: PrepayAmount,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<Payer<'a>>,
}

#[derive(Serialize)]
struct PrepayAmount {
    total: i64,
    currency: &'static str,
}

#[derive(Serialize)]
struct Payer<'a> {
    openid: &'a str,
}

#[derive(Deserialize)]
struct NativeAnswer {
    code_url: String,
}

#[derive(Deserialize)]
struct JsapiAnswer {
    prepay_id: String,
}

impl WechatPay {
    /// A repeat with the same facts gives the same order of theirs, as long as it is open. Refused because
    /// it was paid or closed meanwhile, it gives what became of it, and nothing for the client.
    pub(super) async fn open_attempt(&self, new: &NewAttempt) -> Result<Opened, Error> {
        let out_trade_no = out_trade_no(new.payment);
        let prepay = self.prepay_of(new, &out_trade_no)?;
        let refused = match self.prepay(&prepay).await {
            Ok(client) => return Ok(Opened { attempt: unpaid(out_trade_no, new), client }),
            Err(error @ Error::Refused { .. }) => error,
            Err(error) => return Err(error),
        };
        match self.find_attempt(&out_trade_no).await {
            Ok(attempt) if attempt.state != AttemptState::Open => Ok(Opened { attempt, client: Value::Null }),
            // It may have been paid: no final word.
            Err(error @ Error::Unavailable(_)) => Err(error),
            _ => Err(without_payer(refused, new.payer.as_deref())),
        }
    }

    async fn prepay(&self, prepay: &Prepay<'_>) -> Result<Value, Error> {
        let path = |method| ["v3", "pay", "transactions", method];
        match self.method {
            Method::Native => {
                let NativeAnswer { code_url } = self.client.post(&path("native"), prepay).await?;
                Ok(json!({ "code_url": code_url }))
            }
            Method::Jsapi => {
                let JsapiAnswer { prepay_id } = self.client.post(&path("jsapi"), prepay).await?;
                #[expect(clippy::disallowed_methods, reason = "signatures are dated by the real time")]
                let now = Timestamp::now();
                self.jsapi_client(&prepay_id, now)
            }
        }
    }

    fn prepay_of<'a>(&'a self, new: &'a NewAttempt, out_trade_no: &'a str) -> Result<Prepay<'a>, Error> {
        if new.money.currency.code() != CURRENCY {
            return Err(refuse("CURRENCY", "only CNY can be paid"));
        }
        let payer = match (self.method, new.payer.as_deref()) {
            (Method::Native, _) => None,
            (Method::Jsapi, Some(openid)) => Some(Payer { openid }),
            (Method::Jsapi, None) => return Err(refuse("PAYER", "the payer's openid is needed")),
        };
        Ok(Prepay {
            appid: &self.app_id,
            mchid: &self.client.merchant().id,
            description: cut(&new.description, MAX_DESCRIPTION_BYTES),
            out_trade_no,
            time_expire: beijing_time(new.expires_at),
            attach: new.order.to_string(),
            notify_url: &self.notify_url,
            amount: PrepayAmount { total: new.money.amount, currency: CURRENCY },
            payer,
        })
    }

    /// What `requestPayment` wants, signed by the merchant.
    fn jsapi_client(&self, prepay_id: &str, now: Timestamp) -> Result<Value, Error> {
        let key = &self.client.merchant().key;
        let cannot = |_| unavailable("the payment cannot be signed");
        let (timestamp, nonce) = (now.as_second().to_string(), key.nonce().map_err(cannot)?);
        let package = format!("prepay_id={prepay_id}");
        let message = format!("{}\n{timestamp}\n{nonce}\n{package}\n", self.app_id);
        Ok(json!({
            "appId": self.app_id,
            "timeStamp": timestamp,
            "nonceStr": nonce,
            "package": package,
            "signType": "RSA",
            "paySign": key.sign(message.as_bytes()).map_err(cannot)?,
        }))
    }

    pub(super) async fn find_attempt(&self, out_trade_no: &str) -> Result<Attempt, Error> {
        let path = ["v3", "pay", "transactions", "out-trade-no", checked(out_trade_no)?];
        let merchant = [("mchid", self.client.merchant().id.clone())];
        let found: Transaction = self.client.get(&path, &merchant).await?;
        if found.out_trade_no != out_trade_no {
            return Err(unavailable("the answer is about another payment"));
        }
        found.attempt().ok_or_else(|| unavailable("the state of the payment is not understood"))
    }

    /// Closes, then looks: closing is answered with the same 204 for an order that never was.
    pub(super) async fn close_attempt(&self, out_trade_no: &str) -> Result<Attempt, Error> {
        let path = ["v3", "pay", "transactions", "out-trade-no", checked(out_trade_no)?, "close"];
        let close = self.client.command(&path, &json!({ "mchid": self.client.merchant().id })).await;
        let refused = match close {
            Ok(_) => None,
            Err(error @ Error::Unavailable(_)) => return Err(error),
            Err(error) => Some(error),
        };
        let attempt = self.find_attempt(out_trade_no).await?;
        match (attempt.state, refused) {
            (AttemptState::Open, Some(why)) => {
                Err(Error::Unavailable(format!("{} and not closed: {why}", attempt.state_text)))
            }
            (AttemptState::Open, None) if attempt.state_text == "PAYERROR" => {
                Ok(Attempt { state: AttemptState::Failed, ..attempt })
            }
            (AttemptState::Open, None) => {
                Err(Error::Unavailable(format!("closed, but still said to be {}", attempt.state_text)))
            }
            _ => Ok(attempt),
        }
    }
}

/// An attempt just opened.
fn unpaid(out_trade_no: String, new: &NewAttempt) -> Attempt {
    Attempt {
        provider_payment_id: out_trade_no,
        state: AttemptState::Open,
        state_text: "NOTPAY".to_owned(),
        money: new.money,
        captured_at: None,
    }
}

fn out_trade_no(payment: PaymentId) -> String {
    payment.uuid().simple().to_string()
}

/// An id that can stand in a path. What WeChat Pay would never have taken, it does not know.
pub(super) fn checked(id: &str) -> Result<&str, Error> {
    let taken = |c: char| c.is_ascii_alphanumeric() || "_-|*@".contains(c);
    match (1..=64).contains(&id.len()) && id.chars().all(taken) {
        true => Ok(id),
        false => Err(Error::NotFound),
    }
}

pub(super) fn refuse(code: &str, detail: &str) -> Error {
    Error::Refused { code: code.to_owned(), detail: detail.to_owned() }
}

/// The refusal without the payer's id, should it quote it.
fn without_payer(error: Error, payer: Option<&str>) -> Error {
    match (error, payer) {
        (Error::Refused { code, detail }, Some(payer)) if !payer.is_empty() => {
            Error::Refused { code, detail: detail.replace(payer, "(payer)") }
        }
        (error, _) => error,
    }
}

/// The beginning of a text, whole characters.
pub(super) fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

/// Whole seconds, as in `2018-06-08T10:34:56+08:00`.
fn beijing_time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::fixed(BEIJING)).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// China has one time, without summer time.
pub(super) const BEIJING: Offset = jiff::tz::offset(8);
