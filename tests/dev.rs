//! `holdfast dev`: servers of its own on one machine, started, killed, started again and stopped.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU16, Ordering},
};

use devstack::port_is_free;
use reqwest::Method;
use serde_json::json;

use crate::{
    api_keys::key,
    harness::{
        Api, Holdfast,
        documents::{Entry, Order},
        kafka, mails_at, servers, test_dir, tools_dir,
        visitor::{Visitor, read},
        wait_until,
    },
};

const FLAGS: [&str; 5] = ["--port", "--temporal-port", "--temporal-ui-port", "--mail-port", "--events-port"];

/// A `holdfast dev`, as somebody at a terminal has it.
pub struct Dev {
    pub process: Holdfast,
    pub api: Api,
    /// The mail catcher's page.
    pub mail: Api,
    data: PathBuf,
}

impl Dev {
    fn start(dir: &Path, ports: [u16; 5]) -> Self {
        Self::start_with(dir, ports, &[])
    }

    fn start_with(dir: &Path, ports: [u16; 5], more: &[String]) -> Self {
        let mut arguments = vec!["--data-dir".to_owned(), dir.join("data").display().to_string()];
        for (flag, port) in FLAGS.iter().zip(ports) {
            arguments.extend([(*flag).to_owned(), port.to_string()]);
        }
        arguments.extend_from_slice(more);
        let env = vec![("PATH", std::env::var("PATH").unwrap())];
        let process = Holdfast::start_with("dev", &arguments, &env, dir);
        let at = |port| format!("127.0.0.1:{port}");
        let data = dir.join("data");
        Self { process, api: Api::with_key(&at(ports[0]), "dev-key"), mail: Api::new(&at(ports[3])), data }
    }

    /// In a folder of its own.
    pub async fn fresh() -> Self {
        Self::up(&dev_dir().await, ports()).await
    }

    /// `holdfast audit` finds nothing, run as somebody in another terminal does it.
    pub fn audit(&self) {
        let script = format!(". '{}' && exec \"$0\" audit", self.data.join("env").display());
        let audit = Command::new("/bin/sh").args(["-c", &script, env!("CARGO_BIN_EXE_holdfast")]).output();
        let audit = audit.unwrap();
        assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stdout));
    }

    async fn up(dir: &Path, ports: [u16; 5]) -> Self {
        let mut dev = Self::start(dir, ports);
        dev.process.prints("Ctrl-C stops everything that was started here.").await;
        dev
    }

    pub async fn order(&self, id: &str) -> Order {
        self.api.get(&format!("/v1/orders/{id}")).await.of().is(200)
    }

    /// Waits until the order's timeline tells of this.
    pub async fn until_told(&self, id: &str, kind: &str) {
        wait_until(&format!("{kind} of {id}"), async || {
            let timeline = self.api.list::<Entry>(&format!("/v1/orders/{id}/timeline")).await.data;
            timeline.iter().any(|entry| entry.kind == kind)
        })
        .await;
    }

    /// Waits until the customer has got this mail.
    pub async fn until_mailed(&self, id: &str, kind: &str) {
        wait_until(&format!("the mail `{kind}` about {id}"), async || {
            mails_at(&self.mail, id).await.iter().any(|mail| mail.kind().starts_with(kind))
        })
        .await;
    }
}

/// A folder for a `holdfast dev` that shares the server programs with all tests: what this machine
/// lacks is fetched once.
async fn dev_dir() -> PathBuf {
    servers().await; // fetches
    let (dir, tools) = (test_dir(), tools_dir());
    fs::create_dir_all(&tools).unwrap();
    fs::create_dir(dir.join("data")).unwrap();
    symlink(tools.canonicalize().unwrap(), dir.join("data/bin")).unwrap();
    dir
}

/// Free ports that stay free while nobody listens on them, between a kill and the next start: below
/// those that systems give to whoever asks for any.
fn ports() -> [u16; 5] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Where to begin differs between runs side by side.
    let first = 20_000 + u16::try_from(std::process::id() % 1_000).unwrap() * 10;
    std::array::from_fn(|_| {
        let mut candidates = std::iter::repeat_with(|| first + NEXT.fetch_add(1, Ordering::Relaxed));
        candidates.find(|port| port_is_free(*port)).unwrap()
    })
}

#[tokio::test]
async fn an_order_and_its_mails_outlive_kill_9_and_ctrl_c_ends_everything() {
    let (dir, ports) = (dev_dir().await, ports());
    let data = dir.join("data");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap(); // as a version before left it
    let mut dev = Dev::up(&dir, ports).await;
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    let body = json!({
        "customer": {"id": "ann", "email": "ann@example.org", "time_zone": "Europe/Vienna"},
        "currency": "EUR",
        "lines": [{"sku": "tea-green", "quantity": 2}],
    });
    let order: Order = dev.api.post("/v1/orders", &body).await.of().is(201);
    let id = order.id.as_str();
    dev.until_told(id, "workflow.started").await;
    let skip = format!("/v1/sandbox/orders/{id}/fast-forward");
    dev.api.post(&skip, &json!({"duration": "PT5H"})).await.is(200);
    dev.until_mailed(id, "reminder").await;

    // Its servers die with it, or the next start could not have their ports and data.
    dev.process.kill();
    let mut dev = Dev::up(&dir, ports).await;
    assert_eq!(dev.order(id).await.status, "awaiting_payment");
    dev.until_mailed(id, "reminder").await;
    dev.api.post(&format!("/v1/sandbox/orders/{id}/pay"), &json!({})).await.is(200);
    wait_until("the order is completed", async || dev.order(id).await.status == "completed").await;
    dev.until_mailed(id, "paid").await;

    play(&dev).await;
    break_things(&dev).await;
    dev.audit();
    dev.process.interrupt();
    assert_eq!(dev.process.ended().await.code(), Some(0), "{}", dev.process.log());
    assert_eq!(ports.map(port_is_free), [true; 5], "{ports:?}");
}

/// Somebody who tries it out by clicking alone.
async fn play(dev: &Dev) {
    let mut visitor = Visitor::new(dev.api.address());
    assert_eq!(visitor.get("/").await.leads_to(), "/console");
    let page = visitor.get("/console/sign-in").await.is(200);
    page.shows("Sign in with the dev key");
    assert!(!page.html.contains("dev-key"), "the key is on the page:\n{}", page.html);
    strangers_have_to_show_a_key(&visitor).await;
    visitor.sign_in_to_dev().await.leads_to();
    let window = visitor.get("/console/dev").await.is(200);
    window.shows("Green tea, 12.50 EUR");
    let customer = [("customer", "bob"), ("email", "bob@example.org"), ("quantity", "1")];
    let policy = [("fulfilment", "immediate"), ("late_payment", "refund")];
    let product = [("product", "EUR tea-green"), ("key", "played-once")];
    let fields = [&customer[..], &policy, &product].concat();
    let placed = visitor.fill_in(&window, "/console/dev/place", &fields).await;
    let id = placed.leads_to().trim_start_matches("/console/orders/").split('?').next().unwrap().to_owned();
    let path = format!("/console/dev/orders/{id}");
    let page = visitor.get(&path).await.is(200);
    let skipped = visitor.fill_in(&page, &format!("{path}/skip"), &[("duration", "PT5H")]).await;
    visitor.get(skipped.leads_to()).await.shows("So much time has passed");
    dev.until_mailed(&id, "reminder").await;
    let pay = async |amount: &str| {
        let fields = [("amount", amount), ("outcome", "succeeded")];
        visitor.fill_in(&page, &format!("{path}/pay"), &fields).await.leads_to();
    };
    pay("1.00").await;
    dev.until_told(&id, "exception.raised").await;
    pay("").await;
    dev.until_told(&id, "order.completed").await;
    visitor.get(&format!("/console/orders/{id}")).await.is(200).shows("/workflows/");
}

/// A page elsewhere that has its own name lead here, and whoever comes by a proxy on this machine.
async fn strangers_have_to_show_a_key(visitor: &Visitor) {
    for (name, value) in
        [("host", "evil.example"), ("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")]
    {
        let page = read(visitor.request(Method::GET, "/console/sign-in").header(name, value)).await.is(200);
        assert!(!page.html.contains("Sign in with the dev key"), "{name}: {}", page.html);
        let form = visitor.form("/console/dev/sign-in", &[]).header("sec-fetch-site", "same-origin");
        let page = read(form.header(name, value)).await.is(403);
        page.shows("signs in only on the machine where it runs");
        assert_eq!(page.header("set-cookie"), "", "{name}");
    }
}

/// What can be taken away on the page for it: nothing is lost, and all is done once it is back.
async fn break_things(dev: &Dev) {
    let mut visitor = Visitor::new(dev.api.address());
    visitor.sign_in_to_dev().await.leads_to();
    let page = visitor.get("/console/dev").await.is(200);
    let switch = async |part: &str, away: &str| {
        let path = format!("/console/dev/faults/{part}");
        visitor.fill_in(&page, &path, &[("away", away)]).await.leads_to().to_owned()
    };
    // However quickly somebody changes their mind.
    for away in ["on", "", "on", "", "on", ""] {
        for part in ["worker", "mail", "webhooks"] {
            switch(part, away).await;
        }
    }
    dev.api.get("/healthz").await.is(200);
    let (issued, _) = key(&dev.api, "reader", &["orders:read"]).await;
    let reader = Visitor::with_key(dev.api.address(), &issued.key).await;
    let list = reader.get("/console/orders").await.is(200);
    for path in ["/console/dev/faults/worker", "/console/dev/books"] {
        assert_eq!(reader.fill_in(&list, path, &[("away", "on")]).await.status, 403, "{path}");
    }
    for part in ["mail", "webhooks", "worker"] {
        visitor.get(&switch(part, "on").await).await.is(200).shows("It is away.");
    }
    let body = json!({
        "customer": {"id": "eve", "email": "eve@example.org"},
        "currency": "EUR",
        "lines": [{"sku": "tea-green", "quantity": 1}],
    });
    let order: Order = dev.api.post("/v1/orders", &body).await.of().is(201);
    let pay = format!("/v1/sandbox/orders/{}/pay", order.id);
    dev.api.post(&pay, &json!({})).await;
    assert_eq!(dev.order(&order.id).await.status, "awaiting_payment");
    switch("worker", "").await;
    dev.until_told(&order.id, "workflow.started").await;
    visitor.fill_in(&page, "/console/dev/books", &[]).await.leads_to();
    wait_until("the order is completed", async || dev.order(&order.id).await.status == "completed").await;
    assert!(mails_at(&dev.mail, &order.id).await.is_empty());
    switch("mail", "").await;
    dev.until_mailed(&order.id, "paid").await;
    switch("webhooks", "").await;
    visitor.get("/console/dev").await.is(200).shows("It works.");
    assert_eq!(visitor.fill_in(&page, "/console/dev/faults/all", &[("away", "on")]).await.status, 404);
}

#[tokio::test]
async fn a_port_that_is_taken_is_refused_with_its_flag() {
    let dir = dev_dir().await;
    for (place, flag) in FLAGS.iter().enumerate() {
        let ports = ports();
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, ports[place])).unwrap();
        let mut dev = Dev::start(&dir, ports);
        assert_eq!(dev.process.ended().await.code(), Some(1));
        let said = dev.process.log();
        assert!(said.contains(&ports[place].to_string()), "no port: {said}");
        assert!(said.ends_with(&format!("choose another with {flag}\n")), "no {flag}: {said}");
        for (other, port) in ports.iter().enumerate() {
            assert!(other == place || port_is_free(*port), "{port} is still served: {said}");
        }
    }
}

/// The broker is found by others where it says, and has what happened.
#[tokio::test]
async fn with_kafka_events_are_published() {
    let (dir, ports) = (dev_dir().await, ports());
    let broker = self::ports()[0];
    let more = ["--kafka", "--kafka-port", &broker.to_string()].map(str::to_owned);
    let mut dev = Dev::start_with(&dir, ports, &more);
    dev.process.prints(&format!("Kafka        127.0.0.1:{broker}")).await;
    let body = json!({
        "customer": {"id": "ann", "email": "ann@example.org", "time_zone": "Europe/Vienna"},
        "currency": "EUR",
        "lines": [{"sku": "tea-green", "quantity": 2}],
    });
    let order: Order = dev.api.post("/v1/orders", &body).await.of().is(201);
    let address = format!("127.0.0.1:{broker}");
    wait_until("the order is told of", async || {
        let records = kafka::read(&address, &["holdfast.orders"]).await;
        records.iter().any(|record| record.key.as_ref() == Some(&order.id))
    })
    .await;
    let env = fs::read_to_string(dir.join("data/env")).unwrap();
    assert!(env.contains(&format!("HOLDFAST_KAFKA_BROKERS={address}")), "{env}");
    dev.process.interrupt();
    assert_eq!(dev.process.ended().await.code(), Some(0), "{}", dev.process.log());
    assert!(port_is_free(broker));
}
