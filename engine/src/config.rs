//! Where Temporal is, and how to speak to it: the SDK's own environment variables (`TEMPORAL_ADDRESS`,
//! `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`, `TEMPORAL_TLS_*`, profiles).

use std::{collections::HashMap, env, ffi::OsString, fs, time::Duration};

use temporalio_client::{
    Client, ClientOptions, ConnectionOptions, GrpcCompression, NamespacedClient as _, Url,
    tonic::{Code, Request},
};
use temporalio_common::{
    envconfig::{LoadClientConfigProfileOptions, load_client_config_profile},
    protos::temporal::api::{
        enums::v1::IndexedValueType,
        operatorservice::v1::{AddSearchAttributesRequest, ListSearchAttributesRequest},
    },
};
use temporalio_sdk::opentelemetry::OpenTelemetryPlugin;
use workflows::names;

use crate::{CALL_TIMEOUT, Error, PayloadKeys, within};

/// The SDK's own.
const DEFAULT_NAMESPACE: &str = "default";

#[derive(Clone)]
pub struct Config {
    pub(crate) connection: ConnectionOptions,
    pub(crate) client: ClientOptions,
    pub(crate) task_queue: String,
    pub(crate) ui_url: Option<String>,
    pub(crate) payload_keys: Option<PayloadKeys>,
}

/// What the SDK's environment does not say.
pub struct Options<'a> {
    /// `host:port`, instead of `TEMPORAL_ADDRESS`.
    pub address: Option<&'a str>,
    /// Without keys, payloads travel in clear.
    pub payload_keys: Option<&'a PayloadKeys>,
    pub task_queue: String,
    /// Where people find the Temporal UI.
    pub ui_url: Option<String>,
    pub metrics: Option<&'a telemetry::SdkMetrics>,
}

impl Config {
    /// Where Temporal is: `host:port`.
    pub(crate) fn place(&self) -> String {
        let target = &self.connection.target;
        let port = target.port_or_known_default().map_or_else(String::new, |port| format!(":{port}"));
        format!("{}{port}", target.host_str().unwrap_or_default())
    }

    /// Reads the SDK's environment.
    pub fn load(options: Options<'_>) -> Result<Self, Error> {
        let environment = environment();
        check_files(&environment)?;
        let profile = LoadClientConfigProfileOptions::default();
        let profile =
            load_client_config_profile(profile, Some(&environment)).map_err(Error::misconfigured)?;
        let namespace = profile.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
        let mut connection = ConnectionOptions::try_from(profile).map_err(Error::misconfigured)?;
        if let Some(address) = options.address {
            connection.target = Url::parse(&format!("http://{address}")).map_err(Error::misconfigured)?;
        }
        connection.connect_timeout = Some(Duration::from_secs(3));
        connection.grpc_compression = GrpcCompression::None;
        let meter = options.metrics.map(telemetry::SdkMetrics::temporal_meter).transpose();
        connection.metrics_meter = meter.map_err(Error::misconfigured)?;
        let mut client = ClientOptions::new(namespace).plugin(OpenTelemetryPlugin::builder().build()).build();
        if let Some(keys) = options.payload_keys {
            client.data_converter = keys.data_converter();
        }
        let ui_url = options.ui_url.map(|url| url.trim_end_matches('/').to_owned());
        let payload_keys = options.payload_keys.cloned();
        Ok(Self { connection, client, task_queue: options.task_queue, ui_url, payload_keys })
    }
}

/// Ours, with the SDK's variables as they are meant: files and forms leave a line's end behind.
fn environment() -> HashMap<String, String> {
    let read =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let trimmed = |(name, value): (String, String)| match name.starts_with("TEMPORAL_") {
        true => (name, value.trim().to_owned()),
        false => (name, value),
    };
    let is_set = |(name, value): &(String, String)| !(name.starts_with("TEMPORAL_") && value.is_empty());
    env::vars_os().filter_map(read).map(trimmed).filter(is_set).collect()
}

/// Looks at the files of TLS while it is known which one is which.
fn check_files(environment: &HashMap<String, String>) -> Result<(), Error> {
    if environment.get("TEMPORAL_TLS").is_some_and(|tls| tls == "false") {
        return Ok(());
    }
    for (name, content) in [
        ("TEMPORAL_TLS_SERVER_CA_CERT_PATH", "-----BEGIN CERTIFICATE-----"),
        ("TEMPORAL_TLS_CLIENT_CERT_PATH", "-----BEGIN CERTIFICATE-----"),
        ("TEMPORAL_TLS_CLIENT_KEY_PATH", "PRIVATE KEY-----"),
    ] {
        let Some(path) = environment.get(name) else { continue };
        let wrong = |why: String| Err(Error::Misconfigured(format!("{name}, {path}: {why}")));
        match fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) {
            Err(error) => return wrong(error.to_string()),
            Ok(text) if !text.contains(content) => return wrong(format!("holds no `{content}`")),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Orders are found in the Temporal UI by status and customer. Registering again does no harm.
pub(crate) async fn ensure_search_attributes(client: &Client) -> Result<(), Error> {
    let mut operator = client.connection().operator_service();
    let wanted = [names::ORDER_STATUS.name(), names::CUSTOMER_ID.name()];
    let list = ListSearchAttributesRequest { namespace: client.namespace() };
    let known = within(CALL_TIMEOUT, operator.list_search_attributes(Request::new(list))).await?;
    let known = known.into_inner().custom_attributes;
    let missing: HashMap<String, i32> = wanted
        .into_iter()
        .filter(|name| !known.contains_key(*name))
        .map(|name| (name.to_owned(), IndexedValueType::Keyword as i32))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let add = AddSearchAttributesRequest { search_attributes: missing, namespace: client.namespace() };
    match tokio::time::timeout(CALL_TIMEOUT, operator.add_search_attributes(Request::new(add))).await {
        // Another process was faster.
        Ok(Err(status)) if status.code() == Code::AlreadyExists => Ok(()),
        Ok(added) => added.map(|_| ()).map_err(Error::from),
        Err(_) => Err(Error::unavailable("no answer")),
    }
}
