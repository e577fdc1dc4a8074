//! Mails are signed (DKIM), as somebody else's program finds.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rsa::{
    RsaPrivateKey,
    pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding},
};

use crate::{
    harness::{
        Setup, Shop,
        programs::{done, python},
        test_dir,
    },
    hosted_page::{env, reminded},
};

const VERIFIER: &str = "dkimpy[ed25519]==1.1.8";
/// Verifies a mail with a record that stands in no DNS; then that it is not good any more once it is altered.
const VERIFY: &str = r#"
import sys, dkim
mail, record = open(sys.argv[1], "rb").read(), sys.argv[2].encode()
asked = []
def dns(name, timeout=5):
    asked.append(name)
    return record
good = lambda mail: dkim.verify(mail, dnsfunc=dns)
assert good(mail), "not good"
assert asked == [b"mail2026._domainkey.shop.test."], asked
for before, after in [(b"Subject: ", b"Subject: X"), (b"From: ", b"From: x@evil.test\r\nFrom: "),
                      (b"List-Unsubscribe: <", b"List-Unsubscribe: <https://evil.test/>, <"),
                      (b"\r\n\r\n", b"\r\n\r\nX")]:
    assert before in mail, before
    assert not good(mail.replace(before, after, 1)), before
print("signed well")
"#;

async fn signed(key: String, record: String) {
    let mut env = env();
    env.push(("HOLDFAST_DKIM_KEY", key.clone()));
    env.push(("HOLDFAST_DKIM_SELECTOR", "mail2026".to_owned()));
    let shop = Shop::with(Setup { env, ..Setup::default() }).await;
    shop.stock("tea", 1250, 10).await;
    let (_, mail) = reminded(&shop, "fr").await;
    let file = test_dir().join("mail.eml");
    std::fs::write(&file, shop.raw_mail(&mail).await).unwrap();
    let (mut python, _) = python(VERIFIER).await;
    let said = done(python.args(["-c", VERIFY]).arg(&file).arg(&record)).await;
    assert!(said.contains("signed well"), "{said}");
    let secret = key.lines().nth(1).unwrap().to_owned();
    assert!(!shop.worker.as_ref().unwrap().log().contains(&secret));
    shop.close();
}

#[tokio::test]
async fn a_mail_is_signed_by_rsa() {
    let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
    let public = STANDARD.encode(key.to_public_key().to_public_key_der().unwrap().as_bytes());
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string();
    signed(pem, format!("v=DKIM1; k=rsa; p={public}")).await;
}

#[tokio::test]
async fn a_mail_is_signed_by_ed25519() {
    let der = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let key = Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap();
    let public = STANDARD.encode(key.public_key());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(&der));
    signed(pem, format!("v=DKIM1; k=ed25519; p={public}")).await;
}
