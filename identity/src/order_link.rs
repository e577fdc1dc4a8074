//! Links by which a customer acts on one order without signing in. A link says what it is for, of which
//! order, and until when, and is signed; it is stored nowhere. An order's links have a generation: whoever
//! raises it has revoked all that were made before.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{OrderId, Timestamp};
use ring::hmac;
use uuid::Uuid;

use crate::keys::{NoSecret, Secret};

const LINKS: &[u8] = b"links to orders, HMAC-SHA256, 1";
/// What it is for, the order, its generation and its end in seconds.
const SIGNED_LENGTH: usize = 1 + 16 + 4 + 8;
const SIGNATURE_LENGTH: usize = 32;
/// What is longer is no token, and not looked at.
const MAX_TOKEN: usize = 100;

/// What a link opens. None of them opens what another does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The order's page: see how it stands, pay, cancel.
    Page,
    /// No more reminders. It stands in a mail's header, which more programs read than its text.
    Unsubscribe,
}

impl Purpose {
    const fn byte(self) -> u8 {
        match self {
            Self::Page => b'p',
            Self::Unsubscribe => b'u',
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Page, Self::Unsubscribe].into_iter().find(|it| it.byte() == byte)
    }
}

/// What stands in a link. Its end is in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderLink {
    pub purpose: Purpose,
    pub order: OrderId,
    pub generation: u32,
    pub expires_at: Timestamp,
}

impl OrderLink {
    fn bytes(&self) -> Vec<u8> {
        [
            &[self.purpose.byte()],
            self.order.uuid().as_bytes().as_slice(),
            &self.generation.to_be_bytes(),
            &self.expires_at.as_second().to_be_bytes(),
        ]
        .concat()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (purpose, rest) = bytes.split_first()?;
        let (order, rest) = rest.split_first_chunk::<16>()?;
        let (generation, rest) = rest.split_first_chunk::<4>()?;
        Some(Self {
            purpose: Purpose::of(*purpose)?,
            order: OrderId::from_uuid(Uuid::from_bytes(*order)),
            generation: u32::from_be_bytes(*generation),
            expires_at: Timestamp::from_second(i64::from_be_bytes(rest.try_into().ok()?)).ok()?,
        })
    }
}

/// The keys that links are signed with. The first signs; each of them verifies.
#[derive(Clone)]
pub struct LinkKeys(Arc<[hmac::Key]>);

impl fmt::Debug for LinkKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKeys(..)")
    }
}

impl LinkKeys {
    /// # Errors
    /// [`NoSecret`] if there is none.
    pub fn derive(secrets: &[Secret]) -> Result<Self, NoSecret> {
        let key = |secret: &Secret| hmac::Key::new(hmac::HMAC_SHA256, secret.derive(LINKS).as_ref());
        match secrets.is_empty() {
            true => Err(NoSecret),
            false => Ok(Self(secrets.iter().map(key).collect())),
        }
    }

    /// The token of a link: letters, digits, `-` and `_`. The same for the same link.
    pub fn sign(&self, link: &OrderLink) -> String {
        let signed = link.bytes();
        let signature = hmac::sign(&self.0[0], &signed);
        URL_SAFE_NO_PAD.encode([&signed, signature.as_ref()].concat())
    }

    /// What a token says, if we have signed it and it has not ended. Whether its generation is the order's,
    /// the caller looks up.
    pub fn verify(&self, token: &str, purpose: Purpose, now: Timestamp) -> Option<OrderLink> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (signed, signature) = bytes.split_at_checked(SIGNED_LENGTH)?;
        let is_ours =
            self.0.iter().fold(false, |ours, key| ours | hmac::verify(key, signed, signature).is_ok());
        let link = OrderLink::read(signed)?;
        let is_good = is_ours && signature.len() == SIGNATURE_LENGTH && link.purpose == purpose;
        (is_good && now < link.expires_at).then_some(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secrets: &[&str]) -> LinkKeys {
        let secrets: Vec<Secret> = secrets.iter().map(|it| Secret::parse(it).expect("long")).collect();
        LinkKeys::derive(&secrets).expect("there is one")
    }

    const OLD: &str = "an old secret of at least 32 bytes";
    const NEW: &str = "a new secret of at least 32 bytes..";

    #[test]
    fn a_link_is_good_for_what_it_says_and_until_it_ends() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let order = OrderId::from_uuid(Uuid::from_u128(7));
        let link = OrderLink { purpose: Purpose::Page, order, generation: 3, expires_at: at(1000) };
        let token = keys(&[OLD]).sign(&link);
        assert_eq!(keys(&[OLD]).verify(&token, Purpose::Page, at(999)), Some(link));
        assert_eq!(keys(&[NEW, OLD]).verify(&token, Purpose::Page, at(999)), Some(link));
        assert_eq!(keys(&[OLD]).verify(&token, Purpose::Page, at(1000)), None, "it has ended");
        assert_eq!(keys(&[OLD]).verify(&token, Purpose::Unsubscribe, at(999)), None, "for something else");
        assert_eq!(keys(&[NEW]).verify(&token, Purpose::Page, at(999)), None, "of somebody else");
    }

    #[test]
    fn no_character_of_a_token_can_be_another() {
        let order = OrderId::from_uuid(Uuid::from_u128(7));
        let link = OrderLink { purpose: Purpose::Page, order, generation: 0, expires_at: Timestamp::MAX };
        let keys = keys(&[OLD]);
        let token = keys.sign(&link);
        for i in 0..token.len() {
            let other = if &token[i..=i] == "A" { "B" } else { "A" };
            let altered = format!("{}{other}{}", &token[..i], &token[i + 1..]);
            assert_eq!(keys.verify(&altered, Purpose::Page, Timestamp::UNIX_EPOCH), None, "{altered}");
        }
        for altered in ["", "A", &token[1..], &format!("{token}A"), &format!("{token}="), &"A".repeat(5000)] {
            assert_eq!(keys.verify(altered, Purpose::Page, Timestamp::UNIX_EPOCH), None, "{altered}");
        }
    }
}
