//! Tokens of customers: of accounts of ours, or of the shop's identity provider.

use domain::{AccountId, SessionId, customer};
use identity::{Error, Refused, Subject, Tokens};

use super::{Caller, Customer, count_refusal};
use crate::{clock::now, error::Problem};

/// # Errors
/// 401 if the token is not good, 503 if nobody can say.
pub async fn caller(tokens: &Tokens, text: &str) -> Result<Caller, Problem> {
    let customer = match tokens.verify(text, now()).await {
        Ok(Subject::Account { id, session }) => account(&id, session),
        Ok(Subject::Customer(claims)) => {
            // It is to stand in orders and in the Temporal UI, as any customer's.
            let id = customer::id("sub", &claims.sub).map_err(|_| Refused::Subject);
            id.map(|id| Customer { id, account: None, claims: Some(claims) })
        }
        Err(Error::Refused(refused)) => Err(refused),
        Err(Error::Unavailable(error)) => {
            tracing::error!(%error, "tokens cannot be judged");
            let detail = "Whether the token is good cannot be known now.";
            return Err(Problem::unavailable("identity_provider_unavailable", detail));
        }
    };
    customer.map(Caller::signed_in).map_err(refuse)
}

fn account(id: &str, session: uuid::Uuid) -> Result<Customer, Refused> {
    let account: AccountId = id.parse().map_err(|_| Refused::Subject)?;
    let session = SessionId::from_uuid(session);
    Ok(Customer { id: id.to_owned(), account: Some((account, session)), claims: None })
}

fn refuse(refused: Refused) -> Problem {
    count_refusal(refused.as_str());
    tracing::info!(reason = refused.as_str(), "token refused");
    Problem::invalid_token(match refused {
        Refused::Expired => "The token has expired: refresh it, or sign in again.",
        _ => "The token is not good.",
    })
}
