//! When the identity provider is asked for its keys, and what is done while it does not answer.

use std::time::Duration;

use futures_util::future::join_all;
use identity::{Error, Refused, Unavailable};
use serde_json::json;

use crate::{
    harness::{Ed25519, after_s, provider_claims_with},
    key_server::{Answer, KeyServer},
};

const MINUTES: i64 = 60;
const HOURS: i64 = 60 * MINUTES;

/// A server with one key, `a`; whether tokens by it and by others are taken.
struct Story {
    server: KeyServer,
    a: Ed25519,
    b: Ed25519,
}

impl Story {
    async fn begin() -> Self {
        let (a, b) = (Ed25519::new(1), Ed25519::new(2));
        Self { server: KeyServer::start(&[a.jwk("a")]).await, a, b }
    }

    /// Whether a token by this key is taken so many seconds later; it is good for a week.
    async fn takes(&self, id: &str, seconds: i64) -> Result<(), Error> {
        let claims = provider_claims_with("exp", json!(after_s(7 * 24 * HOURS).as_second()));
        let key = if id == "b" { &self.b } else { &self.a };
        let token = key.token(id, &claims);
        self.server.provider().verify(&token, after_s(seconds)).await.map(|_| ())
    }

    /// Lets a fetch behind a caller's back come to its end.
    async fn until_asked(&self, times: usize) {
        self.server.was_asked(times).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const UNKNOWN: Result<(), Error> = Err(Error::Refused(Refused::UnknownKey));
const UNAVAILABLE: Result<(), Error> = Err(Error::Unavailable(Unavailable));

#[tokio::test]
async fn keys_are_kept_for_ten_minutes() {
    let story = Story::begin().await;
    assert_eq!(story.server.fetches(), 0, "nobody is asked before a token comes");
    for seconds in [0, 1, 10 * MINUTES - 1] {
        assert_eq!(story.takes("a", seconds).await, Ok(()));
        assert_eq!(story.server.fetches(), 1);
    }
    assert_eq!(story.takes("a", 10 * MINUTES).await, Ok(()));
    assert_eq!(story.server.fetches(), 2);
}

#[tokio::test]
async fn a_key_that_is_taken_back_is_good_for_ten_minutes_at_most() {
    let story = Story::begin().await;
    assert_eq!(story.takes("a", 0).await, Ok(()));
    story.server.answers(Answer::Keys(vec![story.b.jwk("b")]));
    assert_eq!(story.takes("a", 9 * MINUTES).await, Ok(()));
    assert_eq!(story.takes("a", 10 * MINUTES).await, UNKNOWN);
    assert_eq!(story.takes("b", 10 * MINUTES).await, Ok(()));
    // Also when nobody came for hours, and when none is left.
    story.server.answers(Answer::Keys(vec![]));
    assert_eq!(story.takes("b", 5 * HOURS).await, UNKNOWN);
}

#[tokio::test]
async fn a_new_key_is_taken_at_once() {
    let story = Story::begin().await;
    assert_eq!(story.takes("a", 0).await, Ok(()));
    story.server.answers(Answer::Keys(vec![story.a.jwk("a"), story.b.jwk("b")]));
    assert_eq!(story.takes("b", 29).await, UNKNOWN, "it was asked less than half a minute ago");
    assert_eq!(story.takes("b", 30).await, Ok(()));
    assert_eq!(story.takes("a", 31).await, Ok(()));
    assert_eq!(story.server.fetches(), 2);
}

#[tokio::test]
async fn a_storm_of_unknown_names_asks_once_in_thirty_seconds() {
    let story = Story::begin().await;
    assert_eq!(story.takes("a", 0).await, Ok(()));
    for begin in [100, 130, 160] {
        let before = story.server.fetches();
        let names: Vec<String> = (0..200).map(|i| format!("{begin}-{i}")).collect();
        let storm = names.iter().zip(0..).map(|(name, i)| story.takes(name, begin + i % 30));
        assert!(join_all(storm).await.iter().all(|answer| *answer == UNKNOWN));
        assert_eq!(story.server.fetches(), before + 1);
    }
    assert_eq!(story.takes("a", 190).await, Ok(()), "and nobody else is kept waiting");
}

#[tokio::test]
async fn callers_share_one_fetch() {
    let story = Story::begin().await;
    story.server.holds_back();
    let callers = join_all((0..50).map(|_| story.takes("a", 0)));
    let release = async {
        story.server.was_asked(1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        story.server.goes_on();
    };
    let (answers, ()) = tokio::join!(callers, release);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(story.server.fetches(), 1);
}

/// Otherwise a stranger who hangs up would have wasted the only fetch of thirty seconds.
#[tokio::test]
async fn a_caller_who_goes_away_takes_no_fetch_along() {
    let story = Story::begin().await;
    story.server.holds_back();
    let caller = story.takes("a", 0);
    tokio::select! {
        _ = caller => panic!("it is not answered yet"),
        () = story.server.was_asked(1) => {}
    }
    story.server.goes_on();
    assert_eq!(story.takes("a", 1).await, Ok(()));
    assert_eq!(story.server.fetches(), 1);
}

#[tokio::test]
async fn old_keys_are_good_for_a_day_while_the_provider_is_away() {
    let story = Story::begin().await;
    assert_eq!(story.takes("a", 0).await, Ok(()));
    story.server.answers(Answer::Status(503));
    assert_eq!(story.takes("a", HOURS).await, Ok(()), "after a fetch that failed");
    assert_eq!(story.server.fetches(), 2);
    assert_eq!(story.takes("b", HOURS + 1).await, UNAVAILABLE, "it may be a new one");
    assert_eq!(story.takes("a", HOURS + 1).await, Ok(()));
    assert_eq!(story.server.fetches(), 2);

    // It is asked again behind the caller's back.
    assert_eq!(story.takes("a", 24 * HOURS - 1).await, Ok(()));
    story.until_asked(3).await;
    assert_eq!(story.takes("a", 24 * HOURS).await, UNAVAILABLE);

    story.server.answers(Answer::Keys(vec![story.a.jwk("a")]));
    assert_eq!(story.takes("a", 24 * HOURS + 60).await, Ok(()));
    assert_eq!(story.takes("b", 24 * HOURS + 61).await, UNKNOWN);
}

#[tokio::test]
async fn nobody_waits_while_the_provider_is_known_to_be_away() {
    let story = Story::begin().await;
    assert_eq!(story.takes("a", 0).await, Ok(()));
    story.server.answers(Answer::Status(500));
    assert_eq!(story.takes("a", HOURS).await, Ok(()));
    story.server.holds_back();
    assert_eq!(story.takes("a", 2 * HOURS).await, Ok(()), "though the server does not answer");
    story.server.was_asked(3).await;
    story.server.answers(Answer::Keys(vec![story.b.jwk("b")]));
    story.server.goes_on();
    // What needs the answer waits for it.
    assert_eq!(story.takes("b", 2 * HOURS + 1).await, Ok(()));
    assert_eq!(story.takes("a", 2 * HOURS + 1).await, UNKNOWN);
}

#[tokio::test]
async fn what_is_no_answer() {
    let story = Story::begin().await;
    let other = KeyServer::start(&[story.a.jwk("a")]).await;
    let large = format!("{{\"keys\":[],\"padding\":\"{}\"}}", "x".repeat(256 * 1024));
    let answers = [
        Answer::Status(404),
        Answer::Status(204),
        Answer::Redirect(other.url.clone()),
        Answer::Text("<html>".to_owned()),
        Answer::Text("{\"keys\":{}}".to_owned()),
        Answer::Text(large),
    ];
    for (answer, minute) in answers.into_iter().zip(0..) {
        story.server.answers(answer);
        assert_eq!(story.takes("a", minute * MINUTES).await, UNAVAILABLE);
        assert_eq!(story.takes("a", minute * MINUTES + 29).await, UNAVAILABLE);
    }
    assert_eq!(story.server.fetches(), 6);
    assert_eq!(other.fetches(), 0, "no redirect is followed");
}

#[tokio::test]
async fn nobody_waits_longer_than_five_seconds() {
    let story = Story::begin().await;
    story.server.answers(Answer::Silence);
    let began = std::time::Instant::now();
    assert_eq!(story.takes("a", 0).await, UNAVAILABLE);
    assert!((4..15).contains(&began.elapsed().as_secs()));
}

/// A clock that is set back, or far ahead, makes keys stale; it does not make them last.
#[tokio::test]
async fn a_clock_that_jumps() {
    let story = Story::begin().await;
    assert_eq!(story.takes("a", 5 * HOURS).await, Ok(()));
    assert_eq!(story.takes("a", 5 * HOURS - 1).await, Ok(()), "another caller's moment");
    assert_eq!(story.server.fetches(), 1);
    assert_eq!(story.takes("a", 0).await, Ok(()));
    assert_eq!(story.server.fetches(), 2);
}
