//! Endpoints are made, changed and deleted, and their secrets rotated.

use axum::{extract::State, http::StatusCode};
use domain::{
    Invalid, Invalids,
    public_event::PublicEventType,
    webhook::{self, MAX_ENDPOINTS, MAX_URL},
};
use events::webhooks::{Networks, Secret as SigningSecret};
use serde::Deserialize;
use store::{
    random,
    webhook_endpoints::{self as endpoints, Change, NewEndpoint},
};
use utoipa::ToSchema;

use super::{
    EndpointPath,
    document::{EndpointDocument, Secret, SecretDocument, secret},
    not_found,
};
use crate::{
    app::App,
    auth::Caller,
    clock::now,
    error::{Problem, ProblemDocument},
    events::decided,
    extract::{Json, given},
};

#[derive(Deserialize, ToSchema)]
#[schema(as = CreateWebhookEndpoint)]
#[serde(deny_unknown_fields)]
pub struct CreateEndpoint {
    /// Where events are sent: https, or http. Never a private or local address, unless whoever runs Holdfast
    /// allows it.
    url: String,
    /// The types of events that are sent. Default: all.
    #[serde(default)]
    #[schema(value_type = Vec<PublicEventType>)]
    types: Vec<String>,
    /// For people, on one line.
    #[serde(default)]
    description: String,
}

/// Have events sent somewhere. The answer alone has the secret by which messages are signed. It gets what
/// happens from now on. There is no `Idempotency-Key` here, since a repeat could not show the secret again:
/// if the answer was lost, rotate the secret.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints", operation_id = "create_webhook_endpoint", tag = "Events",
    request_body = CreateEndpoint,
    responses(
        (status = 201, body = SecretDocument),
        (status = 409, body = ProblemDocument,
            description = "`too_many_webhook_endpoints`: delete some that nobody uses"),
    ),
)]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<CreateEndpoint>,
) -> Result<(StatusCode, Secret), Problem> {
    let mut invalids = Invalids::default();
    let url = invalids.check(url(&request.url, app.webhooks.networks()));
    let types = types(&mut invalids, &request.types);
    let description = invalids.check(webhook::description(&request.description));
    let (Some(url), Some(types), Some(description)) = (url, types, description) else {
        return Err(invalids.into_vec().into());
    };
    let signed_by = SigningSecret::write(random());
    let (by, at, after) = (caller.name(), now(), decided(&app).await?);
    let new = NewEndpoint {
        url: &url,
        types: &types,
        description: &description,
        secret: &signed_by,
        after,
        by,
        at,
    };
    let Some(endpoint) = endpoints::create(&app.db, &new).await? else {
        let detail = format!("There are {MAX_ENDPOINTS} webhook endpoints already.");
        return Err(Problem::conflict("too_many_webhook_endpoints", detail));
    };
    tracing::info!(endpoint_id = %endpoint.id, by, "webhook endpoint created");
    Ok((StatusCode::CREATED, secret(endpoint, signed_by)))
}

#[derive(Deserialize, ToSchema)]
#[schema(as = ChangeWebhookEndpoint)]
#[serde(deny_unknown_fields)]
pub struct ChangeEndpoint {
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    url: Option<String>,
    /// Empty: all.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<PublicEventType>, required = false)]
    types: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    description: Option<String>,
    /// `true` sends what was missed since it was disabled, too. `false` keeps what happens for it.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    enabled: Option<bool>,
}

/// Change an endpoint. What is left out stays as it is; null is not taken.
#[utoipa::path(
    patch, path = "/v1/webhook-endpoints/{id}", operation_id = "change_webhook_endpoint", tag = "Events",
    params(("id" = String, Path)), request_body = ChangeEndpoint,
    responses((status = 200, body = EndpointDocument)),
)]
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    EndpointPath(id): EndpointPath,
    Json(request): Json<ChangeEndpoint>,
) -> Result<axum::Json<EndpointDocument>, Problem> {
    let mut invalids = Invalids::default();
    let url = request.url.as_deref().and_then(|text| invalids.check(url(text, app.webhooks.networks())));
    let types = request.types.as_deref().and_then(|texts| types(&mut invalids, texts));
    let described = request.description.as_deref();
    let description = described.and_then(|text| invalids.check(webhook::description(text)));
    if !invalids.is_empty() {
        return Err(invalids.into_vec().into());
    }
    let change = Change { url, types, description, enabled: request.enabled };
    let endpoint = endpoints::change(&app.db, id, &change, now()).await?.ok_or_else(not_found)?;
    let (status, by) = (endpoint.status, caller.name());
    tracing::info!(endpoint_id = %id, %status, by, "webhook endpoint changed");
    Ok(axum::Json(endpoint.into()))
}

/// Delete an endpoint. Nothing is sent there any more, and what became of its deliveries is forgotten.
#[utoipa::path(
    delete, path = "/v1/webhook-endpoints/{id}", operation_id = "delete_webhook_endpoint", tag = "Events",
    params(("id" = String, Path)),
    responses((status = 200, body = EndpointDocument)),
)]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    EndpointPath(id): EndpointPath,
) -> Result<axum::Json<EndpointDocument>, Problem> {
    let endpoint = endpoints::delete(&app.db, id, now()).await?.ok_or_else(not_found)?;
    tracing::info!(endpoint_id = %id, by = caller.name(), "webhook endpoint deleted");
    Ok(axum::Json(endpoint.into()))
}

/// Give an endpoint a new secret, which this answer alone has. For a day messages are signed by the one
/// before it, too; one before that is good no more.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{id}/rotate-secret", operation_id = "rotate_webhook_secret",
    tag = "Events", params(("id" = String, Path)),
    responses((status = 200, body = SecretDocument)),
)]
pub async fn rotate_secret(
    State(app): State<App>,
    caller: Caller,
    EndpointPath(id): EndpointPath,
) -> Result<Secret, Problem> {
    let signed_by = SigningSecret::write(random());
    let endpoint = endpoints::rotate(&app.db, id, &signed_by, now()).await?.ok_or_else(not_found)?;
    tracing::info!(endpoint_id = %id, by = caller.name(), "webhook secret rotated");
    Ok(secret(endpoint, signed_by))
}

/// As it is asked for: the host in lower case and in ASCII, an address as one, what cannot stand there as `%`
/// and two digits. So whoever looks at it later sees where events go.
fn url(text: &str, networks: &Networks) -> Result<String, Invalid> {
    let too_long = || Invalid::new("url", format!("must be at most {MAX_URL} characters"));
    if text.chars().count() > MAX_URL {
        return Err(too_long());
    }
    let url = networks.check(text).map_err(|why| Invalid::new("url", why))?;
    if url.as_str().len() > MAX_URL { Err(too_long()) } else { Ok(url.into()) }
}

fn types(invalids: &mut Invalids, texts: &[String]) -> Option<Vec<PublicEventType>> {
    match webhook::types(texts) {
        Ok(types) => Some(types),
        Err(unknown) => {
            unknown.into_iter().for_each(|invalid| invalids.push(invalid));
            None
        }
    }
}
