//! Registering, and showing that an address is one's own.

use axum::{extract::State, http::StatusCode};
use domain::{
    AccountId, Invalid, Invalids,
    account::Code,
    customer::{Customer, UncheckedCustomer},
};
use identity::Password;
use serde::{Deserialize, Serialize};
use store::accounts::{self, Registration};
use utoipa::ToSchema;

use super::{
    key_of,
    limits::{ASKED_BY_PLACE, CODE_MAILS, CODES, CODES_BY_PLACE, count},
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
pub struct Register {
    email: String,
    /// 12 to 128 characters; not a common one.
    #[schema(format = Password)]
    password: String,
    name: Option<String>,
    /// BCP 47, such as `de-AT`.
    locale: Option<String>,
    /// IANA name, such as `Europe/Vienna`.
    time_zone: Option<String>,
}

/// What was asked for is done, if there is something to be done. The mailbox knows more.
#[derive(Serialize, ToSchema)]
pub struct Accepted {
    /// Always `accepted`.
    status: &'static str,
}

pub const ACCEPTED: (StatusCode, axum::Json<Accepted>) =
    (StatusCode::ACCEPTED, axum::Json(Accepted { status: "accepted" }));

/// Register an account. A code of six digits comes by mail, by which the address is verified. The answer is
/// the same if the address has an account: then its owner is told so, by mail. Within a minute after a code
/// was mailed nothing more is done.
#[utoipa::path(
    post, path = "/v1/accounts", operation_id = "register_account", tag = "Accounts", request_body = Register,
    security(()),
    responses(
        (status = 202, body = Accepted),
        (status = 429, body = ProblemDocument, description = "`too_many_attempts`, with `Retry-After`"),
        (status = 503, body = ProblemDocument, description = "`busy`"),
    ),
)]
pub async fn register(
    State(app): State<App>,
    place: Place,
    Json(request): Json<Register>,
) -> Result<(StatusCode, axum::Json<Accepted>), Problem> {
    let at = now();
    let (id, email_key) = (AccountId::new(at, store::random()), key_of(&request.email));
    let (customer, password) = parse(id, request)?;
    let email_key = email_key?;
    count(&app.db, vec![(&ASKED_BY_PLACE, place.0)], at).await?;
    // In any case, so that both take as long.
    let password_hash = app.accounts()?.passwords.hash(&password).await?;
    if count(&app.db, vec![(&CODE_MAILS, email_key.clone())], at).await.is_ok() {
        let new = Registration { id, email_key, customer, password_hash };
        if let Some(code) = accounts::register(&app.db, &new, at).await? {
            app.dispatcher.account_code(code);
        }
    }
    Ok(ACCEPTED)
}

fn parse(id: AccountId, request: Register) -> Result<(Customer, Password), Vec<Invalid>> {
    let Register { email, password, name, locale, time_zone } = request;
    let mut invalids = Invalids::default();
    let context = [email.as_str(), name.as_deref().unwrap_or_default()];
    let password = invalids.check(Password::parse(&password, &context));
    let customer = UncheckedCustomer { id: id.to_string(), email, name, locale, time_zone };
    let customer = match Customer::parse(&customer) {
        Ok(customer) => Some(customer),
        Err(wrong) => {
            wrong.into_iter().for_each(|invalid| invalids.push(invalid));
            None
        }
    };
    match (customer, password) {
        (Some(customer), Some(password)) if invalids.is_empty() => Ok((customer, password)),
        _ => Err(invalids.into_vec()),
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Address {
    pub email: String,
}

/// Have another code mailed, at most once a minute.
#[utoipa::path(
    post, path = "/v1/accounts/resend-code", operation_id = "resend_verification_code", tag = "Accounts",
    request_body = Address, security(()),
    responses(
        (status = 202, body = Accepted),
        (status = 429, body = ProblemDocument, description = "`too_many_attempts`, with `Retry-After`"),
    ),
)]
pub async fn resend(
    State(app): State<App>,
    place: Place,
    Json(request): Json<Address>,
) -> Result<(StatusCode, axum::Json<Accepted>), Problem> {
    let (at, email_key) = (now(), key_of(&request.email)?);
    count(&app.db, vec![(&ASKED_BY_PLACE, place.0), (&CODE_MAILS, email_key.clone())], at).await?;
    if let Some(code) = accounts::resend(&app.db, &email_key, at).await? {
        app.dispatcher.account_code(code);
    }
    Ok(ACCEPTED)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    email: String,
    /// The six digits of the mail.
    code: String,
}

/// An account, once its address is verified.
#[derive(Serialize, ToSchema)]
pub struct Verified {
    /// Always `account`.
    object: &'static str,
    id: AccountId,
}

/// Show that the address is yours, by the code of the mail.
#[utoipa::path(
    post, path = "/v1/accounts/verify", operation_id = "verify_account", tag = "Accounts", request_body = Verify,
    security(()),
    responses(
        (status = 200, body = Verified),
        (status = 422, body = ProblemDocument, description = "`code_invalid`: another one, too old, or tried too often"),
        (status = 429, body = ProblemDocument, description = "`too_many_attempts`, with `Retry-After`"),
    ),
)]
pub async fn verify(
    State(app): State<App>,
    place: Place,
    Json(request): Json<Verify>,
) -> Result<axum::Json<Verified>, Problem> {
    let (at, email_key, code) = (now(), key_of(&request.email)?, Code::parse(&request.code)?);
    let tries = vec![(&CODES_BY_PLACE, place.0), (&CODES, email_key.clone())];
    let counted = count(&app.db, tries, at).await?;
    let keys = &app.accounts()?.codes;
    let matches = |id, hash: &[u8]| keys.matches(id, code.as_str(), hash);
    let Some((account, used)) = accounts::verify(&app.db, &email_key, matches, at).await? else {
        telemetry::metrics().sign_ins.with_label_values(&["wrong_code"]).inc();
        return Err(Problem::code_invalid());
    };
    counted.forgive().await?;
    telemetry::metrics().sign_ins.with_label_values(&["verified"]).inc();
    tracing::info!(account_id = %account, "account verified");
    app.dispatcher.code_used(used);
    Ok(axum::Json(Verified { object: "account", id: account }))
}
