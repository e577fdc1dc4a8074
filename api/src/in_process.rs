//! The API for pages that are served beside it: called within this process, by whoever is signed in there.
//!
//! Whoever calls so has what the key that was shown has: scopes, limits and its name in histories. A caller
//! comes in the extensions of a request, which nobody sets from outside.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::Request,
    http::{Extensions, header},
    response::Response,
};
use domain::Timestamp;
use store::{
    Db, Fault,
    console_sessions::{self, Session, Token},
    random,
};
use tower::ServiceExt as _;

use crate::{
    app::App,
    auth::{Caller, Keys},
    clock,
    error::Problem,
    gateway::rate_limits::{Limiters, Told},
};

/// What requests within this process give as their host.
const HOST: &str = "localhost";
/// Sessions that this process has found before. If there are more, all of them are looked for anew.
const MAX_KNOWN: usize = 4096;

/// In an answer's extensions: whoever asked is nobody that we know, and is counted by address, unless that
/// was done before anybody looked.
#[derive(Debug, Clone)]
pub struct Stranger(pub(crate) Option<Told>);

/// Why nobody is known by a session's token.
pub enum Unknown {
    /// There is no such session, or none any more. It is put into the answer's extensions.
    Nobody(Stranger),
    /// Too many from there have shown tokens that are nobody's. This is the answer.
    TooMany(Box<Response>),
    /// Nobody can say.
    Problem(Problem),
}

impl From<Problem> for Unknown {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Fault> for Unknown {
    fn from(fault: Fault) -> Self {
        Self::Problem(fault.into())
    }
}

/// Tokens that were good when they were shown here last. Who shows one of these is not counted as a stranger
/// first, and so is not refused for strangers at the same address. Only who has a good key gets in here.
#[derive(Default)]
struct Known(Mutex<HashSet<Token>>);

impl Known {
    fn has(&self, token: &Token) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(token)
    }

    fn add(&self, token: &Token) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= MAX_KNOWN && !tokens.contains(token) {
            tokens.clear();
        }
        tokens.insert(*token);
    }

    fn remove(&self, token: &Token) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(token);
    }
}

/// A way to call the API within this process. Cheap to clone.
#[derive(Clone)]
pub struct InProcess {
    api: Router,
    keys: Keys,
    db: Db,
    has_accounts: bool,
    limiters: Limiters,
    known: Arc<Known>,
}

impl InProcess {
    pub(crate) fn new(api: Router, app: &App, limiters: Limiters) -> Self {
        let (keys, db, has_accounts) = (app.keys.clone(), app.db.clone(), app.accounts.is_some());
        Self { api, keys, db, has_accounts, limiters, known: Arc::default() }
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
        self.known.add(&token);
        Ok(token)
    }

    /// Whose session this is, who does something in it now with this request.
    ///
    /// # Errors
    /// If that is not known.
    pub async fn session(&self, token: &Token, request: &Extensions) -> Result<Caller, Unknown> {
        let (caller, session) = self.known_by(token, request).await?;
        if session.is_to_be_noted {
            console_sessions::note_seen(&self.db, token, clock::now()).await?;
        }
        Ok(caller)
    }

    /// The same of who only looks on: that does not keep a session from its end.
    ///
    /// # Errors
    /// If that is not known.
    pub async fn look_on(&self, token: &Token, request: &Extensions) -> Result<Caller, Unknown> {
        Ok(self.known_by(token, request).await?.0)
    }

    /// A token that was not good here before is counted before the database is asked: of random ones there is
    /// no end.
    async fn known_by(&self, token: &Token, request: &Extensions) -> Result<(Caller, Session), Unknown> {
        let counted = match self.known.has(token) {
            true => None,
            false => self.limiters.count_stranger(request).map_err(Unknown::TooMany)?,
        };
        match self.find(token).await? {
            Some(found) => {
                self.known.add(token);
                Ok(found)
            }
            None => {
                self.known.remove(token);
                Err(Unknown::Nobody(Stranger(counted)))
            }
        }
    }

    /// Whose session this is, for an answer that is being given already. None if it has ended, or its key is
    /// good no more.
    ///
    /// # Errors
    /// 503 if nobody can say.
    pub async fn whose(&self, token: &Token) -> Result<Option<Caller>, Problem> {
        Ok(self.find(token).await?.map(|(caller, _)| caller))
    }

    async fn find(&self, token: &Token) -> Result<Option<(Caller, Session)>, Problem> {
        let found = console_sessions::find(&self.db, token, clock::now()).await?;
        let Some(session) = found else { return Ok(None) };
        let caller = self.keys.known_by(&session.key, token).await?;
        Ok(caller.map(|caller| (caller, session)))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// 503 if it could not be ended.
    pub async fn sign_out(&self, token: &Token) -> Result<(), Problem> {
        console_sessions::end(&self.db, token).await?;
        self.known.remove(token);
        Ok(())
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
