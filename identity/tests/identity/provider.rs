//! What a token of the shop's identity provider has to say, its keys being at hand.

use identity::{Error, ProviderClaims, Refused};
use serde_json::{Value, json};

use crate::{
    harness::{AUDIENCE, Ed25519, P256, after_s, b64, now, provider_claims, provider_claims_with},
    key_server::KeyServer,
    vectors::openssl,
};

struct Provider {
    server: KeyServer,
    key: Ed25519,
}

impl Provider {
    async fn start() -> Self {
        let key = Ed25519::new(1);
        Self { server: KeyServer::start(&[key.jwk("ed")]).await, key }
    }

    async fn verify(&self, token: &str) -> Result<ProviderClaims, Error> {
        self.server.provider().verify(token, now()).await
    }

    /// A token that says this.
    async fn says(&self, claims: &Value) -> Result<ProviderClaims, Error> {
        self.verify(&self.key.token("ed", claims)).await
    }

    async fn refuses(&self, claims: &Value) -> Refused {
        refusal(self.says(claims).await)
    }
}

pub fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> Refused {
    match result {
        Err(Error::Refused(refused)) => refused,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_algorithm() {
    let p256 = P256::new();
    let made = openssl();
    let mut keys = made["keys"].as_array().unwrap().clone();
    keys.push(p256.jwk("ours"));
    let server = KeyServer::start(&keys).await;
    let provider = server.provider();
    for id in ["ed", "es", "rs"] {
        let claims = provider.verify(made["tokens"][id].as_str().unwrap(), now()).await.unwrap();
        assert_eq!(claims.sub, "user-1");
        assert_eq!(claims.email.as_deref(), Some("ann@example.org"));
        assert_eq!(claims.name.as_deref(), Some("Ann"));
    }
    assert!(provider.verify(&p256.token("ours", &provider_claims()), now()).await.is_ok());
    assert_eq!(
        refusal(provider.verify(&p256.token("es", &provider_claims()), now()).await),
        Refused::Signature
    );
    assert_eq!(
        refusal(provider.verify(&p256.token("rs", &provider_claims()), now()).await),
        Refused::Algorithm
    );
    let small = made["tokens"]["small"].as_str().unwrap();
    assert_eq!(refusal(provider.verify(small, now()).await), Refused::UnknownKey, "1024 bits are no key");
}

#[tokio::test]
async fn issuer_audience_and_subject() {
    let provider = Provider::start().await;
    let with = provider_claims_with;
    assert_eq!(provider.refuses(&with("iss", json!("https://id.example/"))).await, Refused::Issuer);
    assert_eq!(provider.refuses(&with("iss", Value::Null)).await, Refused::Malformed);
    for other in [json!("other"), json!(["other"]), json!([]), json!({ "holdfast": true }), Value::Null] {
        assert_eq!(provider.refuses(&with("aud", other)).await, Refused::Audience);
    }
    assert!(provider.says(&with("aud", json!(["other", AUDIENCE]))).await.is_ok());
    for nobody in [json!(""), json!("a b"), json!("a\nb"), json!("x".repeat(256))] {
        assert_eq!(provider.refuses(&with("sub", nobody)).await, Refused::Subject);
    }
    assert_eq!(provider.refuses(&with("sub", json!(7))).await, Refused::Malformed);
    assert!(provider.says(&with("sub", json!("auth0|5f7c8ec7c33c6c004bbafe82"))).await.is_ok());
}

#[tokio::test]
async fn the_providers_clock_is_not_ours() {
    let provider = Provider::start().await;
    let at = async |name: &str, seconds: i64| {
        let claims = provider_claims_with(name, json!(after_s(seconds).as_second()));
        provider.says(&claims).await.err().map(|error| refusal::<()>(Err(error)))
    };
    assert_eq!(at("exp", -29).await, None);
    assert_eq!(at("exp", -30).await, Some(Refused::Expired));
    assert_eq!(at("nbf", 30).await, None);
    assert_eq!(at("nbf", 31).await, Some(Refused::NotYetValid));
    assert!(provider.says(&provider_claims_with("exp", json!(1_800_000_001.5))).await.is_ok());
    for time in [json!("soon"), Value::Null, json!(1e300), json!(-1e300), json!(i64::MAX), json!([1])] {
        assert_eq!(provider.refuses(&provider_claims_with("exp", time.clone())).await, Refused::Malformed);
        assert_eq!(provider.refuses(&provider_claims_with("nbf", time)).await, Refused::Malformed);
    }
    let mut endless = provider_claims();
    endless.as_object_mut().unwrap().remove("exp");
    assert_eq!(provider.refuses(&endless).await, Refused::Malformed);
}

#[tokio::test]
async fn an_address_is_theirs_unless_the_provider_says_otherwise() {
    let provider = Provider::start().await;
    let email = async |verified: Value| {
        provider.says(&provider_claims_with("email_verified", verified)).await.unwrap().email
    };
    for yes in [json!(true), json!("true")] {
        assert!(email(yes).await.is_some());
    }
    for no in [json!(false), json!("false"), json!(0), Value::Null] {
        assert_eq!(email(no).await, None);
    }
    for (name, odd) in
        [("email", json!(7)), ("name", json!({})), ("name", json!(" ")), ("name", json!("x".repeat(201)))]
    {
        let claims = provider.says(&provider_claims_with(name, odd)).await.unwrap();
        assert!(claims.email.is_none() || claims.name.is_none(), "it is left out, and turns nobody away");
        assert!(!format!("{claims:?}").contains("user-1"));
    }
}

#[tokio::test]
async fn the_kind_of_token() {
    let provider = Provider::start().await;
    let kind = async |kind: Option<&str>| {
        let mut header = json!({ "alg": "EdDSA", "kid": "ed" });
        if let Some(kind) = kind {
            header["typ"] = json!(kind);
        }
        provider.verify(&provider.key.sign(&header, &provider_claims())).await.map(|_| ())
    };
    for good in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        assert_eq!(kind(Some(good)).await, Ok(()), "{good}");
    }
    for bad in [None, Some(""), Some("logout+jwt"), Some("dpop+jwt"), Some("secevent+jwt")] {
        assert_eq!(kind(bad).await, Err(Refused::Type.into()), "{bad:?}");
    }
}

#[tokio::test]
async fn a_token_without_the_name_of_its_key() {
    let provider = Provider::start().await;
    let header = json!({ "alg": "EdDSA", "typ": "JWT" });
    let token = provider.key.sign(&header, &provider_claims());
    assert!(provider.verify(&token).await.is_ok(), "there is but one");
    let two = KeyServer::start(&[provider.key.jwk("ed"), Ed25519::new(2).jwk("other")]).await;
    assert_eq!(refusal(two.provider().verify(&token, now()).await), Refused::UnknownKey);
}

#[tokio::test]
async fn forged_tokens() {
    let provider = Provider::start().await;
    let stranger = Ed25519::new(9);
    assert_eq!(refusal(provider.verify(&stranger.token("ed", &provider_claims())).await), Refused::Signature);
    let injected = json!({ "alg": "EdDSA", "typ": "JWT", "kid": "ed", "jwk": stranger.jwk("ed"),
                           "jku": "http://127.0.0.1:1/keys", "x5c": [b64("x")] });
    let token = stranger.sign(&injected, &provider_claims());
    assert_eq!(refusal(provider.verify(&token).await), Refused::Signature);
    let unsigned = json!({ "alg": "none", "typ": "JWT", "kid": "ed" });
    let token = crate::harness::assemble(&unsigned, &provider_claims(), "");
    assert_eq!(refusal(provider.verify(&token).await), Refused::Algorithm);
    assert_eq!(provider.server.fetches(), 1);
}
