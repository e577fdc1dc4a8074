//! Tokens of the shop's own identity provider, for customers who have an account there and none with us.

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Error, Refused,
    claims::{Claims, LEEWAY},
    jws::Unverified,
    known_signatures::KnownSignatures,
    provider_keys::ProviderKeys,
};

/// OpenID Connect allows for no longer ones.
const MAX_SUBJECT: usize = 255;
const MAX_EMAIL: usize = 254;
const MAX_NAME: usize = 200;
/// Access tokens of RFC 9068, and what most providers call theirs.
const KINDS: [&str; 2] = ["at+jwt", "jwt"];

/// Which provider, and what its tokens have to say.
#[derive(Debug, Clone)]
pub struct Config {
    /// What stands in `iss`, letter by letter.
    pub issuer: String,
    /// Where its public keys are: an https address, or one on this machine.
    pub jwks_url: String,
    /// What stands in `aud`, among others.
    pub audience: String,
}

/// Verifies the tokens of one provider. Clones share its keys.
#[derive(Clone)]
pub struct IdentityProvider {
    issuer: String,
    audience: String,
    keys: ProviderKeys,
    signatures: KnownSignatures,
}

/// What a good token of the provider says of the customer. Not shown by `Debug`: it is personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderClaims {
    /// The customer's id at the provider: 1 to 255 characters, each of them seen.
    pub sub: String,
    /// Only if the provider does not say that it is unverified.
    pub email: Option<String>,
    pub name: Option<String>,
}

impl std::fmt::Debug for ProviderClaims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProviderClaims(..)")
    }
}

impl IdentityProvider {
    /// Asks nobody yet: the provider may be away when we start.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(config: Config) -> Result<Self, &'static str> {
        let Config { issuer, jwks_url, audience } = config;
        if issuer.is_empty() || audience.is_empty() {
            return Err("the identity provider needs an issuer and an audience");
        }
        let (keys, signatures) = (ProviderKeys::new(&jwks_url)?, KnownSignatures::default());
        Ok(Self { issuer, audience, keys, signatures })
    }

    /// What stands in `iss` of each of its tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// # Errors
    /// Why it is no token of the provider that is good now, or that nobody can say.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<ProviderClaims, Error> {
        self.judge(Unverified::parse(token)?, now).await
    }

    pub(crate) async fn judge(&self, token: Unverified<'_>, now: Timestamp) -> Result<ProviderClaims, Error> {
        if !token.kind()?.is_some_and(|kind| KINDS.contains(&kind.as_str())) {
            return Err(Refused::Type.into());
        }
        let key = self.keys.find(token.key_id()?, now).await?;
        let claims = Claims::parse(&self.signatures.verify(token, &key)?)?;
        Ok(self.read(&claims, now)?)
    }

    /// What it says, its signature being good.
    fn read(&self, claims: &Claims, now: Timestamp) -> Result<ProviderClaims, Refused> {
        claims.is_issued_by(&self.issuer)?;
        claims.is_for(&self.audience)?;
        // The provider's clock is not ours.
        if now.duration_since(claims.expiry()?) >= LEEWAY {
            return Err(Refused::Expired);
        }
        if claims.time("nbf")?.is_some_and(|begin| begin.duration_since(now) > LEEWAY) {
            return Err(Refused::NotYetValid);
        }
        let sub = claims.text("sub")?.filter(|sub| is_subject(sub)).ok_or(Refused::Subject)?;
        // What else is said of a customer is a help, and no reason to turn somebody away.
        let text = |name: &str, max: usize| {
            let text = claims.get(name).and_then(Value::as_str).map(str::trim);
            text.filter(|text| !text.is_empty() && text.chars().count() <= max).map(str::to_owned)
        };
        Ok(ProviderClaims {
            sub: sub.to_owned(),
            email: text("email", MAX_EMAIL).filter(|_| may_be_theirs(claims.get("email_verified"))),
            name: text("name", MAX_NAME),
        })
    }
}

fn is_subject(sub: &str) -> bool {
    let is_seen = |c: char| !c.is_whitespace() && !c.is_control();
    !sub.is_empty() && sub.chars().count() <= MAX_SUBJECT && sub.chars().all(is_seen)
}

/// Some providers write this one as a text. One that says nothing may be one that verifies all of them.
fn may_be_theirs(email_verified: Option<&Value>) -> bool {
    email_verified.is_none_or(|verified| *verified == true || *verified == "true")
}
