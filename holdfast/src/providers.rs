//! Which payment providers there are: those that the environment configures.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};
use providers::{
    Provider, Providers,
    sandbox::Sandbox,
    stripe::{self, Stripe},
    wechatpay::{self, Method, WechatPay},
};

use crate::config::{first_key, optional, required, secret, secrets};

/// The providers of a process.
pub struct Configured {
    pub providers: Providers,
    /// Never in production.
    pub sandbox: Option<Arc<Sandbox>>,
}

impl Configured {
    /// `sandbox` is where the sandbox's service is, and the secret that it signs with.
    pub fn load(sandbox: Option<(&str, &str)>) -> anyhow::Result<Self> {
        let sandbox = sandbox.map(|(url, secret)| Sandbox::new(url, secret));
        let sandbox =
            sandbox.transpose().map_err(|why| anyhow::anyhow!("HOLDFAST_SANDBOX_WEBHOOK_SECRET: {why}"))?;
        // The payer's calls want it where the sandbox is the API's own.
        let sandbox = sandbox.map(|sandbox| Arc::new(sandbox.with_key(first_key("HOLDFAST_API_KEY"))));
        let mut all: Vec<Arc<dyn Provider>> = Vec::new();
        all.extend(sandbox.clone().map(|sandbox| sandbox as Arc<dyn Provider>));
        all.extend(stripe()?.map(|stripe| Arc::new(stripe) as Arc<dyn Provider>));
        all.extend(wechatpay()?.map(|wechatpay| Arc::new(wechatpay) as Arc<dyn Provider>));
        let default = optional("HOLDFAST_PAYMENT_METHOD");
        let providers = Providers::new(all, default.as_deref())
            .map_err(|why| anyhow::anyhow!("HOLDFAST_PAYMENT_METHOD: {why}"))?;
        let shared = optional("HOLDFAST_SHARED_PROVIDER_ACCOUNTS").unwrap_or_default();
        let shared = shared.split(',').map(str::trim).filter(|name| !name.is_empty());
        let providers = providers
            .with_shared(shared)
            .map_err(|why| anyhow::anyhow!("HOLDFAST_SHARED_PROVIDER_ACCOUNTS: {why}"))?;
        if providers.names().next().is_none() {
            tracing::warn!(
                "no payment provider is configured: orders are placed, and nobody collects their money"
            );
        }
        Ok(Self { providers, sandbox })
    }
}

/// Where the sandbox's service runs, for processes that do not run it themselves.
pub fn sandbox_url() -> Option<String> {
    optional("HOLDFAST_SANDBOX_URL")
}

/// A sandbox that tells the API at `api_url`, and lets pay who has the key; on `HOLDFAST_SANDBOX_LISTEN` or a
/// free port.
pub async fn start_sandbox(
    secret: &str,
    api_url: &str,
    payer_key: Option<String>,
    storage: Option<PathBuf>,
) -> anyhow::Result<sandbox::Sandbox> {
    let listen = optional("HOLDFAST_SANDBOX_LISTEN")
        .map(|address| address.parse().context("HOLDFAST_SANDBOX_LISTEN must look like 127.0.0.1:9093"));
    let listen = listen.transpose()?;
    let options = sandbox::Options {
        listen,
        webhook_url: format!("{api_url}/v1/webhooks/{}", providers::sandbox::NAME),
        secret: secret.to_owned(),
        payer_key,
        storage,
    };
    sandbox::Sandbox::start(options).await.context("HOLDFAST_SANDBOX_WEBHOOK_SECRET")
}

/// `HOLDFAST_STRIPE_API_KEY`, `_WEBHOOK_SECRETS` (separated by commas), `_PUBLISHABLE_KEY`, `_URL`.
fn stripe() -> anyhow::Result<Option<Stripe>> {
    let api_key = secret("HOLDFAST_STRIPE_API_KEY")?;
    let is_half = api_key.is_none() && optional("HOLDFAST_STRIPE_WEBHOOK_SECRETS").is_some();
    anyhow::ensure!(!is_half, "HOLDFAST_STRIPE_WEBHOOK_SECRETS is set, and HOLDFAST_STRIPE_API_KEY is not");
    let Some(api_key) = api_key else { return Ok(None) };
    let secrets = secrets("HOLDFAST_STRIPE_WEBHOOK_SECRETS")?.context(
        "HOLDFAST_STRIPE_WEBHOOK_SECRETS is not set; it should be whsec_..., and the next one after a comma",
    )?;
    let mut config = stripe::Config::new(api_key, secrets);
    config.publishable_key = optional("HOLDFAST_STRIPE_PUBLISHABLE_KEY");
    if let Some(url) = optional("HOLDFAST_STRIPE_URL") {
        config.base_url = url;
    }
    Ok(Some(Stripe::new(config)?))
}

/// `HOLDFAST_WECHATPAY_MERCHANT_ID` and what else the dashboard gives. Keys are files: PEM has many lines.
fn wechatpay() -> anyhow::Result<Option<WechatPay>> {
    let Some(merchant_id) = optional("HOLDFAST_WECHATPAY_MERCHANT_ID") else { return Ok(None) };
    let method = match optional("HOLDFAST_WECHATPAY_METHOD").as_deref() {
        None | Some("native") => Method::Native,
        Some("jsapi") => Method::Jsapi,
        Some(_) => bail!("HOLDFAST_WECHATPAY_METHOD must be native or jsapi"),
    };
    let config = wechatpay::Config {
        app_id: required("HOLDFAST_WECHATPAY_APP_ID", "the appid")?,
        merchant_id,
        merchant_serial: required("HOLDFAST_WECHATPAY_MERCHANT_SERIAL", "the certificate's serial number")?,
        merchant_key: file("HOLDFAST_WECHATPAY_MERCHANT_KEY_FILE", "apiclient_key.pem")?,
        api_v3_key: secret("HOLDFAST_WECHATPAY_API_V3_KEY")?
            .context("HOLDFAST_WECHATPAY_API_V3_KEY is not set; it should be the APIv3 key, 32 bytes")?,
        platform_keys: platform_keys()?,
        notify_url: required(
            "HOLDFAST_WECHATPAY_NOTIFY_URL",
            "https://your.api.example/v1/webhooks/wechatpay",
        )?,
        base_url: optional("HOLDFAST_WECHATPAY_URL").unwrap_or_else(wechatpay::Config::default_base_url),
        method,
    };
    Ok(Some(WechatPay::new(config)?))
}

/// `serial=file,serial=file`.
fn platform_keys() -> anyhow::Result<BTreeMap<String, String>> {
    let name = "HOLDFAST_WECHATPAY_PLATFORM_KEY_FILES";
    let text = required(name, "serial=file.pem, several separated by commas")?;
    text.split(',')
        .map(|pair| {
            let (serial, file) = pair.split_once('=').with_context(|| format!("{name}: serial=file.pem"))?;
            let pem =
                fs::read_to_string(file.trim()).with_context(|| format!("cannot read {file} ({name})"))?;
            Ok((serial.trim().to_owned(), pem))
        })
        .collect()
}

fn file(name: &str, example: &str) -> anyhow::Result<String> {
    let path = required(name, example)?;
    fs::read_to_string(&path).with_context(|| format!("cannot read {path} ({name})"))
}
