//! How the API meets the network, from the environment: `HOLDFAST_RATE_LIMITS`, `HOLDFAST_CORS_ORIGINS`,
//! `HOLDFAST_TRUSTED_PROXIES`, `HOLDFAST_HSTS_MAX_AGE`.

use std::time::Duration;

use api::{Gateway, Origin, RateLimits, TrustedProxies};

use crate::config::{count_up_to, optional};

/// Ten years: browsers believe no longer one.
const MAX_HSTS_S: u32 = 10 * 366 * 86_400;

/// `rate_limits`: those that hold where none are set.
pub fn load(rate_limits: RateLimits) -> anyhow::Result<Gateway> {
    Ok(Gateway {
        rate_limits: parsed("HOLDFAST_RATE_LIMITS", RateLimits::parse)?.unwrap_or(rate_limits),
        origins: parsed("HOLDFAST_CORS_ORIGINS", origins)?.unwrap_or_default(),
        proxies: parsed("HOLDFAST_TRUSTED_PROXIES", TrustedProxies::parse)?.unwrap_or_default(),
        hsts: count_up_to::<u64>(MAX_HSTS_S, "HOLDFAST_HSTS_MAX_AGE")?.map(Duration::from_secs),
    })
}

fn origins(text: &str) -> Result<Vec<Origin>, String> {
    text.split(',').map(|origin| Origin::parse(origin.trim())).collect()
}

fn parsed<T>(name: &str, parse: impl Fn(&str) -> Result<T, String>) -> anyhow::Result<Option<T>> {
    let parse = |text: String| parse(&text).map_err(|why| anyhow::anyhow!("{name}: {why}"));
    optional(name).map(parse).transpose()
}
