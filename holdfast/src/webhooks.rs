//! Webhooks out, as they are set up: `HOLDFAST_WEBHOOK_ALLOW_NETWORKS` (networks with commas between them),
//! `HOLDFAST_WEBHOOK_OWNER_EMAIL`.

use std::sync::Arc;

use activities::mail::{self, Mailer};
use anyhow::Context as _;
use domain::customer::Customer;
use events::webhooks::{Networks, Sender};

use crate::config::optional;

/// Who sends them. Networks that are not public are reached only if they are named; if none is, these are.
pub fn sender(default: Networks) -> anyhow::Result<Arc<Sender>> {
    let name = "HOLDFAST_WEBHOOK_ALLOW_NETWORKS";
    let networks = optional(name).map(|text| Networks::parse(&text)).transpose().context(name)?;
    Ok(Arc::new(Sender::new(networks.unwrap_or(default)).context("no HTTP client can be built")?))
}

/// Who is told that an endpoint was disabled: whoever reads the address from which mails come, unless another
/// one is given.
pub fn owner(mailer: &Mailer) -> anyhow::Result<Option<Customer>> {
    let name = "HOLDFAST_WEBHOOK_OWNER_EMAIL";
    match optional(name) {
        Some(email) => {
            mail::owner(&email).map(Some).with_context(|| format!("{name} must be an e-mail address"))
        }
        None => Ok(mail::owner(&mailer.address())),
    }
}
