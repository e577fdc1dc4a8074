//! Registering, and showing that an address is one's own.

use axum::{extract::State, http::StatusCode};
use domain::{
    AccountId, Invalid, Invalids,
    account::Code,
    customer::{Customer, UncheckedCustomer},
};
use identity::Password;
use serde::{Deserialize, Serialize};
use store::accounts::{self, Registration, limits::Limit};
use utoipa::ToSchema;

use super::{
    key_of,
    limits::{ASKED_BY_PLACE, CODES, CODES_BY_PLACE, CODES_OF_PLACE, VERIFICATION_MAILS, count, may_mail},
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
/// the same if the address has an account: then its owner is told so, by mail. Within a minute after one no
/// other mail is sent.
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
    let counted = count(&app.db, vec![(&ASKED_BY_PLACE, place.0)], at).await?;
    let (id, email_key) = (AccountId::new(at, store::random()), key_of(&request.email));
    let plain = request.password.clone();
    let (customer, password) = match parse(id, request) {
        Ok(parsed) => parsed,
        Err(wrong) => {
            counted.forgive().await?;
            return Err(wrong.into());
        }
    };
    let email_key = email_key?;
    let passwords = &app.accounts()?.passwords;
    // Both in any case, so that it takes as long whatever there is.
    let newest = accounts::newest_registration(&app.db, &email_key).await?;
    let is_same = passwords.verify(newest.as_ref().map(|(_, hash)| hash.as_str()), &plain).await;
    let (counted, is_same) = counted.unless_busy(is_same).await?;
    let (_, password_hash) = counted.unless_busy(passwords.hash(&password).await).await?;
    let same = newest.filter(|_| is_same).map(|(id, _)| id);
    let is_mailed = may_mail(&app.db, &VERIFICATION_MAILS, &email_key, at).await?;
    let new = Registration { id, email_key, customer, password_hash };
    if let Some(code) = accounts::register(&app.db, &new, same, is_mailed, at).await? {
        app.dispatcher.account_code(code);
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
    count(&app.db, vec![(&ASKED_BY_PLACE, place.0), (&VERIFICATION_MAILS, email_key.clone())], at).await?;
    if let Some(code) = accounts::resend(&app.db, &email_key, at).await? {
        app.dispatcher.account_code(code);
    }
    Ok(ACCEPTED)
}

/// Against which limits a code counts.
pub fn tries_of_code(place: Place, email_key: &str) -> Vec<(&'static Limit, String)> {
    let of_place = format!("{}/{email_key}", place.0);
    vec![(&CODES_BY_PLACE, place.0), (&CODES_OF_PLACE, of_place), (&CODES, email_key.to_owned())]
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
    /// Whether the account has the password that was registered. It has none if the address was registered
    /// with several: choose one by `POST /v1/accounts/password/reset-code`.
    has_password: bool,
}

/// Show that the address is yours, by the code of the mail.
#[utoipa::path(
    post, path = "/v1/accounts/verify", operation_id = "verify_account", tag = "Accounts",
    request_body = Verify,
    security(()),
    responses(
        (status = 200, body = Verified),
        (status = 422, body = ProblemDocument,
            description = "`code_invalid`: another one, too old, or tried too often"),
        (status = 429, body = ProblemDocument, description = "`too_many_attempts`, with `Retry-After`"),
    ),
)]
pub async fn verify(
    State(app): State<App>,
    place: Place,
    Json(request): Json<Verify>,
) -> Result<axum::Json<Verified>, Problem> {
    let (at, email_key, code) = (now(), key_of(&request.email)?, Code::parse(&request.code)?);
    let counted = count(&app.db, tries_of_code(place, &email_key), at).await?;
    let keys = &app.accounts()?.codes;
    let matches = |id, hash: &[u8]| keys.matches(id, code.as_str(), hash);
    let verified = accounts::verify(&app.db, &email_key, matches, at).await?;
    let Some(accounts::Verified { account, code: used, has_password }) = verified else {
        telemetry::metrics().sign_ins.with_label_values(&["wrong_code"]).inc();
        return Err(Problem::code_invalid());
    };
    counted.forgive().await?;
    telemetry::metrics().sign_ins.with_label_values(&["verified"]).inc();
    tracing::info!(account_id = %account, "account verified");
    app.dispatcher.code_used(used);
    Ok(axum::Json(Verified { object: "account", id: account, has_password }))
}
