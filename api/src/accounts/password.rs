//! Passwords that are changed, or reset by who has the mailbox.

use axum::{extract::State, http::StatusCode};
use domain::account::Code;
use identity::Password;
use serde::Deserialize;
use store::accounts;
use utoipa::ToSchema;

use super::{
    SignedIn, key_of,
    limits::{ASKED_BY_PLACE, RESET_MAILS, count},
    register::{ACCEPTED, Accepted, Address, tries_of_code},
};
use crate::{
    app::App,
    client::Place,
    clock::now,
    error::{Problem, ProblemDocument},
    extract::Json,
};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    #[schema(format = Password)]
    current_password: String,
    /// 12 to 128 characters; not a common one.
    #[schema(format = Password)]
    password: String,
}

/// Change your password. All sessions end, this one included, and a mail says so.
#[utoipa::path(
    post, path = "/v1/accounts/me/password", operation_id = "change_password", tag = "Accounts",
    request_body = ChangePassword,
    responses(
        (status = 204),
        (status = 403, body = ProblemDocument, description = "`wrong_password`: it is not the current one"),
        (status = 429, body = ProblemDocument, description = "`too_many_attempts`, with `Retry-After`"),
    ),
)]
pub async fn change(
    State(app): State<App>,
    who: SignedIn,
    Json(request): Json<ChangePassword>,
) -> Result<StatusCode, Problem> {
    let account = who.prove(&app, &request.current_password).await?;
    let customer = &account.customer;
    let context = [customer.email(), customer.name().unwrap_or_default()];
    let password = Password::parse(&request.password, &context)?;
    let hash = app.accounts()?.passwords.hash(&password).await?;
    let shown = account.password_hash.as_deref();
    let changed = accounts::change_password(&app.db, who.account, shown, &hash, now()).await?;
    app.dispatcher.account_code(changed.ok_or_else(Problem::wrong_password)?);
    tracing::info!(account_id = %who.account, "password changed");
    Ok(StatusCode::NO_CONTENT)
}

/// Have a code mailed by which you can choose a new password. The answer is the same if there is no account.
#[utoipa::path(
    post, path = "/v1/accounts/password/reset-code", operation_id = "request_password_reset",
    tag = "Accounts",
    request_body = Address, security(()),
    responses(
        (status = 202, body = Accepted),
        (status = 429, body = ProblemDocument, description = "`too_many_attempts`, with `Retry-After`"),
    ),
)]
pub async fn ask_reset(
    State(app): State<App>,
    place: Place,
    Json(request): Json<Address>,
) -> Result<(StatusCode, axum::Json<Accepted>), Problem> {
    let (at, email_key) = (now(), key_of(&request.email)?);
    count(&app.db, vec![(&ASKED_BY_PLACE, place.0), (&RESET_MAILS, email_key.clone())], at).await?;
    if let Some(code) = accounts::ask_reset(&app.db, &email_key, at).await? {
        app.dispatcher.account_code(code);
    }
    Ok(ACCEPTED)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetPassword {
    email: String,
    /// The six digits of the mail.
    code: String,
    /// 12 to 128 characters; not a common one.
    #[schema(format = Password)]
    password: String,
}

/// Choose a new password with the code of the mail. All sessions end.
#[utoipa::path(
    post, path = "/v1/accounts/password/reset", operation_id = "reset_password", tag = "Accounts",
    request_body = ResetPassword, security(()),
    responses(
        (status = 204),
        (status = 422, body = ProblemDocument,
            description = "`code_invalid`: another one, too old, or tried too often"),
        (status = 429, body = ProblemDocument, description = "`too_many_attempts`, with `Retry-After`"),
        (status = 503, body = ProblemDocument, description = "`busy`"),
    ),
)]
pub async fn reset(
    State(app): State<App>,
    place: Place,
    Json(request): Json<ResetPassword>,
) -> Result<StatusCode, Problem> {
    let (at, email_key, code) = (now(), key_of(&request.email)?, Code::parse(&request.code)?);
    let password = Password::parse(&request.password, &[&request.email])?;
    let counted = count(&app.db, tries_of_code(place, &email_key), at).await?;
    let accounts = app.accounts()?;
    let (counted, hash) = counted.unless_busy(accounts.passwords.hash(&password).await).await?;
    let matches = |id, of: &[u8]| accounts.codes.matches(id, code.as_str(), of);
    let Some((account, used)) = accounts::reset_password(&app.db, &email_key, matches, &hash, at).await?
    else {
        telemetry::metrics().sign_ins.with_label_values(&["wrong_code"]).inc();
        return Err(Problem::code_invalid());
    };
    counted.forgive().await?;
    tracing::info!(account_id = %account, "password reset");
    app.dispatcher.code_used(used);
    Ok(StatusCode::NO_CONTENT)
}
