//! Examples that others made: those of the RFCs, and tokens of OpenSSL.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use identity::{
    Refused,
    jwk::{KeySet, PublicKey},
    jws::{Unverified, sign_ed25519},
};
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

const ED25519_D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
const ED25519_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const RFC8037_A4: &str = "\
    eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AI\
    bQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
const RFC7515_PAYLOAD: &str = "\
    eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const RFC7515_A2_N: &str = "\
    ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4Ql\
    L-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUs\
    LA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoud\
    F8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const RFC7515_A2_SIGNATURE: &str = "\
    cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujG\
    bds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K\
    0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6\
    LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const RFC7515_A3_SIGNATURE: &str = "\
    DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const RFC7638_N: &str = "\
    0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWK\
    RXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMic\
    AtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3\
    XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
const RFC7638_THUMBPRINT: &str = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
const RFC8037_A3_THUMBPRINT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

fn key(jwk: Value) -> PublicKey {
    PublicKey::from_jwk(jwk.as_object().unwrap()).expect("a key that we take")
}

fn ed25519() -> PublicKey {
    key(json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X }))
}

fn rsa(n: &str) -> PublicKey {
    key(json!({ "kty": "RSA", "n": n, "e": "AQAB" }))
}

fn p256() -> PublicKey {
    key(json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }))
}

fn verify(token: &str, key: &PublicKey) -> Result<Vec<u8>, Refused> {
    Unverified::parse(token)?.verify(key)
}

#[test]
fn rfc_8037_ed25519() {
    let seed = BASE64_URL_SAFE_NO_PAD.decode(ED25519_D).unwrap();
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let payload = b"Example of Ed25519 signing";
    assert_eq!(sign_ed25519(&pair, &json!({ "alg": "EdDSA" }), payload), RFC8037_A4);
    assert_eq!(verify(RFC8037_A4, &ed25519()).unwrap(), payload);
}

#[test]
fn rfc_7515_rsa_and_p256() {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(RFC7515_PAYLOAD).unwrap();
    let a2 = format!("eyJhbGciOiJSUzI1NiJ9.{RFC7515_PAYLOAD}.{RFC7515_A2_SIGNATURE}");
    assert_eq!(verify(&a2, &rsa(RFC7515_A2_N)).unwrap(), payload);
    let a3 = format!("eyJhbGciOiJFUzI1NiJ9.{RFC7515_PAYLOAD}.{RFC7515_A3_SIGNATURE}");
    assert_eq!(verify(&a3, &p256()).unwrap(), payload);

    assert_eq!(verify(&a2, &rsa(RFC7638_N)), Err(Refused::Signature));
    assert_eq!(verify(&a2, &p256()), Err(Refused::Algorithm));
    assert_eq!(verify(&a3, &ed25519()), Err(Refused::Algorithm));
}

#[test]
fn rfc_7638_thumbprints() {
    assert_eq!(rsa(RFC7638_N).thumbprint(), RFC7638_THUMBPRINT);
    assert_eq!(ed25519().thumbprint(), RFC8037_A3_THUMBPRINT);
}

/// Keys and tokens of OpenSSL 3, one for each algorithm: `openssl genpkey -algorithm ed25519` (`EC` with
/// `ec_paramgen_curve:P-256`, `RSA` with `rsa_keygen_bits:2048`), and header and payload in base64url signed
/// by `openssl pkeyutl -sign -rawin` (`openssl dgst -sha256 -sign`, whose DER of a P-256 signature is written
/// as its two numbers of 32 bytes). `small` is an RSA key of 1024 bits.
pub fn openssl() -> Value {
    serde_json::from_str(include_str!("openssl.json")).unwrap()
}

#[test]
fn tokens_of_openssl() {
    let made = openssl();
    let keys = KeySet::parse(made.to_string().as_bytes()).unwrap();
    assert_eq!(keys.len(), 3, "all but the small one");
    for id in ["ed", "es", "rs"] {
        let token = made["tokens"][id].as_str().unwrap();
        let read = Unverified::parse(token).unwrap();
        assert_eq!(read.key_id(), Ok(Some(id)));
        assert_eq!(read.claimed_issuer().as_deref(), Some("https://id.example"));
        let payload = read.verify(keys.find(Some(id)).unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap()["sub"], "user-1");
    }
    assert!(keys.find(Some("small")).is_none());
}

#[test]
fn keys_that_are_left_out() {
    let ed = json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X });
    let with = |name: &str, value: Value| {
        let mut jwk = ed.clone();
        jwk[name] = value;
        jwk
    };
    let small = openssl()["keys"][3].clone();
    for (jwk, why) in [
        (json!({ "kty": "oct", "k": ED25519_X, "alg": "HS256" }), "a shared secret"),
        (with("use", json!("enc")), "for encryption"),
        (with("key_ops", json!(["sign"])), "for signing alone"),
        (with("alg", json!("HS256")), "for another algorithm"),
        (with("alg", json!("RS256")), "for another algorithm"),
        (with("x", json!("AAAA")), "too short"),
        (with("x", json!(format!("{ED25519_X}="))), "padded"),
        (with("crv", json!("X25519")), "of another curve"),
        (with("kty", json!("EC")), "of another curve"),
        (small, "1024 bits"),
        (json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" }), "three bytes"),
        (json!({ "kty": "RSA", "n": "", "e": "AQAB" }), "nothing"),
        (json!({ "kty": "RSA", "n": RFC7515_A2_N, "e": "AQAB", "alg": "PS256" }), "for another algorithm"),
        (json!({ "kty": "RSA", "n": RFC7515_A2_N }), "half a key"),
    ] {
        assert!(PublicKey::from_jwk(jwk.as_object().unwrap()).is_none(), "{why}: {jwk}");
    }
    for jwk in [
        with("use", json!("sig")),
        with("key_ops", json!(["verify"])),
        with("alg", json!("EdDSA")),
        with("alg", json!("Ed25519")),
    ] {
        assert!(PublicKey::from_jwk(jwk.as_object().unwrap()).is_some(), "{jwk}");
    }
}

#[test]
fn sets_that_are_none() {
    for document in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, "<html>"] {
        assert!(KeySet::parse(document.as_bytes()).is_none(), "{document}");
    }
    assert!(KeySet::parse(br#"{"keys":[]}"#).unwrap().is_empty());
    assert!(KeySet::parse(br#"{"keys":[7,{}, {"kty":"oct"}]}"#).unwrap().is_empty());
}

/// An RSA modulus may be written with a zero before it.
#[test]
fn a_modulus_with_a_zero_before_it_is_the_same() {
    let n = BASE64_URL_SAFE_NO_PAD.decode(RFC7638_N).unwrap();
    let padded = BASE64_URL_SAFE_NO_PAD.encode([&[0], n.as_slice()].concat());
    assert_eq!(rsa(&padded), rsa(RFC7638_N));
}
