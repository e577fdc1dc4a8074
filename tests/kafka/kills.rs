//! Publishers that are killed between the sending of events and the note that they are sent: the moment in
//! which the broker has what our database does not know of.

use sqlx::{Connection as _, Executor as _};

use super::*;
use crate::harness::{Holdfast, wait_until};

/// How many kills: as many as are asked for by hand, or a few.
pub fn wanted(few: usize) -> usize {
    std::env::var("HOLDFAST_TEST_KILLS").map_or(few, |kills| kills.parse().unwrap())
}

/// Whoever notes how far it has come waits for as long as somebody holds this lock. A lock of the row itself
/// would be a transaction that has begun and not ended, and events behind it are read by nobody.
const HOLD_UP_NOTES: &str = "
    CREATE FUNCTION hold_up_notes() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(15);
        RETURN NEW;
    END $$;
    CREATE TRIGGER hold_up_notes BEFORE UPDATE ON event_cursors FOR EACH ROW
    WHEN (NEW.name = 'kafka' AND NEW.position <> OLD.position) EXECUTE FUNCTION hold_up_notes()";
const NOTE_WAITS: &str = "SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND objid = 15 AND NOT granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

fn publishes(worker: &Holdfast) -> bool {
    worker.log().contains("this process publishes events to Kafka")
}

/// Lets a publisher write events, and kills it before it has noted that. Gives the first event that it wrote.
async fn kill_between_send_and_note(publishing: &Publishing, workers: &mut [Holdfast; 2]) -> String {
    let shop = &publishing.shop;
    wait_until("one of them publishes", async || workers.iter().any(publishes)).await;
    publishing.until_all_published().await;
    let mut sql = shop.sql().await;
    sql.execute("SELECT pg_advisory_lock(15)").await.unwrap();
    let noted = "SELECT position FROM event_cursors WHERE name = 'kafka'";
    let before: i64 = shop.query(noted).await;
    join_all((0..3).map(|_| shop.place(&[("tea", 1)]))).await;
    let mut waits = None;
    wait_until("it is about to note what it has sent", async || {
        waits = sqlx::query_scalar::<_, i32>(NOTE_WAITS).fetch_optional(&mut sql).await.unwrap();
        waits.is_some()
    })
    .await;
    let [publisher] = [0, 1].into_iter().filter(|it| publishes(&workers[*it])).collect::<Vec<_>>()[..] else {
        panic!("one at a time publishes");
    };
    workers[publisher].kill();
    // What the dead one has asked for PostgreSQL would do, once it may: it is as if it had not come to that.
    let ended = sqlx::query_scalar::<_, bool>("SELECT pg_terminate_backend($1, 5000)").bind(waits);
    assert!(ended.fetch_one(&mut sql).await.unwrap());
    assert_eq!(shop.query::<i64>(noted).await, before, "it is not noted");
    let first = "SELECT 'evt_' || lpad(to_hex(position), 16, '0') || lpad(to_hex(salt), 16, '0')
                 FROM events WHERE position > $1 ORDER BY position LIMIT 1";
    let first = sqlx::query_scalar(first).bind(before).fetch_one(&mut sql).await.unwrap();
    publishing.expire_lease().await;
    sql.close().await.unwrap(); // and the lock with it
    workers[publisher] = shop.start("worker", &[]);
    first
}

async fn killed_between_send_and_note(broker: Broker) {
    let mut publishing = Publishing::open(&broker.address()).await;
    publishing.shop.sql().await.execute(HOLD_UP_NOTES).await.unwrap();
    let first = publishing.shop.worker.take().unwrap();
    let mut workers = [first, publishing.shop.another_worker(&[]).await];
    let (kills, mut sent) = (wanted(4), Vec::new());
    for _ in 0..kills {
        sent.push(kill_between_send_and_note(&publishing, &mut workers).await);
    }
    publishing.until_all_published().await;
    eprintln!("{kills} kills between send and note:");
    let found = publishing.check_all_there().await;
    for id in sent {
        assert!(found.times[&id] > 1, "{id} was sent by the one that was killed, and by another");
    }
    publishing.shop.close();
}

#[tokio::test]
async fn publishers_to_tansu_are_killed_between_send_and_note() {
    killed_between_send_and_note(Broker::tansu().await).await;
}

#[tokio::test]
async fn publishers_to_apache_kafka_are_killed_between_send_and_note() {
    if let Some(broker) = Broker::apache().await {
        killed_between_send_and_note(broker).await;
    }
}
