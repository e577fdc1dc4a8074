//! The `Stripe-Signature` header: HMAC-SHA256 over `time.body`. <https://docs.stripe.com/webhooks/signatures>

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

const HEADER: &str = "stripe-signature";
/// How far the signer's clock may be from ours.
const TOLERANCE_S: u64 = 300;
/// Stripe sends one for each secret in use.
const MAX_SIGNATURES: usize = 16;

/// Says why, if no secret signed this body within the last minutes.
pub(super) fn verify(
    secrets: &[String],
    headers: &HeaderMap,
    body: &[u8],
    now_s: i64,
) -> Result<(), &'static str> {
    let header = headers.get(HEADER).and_then(|value| value.to_str().ok());
    let pairs: Vec<_> =
        header.ok_or("Stripe-Signature is missing")?.split(',').filter_map(|it| it.split_once('=')).collect();
    let named = |name| pairs.iter().filter(move |(n, _)| n.trim() == name).map(|(_, value)| value.trim());
    let time = named("t").next().ok_or("Stripe-Signature has no time")?;
    let time_s: i64 = time.parse().map_err(|_| "Stripe-Signature has no time")?;
    // Other schemes than v1 are not signatures: v0 is for tests.
    let sent: Vec<_> = named("v1").take(MAX_SIGNATURES).collect();
    let genuine = secrets.iter().any(|secret| {
        let expected = sign(secret, time, body);
        sent.iter().any(|signature| bool::from(expected.as_bytes().ct_eq(signature.as_bytes())))
    });
    if !genuine {
        return Err("the signature does not fit the body");
    }
    if now_s.abs_diff(time_s) > TOLERANCE_S {
        return Err("the time of the signature is too far from now");
    }
    Ok(())
}

fn sign(secret: &str, time: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_x";
    /// Made by Stripe's own library for Python, 16.1.0: `generate_signature_header("{}", "whsec_x", 1000)`.
    const SIGNED: &str = "0944eda1d221748c796dbc44bc872ca0ae71f44440bb374028a3865326815c70";

    fn check(secrets: &[&str], header: &str, body: &[u8], now_s: i64) -> Result<(), &'static str> {
        let secrets: Vec<_> = secrets.iter().map(|&secret| secret.to_owned()).collect();
        let headers = [(HEADER.parse().expect("name"), header.parse().expect("value"))];
        verify(&secrets, &headers.into_iter().collect(), body, now_s)
    }

    #[test]
    fn stripes_own_signature_passes_within_five_minutes_either_way() {
        let header = format!("t=1000,v1={SIGNED}");
        for now_s in [700, 1000, 1300] {
            assert_eq!(check(&[SECRET], &header, b"{}", now_s), Ok(()));
        }
        for now_s in [699, 1301, i64::MIN, i64::MAX] {
            assert!(check(&[SECRET], &header, b"{}", now_s).is_err());
        }
    }

    #[test]
    fn any_of_several_secrets_and_signatures_will_do() {
        let header = format!("t=1000,v1=00,v1={SIGNED},v0=11");
        assert_eq!(check(&["whsec_new", SECRET], &header, b"{}", 1000), Ok(()));
        assert!(check(&["whsec_new"], &header, b"{}", 1000).is_err());
    }

    #[test]
    fn a_changed_body_time_or_scheme_is_refused() {
        assert!(check(&[SECRET], &format!("t=1000,v1={SIGNED}"), b"{ }", 1000).is_err());
        assert!(check(&[SECRET], &format!("t=1001,v1={SIGNED}"), b"{}", 1000).is_err());
        assert!(check(&[SECRET], &format!("t=+1000,v1={SIGNED}"), b"{}", 1000).is_err());
        assert!(check(&[SECRET], &format!("t=1000,v0={SIGNED}"), b"{}", 1000).is_err());
        assert!(check(&[SECRET], &format!("v1={SIGNED}"), b"{}", 1000).is_err());
        for header in ["", "t=", "t=x,v1=", "t=1000,v1=", "t=1000", ",,,=", "t=99999999999999999999,v1=0"] {
            assert!(check(&[SECRET], header, b"{}", 1000).is_err(), "{header}");
        }
        assert!(verify(&[SECRET.to_owned()], &HeaderMap::new(), b"{}", 1000).is_err());
    }
}
