//! Tokens of both kinds side by side.

use identity::{AccessTokens, Error, Refused, Subject, Tokens};
use serde_json::json;
use uuid::Uuid;

use crate::{
    harness::{
        ACCOUNT, AUDIENCE, Ed25519, OUR_ISSUER, PROVIDER, now, our_tokens, provider_claims,
        provider_claims_with,
    },
    key_server::{Answer, KeyServer},
    provider::refusal,
};

#[tokio::test]
async fn each_issuers_tokens_are_judged_by_its_keys() {
    let key = Ed25519::new(1);
    let server = KeyServer::start(&[key.jwk("k")]).await;
    let tokens = Tokens::new(Some(our_tokens()), Some(server.provider())).unwrap();

    let session = Uuid::from_u128(7);
    let ours = our_tokens().issue(ACCOUNT, session, now()).token;
    let account = Subject::Account { id: ACCOUNT.to_owned(), session };
    assert_eq!(tokens.verify(&ours, now()).await.unwrap(), account);
    assert_eq!(server.fetches(), 0, "our own tokens ask nobody");

    let theirs = key.token("k", &provider_claims());
    let Subject::Customer(claims) = tokens.verify(&theirs, now()).await.unwrap() else { panic!() };
    assert_eq!(claims.sub, "user-1");

    // Who says to be us, and has the provider's key.
    let posing = key.sign(
        &json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "k" }),
        &provider_claims_with("iss", json!(OUR_ISSUER)),
    );
    assert_eq!(refusal(tokens.verify(&posing, now()).await), Refused::UnknownKey);
    for stranger in [json!("https://elsewhere.example"), json!("")] {
        let token = key.token("k", &provider_claims_with("iss", stranger));
        assert_eq!(refusal(tokens.verify(&token, now()).await), Refused::Issuer);
    }
    let nobody = key.token("k", &provider_claims_with("iss", json!(7)));
    assert_eq!(refusal(tokens.verify(&nobody, now()).await), Refused::Malformed);
    assert_eq!(refusal(tokens.verify("", now()).await), Refused::Malformed);
}

#[tokio::test]
async fn the_provider_names_none_of_our_accounts() {
    let key = Ed25519::new(1);
    let server = KeyServer::start(&[key.jwk("k")]).await;
    let tokens = Tokens::new(Some(our_tokens()), Some(server.provider())).unwrap();
    for sub in [ACCOUNT, "acc_", "acc_1", "ACC_1"] {
        let token = key.token("k", &provider_claims_with("sub", json!(sub)));
        assert_eq!(refusal(tokens.verify(&token, now()).await), Refused::Subject, "{sub}");
    }
    for sub in ["acc", "a", "account_1", "é_acc"] {
        let token = key.token("k", &provider_claims_with("sub", json!(sub)));
        assert!(tokens.verify(&token, now()).await.is_ok(), "{sub}");
    }
}

#[tokio::test]
async fn what_is_not_configured_is_not_believed() {
    let key = Ed25519::new(1);
    let server = KeyServer::start(&[key.jwk("k")]).await;
    let ours = our_tokens().issue(ACCOUNT, Uuid::nil(), now()).token;
    let theirs = key.token("k", &provider_claims());
    let only_ours = Tokens::new(Some(our_tokens()), None).unwrap();
    let only_theirs = Tokens::new(None, Some(server.provider())).unwrap();
    assert!(only_ours.verify(&ours, now()).await.is_ok());
    assert!(only_theirs.verify(&theirs, now()).await.is_ok());
    assert_eq!(refusal(only_ours.verify(&theirs, now()).await), Refused::Issuer);
    assert_eq!(refusal(only_theirs.verify(&ours, now()).await), Refused::Issuer);
    assert_eq!(refusal(Tokens::default().verify(&ours, now()).await), Refused::Issuer);

    let keys = our_tokens().keys().clone();
    let same = AccessTokens::new(keys, PROVIDER.to_owned(), AUDIENCE.to_owned());
    assert!(Tokens::new(Some(same), Some(server.provider())).is_err(), "one issuer for both");
}

#[tokio::test]
async fn our_own_tokens_are_good_while_the_provider_is_away() {
    let key = Ed25519::new(1);
    let server = KeyServer::start(&[]).await;
    server.answers(Answer::Status(503));
    let tokens = Tokens::new(Some(our_tokens()), Some(server.provider())).unwrap();
    let theirs = tokens.verify(&key.token("k", &provider_claims()), now()).await;
    assert!(matches!(theirs, Err(Error::Unavailable(_))), "{theirs:?}");
    let ours = our_tokens().issue(ACCOUNT, Uuid::nil(), now()).token;
    assert!(tokens.verify(&ours, now()).await.is_ok());
}
