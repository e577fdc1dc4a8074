//! What the handlers share.

use std::sync::Arc;

use axum::{Router, extract::FromRef};
use engine::{Dispatcher, Engine};
use events::webhooks::Sender;
use identity::Tokens;
use providers::{Providers, sandbox::Sandbox};
use store::{Db, PlacementBatcher};
use telemetry::SdkMetrics;
use web::standard_webhooks::Secret;

use crate::{
    accounts::Accounts,
    auth::{ApiKeys, Keys},
    behind::Behind,
    events::Feed,
    figures::MailProbe,
    gateway::Gateway,
    hosted::HostedPages,
    in_process::InProcess,
    operations::Operations,
};

/// Makes pages out of a way to call the API.
type Pages = Arc<dyn Fn(InProcess) -> Router + Send + Sync>;

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub(crate) db: Db,
    pub(crate) placements: PlacementBatcher,
    pub(crate) engine: Arc<Engine>,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) behind: Behind,
    pub(crate) keys: Keys,
    /// None: this shop has no accounts of customers.
    pub(crate) accounts: Option<Arc<Accounts>>,
    /// Routes to play with the sandbox provider. Never in production.
    pub(crate) sandbox: Option<Arc<Sandbox>>,
    pub(crate) providers: Providers,
    /// Tries out webhook endpoints.
    pub(crate) webhooks: Arc<Sender>,
    operations: Operations,
    /// Whether mails can be sent; none if nobody here can say.
    pub(crate) mail: Option<MailProbe>,
    /// Pages that are served beside the API, by whoever makes them of it.
    pub(crate) pages: Option<Pages>,
    /// Whether `/docs` and `/openapi.json` are served.
    pub(crate) with_docs: bool,
    pub(crate) gateway: Gateway,
    /// By which reports of mails that came back are verified. None: they are not taken.
    pub(crate) bounce_secret: Option<Secret>,
    /// None: mails lead nowhere here.
    pub(crate) hosted: Option<Arc<HostedPages>>,
    pub(crate) feed: Arc<Feed>,
}

impl App {
    pub fn new(
        db: Db,
        placements: PlacementBatcher,
        engine: Arc<Engine>,
        api_keys: ApiKeys,
        providers: Providers,
        webhooks: Arc<Sender>,
        sdk_metrics: SdkMetrics,
    ) -> Self {
        let dispatcher = Dispatcher::new(db.clone(), engine.clone());
        let behind = Behind::new();
        let keys = Keys::new(api_keys, db.clone(), behind.clone());
        let operations = Operations::new(db.clone(), engine.clone(), sdk_metrics);
        let feed = Arc::new(Feed::new(db.clone()));
        Self {
            db,
            placements,
            engine,
            dispatcher,
            behind,
            keys,
            accounts: None,
            sandbox: None,
            providers,
            webhooks,
            operations,
            mail: None,
            pages: None,
            with_docs: true,
            gateway: Gateway::default(),
            bounce_secret: None,
            hosted: None,
            feed,
        }
    }

    /// Takes the tokens of customers.
    pub fn with_tokens(self, tokens: Tokens) -> Self {
        Self { keys: self.keys.with_tokens(tokens), ..self }
    }

    /// Lets customers have accounts.
    pub fn with_accounts(self, accounts: Accounts) -> Self {
        Self { accounts: Some(Arc::new(accounts)), ..self }
    }

    /// Tells in `/metrics` whether mails can be sent.
    pub fn with_mail(self, probe: MailProbe) -> Self {
        Self { operations: self.operations.with_mail(probe.clone()), mail: Some(probe), ..self }
    }

    /// Serves pages beside the API, which call it within this process.
    pub fn with_pages(self, pages: impl Fn(InProcess) -> Router + Send + Sync + 'static) -> Self {
        Self { pages: Some(Arc::new(pages)), ..self }
    }

    /// Meets the network in another way than by default.
    pub fn with_gateway(self, gateway: Gateway) -> Self {
        Self { gateway, ..self }
    }

    /// Serves no page to try the API on.
    pub fn without_docs(self) -> Self {
        Self { with_docs: false, ..self }
    }

    /// Takes reports of mails that came back.
    pub fn with_bounces(self, secret: Secret) -> Self {
        Self { bounce_secret: Some(secret), ..self }
    }

    /// Serves the pages that mails lead to.
    pub fn with_hosted_pages(self, pages: HostedPages) -> Self {
        Self { hosted: Some(Arc::new(pages)), ..self }
    }

    /// Adds the routes to play with the sandbox payment provider.
    pub fn with_sandbox(self, sandbox: Arc<Sandbox>) -> Self {
        Self { sandbox: Some(sandbox), ..self }
    }
}

impl FromRef<App> for Operations {
    fn from_ref(app: &App) -> Self {
        app.operations.clone()
    }
}
