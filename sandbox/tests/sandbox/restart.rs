//! With storage, the next sandbox goes on where the one before stopped.

use std::path::PathBuf;

use providers::{AttemptState, Provider as _};
use serde_json::{Value, json};

use crate::harness::{Endpoint, Peer, named, new_attempt, new_refund, uuid};

/// A folder of its own; removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("sandbox-{}", uuid().simple())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn the_books_survive_a_restart_and_keys_are_known_again() {
    let folder = Folder::new();
    let peer = Peer::start_in(Some(folder.0.clone()), Endpoint::start().await).await;
    let (new, attempt) = peer.captured().await;
    let refund = new_refund(&new, &attempt, 700);
    let refunded = peer.client.refund(&refund).await.unwrap();
    let open = new_attempt();
    let opened = peer.client.create(&open).await.unwrap();
    peer.events(2).await;
    peer.wait_for_deliveries(new.order, &["delivered", "delivered"]).await;
    let before = (peer.look_up(&attempt).await, peer.deliveries(new.order).await);

    // As if this one were killed now: another reads what stands on the disk.
    let copy = Folder::new();
    std::fs::create_dir(&copy.0).unwrap();
    std::fs::copy(folder.0.join("sandbox.jsonl"), copy.0.join("sandbox.jsonl")).unwrap();
    let twin = Peer::start_in(Some(copy.0.clone()), Endpoint::start().await).await;
    assert_eq!((twin.look_up(&attempt).await, twin.deliveries(new.order).await), before);

    let peer = peer.restart_in(folder.0.clone()).await;
    assert_eq!((peer.look_up(&attempt).await, peer.deliveries(new.order).await), before);
    assert_eq!(peer.client.refund(&refund).await.unwrap(), refunded);
    assert_eq!(peer.client.create(&open).await.unwrap().attempt, opened.attempt);
    peer.capture(&named(&open, &opened), json!({})).await;
    peer.events(3).await;
    assert_eq!(peer.look_up(&named(&open, &opened)).await.state, AttemptState::Succeeded);
    assert_eq!(peer.endpoint.so_far(), 3); // what was delivered is not sent again
}

#[tokio::test]
async fn webhooks_under_way_or_held_are_not_lost_by_a_restart() {
    let folder = Folder::new();
    let peer = Peer::start_in(Some(folder.0.clone()), Endpoint::start().await).await;
    let (held, attempt) = peer.open().await;
    peer.faults(held.order, json!({"webhooks": "hold"})).await;
    peer.capture(&attempt, json!({})).await;
    peer.sandbox.send_webhooks_to("http://127.0.0.1:1/nobody".to_owned());
    let (under_way, _) = peer.captured().await;

    let peer = peer.restart_in(folder.0.clone()).await;
    peer.wait_for_deliveries(under_way.order, &["delivered"]).await;
    peer.wait_for_deliveries(held.order, &["held"]).await;
    peer.done("POST", "/dashboard/deliveries/release", json!({})).await;
    assert_eq!(peer.kinds(2).await, ["payment.succeeded", "payment.succeeded"]);
    let faults = peer.done("GET", &format!("/dashboard/faults/{}", held.order), Value::Null).await;
    assert_eq!(faults["webhooks"], "send"); // faults do not survive
}

/// The end of a line that was being written when the process was killed.
#[tokio::test]
async fn a_journal_cut_off_in_its_last_line_is_read() {
    let folder = Folder::new();
    let peer = Peer::start_in(Some(folder.0.clone()), Endpoint::start().await).await;
    let (_, attempt) = peer.open().await;
    peer.sandbox.stop().await;
    let file = folder.0.join("sandbox.jsonl");
    let mut text = std::fs::read(&file).unwrap();
    text.extend_from_slice(br#"{"payment":{"id":"sbx_"#);
    std::fs::write(&file, text).unwrap();
    let peer = Peer::start_in(Some(folder.0.clone()), peer.endpoint).await;
    assert_eq!(peer.look_up(&attempt).await.state, AttemptState::Open);
}

#[tokio::test]
async fn without_storage_a_restart_knows_nothing_and_a_bad_start_says_why() {
    let peer = Peer::start().await;
    let (_, attempt) = peer.open().await;
    let port = peer.sandbox.url().rsplit(':').next().unwrap().parse().unwrap();
    let options = |secret: &str, storage| ::sandbox::Options {
        listen: Some(([127, 0, 0, 1], port).into()),
        webhook_url: String::new(),
        secret: secret.to_owned(),
        payer_key: None,
        storage,
    };
    let taken =
        ::sandbox::Sandbox::start(options("whsec_YS1zZWNyZXQtb2YtYS10ZXN0", None)).await.err().unwrap();
    assert!(taken.to_string().contains(&port.to_string()));
    let secret = ::sandbox::Sandbox::start(options("whsec_", None)).await.err().unwrap();
    assert!(secret.to_string().contains("secret"));
    peer.sandbox.stop().await;
    let again = ::sandbox::Sandbox::start(options("whsec_YS1zZWNyZXQtb2YtYS10ZXN0", None)).await.unwrap();
    assert!(matches!(peer.client.look_up(&attempt).await, Err(providers::Error::NotFound)));
    drop(again);
}
