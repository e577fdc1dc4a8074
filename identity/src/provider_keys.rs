//! The identity provider's public keys, fetched when they are needed and kept for a while.
//!
//! Strangers write the names of keys into their tokens. Whatever they write, the provider is asked once in
//! thirty seconds at most, and by one of us at a time: others who need the answer wait for the same one.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use jiff::{SignedDuration, Timestamp};
use reqwest::redirect::Policy;
use url::{Host, Url};

use crate::{
    Error, Refused, Unavailable,
    jwk::{KeySet, PublicKey},
};

const FRESH: SignedDuration = SignedDuration::from_mins(10);
const BETWEEN_FETCHES: SignedDuration = SignedDuration::from_secs(30);
/// For how long keys are good while the provider is away. It may have taken one of them back meanwhile.
const KEPT_WHILE_AWAY: SignedDuration = SignedDuration::from_hours(24);
/// From the first byte sent to the last one read.
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
const USER_AGENT: &str = concat!("holdfast/", env!("CARGO_PKG_VERSION"));

/// The keys at one address.
#[derive(Clone)]
pub struct ProviderKeys(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    url: Url,
    state: Mutex<State>,
}

/// A fetch on its way, for all who wait for it.
type Fetch = Shared<BoxFuture<'static, ()>>;

#[derive(Default)]
struct State {
    keys: KeySet,
    fetched_at: Option<Timestamp>,
    asked_at: Option<Timestamp>,
    /// The last fetch failed.
    is_away: bool,
    fetch: Option<Fetch>,
}

impl State {
    fn are_younger_than(&self, age: SignedDuration, now: Timestamp) -> bool {
        self.fetched_at.is_some_and(|at| is_within(age, at, now))
    }
}

/// To either side: a clock that was set back makes nothing last longer.
fn is_within(age: SignedDuration, at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at).abs() < age
}

impl ProviderKeys {
    /// # Errors
    /// What is wrong with the address.
    pub fn new(jwks_url: &str) -> Result<Self, &'static str> {
        let url = Url::parse(jwks_url).map_err(|_| "the address of the keys is no URL")?;
        let is_plain = url.scheme() == "http" && is_loopback(&url);
        if url.scheme() != "https" && !is_plain {
            return Err("the address of the keys must be an https address");
        }
        // reqwest is built without a choice of cryptography, and panics until somebody chose ring.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .https_only(!is_plain);
        // What is beside us has no proxy between.
        let http = if is_plain { http.no_proxy() } else { http };
        let http = http.build().map_err(|_| "no HTTP client can be built")?;
        Ok(Self(Arc::new(Inner { http, url, state: Mutex::default() })))
    }

    /// The key that a token names.
    ///
    /// Keys that are older than ten minutes are fetched anew first. If the provider was away when it was last
    /// asked, old ones are taken at once, and it is asked again behind the caller's back.
    pub async fn find(&self, id: Option<&str>, now: Timestamp) -> Result<PublicKey, Error> {
        if let Some(key) = self.known(id, now) {
            return Ok(key);
        }
        let fetch = self.fetch(now);
        if let Some(fetch) = fetch {
            fetch.await;
        }
        let state = self.0.state();
        if !state.are_younger_than(KEPT_WHILE_AWAY, now) {
            return Err(Unavailable.into());
        }
        match state.keys.find(id) {
            Some(key) => Ok(key.clone()),
            // It may be a new one, of which we cannot hear.
            None if state.is_away => Err(Unavailable.into()),
            None => Err(Refused::UnknownKey.into()),
        }
    }

    /// The key, if it is good without waiting for anybody.
    fn known(&self, id: Option<&str>, now: Timestamp) -> Option<PublicKey> {
        let state = self.0.state();
        let key = state.keys.find(id)?.clone();
        if state.are_younger_than(FRESH, now) {
            return Some(key);
        }
        let is_good = state.is_away && state.are_younger_than(KEPT_WHILE_AWAY, now);
        drop(state);
        if is_good {
            self.fetch(now);
        }
        is_good.then_some(key)
    }

    /// The fetch that is on its way, or a new one. None: the provider was asked a moment ago.
    fn fetch(&self, now: Timestamp) -> Option<Fetch> {
        let mut state = self.0.state();
        if let Some(fetch) = state.fetch.as_ref().filter(|fetch| fetch.peek().is_none()) {
            return Some(fetch.clone());
        }
        if state.asked_at.is_some_and(|at| is_within(BETWEEN_FETCHES, at, now)) {
            return None;
        }
        state.asked_at = Some(now);
        let inner = Arc::clone(&self.0);
        // A task of its own: the caller may go away, and a fetch that ended with it would have been the only
        // one of its thirty seconds.
        #[expect(clippy::disallowed_methods, reason = "one at a time, and each has a timeout")]
        let task = tokio::spawn(async move { inner.refresh(now).await });
        let fetch = task.map(|_| ()).boxed().shared();
        state.fetch = Some(fetch.clone());
        Some(fetch)
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn refresh(&self, now: Timestamp) {
        let fetched = self.get().await;
        let mut state = self.state();
        state.fetch = None;
        state.is_away = fetched.is_err();
        match fetched {
            Ok(keys) => {
                if keys.is_empty() {
                    tracing::warn!("the identity provider publishes no key that we can use");
                }
                state.keys = keys;
                state.fetched_at = Some(now);
            }
            Err(why) => tracing::warn!(why, "the identity provider's keys cannot be had"),
        }
    }

    /// Reads no more than the limit, whatever the other side says or does not say about the length.
    async fn get(&self) -> Result<KeySet, &'static str> {
        let mut response = self.http.get(self.url.clone()).send().await.map_err(no_answer)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err("the answer is not 200");
        }
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
            if document.len() + chunk.len() > MAX_DOCUMENT_BYTES {
                return Err("the answer has more than 256 KiB");
            }
            document.extend_from_slice(&chunk);
        }
        KeySet::parse(&document).ok_or("the answer is no set of keys")
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` gives")]
fn no_answer(error: reqwest::Error) -> &'static str {
    match () {
        () if error.is_timeout() => "no answer in time",
        () if error.is_connect() => "no connection",
        () => "the connection broke",
    }
}

/// Whether plain HTTP to there never leaves this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_by_https_or_from_beside_us() {
        for good in
            ["https://id.example/keys", "http://127.0.0.1:9/k", "http://[::1]/k", "http://localhost/k"]
        {
            assert!(ProviderKeys::new(good).is_ok(), "{good}");
        }
        for bad in ["http://id.example/keys", "http://127.0.0.1.id.example/k", "file:///keys", "keys", ""] {
            assert!(ProviderKeys::new(bad).is_err(), "{bad}");
        }
    }
}
