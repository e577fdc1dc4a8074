//! Who customers are: accounts of ours (`HOLDFAST_ACCOUNT_SECRET`, `HOLDFAST_TOKEN_ISSUER`,
//! `HOLDFAST_TOKEN_AUDIENCE`), and those of the shop's identity provider
//! (`HOLDFAST_IDENTITY_PROVIDER_ISSUER`, `_JWKS_URL`, `_AUDIENCE`).

use anyhow::Context as _;
use identity::{AccessTokens, CodeKeys, IdentityProvider, Secret, SigningKeys, Tokens, identity_provider};

use crate::config;

const SECRET: &str = "HOLDFAST_ACCOUNT_SECRET";
const DEFAULT_NAME: &str = "holdfast";

/// What accounts are made with. None: this shop has none.
pub fn secrets(default: Option<&str>) -> anyhow::Result<Option<Vec<Secret>>> {
    let texts = config::secrets(SECRET)?.or(default.map(|secret| vec![secret.to_owned()]));
    let parse = |text: &String| Secret::parse(text).map_err(|why| anyhow::anyhow!("{SECRET} {why}"));
    texts.map(|texts| texts.iter().map(parse).collect()).transpose()
}

/// For the worker, which draws and mails codes.
pub fn code_keys(secrets: Option<&[Secret]>) -> anyhow::Result<Option<CodeKeys>> {
    Ok(secrets.map(CodeKeys::derive).transpose()?)
}

/// Lets customers sign in, with accounts or with tokens of the identity provider, as far as that is set up.
pub fn with_customers(app: api::App, secrets: Option<&[Secret]>) -> anyhow::Result<api::App> {
    let (ours, accounts) = match secrets {
        None => (None, None),
        Some(secrets) => {
            let keys = SigningKeys::derive(secrets)?;
            let tokens = AccessTokens::new(keys.clone(), name("ISSUER"), name("AUDIENCE"));
            let accounts = api::Accounts::new(&keys, CodeKeys::derive(secrets)?, tokens.clone())?;
            (Some(tokens), Some(accounts))
        }
    };
    let provider = provider()?;
    if ours.is_none() && provider.is_none() {
        return Ok(app);
    }
    let tokens = Tokens::new(ours, provider).map_err(anyhow::Error::msg)?;
    let app = app.with_tokens(tokens);
    Ok(match accounts {
        Some(accounts) => app.with_accounts(accounts),
        None => app,
    })
}

fn name(of: &str) -> String {
    config::optional(&format!("HOLDFAST_TOKEN_{of}")).unwrap_or_else(|| DEFAULT_NAME.to_owned())
}

fn provider() -> anyhow::Result<Option<IdentityProvider>> {
    let setting = |of: &str| format!("HOLDFAST_IDENTITY_PROVIDER_{of}");
    let [issuer, jwks_url, audience] =
        ["ISSUER", "JWKS_URL", "AUDIENCE"].map(|of| config::optional(&setting(of)));
    if issuer.is_none() && jwks_url.is_none() && audience.is_none() {
        return Ok(None);
    }
    let required = |of: &str, value: Option<String>| {
        value.with_context(|| format!("{} is not set, and the others of its kind are", setting(of)))
    };
    let config = identity_provider::Config {
        issuer: required("ISSUER", issuer)?,
        jwks_url: required("JWKS_URL", jwks_url)?,
        audience: required("AUDIENCE", audience)?,
    };
    let provider = IdentityProvider::new(config);
    provider.map(Some).map_err(|why| anyhow::anyhow!("{}: {why}", setting("JWKS_URL")))
}
