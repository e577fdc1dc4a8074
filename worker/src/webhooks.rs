//! Owners of webhook endpoints are told what became of them, as long as the worker runs.

use std::{sync::Arc, time::Duration};

use activities::mail::{Mailer, tell_owner};
use domain::{SignedDuration, Timestamp, customer::Customer};
use store::{Db, webhook_endpoints::owners};

const EVERY: Duration = Duration::from_secs(5);
/// Longer than a mail takes. Who dies with it leaves the mail to another.
const LEASE: SignedDuration = SignedDuration::from_mins(10);

/// Tells them, one after the other. What cannot be sent is tried again after the lease.
#[expect(clippy::disallowed_methods, reason = "a round is the edge: nobody has called it with a time")]
pub(crate) async fn keep_telling_owners(db: Db, mailer: Arc<Mailer>, owner: Customer) {
    loop {
        let now = Timestamp::now();
        // A fault of the database has been told of by those who deliver.
        for untold in owners::claim(&db, now, now + LEASE).await.unwrap_or_default() {
            let told = async {
                tell_owner(&mailer, &owner, &untold).await?;
                anyhow::Ok(owners::told(&db, untold.endpoint, untold.disabled_at, Timestamp::now()).await?)
            };
            if let Err(error) = told.await {
                tracing::warn!(endpoint_id = %untold.endpoint, %error,
                               "the owner of a webhook endpoint is told later that it is disabled");
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}
