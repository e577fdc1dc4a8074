//! Members of a group, against a broker in this process.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use krafka::testing::FakeBroker;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::kafka::{Cluster, Incoming, Outgoing, Partition};

/// More of a partition than is taken or held back at once.
const MANY: usize = 2000;

/// Takes nothing of the topic `stuck` until it is told to.
#[derive(Default)]
struct Service {
    tries: AtomicUsize,
    is_there: AtomicBool,
    stuck: AtomicUsize,
    free: AtomicUsize,
}

impl Handler for Service {
    async fn handle(&self, message: &Incoming, _: u32) -> Verdict {
        let is_stuck = message.partition.topic == "stuck";
        self.tries.fetch_add(usize::from(is_stuck), SeqCst);
        match (is_stuck, self.is_there.load(SeqCst)) {
            (true, false) => return Verdict::Failed("no".to_owned()),
            (true, true) => self.stuck.fetch_add(1, SeqCst),
            (false, _) => self.free.fetch_add(1, SeqCst),
        };
        Verdict::Done
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let so = async {
        while !is_so() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), so).await.unwrap_or_else(|_| panic!("not so: {what}"));
}

async fn write(cluster: &Cluster, topic: &str, count: usize) {
    let record = |number: usize| Outgoing {
        topic: topic.to_owned(),
        key: Some(b"k".to_vec()),
        value: Some(number.to_string().into_bytes()),
        headers: Vec::new(),
        timestamp: None,
    };
    let producer = cluster.producer().await.unwrap();
    producer.send_round((0..count).map(record).collect()).await.unwrap();
    producer.close().await;
}

/// Of a route that tries for ever.
fn ordered(topic: &str, interval: Duration) -> Policy {
    let topics = vec![topic.to_owned()];
    Policy {
        name: "r".to_owned(),
        group: "g".to_owned(),
        mark: "g".to_owned(),
        created: Policy::of_failures(&topics, Mode::Ordered),
        topics,
        mode: Mode::Ordered,
        concurrency: 4,
        retries: u32::MAX,
        interval,
        may_be_missing: false,
    }
}

/// On one thread: a member that asks on and on without waiting would leave nothing to anybody.
#[tokio::test]
async fn a_partition_that_is_stuck_holds_up_no_other() {
    let broker = FakeBroker::start().await.unwrap();
    broker.create_topic("stuck", 1);
    broker.create_topic("free", 1);
    let settings = Settings::plain(broker.bootstrap_servers());
    let cluster = Cluster::connect(&settings).await.unwrap();
    write(&cluster, "stuck", MANY).await;
    let topics = vec!["stuck".to_owned(), "free".to_owned()];
    let created = Policy::of_failures(&topics, Mode::Ordered);
    let policy = Policy { topics, created, ..ordered("stuck", Duration::from_millis(50)) };
    let (service, stop) = (Arc::new(Service::default()), CancellationToken::new());
    #[expect(clippy::disallowed_methods, reason = "one, and waited for")]
    let running = tokio::spawn(Runner::new(settings, policy, service.clone()).run(stop.clone()));
    until("one is tried again", || service.tries.load(SeqCst) > 20).await;
    for round in 1..=2 {
        write(&cluster, "free", 100).await;
        until("the others are done", || service.free.load(SeqCst) == 100 * round).await;
    }
    assert_eq!(service.stuck.load(SeqCst), 0);
    service.is_there.store(true, SeqCst);
    until("what was held back is done", || service.stuck.load(SeqCst) == MANY).await;
    stop.cancel();
    running.await.unwrap();
}

struct Refusing;

impl Handler for Refusing {
    async fn handle(&self, _: &Incoming, _: u32) -> Verdict {
        Verdict::Refused("no".to_owned())
    }
}

#[tokio::test]
async fn a_failure_that_no_topic_takes_is_written_without_its_value() {
    let broker = FakeBroker::start().await.unwrap();
    broker.create_topic("big", 1);
    let kafka = krafka::Kafka::builder(broker.bootstrap_servers()).connect().await.unwrap();
    let producer = kafka.producer().build().await.unwrap();
    // More than we send at once.
    let _ = producer.send(krafka::Record::new("big", vec![b'x'; 3 * 1024 * 1024])).await.unwrap();
    producer.close().await.unwrap();
    let policy = Policy { retries: 0, ..ordered("big", Duration::ZERO) };
    let stop = CancellationToken::new();
    let settings = Settings::plain(broker.bootstrap_servers());
    #[expect(clippy::disallowed_methods, reason = "one, and waited for")]
    let running = tokio::spawn(Runner::new(settings, policy, Arc::new(Refusing)).run(stop.clone()));
    let written = || (0..12).filter_map(|partition| broker.next_offset("fail-big", partition)).sum::<i64>();
    until("its failure is written", || written() == 1).await;
    stop.cancel();
    running.await.unwrap();
}

/// Counts its tries, and takes nothing.
#[derive(Default)]
struct Failing(AtomicUsize);

impl Handler for Failing {
    async fn handle(&self, _: &Incoming, _: u32) -> Verdict {
        self.0.fetch_add(1, SeqCst);
        Verdict::Failed("no".to_owned())
    }
}

/// A route that was parallel once is ordered now.
#[tokio::test]
async fn what_is_left_to_be_tried_again_is_tried_once() {
    let broker = FakeBroker::start().await.unwrap();
    broker.create_topic("t", 1);
    let settings = Settings::plain(broker.bootstrap_servers());
    let policy = ordered("t", Duration::from_millis(50)).of_retries();
    let (service, stop) = (Arc::new(Failing::default()), CancellationToken::new());
    // It is there before the member looks for it, for that is done every half minute.
    broker.create_topic("retry-t", 1);
    let cluster = Cluster::connect(&settings).await.unwrap();
    write(&cluster, "retry-t", 3).await;
    #[expect(clippy::disallowed_methods, reason = "one, and waited for")]
    let running = tokio::spawn(Runner::new(settings, policy, service.clone()).run(stop.clone()));
    let failed = || (0..12).filter_map(|partition| broker.next_offset("fail-t", partition)).sum::<i64>();
    until("they have failed for good", || failed() == 3).await;
    assert_eq!(service.0.load(SeqCst), 3);
    until("that is noted", || broker.committed_offset("g-retry", "retry-t", 0) == Some(3)).await;
    stop.cancel();
    running.await.unwrap();
}

/// Which tries of one message there were, as they are counted.
#[derive(Default)]
struct Counting(Mutex<Vec<u32>>);

impl Handler for Counting {
    async fn handle(&self, _: &Incoming, attempt: u32) -> Verdict {
        self.0.lock().unwrap().push(attempt);
        Verdict::Failed("no".to_owned())
    }
}

#[tokio::test]
async fn tries_go_on_where_another_member_left_off() {
    let broker = FakeBroker::start().await.unwrap();
    broker.create_topic("t", 1);
    let settings = Settings::plain(broker.bootstrap_servers());
    write(&Cluster::connect(&settings).await.unwrap(), "t", 2).await;
    let service = Arc::new(Counting::default());
    let tries = || service.0.lock().unwrap().len();
    for tried in [3, 6] {
        let stop = CancellationToken::new();
        let policy = ordered("t", Duration::from_millis(50));
        #[expect(clippy::disallowed_methods, reason = "one, and waited for")]
        let running = tokio::spawn(Runner::new(settings.clone(), policy, service.clone()).run(stop.clone()));
        until("it is tried", || tries() >= tried).await;
        stop.cancel();
        running.await.unwrap();
    }
    // The other waits behind it, for they have one key.
    let tries = service.0.lock().unwrap().clone();
    assert!(tries.iter().zip(1..).all(|(counted, number)| *counted == number), "{tries:?}");
}

/// Writes a message of `t` into its fail topic.
async fn fail(cluster: &Cluster, offset: i64) {
    let partition = Partition { topic: "t".to_owned(), number: 0 };
    let (value, headers) = (Some(b"v".to_vec()), Vec::new());
    let message = Incoming { partition, offset, key: None, value, headers, timestamp: 0 };
    let sender = cluster.sender().await.unwrap();
    sender.send(retry::failed(&message, "g", 1, "no")).await.unwrap();
    sender.close().await;
}

#[tokio::test]
async fn what_failed_is_put_back_once_and_never_unknowingly() {
    let broker = FakeBroker::start().await.unwrap();
    for topic in ["t", "fail-t"] {
        broker.create_topic(topic, 1);
    }
    let settings = Settings::plain(broker.bootstrap_servers());
    let cluster = Cluster::connect(&settings).await.unwrap();
    let route = "[[route]]\nname = \"r\"\ntopics = [\"t\"]\ngroup = \"g\"\nurl = \"http://127.0.0.1:1\"\n\
                 mode = \"ordered\"\n";
    let Routes(routes) = Routes::parse(route, false).unwrap();
    let replay = async |wanted| replay_failed(&routes[0], &settings, wanted).await;
    let put_back = || broker.next_offset("t", 0).unwrap();
    assert_eq!(replay(Wanted::New).await.unwrap(), 0, "nothing has failed");
    fail(&cluster, 1).await;
    fail(&cluster, 2).await;
    let unknown = replay(Wanted::New).await;
    assert!(matches!(unknown, Err(ReplayError::NothingKnown { .. })), "{unknown:?}");
    assert_eq!(put_back(), 0);
    assert_eq!(replay(Wanted::All).await.unwrap(), 2);
    assert_eq!((replay(Wanted::New).await.unwrap(), put_back()), (0, 2));
    fail(&cluster, 3).await;
    let later = domain::Timestamp::MAX;
    assert_eq!(replay(Wanted::Since(later)).await.unwrap(), 0);
    fail(&cluster, 4).await;
    assert_eq!((replay(Wanted::New).await.unwrap(), put_back()), (1, 3));
}
