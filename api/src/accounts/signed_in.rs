//! Who is signed in with an account of ours.

use axum::{extract::FromRequestParts, http::request::Parts};
use domain::{AccountId, SessionId};
use store::accounts::{self, Account};

use super::{
    key_of,
    limits::{PASSWORDS, count},
};
use crate::{app::App, auth::Caller, clock::now, error::Problem};

/// The account and the session of a token of ours.
pub struct SignedIn {
    pub account: AccountId,
    pub session: SessionId,
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let (account, session) =
            caller.customer().and_then(|it| it.account).ok_or_else(Problem::account_required)?;
        Ok(Self { account, session })
    }
}

impl SignedIn {
    /// # Errors
    /// 401 if it was erased since the token was issued.
    pub async fn account(&self, app: &App) -> Result<Account, Problem> {
        accounts::get(&app.db, self.account).await?.ok_or_else(Problem::account_gone)
    }

    /// Somebody may have left a screen open: what cannot be undone wants the password again.
    ///
    /// # Errors
    /// 403 `wrong_password`.
    pub async fn prove(&self, app: &App, password: &str) -> Result<Account, Problem> {
        let account = self.account(app).await?;
        let counted = count(&app.db, vec![(&PASSWORDS, key_of(account.customer.email())?)], now()).await?;
        let is_right = app.accounts()?.passwords.verify(account.password_hash.as_deref(), password).await;
        let (counted, is_right) = counted.unless_busy(is_right).await?;
        if !is_right {
            telemetry::metrics().sign_ins.with_label_values(&["wrong_password"]).inc();
            return Err(Problem::wrong_password());
        }
        counted.forgive().await?;
        Ok(account)
    }
}
