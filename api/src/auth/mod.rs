//! Who is calling, and what they may do. Everything but health, metrics, docs and webhooks wants an API key:
//! one of the environment ([`configured`]), or one that was issued ([`issued`]) with some scopes.

mod configured;
mod issued;
mod token;

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    middleware::Next,
    response::Response,
};
use domain::{
    AccountId, ApiKeyId, SessionId,
    api_key::{ApiKey, Scope},
};
use identity::{ProviderClaims, Tokens};
use store::{
    Db, api_keys,
    console_sessions::{KeyProof, Token},
};

use crate::{
    behind::Behind,
    cause,
    clock::now,
    error::Problem,
    headers::only,
    scoped::{Access, Wanted},
};
pub use configured::ApiKeys;
use issued::IssuedKeys;

/// What histories call a customer: who it is, the order says.
pub const CUSTOMER: &str = "customer";
/// Keys of the environment, as one caller. No key's id looks like it.
const ENVIRONMENT: &str = "environment";

/// Who is calling, by the key that came with the request. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Caller {
    name: Arc<str>,
    /// Whose requests are counted together: a key's id, or all keys of the environment, which are the shop's.
    identity: Arc<str>,
    /// None: a key of the environment.
    key: Option<ApiKeyId>,
    scopes: Arc<BTreeSet<Scope>>,
    /// Somebody with a token of their own, and no key.
    customer: Option<Arc<Customer>>,
}

/// A customer, as their token tells.
#[derive(Debug)]
pub struct Customer {
    /// As it stands in orders.
    pub id: String,
    /// Of an account of ours.
    pub account: Option<(AccountId, SessionId)>,
    /// What the shop's identity provider says.
    pub claims: Option<ProviderClaims>,
}

impl Caller {
    fn new(name: &str, key: Option<ApiKeyId>, scopes: BTreeSet<Scope>) -> Self {
        let identity = key.map_or_else(|| ENVIRONMENT.into(), |id| id.to_string().into());
        Self { name: name.into(), identity, key, scopes: Arc::new(scopes), customer: None }
    }

    fn signed_in(customer: Customer) -> Self {
        let (name, scopes) = (CUSTOMER.into(), Arc::default());
        let identity = format!("{CUSTOMER}:{}", customer.id).into();
        Self { name, identity, key: None, scopes, customer: Some(Arc::new(customer)) }
    }

    /// None: a program of the shop.
    pub fn customer(&self) -> Option<&Customer> {
        self.customer.as_deref()
    }

    /// Whether they may use a route.
    ///
    /// # Errors
    /// 403 `scope_missing`, or `account_required`.
    fn admit(&self, access: Access) -> Result<(), Problem> {
        match (&self.customer, access) {
            (Some(_), Access { customers: true, .. }) => Ok(()),
            (_, Access { scope: Some(scope), .. }) => self.check(scope),
            (_, Access { scope: None, .. }) => Err(Problem::account_required()),
        }
    }

    /// What histories call them.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who they are to us, whatever they are called: it stays the same, and nobody else has it.
    pub fn identity(&self) -> &Arc<str> {
        &self.identity
    }

    /// Whether they have a scope, for whoever offers what wants it.
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// # Errors
    /// 403 `scope_missing`.
    pub fn check(&self, scope: Scope) -> Result<(), Problem> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        count_refusal("scope_missing");
        let key_id = self.key.map(tracing::field::display);
        tracing::info!(key_id, scope = scope.as_str(), "caller refused: the scope is missing");
        Err(Problem::scope_missing(scope))
    }
}

/// For handlers that write down who asked.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Every route whose handler asks is behind `authenticate`.
        parts.extensions.get().cloned().ok_or_else(Problem::internal)
    }
}

/// Why a key is not taken.
#[derive(Debug, Clone, Copy)]
pub enum Refusal {
    Missing,
    /// It cannot be a key of ours.
    Malformed,
    Unknown,
    Expired,
    Revoked,
}

impl Refusal {
    const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// Strangers learn nothing; whoever had a good key learns what has become of it.
    fn problem(self, key_id: Option<ApiKeyId>) -> Problem {
        let reason = self.reason();
        count_refusal(reason);
        tracing::info!(key_id = key_id.map(tracing::field::display), reason, "API key refused");
        match self {
            Self::Missing | Self::Malformed | Self::Unknown => Problem::unauthorized(),
            Self::Expired => Problem::key_ended("This API key has expired."),
            Self::Revoked => Problem::key_ended("This API key was revoked."),
        }
    }
}

fn count_refusal(reason: &str) {
    telemetry::metrics().keys_refused.with_label_values(&[reason]).inc();
}

/// All keys, and who judges tokens. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    configured: ApiKeys,
    issued: Arc<IssuedKeys>,
    tokens: Option<Arc<Tokens>>,
}

impl Keys {
    pub fn new(configured: ApiKeys, db: Db, behind: Behind) -> Self {
        Self { configured, issued: Arc::new(IssuedKeys::new(db, behind)), tokens: None }
    }

    /// Takes the tokens of customers, too.
    pub fn with_tokens(self, tokens: Tokens) -> Self {
        Self { tokens: Some(Arc::new(tokens)), ..self }
    }

    /// A key was revoked: it is good no more, from now on (for other processes, within seconds).
    pub fn forget(&self) {
        self.issued.forget();
    }

    async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let refuse = |refusal: Refusal| Err(refusal.problem(None));
        let Some(text) = only(headers, &header::AUTHORIZATION).and_then(bearer) else {
            return refuse(Refusal::Missing);
        };
        if let Some(caller) = self.configured.find(text) {
            return Ok(caller);
        }
        if let Some(tokens) = self.tokens.as_ref().filter(|_| text.split('.').count() == 3) {
            return token::caller(tokens, text).await;
        }
        let Some(key) = ApiKey::parse(text) else { return refuse(Refusal::Malformed) };
        self.issued_to(&api_keys::hash(&key)).await
    }

    async fn issued_to(&self, hash: &api_keys::Hash) -> Result<Caller, Problem> {
        let Some(issued) = self.issued.find(hash).await? else { return Err(Refusal::Unknown.problem(None)) };
        if let Some(refusal) = issued.refusal(now()) {
            return Err(refusal.problem(Some(issued.id)));
        }
        self.issued.note_use(issued.id);
        Ok(issued.caller.clone())
    }

    /// By what a key that is shown now is known again in a session, without the key. A customer's token is no
    /// key.
    ///
    /// # Errors
    /// 401 if the key is not good, 503 if nobody can say.
    pub async fn prove(&self, text: &str, token: &Token) -> Result<KeyProof, Problem> {
        if let Some(hash) = self.configured.proof(text, token) {
            return Ok(KeyProof { hash, of_environment: true });
        }
        let Some(key) = ApiKey::parse(text) else { return Err(Refusal::Malformed.problem(None)) };
        let hash = api_keys::hash(&key);
        self.issued_to(&hash).await?;
        Ok(KeyProof { hash, of_environment: false })
    }

    /// Whose key a session was begun with. None if it is good no more.
    ///
    /// # Errors
    /// 503 if nobody can say.
    pub async fn known_by(&self, proof: &KeyProof, token: &Token) -> Result<Option<Caller>, Problem> {
        if proof.of_environment {
            return Ok(self.configured.find_by(&proof.hash, token));
        }
        match self.issued_to(&proof.hash).await {
            Ok(caller) => Ok(Some(caller)),
            Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => Ok(None),
            Err(problem) => Err(problem),
        }
    }
}

/// Who may do what: the keys, and what each route wants of them.
#[derive(Clone)]
pub struct Gate {
    keys: Keys,
    wanted: Arc<Wanted>,
}

impl Gate {
    pub fn new(keys: Keys, wanted: Wanted) -> Self {
        Self { keys, wanted: Arc::new(wanted) }
    }
}

/// The one place where keys are asked for.
pub async fn authenticate(
    State(gate): State<Gate>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    // Nobody sets extensions from outside: who is there already was known within this process.
    let caller = match request.extensions().get::<Caller>() {
        Some(caller) => caller.clone(),
        None => gate.keys.caller(request.headers()).await?,
    };
    if let Some(id) = caller.key {
        tracing::Span::current().record("key_id", tracing::field::display(id));
    }
    let is_customer = caller.customer.is_some();
    request.extensions_mut().insert(caller);
    Ok(match is_customer {
        true => next.run(request).await,
        false => cause::of_key(request, next).await,
    })
}

/// The one place where scopes are asked for.
pub async fn authorize(
    State(gate): State<Gate>,
    path: MatchedPath,
    caller: Caller,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    // A method that the path does not have is answered 405 behind us.
    if let Some(access) = gate.wanted.access(request.method(), path.as_str()) {
        caller.admit(access)?;
    }
    Ok(next.run(request).await)
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, key) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
