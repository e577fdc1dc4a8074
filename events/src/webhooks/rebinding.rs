//! A name that means an allowed address when it is checked, and another one a moment later (DNS rebinding).
//! 127.0.0.1 stands for the public internet here, for that can be connected to.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use domain::Timestamp;
use futures_util::future::{BoxFuture, ready};
use reqwest::dns::{Name, Resolve as _};
use store::webhook_endpoints::Target;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{
    Message, Networks,
    address::{Refused, Resolver},
    sender::Sender,
};

/// None of them is allowed.
const INNER: [&str; 7] =
    ["::1", "127.0.0.2", "10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "fd00::1"];

/// A resolver that gives these answers, one at each look-up.
struct Names {
    resolver: Resolver,
    looked_up: Arc<AtomicUsize>,
}

impl Names {
    fn new(networks: &Networks, answers: &[&[&str]]) -> Self {
        let looked_up = Arc::new(AtomicUsize::new(0));
        let to_address = |text: &&str| SocketAddr::new(text.parse::<IpAddr>().unwrap(), 0);
        let answers: Vec<Vec<SocketAddr>> =
            answers.iter().map(|answer| answer.iter().map(to_address).collect()).collect();
        let (answers, count) = (Mutex::new(answers.into_iter()), looked_up.clone());
        let look_up = move |_: Name| -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            count.fetch_add(1, Ordering::SeqCst);
            let answer = answers.lock().unwrap().next();
            Box::pin(ready(answer.ok_or_else(|| io::Error::other("asked once too often"))))
        };
        Self { resolver: Resolver::new(networks.clone(), Box::new(look_up)), looked_up }
    }
}

/// Answers 204 to each connection and closes it, so that the next request looks its name up again. Gives how
/// many there were.
fn serve(listener: TcpListener) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    #[expect(clippy::disallowed_methods, reason = "one for each listener of a test")]
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 16 * 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
        }
    });
    count
}

/// What is reached at a port of 127.0.0.1, and at the same port of this machine's other addresses.
async fn doors() -> (u16, Arc<AtomicUsize>, Vec<Arc<AtomicUsize>>) {
    let outer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = outer.local_addr().unwrap().port();
    let mut inner = Vec::new();
    // Not every system has both.
    for address in [format!("127.0.0.2:{port}"), format!("[::1]:{port}")] {
        inner.extend(TcpListener::bind(address).await.ok().map(serve));
    }
    (port, serve(outer), inner)
}

async fn send(sender: &Sender, port: u16) -> Result<u16, &'static str> {
    let id = "whe_01920000000070008000000000000000".parse().unwrap();
    let url = format!("http://rebound.test:{port}/");
    let target = Target { id, url, secret: "whsec_x".to_owned(), previous_secret: None };
    let message = Message::test(id, 7, Timestamp::UNIX_EPOCH);
    sender.send(&target, &message, Timestamp::UNIX_EPOCH).await.status
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_connected_to() {
    let networks = Networks::parse("127.0.0.1").unwrap();
    for other in INNER {
        let (port, outer, inner) = doors().await;
        let Names { resolver, looked_up } = Names::new(&networks, &[&["127.0.0.1"], &[other]]);
        let sender = Sender::resolving(networks.clone(), resolver).unwrap();
        assert_eq!(send(&sender, port).await, Ok(204));
        assert_eq!(looked_up.load(Ordering::SeqCst), 1, "nobody asks again before connecting");
        assert_eq!(send(&sender, port).await, Err("address_refused"), "{other}");
        assert_eq!((looked_up.load(Ordering::SeqCst), outer.load(Ordering::SeqCst)), (2, 1), "{other}");
        assert!(inner.iter().all(|door| door.load(Ordering::SeqCst) == 0), "{other}");
    }
}

#[tokio::test]
async fn of_several_addresses_those_alone_are_tried_that_are_allowed() {
    let networks = Networks::parse("127.0.0.1").unwrap();
    let (port, outer, inner) = doors().await;
    let mixed: Vec<&str> = INNER.into_iter().chain(["127.0.0.1"]).collect();
    let Names { resolver, .. } = Names::new(&networks, &[&mixed]);
    let sender = Sender::resolving(networks.clone(), resolver).unwrap();
    assert_eq!((send(&sender, port).await, outer.load(Ordering::SeqCst)), (Ok(204), 1));
    assert!(inner.iter().all(|door| door.load(Ordering::SeqCst) == 0));
}

#[tokio::test]
async fn what_was_public_is_refused_once_it_is_not() {
    for other in INNER {
        let Names { resolver, .. } = Names::new(&Networks::default(), &[&["8.8.8.8", other], &[other]]);
        let resolve = async || resolver.resolve("rebound.test".parse().unwrap()).await;
        let first: Vec<SocketAddr> = resolve().await.unwrap().collect();
        assert_eq!(first, ["8.8.8.8:0".parse().unwrap()], "{other}");
        let Err(refused) = resolve().await else { panic!("{other} is given") };
        assert!(refused.is::<Refused>(), "{other}");
    }
}
