//! A Holdfast of one test: its database, its task queue, its processes.

use std::{path::PathBuf, process::Command};

use reqwest::Method;
use sandbox::Sandbox;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use super::{
    Answer, Api, Holdfast,
    http::API_KEY,
    process::Env,
    send,
    servers::{database_env, servers, shared_database, test_dir},
    temporal::Temporal,
    unique, webhook,
};

/// 32 bytes in base64.
const PAYLOAD_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
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
    /// The payment provider, with books of its own.
    pub sandbox: Sandbox,
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

    /// Puts a product on sale at this price (in cents), with this much on the shelf.
    pub async fn stock(&self, sku: &str, unit_price: i64, on_hand: i64) {
        let product =
            serde_json::json!({"name": format!("Nice {sku}"), "unit_price": unit_price, "currency": "EUR"});
        self.api.put(&format!("/v1/products/{sku}"), &product).await.is(201);
        if on_hand > 0 {
            self.adjust(sku, on_hand).await.is(201);
        }
    }

    /// Gives a product on sale another price.
    pub async fn reprice(&self, sku: &str, unit_price: i64) {
        let product = serde_json::json!({"name": "Renamed", "unit_price": unit_price, "currency": "EUR"});
        self.api.put(&format!("/v1/products/{sku}"), &product).await.is(200);
    }

    pub async fn adjust(&self, sku: &str, delta: i64) -> Answer {
        let body = serde_json::json!({"delta": delta, "reason": "counted"});
        self.api.post(&format!("/v1/inventory/{sku}/adjustments"), &body).await
    }

    /// (on hand, held), having checked that what is available is the rest.
    pub async fn level(&self, sku: &str) -> (i64, i64) {
        let level = self.api.get(&format!("/v1/inventory/{sku}")).await.is(200);
        let number = |field: &str| level[field].as_i64().unwrap();
        assert_eq!(number("available"), number("on_hand") - number("held"), "{level}");
        (number("on_hand"), number("held"))
    }

    /// The database, for what no route shows.
    pub async fn sql(&self) -> PgConnection {
        PgConnection::connect(&self.database_url).await.unwrap()
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

    /// Runs `holdfast audit`; gives its verdict and its report.
    pub fn run_audit(&self) -> (bool, String) {
        self.run("audit")
    }

    /// Runs a command of `holdfast` on the database; gives whether it succeeded, and what it said.
    pub fn run(&self, command: &str) -> (bool, String) {
        let mut holdfast = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        run(holdfast.arg(command).env("DATABASE_URL", &self.database_url))
    }

    /// Runs `holdfast reconcile`; gives whether it succeeded, and what it said.
    pub async fn reconcile(&self) -> (bool, String) {
        self.reconciliation().await
    }

    /// The same, for a test that goes on meanwhile.
    pub fn reconciliation(&self) -> impl Future<Output = (bool, String)> + Send + use<> {
        let mut reconcile = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        reconcile.arg("reconcile").env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
        // Not on this thread: the sandbox may serve on it.
        async { tokio::task::spawn_blocking(move || run(&mut reconcile)).await.unwrap() }
    }

    /// Every invariant must be whole.
    #[track_caller]
    pub fn audit(&self) {
        let (whole, report) = self.run_audit();
        assert!(whole, "{report}");
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

fn run(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
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
