//! Ids carry their type: `ord_`, `pay_`, `exc_`, then a UUIDv7 in 32 hex digits.
//!
//! UUIDv7 sorts by time, so "newest first" is an index scan and an id doubles as a page cursor.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Invalid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        #[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
        pub struct $name(Uuid);

        #[cfg(feature = "utoipa")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::Type::String)
                    .pattern(Some(concat!("^", $prefix, "[0-9a-f]{32}$")))
                    .into()
            }
        }

        #[cfg(feature = "utoipa")]
        impl utoipa::ToSchema for $name {}

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            /// An id of the moment `at`; `random` must come from the operating system.
            pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
                let ms = u64::try_from(at.as_millisecond()).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
            }

            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                text.strip_prefix($prefix)
                    .filter(|hex| hex.len() == 32 && !hex.contains(|c: char| c.is_ascii_uppercase()))
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or_else(|| Invalid::new("id", concat!("must be an id like ", $prefix, "0192...")))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }
    };
}

id!(
    /// An order. Also the id of its workflow.
    OrderId,
    "ord_"
);
id!(
    /// One payment attempt of an order, as we number it.
    PaymentId,
    "pay_"
);
id!(
    /// One refund, as we number it.
    RefundId,
    "re_"
);
id!(
    /// One dispute about a payment, as we number it.
    DisputeId,
    "dsp_"
);
id!(
    /// Something a person must look at.
    ExceptionId,
    "exc_"
);
id!(
    /// A change that was asked of an order.
    ChangeId,
    "chg_"
);
id!(
    /// An API key: not the key itself, which is a secret.
    ApiKeyId,
    "key_"
);

id!(
    /// Where a shop wants our events sent.
    WebhookEndpointId,
    "whe_"
);

id!(
    /// A customer's account. It stands for the customer in orders.
    AccountId,
    "acc_"
);
id!(
    /// A code that was mailed for an account. Also the id of its workflow.
    AccountCodeId,
    "cod_"
);
id!(
    /// A customer's session, from signing in to signing out.
    SessionId,
    "ses_"
);

/// A movement in the ledger: numbered in the order in which they happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
pub struct MovementId(i64);

impl MovementId {
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for MovementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mov_{}", self.0)
    }
}

impl FromStr for MovementId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.strip_prefix("mov_")
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .map(Self)
            .ok_or_else(|| Invalid::new("id", "must be an id like mov_123"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_sort_by_time_and_refuse_other_types() {
        let early = OrderId::new(Timestamp::from_second(1_700_000_000).expect("in range"), [9; 10]);
        let late = OrderId::new(Timestamp::from_second(1_700_000_001).expect("in range"), [0; 10]);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse::<OrderId>(), Ok(early));
        let as_payment = early.to_string().replace("ord_", "pay_");
        assert!(as_payment.parse::<OrderId>().is_err());
        assert!(early.to_string().to_uppercase().parse::<OrderId>().is_err());
    }
}
