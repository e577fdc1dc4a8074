//! API keys: made, listed and revoked by whoever has a key for that.

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderName, StatusCode, header},
};
use domain::{
    ApiKeyId, Invalid, Invalids, Timestamp,
    api_key::{self, KeyName},
};
use serde::{Deserialize, Serialize};
use store::api_keys::{self, IssuedKey, NewKey};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use crate::{
    app::App,
    auth::Caller,
    clock::now,
    error::{Problem, ProblemDocument},
    extract::{Json, parse_time},
    list::{self, List, Parameters},
    query::Query,
    scoped::{Scope, Scoped},
};

pub fn routes() -> Scoped {
    Scoped::new().with(Scope::KeysWrite, routes!(create, list)).with(Scope::KeysWrite, routes!(get, revoke))
}

/// What is known of an API key, without the key.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
struct KeyDocument {
    /// Always `api_key`.
    object: &'static str,
    id: String,
    /// What histories call its holder. Several keys may have it.
    name: String,
    /// The beginning of the key, by which its holder knows it.
    prefix: String,
    scopes: Vec<Scope>,
    created_at: Timestamp,
    /// Who made it: the name of a key, `api` (a key of the environment) or `cli`.
    created_by: String,
    /// From then on it is good no more.
    expires_at: Option<Timestamp>,
    /// To the minute.
    last_used_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

impl From<IssuedKey> for KeyDocument {
    fn from(key: IssuedKey) -> Self {
        Self {
            object: "api_key",
            id: key.id.to_string(),
            name: key.name.to_string(),
            prefix: key.prefix,
            scopes: key.scopes.into_iter().collect(),
            created_at: key.created_at,
            created_by: key.created_by,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            revoked_at: key.revoked_at,
        }
    }
}

/// A new API key.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedApiKey)]
struct CreatedDocument {
    #[serde(flatten)]
    known: KeyDocument,
    /// The key itself. It is kept nowhere: this is the only answer that has it.
    key: String,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = CreateApiKey)]
#[serde(deny_unknown_fields)]
struct CreateKey {
    /// 1-64 of a-z, 0-9, `-`, `_` and `.`.
    name: String,
    /// What the key lets its holder do. You can give those that your own key has.
    #[schema(value_type = Vec<Scope>)]
    scopes: Vec<String>,
    /// From then on it is good no more. Default: it does not expire.
    #[schema(value_type = Option<Timestamp>)]
    expires_at: Option<String>,
}

/// No cache on the way keeps a key.
type Secret<T> = ([(HeaderName, &'static str); 1], axum::Json<T>);

/// Make an API key. The answer alone has it. There is no `Idempotency-Key` here, since a repeat could not
/// show the key again: if the answer was lost, make another, and revoke the one that nobody has.
#[utoipa::path(
    post, path = "/v1/keys", operation_id = "create_api_key", tag = "Keys", request_body = CreateKey,
    responses(
        (status = 201, body = CreatedDocument),
        (status = 409, body = ProblemDocument, description = "`too_many_keys`: revoke some that nobody uses"),
    ),
)]
async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<CreateKey>,
) -> Result<(StatusCode, Secret<CreatedDocument>), Problem> {
    let new = parse(&request, &caller, now())?;
    // Nobody makes a key that can do more than their own.
    new.scopes.iter().try_for_each(|scope| caller.check(*scope))?;
    let Some((key, known)) = api_keys::create(&app.db, new).await? else {
        let detail = format!("There are {} API keys already.", api_keys::MAX_KEYS);
        return Err(Problem::conflict("too_many_keys", detail));
    };
    let by = caller.name();
    let IssuedKey { id, name, scopes, .. } = &known;
    tracing::info!(created_key_id = %id, %name, ?scopes, by, "API key created");
    let document = CreatedDocument { known: known.into(), key: key.as_str().to_owned() };
    Ok((StatusCode::CREATED, ([(header::CACHE_CONTROL, "no-store")], axum::Json(document))))
}

fn parse<'a>(request: &CreateKey, caller: &'a Caller, at: Timestamp) -> Result<NewKey<'a>, Vec<Invalid>> {
    let mut invalids = Invalids::default();
    let name = invalids.check(KeyName::parse(&request.name));
    let scopes = match api_key::scopes(&request.scopes) {
        Ok(scopes) => Some(scopes),
        Err(unknown) => {
            unknown.into_iter().for_each(|invalid| invalids.push(invalid));
            None
        }
    };
    let expires_at = invalids.check(request.expires_at.as_deref().map(|text| end(text, at)).transpose());
    match (name, scopes, expires_at) {
        (Some(name), Some(scopes), Some(expires_at)) => {
            Ok(NewKey { name, scopes, expires_at, by: caller.name(), at })
        }
        _ => Err(invalids.into_vec()),
    }
}

fn end(text: &str, at: Timestamp) -> Result<Timestamp, Invalid> {
    let end = parse_time(text).map_err(|why| Invalid::new("expires_at", why))?;
    match end > at {
        true => Ok(end),
        false => Err(Invalid::new("expires_at", "must not be in the past")),
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListKeys {
    /// 1-100, default 20.
    limit: Option<String>,
    /// The id of an API key; the page starts after it.
    starting_after: Option<String>,
}

/// List the API keys that were issued, newest first, also those that are good no more.
#[utoipa::path(
    get, path = "/v1/keys", operation_id = "list_api_keys", tag = "Keys", params(ListKeys),
    responses((status = 200, body = List<KeyDocument>)),
)]
async fn list(
    State(app): State<App>,
    Query(query): Query<ListKeys>,
) -> Result<axum::Json<List<KeyDocument>>, Problem> {
    let mut parameters = Parameters::default();
    let limit = parameters.limit(query.limit);
    let before = parameters.optional(query.starting_after, list::cursor("the id of an API key"));
    parameters.finish()?;
    let found = api_keys::list(&app.db, before, limit + 1).await?;
    let documents = found.into_iter().map(KeyDocument::from).collect();
    Ok(axum::Json(List::page(documents, limit, |key| key.id.clone())))
}

/// Read what is known of an API key.
#[utoipa::path(
    get, path = "/v1/keys/{id}", operation_id = "get_api_key", tag = "Keys",
    params(("id" = String, Path)),
    responses((status = 200, body = KeyDocument)),
)]
async fn get(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Result<axum::Json<KeyDocument>, Problem> {
    let id = parse_id(path)?;
    let key = api_keys::get(&app.db, id).await?.ok_or_else(unknown)?;
    Ok(axum::Json(key.into()))
}

fn unknown() -> Problem {
    Problem::not_found("key_not_found", "There is no API key with this id.")
}

/// What cannot be an id is nobody's.
fn parse_id(path: Result<Path<String>, PathRejection>) -> Result<ApiKeyId, Problem> {
    path.ok().and_then(|path| path.0.parse().ok()).ok_or_else(unknown)
}

/// Revoke an API key. Within five seconds it is good nowhere any more. Revoking it again changes nothing.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", operation_id = "revoke_api_key", tag = "Keys",
    params(("id" = String, Path)),
    responses((status = 200, body = KeyDocument)),
)]
async fn revoke(
    State(app): State<App>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<axum::Json<KeyDocument>, Problem> {
    let id = parse_id(path)?;
    let key = api_keys::revoke(&app.db, id, now()).await?.ok_or_else(unknown)?;
    app.keys.forget();
    tracing::info!(revoked_key_id = %id, name = %key.name, by = caller.name(), "API key revoked");
    Ok(axum::Json(key.into()))
}
