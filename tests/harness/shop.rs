//! A Holdfast of one test: its database, its task queue, its processes.

use std::path::PathBuf;

use reqwest::Method;
use sandbox::Sandbox;
use serde_json::{Value, json};
use sqlx::{Connection as _, FromRow, PgConnection, postgres::PgRow};

use super::{
    Answer, Api, Holdfast, Provider,
    documents::{Level, Product},
    http::API_KEY,
    process::{Env, run},
    send,
    servers::{database_env, servers, shared_database, test_dir},
    temporal::Temporal,
    unique, wait_until, webhook,
};

/// 32 bytes in base64.
const PAYLOAD_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub const ACCOUNT_SECRET: &str = "the-accounts-of-this-shop-have-this-secret";
/// The customer's name, by which leaks of personal data are found.
pub const NAME: &str = "Zaphod Beeblebrox";

/// How a shop differs from the ordinary one.
#[derive(Default)]
pub struct Setup {
    pub without_worker: bool,
    /// Payloads in clear: for tests that read what Temporal stores.
    pub without_payload_key: bool,
    /// Instead of the run's own servers.
    pub database_url: Option<String>,
    pub temporal_address: Option<String>,
    pub smtp_url: Option<String>,
    /// More environment for every process.
    pub env: Vec<(&'static str, String)>,
}

pub struct Shop {
    pub api: Api,
    pub api_process: Holdfast,
    pub worker: Option<Holdfast>,
    pub temporal: Temporal,
    /// The payment provider, with books of its own,
    pub sandbox: Sandbox,
    /// and as others than we see it.
    pub provider: Provider,
    /// The customer's address: nobody else's, so it finds this shop's mails.
    pub email: String,
    pub database_url: String,
    pub task_queue: String,
    env: Env,
    dir: PathBuf,
}

impl Shop {
    /// An API and a worker.
    pub async fn open() -> Self {
        Self::with(Setup::default()).await
    }

    /// With so many pieces of tea, 12.50 EUR each.
    pub async fn with_tea(pieces: i64) -> Self {
        let shop = Self::open().await;
        shop.stock("tea", 1250, pieces).await;
        shop
    }

    pub async fn with_env(env: Vec<(&'static str, String)>) -> Self {
        Self::with(Setup { env, ..Setup::default() }).await
    }

    /// Nobody carries out what the API takes on.
    pub async fn without_worker() -> Self {
        Self::with(Setup { without_worker: true, ..Setup::default() }).await
    }

    /// Payloads in clear, so that nothing hides in them.
    pub async fn in_clear() -> Self {
        Self::with(Setup { without_payload_key: true, ..Setup::default() }).await
    }

    pub async fn with(setup: Setup) -> Self {
        let dir = test_dir();
        let task_queue = format!("queue-{}", unique());
        let (database_url, database_env) = match setup.database_url {
            Some(url) => (url.clone(), vec![("DATABASE_URL", url)]),
            None => {
                let url = shared_database().await;
                (url.clone(), database_env(&url).await)
            }
        };
        let temporal_address = match setup.temporal_address {
            Some(address) => address,
            None => servers().await.temporal.address(),
        };
        let smtp_url = match setup.smtp_url {
            Some(url) => url,
            None => servers().await.mail.smtp_url(),
        };
        let mut env: Env = vec![
            ("TEMPORAL_ADDRESS", temporal_address.clone()),
            ("HOLDFAST_LISTEN", "127.0.0.1:0".into()),
            ("HOLDFAST_API_KEY", API_KEY.into()),
            ("HOLDFAST_SMTP_URL", smtp_url),
            ("HOLDFAST_MAIL_FROM", "Shop <orders@shop.test>".into()),
            ("HOLDFAST_SANDBOX_WEBHOOK_SECRET", webhook::SECRET.into()),
            ("HOLDFAST_TASK_QUEUE", task_queue.clone()),
            ("HOLDFAST_TEMPORAL_UI_URL", "http://ui.test/".into()),
            ("HOLDFAST_ACCOUNT_SECRET", ACCOUNT_SECRET.into()),
            ("HOLDFAST_BOUNCE_WEBHOOK_SECRET", webhook::SECRET.into()),
        ];
        env.extend(database_env);
        if !setup.without_payload_key {
            env.push(("HOLDFAST_PAYLOAD_KEY", PAYLOAD_KEY.into()));
        }
        let sandbox = start_sandbox().await;
        env.push(("HOLDFAST_SANDBOX_URL", sandbox.url().to_owned()));
        env.extend(setup.env);
        let mut api_process = Holdfast::start("api", &env, &dir);
        let worker = (!setup.without_worker).then(|| Holdfast::start("worker", &env, &dir));
        let address = address_of(&mut api_process).await;
        sandbox.send_webhooks_to(webhook_url(&address));
        Self {
            provider: Provider::at(sandbox.url()),
            sandbox,
            api: Api::new(&address),
            api_process,
            worker,
            temporal: Temporal::new(temporal_address),
            email: format!("zaphod.{}@example.org", unique()),
            database_url,
            task_queue,
            env,
            dir,
        }
    }

    /// Starts a (new) worker.
    pub fn start_worker(&mut self) {
        self.worker = Some(Holdfast::start("worker", &self.env, &self.dir));
    }

    /// Waits for a worker that was just started: an answer that waits for one waits only for a moment.
    pub async fn until_worker_works(&mut self) {
        self.worker.as_mut().expect("a worker runs").says("worker started").await;
    }

    pub fn kill_worker(&mut self) {
        self.worker.take().expect("a worker runs").kill();
    }

    /// Asks the worker to end, and waits until it has.
    pub async fn stop_worker(&mut self) {
        let mut worker = self.worker.take().expect("a worker runs");
        worker.terminate();
        assert!(worker.ended().await.success(), "{}", worker.log());
    }

    /// One more process of this shop, with some of its environment changed.
    pub fn start(&self, command: &str, changes: &[(&'static str, String)]) -> Holdfast {
        let mut env = self.env.clone();
        env.extend(changes.iter().cloned());
        Holdfast::start(command, &env, &self.dir)
    }

    /// One more worker, which has begun to work.
    pub async fn another_worker(&self, changes: &[(&'static str, String)]) -> Holdfast {
        let mut process = self.start("worker", changes);
        process.says("worker started").await;
        process
    }

    /// One more API.
    pub async fn start_api(&self, changes: &[(&'static str, String)]) -> (Api, Holdfast) {
        let mut process = self.start("api", changes);
        let address = address_of(&mut process).await;
        (Api::new(&address), process)
    }

    /// Replaces the API process by a new one.
    pub async fn restart_api(&mut self) {
        self.api_process.kill();
        (self.api, self.api_process) = self.start_api(&[]).await;
        self.sandbox.send_webhooks_to(webhook_url(self.api.address()));
    }

    pub async fn put_product(&self, sku: &str, product: &Value) -> Answer<Product> {
        self.api.put(&format!("/v1/products/{sku}"), product).await.of()
    }

    pub async fn product(&self, sku: &str) -> Product {
        self.api.get(&format!("/v1/products/{sku}")).await.of().is(200)
    }

    /// Puts a product on sale at this price (in cents), with this much on the shelf.
    pub async fn stock(&self, sku: &str, unit_price: i64, on_hand: i64) {
        let product = json!({"name": format!("Nice {sku}"), "unit_price": unit_price, "currency": "EUR"});
        self.put_product(sku, &product).await.is(201);
        if on_hand > 0 {
            self.adjust(sku, on_hand).await.is(201);
        }
    }

    pub async fn adjust(&self, sku: &str, delta: i64) -> Answer<Level> {
        let body = json!({"delta": delta, "reason": "counted"});
        self.api.post(&format!("/v1/inventory/{sku}/adjustments"), &body).await.of()
    }

    /// (on hand, held), having checked that what is available is the rest.
    pub async fn level(&self, sku: &str) -> (i64, i64) {
        let level: Level = self.api.get(&format!("/v1/inventory/{sku}")).await.of().is(200);
        assert_eq!(level.available, level.on_hand - level.held, "{level:?}");
        (level.on_hand, level.held)
    }

    /// The database, for what no route shows.
    pub async fn sql(&self) -> PgConnection {
        PgConnection::connect(&self.database_url).await.unwrap()
    }

    /// The one value that a query of the database gives.
    pub async fn query<T>(&self, sql: &'static str) -> T
    where
        T: Send + Unpin,
        (T,): for<'r> FromRow<'r, PgRow>,
    {
        sqlx::query_scalar(sql).fetch_one(&mut self.sql().await).await.unwrap()
    }

    /// Waits until a query of the database gives `true`.
    pub async fn until_true(&self, what: &str, sql: &'static str) {
        let mut database = self.sql().await;
        wait_until(what, async || sqlx::query_scalar::<_, bool>(sql).fetch_one(&mut database).await.unwrap())
            .await;
    }

    /// Waits until somebody waits for a lock in this shop's database.
    pub async fn until_one_waits(&self) {
        let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                                    AND wait_event_type = 'Lock')";
        self.until_true("a transaction waits for a lock", waits).await;
    }

    /// The kinds of the open exceptions, also of those that belong to no order.
    pub async fn open_exceptions(&self) -> Vec<String> {
        let mut connection = self.sql().await;
        let kinds =
            sqlx::query_scalar("SELECT kind FROM exceptions WHERE state = 'open' ORDER BY raised_at, id");
        kinds.fetch_all(&mut connection).await.unwrap()
    }

    /// What `/metrics` shows, to anybody.
    pub async fn figures(&self) -> String {
        let answer = send(self.api.bare(Method::GET, "/metrics")).await;
        assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
        String::from_utf8(answer.body).unwrap()
    }

    /// Runs a command of `holdfast` on the database; gives whether it succeeded, and what it said.
    pub fn run(&self, command: &str) -> (bool, String) {
        run(command, &[("DATABASE_URL", self.database_url.clone())])
    }

    /// The same, which must succeed.
    pub fn done(&self, command: &str) {
        let (done, said) = self.run(command);
        assert!(done, "{said}");
    }

    /// Runs `holdfast reconcile`; gives whether it succeeded, and what it said. Not on this thread: the
    /// sandbox may serve on it.
    pub fn reconcile(&self) -> impl Future<Output = (bool, String)> + Send + use<> {
        let env = self.env.clone();
        async { tokio::task::spawn_blocking(move || run("reconcile", &env)).await.unwrap() }
    }

    /// Every invariant must be whole.
    #[track_caller]
    pub fn audit(&self) {
        self.done("audit");
    }

    /// `holdfast audit` must find that this is broken.
    #[track_caller]
    pub fn audit_finds(&self, broken: &str) {
        let (whole, report) = self.run("audit");
        let found = report.lines().any(|line| line.starts_with(&format!("BROKEN {broken}")));
        assert!(!whole && found, "{broken}:\n{report}");
    }

    /// The end of a test: the books are right and nothing personal was logged.
    #[track_caller]
    pub fn close(self) {
        self.audit();
        for process in [Some(&self.api_process), self.worker.as_ref()].into_iter().flatten() {
            let log = process.log();
            assert!(!log.contains(&self.email) && !log.contains(NAME), "personal data in a log:\n{log}");
        }
    }
}

async fn start_sandbox() -> Sandbox {
    let options = sandbox::Options {
        listen: None,
        webhook_url: "http://127.0.0.1:1".to_owned(), // until the API's address is known
        secret: webhook::SECRET.to_owned(),
        payer_key: None,
        storage: None,
    };
    Sandbox::start(options).await.unwrap()
}

fn webhook_url(api: &str) -> String {
    format!("http://{api}/v1/webhooks/sandbox")
}

async fn address_of(api: &mut Holdfast) -> String {
    let started: Value = api.says("api started").await;
    started["address"].as_str().unwrap().to_owned()
}
