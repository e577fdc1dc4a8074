//! Whoever a token speaks for: one of our accounts, or a customer of the identity provider.

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    AccessTokens, Error, IdentityProvider, ProviderClaims, Refused, access_token::ACCOUNT_PREFIX,
    jws::Unverified,
};

/// Whom a good token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// One of our accounts, `acc_...`, in one of its sessions.
    Account { id: String, session: Uuid },
    /// A customer of the identity provider.
    Customer(ProviderClaims),
}

/// Both kinds of tokens, as far as they are configured.
#[derive(Clone, Default)]
pub struct Tokens {
    ours: Option<AccessTokens>,
    provider: Option<IdentityProvider>,
}

impl Tokens {
    /// # Errors
    /// If both are one issuer: nobody could tell whose key has to judge a token.
    pub fn new(ours: Option<AccessTokens>, provider: Option<IdentityProvider>) -> Result<Self, &'static str> {
        if let (Some(ours), Some(provider)) = (&ours, &provider)
            && ours.issuer() == provider.issuer()
        {
            return Err("the identity provider's issuer must not be our own");
        }
        Ok(Self { ours, provider })
    }

    /// Whom the token speaks for. Who says to have issued it only chooses who judges that, and all else.
    ///
    /// # Errors
    /// Why the token is not good, or that nobody can say now.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Subject, Error> {
        let token = Unverified::parse(token)?;
        let issuer = token.claimed_issuer().ok_or(Refused::Malformed)?;
        if let Some(ours) = self.ours.as_ref().filter(|ours| ours.issuer() == issuer) {
            let claims = ours.judge(token, now)?;
            return Ok(Subject::Account { id: claims.account, session: claims.session });
        }
        match self.provider.as_ref().filter(|provider| provider.issuer() == issuer) {
            Some(provider) => customer(provider.judge(token, now).await?),
            None => Err(Refused::Issuer.into()),
        }
    }
}

/// Nobody is taken for one of our accounts, by whatever name the provider calls them. The case of the letters
/// makes no difference, lest it makes none to somebody else.
fn customer(claims: ProviderClaims) -> Result<Subject, Error> {
    let start = claims.sub.as_bytes().get(..ACCOUNT_PREFIX.len());
    match start.is_some_and(|start| start.eq_ignore_ascii_case(ACCOUNT_PREFIX.as_bytes())) {
        true => Err(Refused::Subject.into()),
        false => Ok(Subject::Customer(claims)),
    }
}
