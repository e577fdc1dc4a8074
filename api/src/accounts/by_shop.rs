//! Customers' accounts, as the shop sees them: looked up, signed out and erased for who asks by phone. For
//! API keys alone. Nothing is told here by which somebody could sign in.

use axum::{
    extract::{FromRequestParts, Path, State},
    http::{StatusCode, request::Parts},
};
use domain::{AccountId, Timestamp, account::email_key};
use serde::{Deserialize, Serialize};
use store::accounts::{
    self,
    by_shop::{self, KnownAccount},
    sessions,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    app::App,
    auth::Caller,
    clock::now,
    error::Problem,
    list::{self, List, Parameters},
    orders::CustomerDocument,
    query::Query,
    scoped::{Scope, Scoped},
};

pub fn routes() -> Scoped {
    Scoped::new()
        .with(Scope::AccountsRead, routes!(list))
        .with(Scope::AccountsRead, routes!(get))
        .with(Scope::AccountsWrite, routes!(sign_out))
        .with(Scope::AccountsWrite, routes!(erase))
}

/// A customer's account, as the shop sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = CustomerAccount)]
struct AccountDocument {
    /// Always `account`.
    object: &'static str,
    /// It is the customer's id in orders.
    id: AccountId,
    customer: CustomerDocument,
    verified_at: Timestamp,
    password_changed_at: Timestamp,
    /// False: the address was registered with several passwords, and its owner has not chosen one yet.
    has_password: bool,
    /// Sessions that can go on.
    open_sessions: i64,
    /// When somebody signed in, or went on with a session, for the last time. Sessions are remembered for 90
    /// days after that.
    last_seen_at: Option<Timestamp>,
}

impl From<KnownAccount> for AccountDocument {
    fn from(account: KnownAccount) -> Self {
        Self {
            object: "account",
            id: account.id,
            customer: CustomerDocument::from(&account.customer),
            verified_at: account.verified_at,
            password_changed_at: account.password_changed_at,
            has_password: account.has_password,
            open_sessions: account.open_sessions,
            last_seen_at: account.last_seen_at,
        }
    }
}

/// The id in the path. What is not an id names no account.
struct AccountPath(AccountId);

impl<S: Send + Sync> FromRequestParts<S> for AccountPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.ok().and_then(|path| path.0.parse().ok()).map(Self).ok_or_else(not_found)
    }
}

fn not_found() -> Problem {
    Problem::not_found("account_not_found", "There is no account with this id.")
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListAccounts {
    /// Only the account of this address, however its letters are written.
    email: Option<String>,
    /// 1-100, default 20.
    limit: Option<String>,
    /// The id of an account; the page starts after it.
    starting_after: Option<String>,
}

/// List customers' accounts, newest first, or find the one of an address.
#[utoipa::path(
    get, path = "/v1/accounts", operation_id = "list_accounts", tag = "Accounts", params(ListAccounts),
    responses((status = 200, body = List<AccountDocument>)),
)]
async fn list(
    State(app): State<App>,
    Query(query): Query<ListAccounts>,
) -> Result<axum::Json<List<AccountDocument>>, Problem> {
    let mut parameters = Parameters::default();
    let address = parameters.optional(query.email, |email| email_key("email", email));
    let limit = parameters.limit(query.limit);
    let cursor = list::cursor("the id of an account");
    let before: Option<AccountId> = parameters.optional(query.starting_after, cursor);
    parameters.finish()?;
    let found: Vec<KnownAccount> = match address {
        Some(address) => {
            let one = by_shop::of_address(&app.db, &address, now()).await?;
            let is_on_page = |one: &KnownAccount| before.is_none_or(|before| one.id < before);
            one.into_iter().filter(is_on_page).collect()
        }
        None => by_shop::list(&app.db, before, limit + 1, now()).await?,
    };
    let documents = found.into_iter().map(AccountDocument::from).collect();
    Ok(axum::Json(List::page(documents, limit, |account| account.id.to_string())))
}

/// Read a customer's account.
#[utoipa::path(
    get, path = "/v1/accounts/{account_id}", operation_id = "get_customer_account", tag = "Accounts",
    params(("account_id" = String, Path)),
    responses((status = 200, body = AccountDocument)),
)]
async fn get(
    State(app): State<App>,
    AccountPath(id): AccountPath,
) -> Result<axum::Json<AccountDocument>, Problem> {
    let account = by_shop::get(&app.db, id, now()).await?.ok_or_else(not_found)?;
    Ok(axum::Json(account.into()))
}

/// Sign a customer out everywhere. Access tokens that they have are good until they expire, within 15
/// minutes; refresh tokens no more. Their password stays as it is. Doing it again changes nothing.
#[utoipa::path(
    post, path = "/v1/accounts/{account_id}/sign-out", operation_id = "sign_out_customer", tag = "Accounts",
    params(("account_id" = String, Path)),
    responses((status = 204)),
)]
async fn sign_out(
    State(app): State<App>,
    caller: Caller,
    AccountPath(id): AccountPath,
) -> Result<StatusCode, Problem> {
    let at = now();
    by_shop::get(&app.db, id, at).await?.ok_or_else(not_found)?; // an unknown account is a 404
    sessions::end_all(&app.db, id, at).await?;
    tracing::info!(account_id = %id, by = caller.name(), "signed out everywhere");
    Ok(StatusCode::NO_CONTENT)
}

/// Erase a customer's account. Their orders that end, or have ended, without money forget who placed them;
/// those that were paid for keep name and address, as their invoices do.
#[utoipa::path(
    delete, path = "/v1/accounts/{account_id}", operation_id = "erase_account", tag = "Accounts",
    params(("account_id" = String, Path)),
    responses((status = 204)),
)]
async fn erase(
    State(app): State<App>,
    caller: Caller,
    AccountPath(id): AccountPath,
) -> Result<StatusCode, Problem> {
    let is_erased = accounts::delete(&app.db, id, now()).await?;
    app.accounts()?.customers.forget(id);
    if !is_erased {
        return Err(not_found());
    }
    tracing::info!(account_id = %id, by = caller.name(), "account erased");
    Ok(StatusCode::NO_CONTENT)
}
