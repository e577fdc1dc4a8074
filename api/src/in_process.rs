//! The API for pages that are served beside it: called within this process, by whoever is signed in there.
//!
//! Whoever calls so has what the key that was shown has: scopes, limits and its name in histories. A caller
//! comes in the extensions of a request, which nobody sets from outside.

use axum::{Router, extract::Request, http::header, response::Response};
use domain::Timestamp;
use store::{
    Db,
    console_sessions::{self, Token},
    random,
};
use tower::ServiceExt as _;

use crate::{
    auth::{Caller, Keys},
    clock,
    error::Problem,
};

/// What requests within this process give as their host.
const HOST: &str = "localhost";

/// In an answer's extensions: whoever asked is nobody that we know, and is counted by address.
#[derive(Debug, Clone, Copy)]
pub struct Stranger;

/// A way to call the API within this process. Cheap to clone.
#[derive(Clone)]
pub struct InProcess {
    api: Router,
    keys: Keys,
    db: Db,
    has_accounts: bool,
}

impl InProcess {
    pub(crate) fn new(api: Router, keys: Keys, db: Db, has_accounts: bool) -> Self {
        Self { api, keys, db, has_accounts }
    }

    /// Begins a session of whoever shows this key, and gives its token. Each has a token of its own, drawn
    /// now: one that somebody has planted before is none.
    ///
    /// # Errors
    /// 401 if the key is not good, 503 if nobody can say.
    pub async fn sign_in(&self, key: &str) -> Result<Token, Problem> {
        let token: Token = random();
        let proof = self.keys.prove(key, &token).await?;
        console_sessions::begin(&self.db, &token, &proof, clock::now()).await?;
        Ok(token)
    }

    /// Whose session this is, who does something in it now. None if it has ended, or its key is good no more.
    ///
    /// # Errors
    /// 503 if nobody can say.
    pub async fn session(&self, token: &Token) -> Result<Option<Caller>, Problem> {
        let caller = self.whose(token).await?;
        if caller.is_some() {
            console_sessions::note_seen(&self.db, token, clock::now()).await?;
        }
        Ok(caller)
    }

    /// The same of who only looks on.
    ///
    /// # Errors
    /// 503 if nobody can say.
    pub async fn whose(&self, token: &Token) -> Result<Option<Caller>, Problem> {
        match console_sessions::find(&self.db, token, clock::now()).await? {
            Some(proof) => self.keys.known_by(&proof, token).await,
            None => Ok(None),
        }
    }

    /// Ends a session.
    ///
    /// # Errors
    /// 503 if it could not be ended.
    pub async fn sign_out(&self, token: &Token) -> Result<(), Problem> {
        Ok(console_sessions::end(&self.db, token).await?)
    }

    /// Asks the API, as this caller.
    pub async fn call(&self, caller: &Caller, mut request: Request) -> Response {
        let host = axum::http::HeaderValue::from_static(HOST);
        request.headers_mut().insert(header::HOST, host);
        request.extensions_mut().insert(caller.clone());
        match self.api.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Whether this shop has accounts of customers: without them there is nothing at their addresses.
    pub const fn has_accounts(&self) -> bool {
        self.has_accounts
    }

    /// The clock of requests.
    pub fn now(&self) -> Timestamp {
        clock::now()
    }
}
