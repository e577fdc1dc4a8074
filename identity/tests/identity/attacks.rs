//! What somebody may send who has no key of ours, or a token that is not for us.

use std::sync::LazyLock;

use identity::{Refused, jws::Unverified};
use proptest::prelude::*;
use ring::hmac;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{ACCOUNT, Ed25519, after_s, assemble, b64, now, our_tokens, parts, secret, tokens_of};

static TOKEN: LazyLock<String> = LazyLock::new(|| our_tokens().issue(ACCOUNT, Uuid::nil(), now()).token);

fn refused(token: &str) -> Refused {
    our_tokens().verify(token, now()).expect_err("a forged token")
}

/// A good token's parts, the header changed.
fn with_header(name: &str, value: Value) -> (Value, Value) {
    let (mut header, claims) = parts(&TOKEN);
    header[name] = value;
    (header, claims)
}

fn signature() -> &'static str {
    TOKEN.rsplit('.').next().unwrap()
}

#[test]
fn another_key() {
    let (header, claims) = parts(&TOKEN);
    assert_eq!(refused(&Ed25519::new(9).sign(&header, &claims)), Refused::Signature);
}

#[test]
fn the_name_of_another_key() {
    let both = tokens_of(&[secret("a"), secret("b")]);
    let other = tokens_of(&[secret("b")]);
    let kid = other.keys().jwks()["keys"][0]["kid"].clone();
    let (header, claims) = with_header("kid", kid);
    let token = format!("{}.{}.{}", b64(header.to_string()), b64(claims.to_string()), signature());
    assert_eq!(both.verify(&token, now()), Err(Refused::Signature));
    assert_eq!(refused(&token), Refused::UnknownKey);
    for nobody in [json!("nobody"), json!(""), json!("../../dev/null")] {
        let (header, claims) = with_header("kid", nobody);
        assert_eq!(refused(&assemble(&header, &claims, "")), Refused::UnknownKey);
    }
}

#[test]
fn no_signature() {
    let (header, claims) = with_header("alg", json!("none"));
    assert_eq!(refused(&assemble(&header, &claims, "")), Refused::Algorithm);
    for none in ["None", "NONE", "nOnE", "", "eddsa", "RS384", "PS256", "ES384", "HS256"] {
        let (header, claims) = with_header("alg", json!(none));
        assert_eq!(refused(&assemble(&header, &claims, "")), Refused::Algorithm, "{none}");
    }
    // The right name, and nothing behind it.
    let (header, claims) = parts(&TOKEN);
    assert_eq!(refused(&assemble(&header, &claims, "")), Refused::Signature);
    assert_eq!(refused(&assemble(&header, &claims, [0; 64])), Refused::Signature);
}

#[test]
fn the_public_key_as_a_shared_secret() {
    let x = our_tokens().keys().jwks()["keys"][0]["x"].as_str().unwrap().to_owned();
    let (header, claims) = with_header("alg", json!("HS256"));
    let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, x.as_bytes()), signed.as_bytes());
    assert_eq!(refused(&format!("{signed}.{}", b64(tag))), Refused::Algorithm);
}

#[test]
fn an_algorithm_that_the_key_is_not_for() {
    for alg in ["RS256", "ES256"] {
        let (header, claims) = with_header("alg", json!(alg));
        assert_eq!(refused(&assemble(&header, &claims, [1; 64])), Refused::Algorithm, "{alg}");
    }
}

#[test]
fn a_key_of_its_own() {
    let attacker = Ed25519::new(9);
    let jwk = attacker.jwk("attacker");
    for (name, value) in [
        ("jwk", jwk.clone()),
        ("jku", json!("https://attacker.example/keys")),
        ("x5u", json!("https://attacker.example/certificate")),
        ("x5c", json!([b64("a certificate")])),
    ] {
        let (header, claims) = with_header(name, value);
        assert_eq!(refused(&attacker.sign(&header, &claims)), Refused::Signature, "{name}");
        let mut unnamed = header;
        unnamed.as_object_mut().unwrap().remove("kid");
        assert_eq!(refused(&attacker.sign(&unnamed, &claims)), Refused::UnknownKey, "{name}");
    }
}

#[test]
fn another_kind_of_token() {
    let (_, claims) = parts(&TOKEN);
    let (header, _) = parts(&TOKEN);
    for kind in [json!("JWT"), json!("dpop+jwt"), json!("logout+jwt"), json!("")] {
        let mut header = header.clone();
        header["typ"] = kind;
        assert_eq!(refused(&assemble(&header, &claims, [0; 64])), Refused::Type);
    }
    let mut header = header;
    header.as_object_mut().unwrap().remove("typ");
    assert_eq!(refused(&assemble(&header, &claims, [0; 64])), Refused::Type);
}

#[test]
fn an_old_token() {
    assert_eq!(our_tokens().verify(&TOKEN, after_s(901)), Err(Refused::Expired));
}

#[test]
fn what_is_no_token() {
    let (header, claims) = parts(&TOKEN);
    let good = TOKEN.as_str();
    let raw = |header: &str| format!("{}.{}.{}", b64(header), b64("{}"), b64([0; 64]));
    let twice = raw(r#"{"alg":"EdDSA","alg":"none","typ":"at+jwt"}"#);
    let twice_escaped = raw(r#"{"alg":"EdDSA","\u0061lg":"none","typ":"at+jwt"}"#);
    let crit = with_header("crit", json!(["b64"])).0;
    let no_crit = with_header("crit", json!([])).0;
    for (token, why) in [
        (String::new(), "nothing"),
        ("..".to_owned(), "three empty parts"),
        (good.rsplit_once('.').unwrap().0.to_owned(), "two parts"),
        (format!("{good}."), "four parts"),
        (format!("{good}.AAAA"), "four parts"),
        (format!("{good}=="), "padding"),
        (format!("{good} "), "a space"),
        (format!("Bearer {good}"), "a header's word"),
        (good.replace('.', "=."), "padding"),
        (assemble(&crit, &claims, [0; 64]), "an extension"),
        (assemble(&no_crit, &claims, [0; 64]), "a list of no extensions"),
        (assemble(&json!(["EdDSA"]), &claims, [0; 64]), "a header that is no object"),
        (assemble(&json!({ "alg": 7 }), &claims, [0; 64]), "an algorithm that is no text"),
        (assemble(&json!({}), &claims, [0; 64]), "no algorithm"),
        (twice, "a name twice"),
        (twice_escaped, "a name twice, written in two ways"),
        (format!("{}{good}", "A".repeat(8 * 1024)), "too long"),
        (assemble(&header, &json!("x".repeat(8 * 1024)), [0; 64]), "too long"),
    ] {
        assert_eq!(refused(&token), Refused::Malformed, "{why}");
    }
}

proptest! {
    #[test]
    fn one_changed_byte_is_refused(at in any::<prop::sample::Index>(), change in 1..=255_u8) {
        let mut bytes = TOKEN.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        if let Ok(token) = String::from_utf8(bytes) {
            prop_assert!(our_tokens().verify(&token, now()).is_err(), "{at}");
        }
    }

    #[test]
    fn reading_never_panics(token in ".{0,200}") {
        if let Ok(token) = Unverified::parse(&token) {
            let _ = (token.claimed_issuer(), token.key_id(), token.kind());
        }
    }

    #[test]
    fn reading_parts_never_panics(header in any::<Vec<u8>>(), payload in any::<Vec<u8>>()) {
        let token = format!("{}.{}.AAAA", b64(header), b64(payload));
        prop_assert!(our_tokens().verify(&token, now()).is_err());
    }

    #[test]
    fn claims_never_panic(payload in any::<Vec<u8>>()) {
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "k" });
        let token = format!("{}.{}.AAAA", b64(header.to_string()), b64(payload));
        let _ = Unverified::parse(&token).unwrap().claimed_issuer();
    }
}
