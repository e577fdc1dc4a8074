//! The links in mails: where a customer pays, and where they ask for no more reminders.

use domain::{OrderId, SignedDuration, Timestamp, order::Order};
use identity::{LinkKeys, OrderLink, Purpose};
use url::Url;

/// So long after its order was due, the order's page still shows what became of it.
const GOOD_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Where links lead. Without any, mails have none.
#[derive(Debug, Clone, Default)]
pub struct Links {
    keys: Option<LinkKeys>,
    /// Where customers reach the API; the order's page is below it.
    public_url: Option<Url>,
    /// The shop's own page instead: an address with `{order_id}`, and perhaps `{token}`.
    pay: Option<String>,
}

impl Links {
    /// # Errors
    /// What is wrong with which setting.
    pub fn new(keys: Option<LinkKeys>, public_url: Option<Url>, pay: Option<String>) -> Result<Self, String> {
        let wants_token = pay.as_ref().is_some_and(|pay| pay.contains("{token}"));
        if let Some(pay) = &pay {
            let sample = pay.replace("{order_id}", "ord_1").replace("{token}", "t");
            let is_page = Url::parse(&sample).is_ok_and(|it| matches!(it.scheme(), "https" | "http"));
            if !is_page || !pay.contains("{order_id}") || sample.contains(['{', '}']) {
                return Err("HOLDFAST_LINKS_PAY must look like \
                            https://shop.example/pay?order={order_id}&token={token}"
                    .to_owned());
            }
        }
        if keys.is_none() && (public_url.is_some() || wants_token) {
            let what = if wants_token { "{token} in HOLDFAST_LINKS_PAY" } else { "HOLDFAST_PUBLIC_URL" };
            return Err(format!("HOLDFAST_LINK_SECRET is not set, and {what} needs it"));
        }
        Ok(Self { keys, public_url, pay })
    }

    /// Where an order is paid. None: nobody has said where.
    pub fn pay_url(&self, order: &Order, generation: u32) -> Option<String> {
        let token = || {
            let expires_at = order.payment_due_at.checked_add(GOOD_FOR).unwrap_or(Timestamp::MAX);
            let link = OrderLink { purpose: Purpose::Page, order: order.id, generation, expires_at };
            self.keys.as_ref().map(|keys| keys.sign(&link)).unwrap_or_default()
        };
        match (&self.pay, &self.public_url) {
            (Some(pay), _) => {
                let pay = pay.replace("{order_id}", &order.id.to_string());
                Some(if pay.contains("{token}") { pay.replace("{token}", &token()) } else { pay })
            }
            (None, Some(base)) => Some(below(base, &token(), "")),
            (None, None) => None,
        }
    }

    /// Where reminders of an order are stopped. For ever: it is good as long as there are mails to find it
    /// in.
    pub fn stop_url(&self, order: OrderId) -> Option<String> {
        let (keys, base) = (self.keys.as_ref()?, self.public_url.as_ref()?);
        let (purpose, expires_at) = (Purpose::Unsubscribe, Timestamp::MAX);
        let link = OrderLink { purpose, order, generation: 0, expires_at };
        Some(below(base, &keys.sign(&link), "/unsubscribe"))
    }
}

/// A page of the API's, as customers reach it.
fn below(base: &Url, token: &str, page: &str) -> String {
    format!("{}/o/{token}{page}", base.as_str().trim_end_matches('/'))
}
