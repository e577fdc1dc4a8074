//! Access tokens of our own accounts: RFC 9068, signed with Ed25519.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Refused, SigningKeys,
    claims::{Claims, LEEWAY},
    jws::Unverified,
    known_signatures::KnownSignatures,
};

/// How the ids of our accounts begin, and no name that an identity provider may give.
pub const ACCOUNT_PREFIX: &str = "acc_";
/// A token cannot be taken back: who signs out or is shut out may go on this long, unless the session that it
/// names is looked up.
pub const LIFETIME: SignedDuration = SignedDuration::from_mins(15);
const KIND: &str = "at+jwt";
/// Who may ask for tokens of our accounts: there are no other clients than the shop itself.
const CLIENT_ID: &str = "holdfast";

/// Issues and verifies the tokens of accounts.
#[derive(Debug, Clone)]
pub struct AccessTokens {
    keys: SigningKeys,
    issuer: String,
    audience: String,
    signatures: KnownSignatures,
}

/// A new token, and for how long it is good.
pub struct IssuedToken {
    pub token: String,
    pub expires_in_s: i64,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken").field("expires_in_s", &self.expires_in_s).finish_non_exhaustive()
    }
}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessClaims {
    /// The account, `acc_...`.
    pub account: String,
    /// The session that the token was issued in.
    pub session: Uuid,
    /// The token's own name, for logs.
    pub token_id: String,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
}

impl AccessTokens {
    /// `issuer` and `audience` are compared letter by letter, as they stand in tokens.
    pub fn new(keys: SigningKeys, issuer: String, audience: String) -> Self {
        Self { keys, issuer, audience, signatures: KnownSignatures::default() }
    }

    /// What stands in `iss` of each of these tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The public keys, for others to verify our tokens by.
    pub const fn keys(&self) -> &SigningKeys {
        &self.keys
    }

    /// A token for an account, `acc_...`, in one of its sessions. Good for 15 minutes.
    pub fn issue(&self, account: &str, session: Uuid, at: Timestamp) -> IssuedToken {
        let issued_s = at.as_second();
        let claims = json!({
            "iss": self.issuer,
            "aud": self.audience,
            "sub": account,
            "client_id": CLIENT_ID,
            "iat": issued_s,
            "exp": issued_s + LIFETIME.as_secs(),
            "jti": Uuid::new_v4(),
            "sid": session,
        });
        IssuedToken { token: self.keys.sign(KIND, &claims), expires_in_s: LIFETIME.as_secs() }
    }

    /// # Errors
    /// Why it is none of our tokens that is good now.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<AccessClaims, Refused> {
        self.judge(Unverified::parse(token)?, now)
    }

    pub(crate) fn judge(&self, token: Unverified<'_>, now: Timestamp) -> Result<AccessClaims, Refused> {
        if token.kind()?.as_deref() != Some(KIND) {
            return Err(Refused::Type);
        }
        let id = token.key_id()?.ok_or(Refused::UnknownKey)?;
        let key = self.keys.find(id).ok_or(Refused::UnknownKey)?;
        let claims = Claims::parse(&self.signatures.verify(token, key)?)?;
        claims.is_issued_by(&self.issuer)?;
        claims.is_for(&self.audience)?;
        let (issued_at, expires_at) = within_its_time(&claims, now)?;
        let account = claims.text("sub")?.filter(|sub| sub.starts_with(ACCOUNT_PREFIX));
        let session = claims.text("sid")?.and_then(|sid| Uuid::try_parse(sid).ok());
        Ok(AccessClaims {
            account: account.ok_or(Refused::Subject)?.to_owned(),
            session: session.ok_or(Refused::Malformed)?,
            token_id: claims.text("jti")?.ok_or(Refused::Malformed)?.to_owned(),
            issued_at,
            expires_at,
        })
    }
}

/// Another machine of ours may have issued the token, by a clock that is ahead. Nobody is helped by a leeway
/// at its end: how long that is away is ours to say.
fn within_its_time(claims: &Claims, now: Timestamp) -> Result<(Timestamp, Timestamp), Refused> {
    let issued_at = claims.time("iat")?.ok_or(Refused::Malformed)?;
    let expires_at = claims.expiry()?;
    match () {
        () if now >= expires_at => Err(Refused::Expired),
        () if issued_at.duration_since(now) > LEEWAY => Err(Refused::NotYetValid),
        () => Ok((issued_at, expires_at)),
    }
}
