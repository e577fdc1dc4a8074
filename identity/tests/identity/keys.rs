//! Our keys: where they come from, and what is published of them.

use std::slice::from_ref;

use identity::{CodeKeys, Secret, SigningKeys, jwk::KeySet};
use uuid::Uuid;

use crate::harness::{now, secret, tokens_of};

#[test]
fn a_secret_is_long_enough_and_never_shown() {
    assert!(Secret::parse(&"x".repeat(31)).unwrap_err().contains("at least 32 bytes"));
    let secret = Secret::parse(&"visible!".repeat(4)).unwrap();
    let signing = SigningKeys::derive(from_ref(&secret)).unwrap();
    let codes = CodeKeys::derive(from_ref(&secret)).unwrap();
    let shown = format!("{secret:?} {signing:?} {codes:?}");
    assert!(!shown.contains("visible"), "{shown}");
    assert!(SigningKeys::derive(&[]).is_err());
    assert!(CodeKeys::derive(&[]).is_err());
}

/// These follow from the secret alone: another version that derives others signs everybody out. Made with
/// Python's `cryptography` (`HKDF`, `Ed25519PrivateKey`) and `hmac`.
#[test]
fn keys_stay_what_they_are() {
    let signing = SigningKeys::derive(&[secret("a")]).unwrap();
    assert_eq!(signing.jwks()["keys"][0]["kid"], "jIVaSTpCYMtT-BSWsreVGXZuj5_d_jVzLMdDL3_5zmE");
    let codes = CodeKeys::derive(&[secret("a")]).unwrap();
    let hash: String = codes.hash(Uuid::nil(), "123456").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "ccbdd947847b13c226771bb21f6ec13a2443ed794130b4310f4f7952d98c70c4");
}

#[test]
fn what_is_published_is_public_and_verifies() {
    let keys = SigningKeys::derive(&[secret("a"), secret("b")]).unwrap();
    let jwks = keys.jwks();
    for jwk in jwks["keys"].as_array().unwrap() {
        let names: Vec<&str> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x"], "and no `d`");
        assert_eq!((&jwk["use"], &jwk["alg"]), (&"sig".into(), &"EdDSA".into()));
    }
    let published = KeySet::parse(jwks.to_string().as_bytes()).unwrap();
    assert_eq!(published.len(), 2);
    let id = jwks["keys"][0]["kid"].as_str();
    assert_eq!(published.find(id).unwrap().thumbprint(), id.unwrap());
    assert!(published.find(None).is_none(), "there is more than one");
}

#[test]
fn one_secret_takes_the_place_of_another() {
    let (old, new) = (secret("a"), secret("b"));
    let session = Uuid::nil();
    let token = tokens_of(from_ref(&old)).issue("acc_1", session, now()).token;
    assert!(tokens_of(&[new.clone(), old.clone()]).verify(&token, now()).is_ok());
    assert!(tokens_of(from_ref(&new)).verify(&token, now()).is_err());

    let kept = CodeKeys::derive(from_ref(&old)).unwrap().hash(session, "123456");
    assert!(CodeKeys::derive(&[new.clone(), old]).unwrap().matches(session, "123456", &kept));
    assert!(!CodeKeys::derive(&[new]).unwrap().matches(session, "123456", &kept));
}

#[test]
fn a_code_is_good_for_one_thing() {
    let keys = CodeKeys::derive(&[secret("a")]).unwrap();
    let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let hash = keys.hash(one, "123456");
    assert!(keys.matches(one, "123456", &hash));
    assert!(!keys.matches(other, "123456", &hash));
    for code in ["123457", "12345", "1234567", "", "123456 "] {
        assert!(!keys.matches(one, code, &hash), "{code}");
    }
    for hash in [&hash[..31], &[], &[hash.as_slice(), &[0]].concat()] {
        assert!(!keys.matches(one, "123456", hash));
    }
    assert_ne!(keys.hash(other, "123456"), hash);
}
