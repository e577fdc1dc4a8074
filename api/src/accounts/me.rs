//! One's own account.

use axum::{extract::State, http::StatusCode};
use domain::{AccountId, Timestamp};
use serde::{Deserialize, Serialize};
use store::accounts::{self, Account};
use utoipa::ToSchema;

use super::SignedIn;
use crate::{
    app::App,
    clock::now,
    error::{Problem, ProblemDocument},
    extract::Json,
};

/// An account, as its owner sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountDocument {
    /// Always `account`.
    object: &'static str,
    /// It is the customer's id in orders.
    id: AccountId,
    email: String,
    name: Option<String>,
    locale: Option<String>,
    time_zone: Option<String>,
    verified_at: Timestamp,
    password_changed_at: Timestamp,
}

/// Read your account.
#[utoipa::path(
    get, path = "/v1/accounts/me", operation_id = "get_account", tag = "Accounts",
    responses((status = 200, body = AccountDocument)),
)]
pub async fn get(State(app): State<App>, who: SignedIn) -> Result<axum::Json<AccountDocument>, Problem> {
    let Account { customer, verified_at, password_changed_at, .. } = who.account(&app).await?;
    let text = |of: Option<&str>| of.map(str::to_owned);
    Ok(axum::Json(AccountDocument {
        object: "account",
        id: who.account,
        email: customer.email().to_owned(),
        name: text(customer.name()),
        locale: text(customer.locale()),
        time_zone: text(customer.time_zone()),
        verified_at,
        password_changed_at,
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteAccount {
    #[schema(format = Password)]
    password: String,
}

/// Erase your account. Orders that were paid for keep your name and address, as their invoices do.
#[utoipa::path(
    delete, path = "/v1/accounts/me", operation_id = "delete_account", tag = "Accounts",
    request_body = DeleteAccount,
    responses(
        (status = 204),
        (status = 403, body = ProblemDocument, description = "`wrong_password`"),
        (status = 429, body = ProblemDocument, description = "`too_many_attempts`, with `Retry-After`"),
    ),
)]
pub async fn delete(
    State(app): State<App>,
    who: SignedIn,
    Json(request): Json<DeleteAccount>,
) -> Result<StatusCode, Problem> {
    who.prove(&app, &request.password).await?;
    accounts::delete(&app.db, who.account, now()).await?;
    app.accounts()?.customers.forget(who.account);
    tracing::info!(account_id = %who.account, "account erased");
    Ok(StatusCode::NO_CONTENT)
}
