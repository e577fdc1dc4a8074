//! Mails to whoever owns a webhook endpoint.

use std::sync::Arc;

use domain::customer::{Customer, UncheckedCustomer};
use store::webhook_endpoints::owners::Untold;
use tracing::Instrument as _;

use super::Mailer;

/// The label of its figures.
const KIND: &str = "webhook_disabled";

/// The owner as somebody to whom mails are sent. None if this is no address.
pub fn owner(email: &str) -> Option<Customer> {
    let (id, email) = ("owner".to_owned(), email.to_owned());
    Customer::parse(&UncheckedCustomer { id, email, name: None, locale: None, time_zone: None }).ok()
}

/// Tells the owner that an endpoint was disabled. It is over if it was sent, or never will be taken; else it
/// is to be tried again.
pub async fn tell_owner(mailer: &Arc<Mailer>, owner: &Customer, untold: &Untold) -> anyhow::Result<()> {
    let letter = mailer.writer().webhook_disabled(untold)?;
    // The same at each try: it is the same mail.
    let id = format!("{}.disabled.{}", untold.endpoint, untold.disabled_at.as_microsecond());
    let message = mailer.compose(&letter, owner, &mailer.full_message_id(&id))?;
    let (turn, same, endpoint_id) = (mailer.turn().await?, Arc::clone(mailer), untold.endpoint);
    let sending = async move {
        let sent = same.send(&message).await;
        drop(turn);
        let label = |result| telemetry::metrics().mails.with_label_values(&[KIND, result]).inc();
        match sent {
            Ok(()) => {
                label("sent");
                tracing::info!(%endpoint_id, "the owner of a webhook endpoint is told that it is disabled");
                Ok(())
            }
            Err(error) if error.is_permanent() => {
                label("rejected");
                tracing::error!(%endpoint_id, reason = error.rejection().reason,
                                "the mail about a webhook endpoint is rejected for good");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    };
    #[expect(clippy::disallowed_methods, reason = "bounded by the turns that a mail waits for")]
    mailer.begun().spawn(sending.in_current_span()).await?
}
