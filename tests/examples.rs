//! The programs in `examples/`, started as they say of themselves: they take what Holdfast sends them, and
//! receivers of webhooks refuse what somebody else has signed.

use std::{
    fs::{self, File},
    io::{PipeWriter, Write as _},
    path::PathBuf,
    process::{Child, Command},
};

use serde_json::{Value, json};

use crate::harness::{
    Holdfast, Setup, Shop, guarded,
    kafka::Broker,
    programs::{Node, PYTHON_WEBHOOKS, done, python, repository},
    test_dir, wait_until,
};

/// A running example, and what it has printed. It ends with the test.
struct Example {
    child: Child,
    guard: PipeWriter,
    log: PathBuf,
}

impl Example {
    fn start(command: &Command) -> Self {
        let log = test_dir().join("example.log");
        let file = File::create(&log).unwrap();
        let (mut guarded, guard) = guarded(command.get_program());
        guarded.args(command.get_args()).stdout(file.try_clone().unwrap()).stderr(file);
        for (name, value) in command.get_envs().filter_map(|(name, value)| Some((name, value?))) {
            guarded.env(name, value);
        }
        if let Some(dir) = command.get_current_dir() {
            guarded.current_dir(dir);
        }
        Self { child: guarded.spawn().unwrap(), guard, log }
    }

    fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    async fn prints(&mut self, text: &str) {
        wait_until(&format!("it prints `{text}`"), async || {
            assert!(self.child.try_wait().unwrap().is_none(), "it has ended: {}", self.printed());
            self.printed().contains(text)
        })
        .await;
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
        let _ = self.guard.write_all(b"\n");
        if std::thread::panicking() {
            eprintln!("---- the example printed\n{}", self.printed());
        }
    }
}

/// What became of the newest event for an endpoint, once it was tried.
async fn tried(shop: &Shop, endpoint: &Value) -> Value {
    let path = format!("/v1/webhook-endpoints/{}/deliveries", endpoint["id"].as_str().unwrap());
    let mut found = Value::Null;
    wait_until("it is tried", async || {
        found = shop.api.get(&path).await.is(200)["data"][0].clone();
        found["attempts"].as_i64().is_some_and(|attempts| attempts > 0)
    })
    .await;
    found
}

/// A receiver takes what is signed by its secret, once, and nothing else.
async fn takes_what_is_signed(start: impl AsyncFnOnce(&str, u16) -> Example) {
    let env = vec![("HOLDFAST_WEBHOOK_ALLOW_NETWORKS", "127.0.0.0/8".to_owned())];
    let shop = Shop::with(Setup { env, ..Setup::default() }).await;
    shop.stock("tea", 1250, 10).await;
    let port = devstack::free_port();
    let url = format!("http://127.0.0.1:{port}/");
    let body = json!({"url": url, "types": ["order.placed"]});
    let create = async || shop.api.post("/v1/webhook-endpoints", &body).await.is(201);
    // The other one signs by a secret that the receiver does not know.
    let (endpoint, other) = (create().await, create().await);
    let mut receiver = start(endpoint["secret"].as_str().unwrap(), port).await;
    receiver.prints(&format!("listening {port}")).await;
    let order = shop.place(&[("tea", 1)]).await;
    let (taken, refused) = (tried(&shop, &endpoint).await, tried(&shop, &other).await);
    assert_eq!((&taken["status"], &taken["answer_code"]), (&json!("delivered"), &json!(204)));
    assert_eq!((&refused["status"], &refused["answer_code"]), (&json!("pending"), &json!(401)));
    let event = taken["event_id"].as_str().unwrap();
    receiver.prints(&format!("took order.placed {order} {event}")).await;
    // What comes again is known.
    let redeliver = format!("/v1/webhook-endpoints/{}/redeliver", endpoint["id"].as_str().unwrap());
    shop.api.post(&redeliver, &json!({"event_id": event})).await.is(200);
    receiver.prints(&format!("had order.placed {order} {event}")).await;
    assert_eq!(receiver.printed().matches("took").count(), 1, "{}", receiver.printed());
    shop.close();
}

#[tokio::test]
async fn the_receiver_in_python() {
    takes_what_is_signed(async |secret, port| {
        let dir = test_dir();
        let (mut python, _) = python(PYTHON_WEBHOOKS).await;
        python.current_dir(&dir).arg(repository().join("examples/webhook-receiver-python/receiver.py"));
        python.arg(port.to_string()).env("HOLDFAST_WEBHOOK_SECRET", secret);
        Example::start(python.as_std())
    })
    .await;
}

#[tokio::test]
async fn the_receiver_in_typescript() {
    takes_what_is_signed(async |secret, port| {
        let dir = test_dir();
        for file in ["package.json", "tsconfig.json", "receiver.ts"] {
            let example = repository().join("examples/webhook-receiver-typescript").join(file);
            fs::copy(example, dir.join(file)).unwrap();
        }
        let node = Node::find().await;
        node.install(&dir, &[]).await;
        done(&mut node.bin(&dir, "typescript/bin/tsc")).await;
        let mut receiver = node.node(&dir);
        receiver.args(["out/receiver.js", &port.to_string()]).env("HOLDFAST_WEBHOOK_SECRET", secret);
        Example::start(receiver.as_std())
    })
    .await;
}

#[tokio::test]
async fn the_service_behind_a_consumer_route() {
    let broker = Broker::tansu().await;
    let env = vec![("HOLDFAST_KAFKA_BROKERS", broker.address())];
    let shop = Shop::with(Setup { env: env.clone(), ..Setup::default() }).await;
    shop.stock("tea", 1250, 10).await;
    let (example, port) = (repository().join("examples/consumer-route"), devstack::free_port());
    let mut python = Command::new("python3");
    python.arg(example.join("service.py")).arg(port.to_string());
    let mut service = Example::start(&python);
    // At a port that is free here.
    let routes = fs::read_to_string(example.join("routes.toml")).unwrap();
    assert_eq!(routes.matches("127.0.0.1:3000").count(), 2);
    let config = test_dir().join("routes.toml");
    fs::write(&config, routes.replace("127.0.0.1:3000", &format!("127.0.0.1:{port}"))).unwrap();
    let arguments = ["--config".to_owned(), config.display().to_string()];
    let mut consumer = Holdfast::start_with("consume", &arguments, &env, &test_dir());
    let order = shop.sell(&[("tea", 1)]).await;
    for kind in ["order.placed", "payment.received", "order.paid", "order.completed"] {
        service.prints(&format!("{kind} {order}")).await;
    }
    consumer.terminate();
    assert!(consumer.ended().await.success(), "{}", consumer.log());
    shop.close();
}
