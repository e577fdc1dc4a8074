//! Tokens of our own accounts.

use identity::{AccessTokens, Refused};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use crate::harness::{ACCOUNT, AUDIENCE, OUR_ISSUER, after_s, now, our_tokens, parts};

const SESSION: Uuid = Uuid::from_u128(7);

#[test]
fn a_token_says_what_rfc_9068_wants() {
    let issued = our_tokens().issue(ACCOUNT, SESSION, now());
    assert_eq!(issued.expires_in_s, 900);
    let (header, claims) = parts(&issued.token);
    let kid = our_tokens().keys().jwks()["keys"][0]["kid"].clone();
    assert_eq!(header, json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": kid }));
    let id = claims["jti"].as_str().unwrap();
    assert!(Uuid::try_parse(id).is_ok());
    let wanted = json!({
        "iss": OUR_ISSUER, "aud": AUDIENCE, "sub": ACCOUNT, "client_id": "holdfast",
        "iat": 1_800_000_000, "exp": 1_800_000_900, "jti": id, "sid": SESSION,
    });
    assert_eq!(claims, wanted);

    let read = our_tokens().verify(&issued.token, now()).unwrap();
    assert_eq!((read.account.as_str(), read.session), (ACCOUNT, SESSION));
    assert_eq!((read.issued_at, read.expires_at), (now(), after_s(900)));
    assert_eq!(read.token_id, id);

    let again = our_tokens().issue(ACCOUNT, SESSION, now());
    assert_ne!(again.token, issued.token, "each token has a name of its own");
    assert!(!format!("{issued:?}").contains(&issued.token));
}

#[test]
fn a_token_has_its_time() {
    let tokens = our_tokens();
    let token = tokens.issue(ACCOUNT, SESSION, now()).token;
    let at = |seconds| tokens.verify(&token, after_s(seconds)).map(|_| ());
    assert_eq!(at(899), Ok(()));
    assert_eq!(at(900), Err(Refused::Expired), "to the second: both ends are ours");
    assert_eq!(at(-30), Ok(()), "another machine's clock may be ahead");
    assert_eq!(at(-31), Err(Refused::NotYetValid));
    assert_eq!(tokens.verify(&token, Timestamp::MAX), Err(Refused::Expired));
    assert_eq!(tokens.verify(&token, Timestamp::MIN), Err(Refused::NotYetValid));
    let within = now() + SignedDuration::from_millis(899_999);
    assert!(tokens.verify(&token, within).is_ok());
}

#[test]
fn a_token_is_for_one_audience_by_one_issuer() {
    let keys = our_tokens().keys().clone();
    let token = our_tokens().issue(ACCOUNT, SESSION, now()).token;
    let other = |issuer: &str, audience: &str| {
        AccessTokens::new(keys.clone(), issuer.to_owned(), audience.to_owned())
            .verify(&token, now())
            .map(|_| ())
    };
    assert_eq!(other(OUR_ISSUER, AUDIENCE), Ok(()));
    assert_eq!(other(OUR_ISSUER, "elsewhere"), Err(Refused::Audience));
    assert_eq!(other("https://shop.example/", AUDIENCE), Err(Refused::Issuer));
}

#[test]
fn a_token_is_about_an_account() {
    for nobody in ["", "cus_1", "ACC_1", "user-1"] {
        let token = our_tokens().issue(nobody, SESSION, now()).token;
        assert_eq!(our_tokens().verify(&token, now()), Err(Refused::Subject), "{nobody}");
    }
}
