//! Webhooks, signed by others.

use std::time::Duration;

use domain::{payment::Outcome, provider_event::Notice};
use http::HeaderMap;
use providers::WebhookError;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

use super::*;

/// Receives what localstripe sends.
async fn listen(payer: &Payer) -> mpsc::UnboundedReceiver<(HeaderMap, Vec<u8>)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let take = async move |headers: HeaderMap, body: axum::body::Bytes| {
        let _ = sender.send((headers, body.to_vec()));
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let app = axum::Router::new().route("/", axum::routing::post(take));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let hook = json!({ "url": url, "secret": SECRET });
    assert_eq!(payer.post("/_config/webhooks/test", hook).await.0, 200);
    receiver
}

#[tokio::test]
async fn an_event_signed_by_localstripe_passes_and_one_changed_byte_does_not() {
    let it = Setup::new().await;
    let mut events = listen(&it.payer).await;
    let (new, attempt) = it.open(euros(1000)).await;
    it.payer.pay(&attempt, DECLINED).await;
    it.payer.pay(&attempt, VISA).await;
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let received = timeout(Duration::from_secs(20), events.recv()).await;
        let (headers, body) = received.expect("in time").expect("an event");
        let now = Timestamp::now();
        let event = it.stripe.webhook(&headers, &body, now).expect("genuine");
        let Some(Notice::Payment { order, report }) = event.notice else { panic!("{event:?}") };
        assert_eq!((order, report.money), (Some(new.order), euros(1000)));
        assert_eq!(
            (report.payment_id, report.event_id),
            (attempt.provider_payment_id.clone(), event.event_id)
        );
        outcomes.push(report.outcome);

        for at in [0, body.len() / 2, body.len() - 1] {
            let mut changed = body.clone();
            changed[at] ^= 1;
            let refused = it.stripe.webhook(&headers, &changed, now);
            assert!(matches!(refused, Err(WebhookError::NotGenuine(_))), "{refused:?}");
        }
        let late = it.stripe.webhook(&headers, &body, now + SignedDuration::from_secs(330));
        assert!(matches!(late, Err(WebhookError::NotGenuine(_))));
    }
    // localstripe sends each a second after it happened, on its own: the order is not given.
    assert!(outcomes.contains(&Outcome::Failed) && outcomes.contains(&Outcome::Succeeded), "{outcomes:?}");
}

/// Stripe's own library, for its signer.
const STRIPE_LIBRARY: &str = "stripe==16.1.0";

#[tokio::test]
async fn an_event_signed_by_stripes_own_library_passes_and_one_of_another_secret_does_not() {
    const SIGN: &str = "import stripe, sys\n\
        print(stripe.WebhookSignature.generate_signature_header(sys.argv[1], sys.argv[2]))";
    let packages = tools().python_package(STRIPE_LIBRARY).await.expect("fetched");
    let sign = |body: &str, secret: &str| -> HeaderMap {
        let output = devstack::python(&packages).args(["-c", SIGN, body, secret]).output().expect("python3");
        let header = String::from_utf8(output.stdout).expect("text");
        let header = header.trim().parse().expect("a header");
        [("stripe-signature".parse().expect("name"), header)].into_iter().collect()
    };
    let stripe = stripe_at("https://stripe.invalid", KEY);
    let body = r#"{"id":"evt_1","type":"customer.created","data":{"object":{"name":"Zoë"}}}"#;
    let webhook = |secret, body: &str| stripe.webhook(&sign(body, secret), body.as_bytes(), Timestamp::now());
    for secret in ["whsec_next", SECRET] {
        assert_eq!(webhook(secret, body).expect("genuine").notice, None);
    }
    assert!(matches!(webhook("whsec_other", body), Err(WebhookError::NotGenuine(_))));
    assert!(matches!(webhook(SECRET, "not an event"), Err(WebhookError::Malformed(_))));
}
