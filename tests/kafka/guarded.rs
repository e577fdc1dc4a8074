//! A Kafka that is reached by TLS alone, and by whoever has a name and a password.

use super::*;
use crate::{
    consume::{Service, ok},
    harness::{
        Authority, Holdfast,
        apache::{PASSWORD, USER},
        test_dir,
    },
};

/// What is to be set, and how it differs from what is right.
#[derive(Clone)]
struct Door {
    host: &'static str,
    authority: String,
    mechanism: &'static str,
    password: &'static str,
}

impl Door {
    fn of(broker: &Apache, mechanism: &'static str) -> Self {
        Self { host: "localhost", authority: broker.authority.file(), mechanism, password: PASSWORD }
    }

    fn env(&self, broker: &Apache) -> Vec<(&'static str, String)> {
        vec![
            ("HOLDFAST_KAFKA_BROKERS", broker.guarded_address(self.host)),
            ("HOLDFAST_KAFKA_TLS_CA", self.authority.clone()),
            ("HOLDFAST_KAFKA_SASL_MECHANISM", self.mechanism.to_owned()),
            ("HOLDFAST_KAFKA_SASL_USERNAME", USER.to_owned()),
            ("HOLDFAST_KAFKA_SASL_PASSWORD", self.password.to_owned()),
        ]
    }
}

/// Gives what is published of orders to a service.
fn consume(publishing: &Publishing, service: &Service, env: &Vec<(&'static str, String)>) -> Holdfast {
    let config = test_dir().join("routes.toml");
    let Publishing { prefix, .. } = publishing;
    let route = format!(
        "[[route]]\nname = \"r\"\ntopics = [\"{prefix}orders\"]\ngroup = \"{prefix}g\"\nurl = \"{}\"\n\
         mode = \"ordered\"\n",
        service.url
    );
    std::fs::write(&config, route).unwrap();
    let arguments = ["--config".to_owned(), config.display().to_string()];
    Holdfast::start_with("consume", &arguments, env, &test_dir())
}

#[tokio::test]
async fn who_has_a_password_publishes_and_consumes_by_tls() {
    let Some(broker) = Apache::shared(Tests::Core).await else { return };
    for mechanism in ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] {
        let env = Door::of(broker, mechanism).env(broker);
        let publishing = Publishing::with(&broker.address(), env.clone()).await;
        publishing.shop.sell(&[("tea", 1)]).await;
        publishing.until_all_published().await;
        publishing.check_all_there().await;
        let service = Service::start(ok).await;
        let mut consumer = consume(&publishing, &service, &env);
        service.until_done(3).await;
        let types: Vec<_> = service.calls().iter().map(|call| call.headers["ce-type"].clone()).collect();
        assert_eq!(types, ["order.placed", "order.paid", "order.completed"]);
        consumer.terminate();
        assert!(consumer.ended().await.success(), "{}", consumer.log());
        publishing.shop.close();
    }
}

#[tokio::test]
async fn what_bars_the_door_is_said_and_nothing_is_lost() {
    let Some(broker) = Apache::shared(Tests::Core).await else { return };
    let right = Door::of(broker, "SCRAM-SHA-512");
    let mut publishing = Publishing::with(&broker.address(), right.env(broker)).await;
    publishing.shop.kill_worker();
    let service = Service::start(ok).await;
    let wrong = "wrong-password-of-the-shop";
    let signed = "no authority that is trusted has signed its certificate";
    let named = "not valid for name \"127.0.0.1\"";
    let refused = "look at HOLDFAST_KAFKA_SASL_USERNAME, HOLDFAST_KAFKA_SASL_PASSWORD";
    let table = [
        (Door { password: wrong, ..right.clone() }, refused),
        (Door { password: wrong, mechanism: "PLAIN", ..right.clone() }, refused),
        (Door { authority: Authority::new().file(), ..right.clone() }, signed),
        (Door { host: "127.0.0.1", ..right.clone() }, named),
        (Door { authority: "/nowhere.pem".to_owned(), ..right.clone() }, "/nowhere.pem"),
    ];
    for (door, why) in table {
        let env = door.env(broker);
        let mut worker = publishing.shop.start("worker", &env);
        let mut consumer = consume(&publishing, &service, &env);
        publishing.shop.place(&[("tea", 1)]).await;
        let of_worker = worker.says("events cannot be published to Kafka, trying on").await;
        let of_consumer = consumer.says("messages cannot be read from Kafka, trying on").await;
        for (process, said) in [(&worker, of_worker), (&consumer, of_consumer)] {
            let error = said["error"].as_str().unwrap();
            assert!(error.contains(why) && !error.contains('\n'), "{why}: {error}");
            eprintln!("{error}");
            let log = process.log();
            assert!(!log.contains(wrong) && !log.contains(PASSWORD), "{log}");
            let warned = log.lines().filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\""));
            assert!(warned.filter(|line| line.contains("Kafka")).count() <= 2, "{log}");
        }
    }
    // As it should be, all is there that was held up, and is given on.
    publishing.shop.start_worker();
    let _consumer = consume(&publishing, &service, &right.env(broker));
    publishing.until_all_published().await;
    publishing.check_all_there().await;
    service.until_done(5).await;
    publishing.shop.close();
}
