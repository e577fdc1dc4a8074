//! The mails of accounts: codes, and what codes were used for. They hang on no order.

use std::sync::Arc;

use domain::{
    Timestamp,
    account::{Code, CodePurpose},
    customer::Customer,
};
use identity::CodeKeys;
use store::{
    Db,
    accounts::codes::{self, Used},
};
use tracing::Instrument as _;
use uuid::Uuid;
use workflows::contract::CodeStep;

use super::{Mailer, template::Letter};

/// Mails a code. Until when it is good; none if there is nothing to wait for.
pub async fn send_code(
    db: &Db,
    mailer: &Arc<Mailer>,
    keys: &CodeKeys,
    step: CodeStep,
) -> anyhow::Result<Option<Timestamp>> {
    let mail = codes::draw(db, step.code, step.at, |id, seed| drawn(keys, id, seed)).await?;
    let Some(codes::Mail { purpose, code, to, expires_at }) = mail else { return Ok(None) };
    // The same at each try, as the code is: it is the same mail.
    let id = format!("{}.{}", step.code, purpose.as_str());
    let sent =
        send(mailer, &step, purpose, mailer.writer().account(&to, purpose, code.as_ref())?, &to, id).await?;
    Ok((sent && code.is_some()).then_some(expires_at))
}

/// A code, and what is kept of it. It follows from random bytes of the operating system and a key of ours, so
/// that a mail that is written again has the same one, though it is stored nowhere.
fn drawn(keys: &CodeKeys, id: Uuid, seed: &[u8]) -> (Code, Vec<u8>) {
    let seed: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    // Never six digits: what is kept of a code tells nothing of this.
    let derived = keys.hash(id, &format!("draw/{seed}"));
    let number = derived.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte));
    let code = Code::draw(number);
    let hash = keys.hash(id, code.as_str());
    (code, hash)
}

/// Tells the owner of an account what a code was used for.
pub async fn send_code_used(db: &Db, mailer: &Arc<Mailer>, step: CodeStep) -> anyhow::Result<()> {
    let Some(Used { purpose, to, has_password }) = codes::end(db, step.code).await? else { return Ok(()) };
    let letter = mailer.writer().account_code_used(&to, purpose, has_password)?;
    send(mailer, &step, purpose, letter, &to, format!("{}.used", step.code)).await?;
    Ok(())
}

/// Sends a mail to its end, also if nobody waits for it any more. False if it will never be taken.
async fn send(
    mailer: &Arc<Mailer>,
    step: &CodeStep,
    purpose: CodePurpose,
    letter: Letter,
    to: &Customer,
    id: String,
) -> anyhow::Result<bool> {
    let turn = mailer.turn().await?;
    let (same, to, code_id) = (Arc::clone(mailer), to.clone(), step.code);
    let sending = async move {
        let sent = match same.compose(&letter, &to, &same.full_message_id(&id)) {
            Ok(message) => same.send(&message).await,
            Err(error) => Err(error),
        };
        drop(turn);
        let label =
            |outcome| telemetry::metrics().mails.with_label_values(&[purpose.as_str(), outcome]).inc();
        match sent {
            Ok(()) => {
                label("sent");
                tracing::info!(%code_id, purpose = purpose.as_str(), "account mail sent");
                Ok(true)
            }
            Err(error) if error.is_permanent() => {
                label("rejected");
                tracing::error!(%code_id, purpose = purpose.as_str(), reason = error.rejection().reason,
                                "account mail rejected for good");
                Ok(false)
            }
            Err(error) => {
                tracing::warn!(%code_id, %error, "account mail not taken: it is tried again");
                Err(error.into())
            }
        }
    };
    #[expect(clippy::disallowed_methods, reason = "bounded by the turns that a mail waits for")]
    mailer.begun().spawn(sending.in_current_span()).await?
}
