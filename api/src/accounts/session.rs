//! Signing in and out.

use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
};
use domain::{AccountId, SessionId, Timestamp};
use serde::{Deserialize, Serialize};
use store::accounts::{
    self, Credentials,
    sessions::{self, Rotated},
};
use utoipa::ToSchema;

use super::{
    SignedIn, key_of,
    limits::{PASSWORDS, PASSWORDS_BY_PLACE, PASSWORDS_OF_PLACE, count},
    refresh_token,
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
pub struct SignIn {
    email: String,
    #[schema(format = Password)]
    password: String,
}

/// What a session is used by. The names are OAuth's.
#[derive(Serialize, ToSchema)]
pub struct Session {
    /// Always `session`.
    object: &'static str,
    /// For `Authorization: Bearer`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// So many seconds is the access token good.
    expires_in: i64,
    /// For one `POST /v1/sessions/refresh`, which gives the next one. Who uses one twice is signed out.
    refresh_token: String,
}

/// No cache on the way keeps a token.
type Secret<T> = ([(HeaderName, &'static str); 1], axum::Json<T>);

fn secret<T>(document: T) -> Secret<T> {
    ([(header::CACHE_CONTROL, "no-store")], axum::Json(document))
}

/// Sign in with an address that is verified.
#[utoipa::path(
    post, path = "/v1/sessions", operation_id = "sign_in", tag = "Accounts", request_body = SignIn,
    security(()),
    responses(
        (status = 201, body = Session),
        (status = 401, body = ProblemDocument,
            description = "`invalid_credentials`: no such account, or another password"),
        (status = 403, body = ProblemDocument, description = "`email_not_verified`: the password is right"),
        (status = 429, body = ProblemDocument, description = "`too_many_attempts`, with `Retry-After`"),
        (status = 503, body = ProblemDocument, description = "`busy`: too many sign in"),
    ),
)]
pub async fn sign_in(
    State(app): State<App>,
    place: Place,
    Json(request): Json<SignIn>,
) -> Result<(StatusCode, Secret<Session>), Problem> {
    let (at, email_key) = (now(), key_of(&request.email)?);
    let of_place = format!("{}/{email_key}", place.0);
    let tries = vec![
        (&PASSWORDS_BY_PLACE, place.0),
        (&PASSWORDS_OF_PLACE, of_place),
        (&PASSWORDS, email_key.clone()),
    ];
    let counted = count(&app.db, tries, at).await?;
    let Credentials { account, password_hash, registered_hash } =
        accounts::credentials(&app.db, &email_key).await?;
    let passwords = &app.accounts()?.passwords;
    // A wrong one is compared with both in any case, so that it takes as long whatever there is.
    let is_right = passwords.verify(password_hash.as_deref(), &request.password).await;
    let (counted, is_right) = counted.unless_busy(is_right).await?;
    let is_registered = match is_right {
        true => Ok(false),
        false => passwords.verify(registered_hash.as_deref(), &request.password).await,
    };
    let (counted, is_registered) = counted.unless_busy(is_registered).await?;
    let (known, session) = match (is_right, account, password_hash) {
        (true, Some(id), Some(hash)) => {
            let session = sessions::begin(&app.db, id, &hash, at).await?;
            (id, session.ok_or_else(Problem::invalid_credentials)?)
        }
        _ if is_registered => {
            counted.forgive().await?;
            telemetry::metrics().sign_ins.with_label_values(&["not_verified"]).inc();
            return Err(Problem::email_not_verified());
        }
        _ => {
            telemetry::metrics().sign_ins.with_label_values(&["wrong_password"]).inc();
            tracing::info!("sign-in refused");
            return Err(Problem::invalid_credentials());
        }
    };
    counted.forgive().await?;
    telemetry::metrics().sign_ins.with_label_values(&["signed_in"]).inc();
    tracing::info!(account_id = %known, session_id = %session, "signed in");
    Ok((StatusCode::CREATED, secret(document(&app, known, session, 0, at)?)))
}

fn document(
    app: &App,
    account: AccountId,
    session: SessionId,
    generation: i32,
    at: Timestamp,
) -> Result<Session, Problem> {
    let accounts = app.accounts()?;
    let issued = accounts.tokens.issue(&account.to_string(), session.uuid(), at);
    Ok(Session {
        object: "session",
        access_token: issued.token,
        token_type: "Bearer",
        expires_in: issued.expires_in_s,
        refresh_token: refresh_token::write(&accounts.codes, session, generation),
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    refresh_token: String,
}

/// Go on with a session. The refresh token is used up by it; if it was used before, somebody has copied it,
/// and the session ends.
#[utoipa::path(
    post, path = "/v1/sessions/refresh", operation_id = "refresh_session", tag = "Accounts",
    request_body = Refresh, security(()),
    responses(
        (status = 200, body = Session),
        (status = 401, body = ProblemDocument, description = "`refresh_token_invalid`: sign in again"),
    ),
)]
pub async fn refresh(
    State(app): State<App>,
    Json(request): Json<Refresh>,
) -> Result<Secret<Session>, Problem> {
    let at = now();
    let token = refresh_token::read(&app.accounts()?.codes, &request.refresh_token);
    let (session, generation) = token.ok_or_else(Problem::refresh_token_invalid)?;
    match sessions::rotate(&app.db, session, generation, at).await? {
        Rotated::Good { account, generation } => {
            Ok(secret(document(&app, account, session, generation, at)?))
        }
        Rotated::Reused(account) => {
            telemetry::metrics().sign_ins.with_label_values(&["refresh_reused"]).inc();
            tracing::warn!(
                account_id = %account, session_id = %session, "refresh token used twice: session ended"
            );
            Err(Problem::refresh_token_invalid())
        }
        Rotated::Ended => Err(Problem::refresh_token_invalid()),
    }
}

/// Sign out. The access token is good until it expires, the refresh token no more.
#[utoipa::path(
    delete, path = "/v1/sessions/current", operation_id = "sign_out", tag = "Accounts",
    responses((status = 204)),
)]
pub async fn sign_out(State(app): State<App>, who: SignedIn) -> Result<StatusCode, Problem> {
    sessions::end(&app.db, who.session, now()).await?;
    tracing::info!(account_id = %who.account, session_id = %who.session, "signed out");
    Ok(StatusCode::NO_CONTENT)
}

/// Sign out everywhere.
#[utoipa::path(
    delete, path = "/v1/sessions", operation_id = "sign_out_everywhere", tag = "Accounts",
    responses((status = 204)),
)]
pub async fn sign_out_everywhere(State(app): State<App>, who: SignedIn) -> Result<StatusCode, Problem> {
    sessions::end_all(&app.db, who.account, now()).await?;
    tracing::info!(account_id = %who.account, "signed out everywhere");
    Ok(StatusCode::NO_CONTENT)
}
