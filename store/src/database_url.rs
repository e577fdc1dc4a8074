//! The database's address, as its operators write it.

use std::{fs, net::IpAddr};

use sqlx::{
    ConnectOptions as _,
    postgres::{PgConnectOptions, PgSslMode},
};
use url::Url;

use crate::{Fault, Result};

/// What may stand after the `?`; sqlx knows some of it by two more spellings.
const KNOWN: [&str; 18] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "statement-cache-capacity",
    "ssl-mode",
    "ssl-ca",
    "ssl-root-cert",
    "ssl-cert",
    "ssl-key",
];
/// What PostgreSQL's own clients know and we do without.
const PASSED_OVER: [&str; 13] = [
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "load_balance_hosts",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
];
/// What the files of TLS have to hold.
const FILES: [(&str, &str); 3] = [
    ("sslrootcert", "-----BEGIN CERTIFICATE-----"),
    ("sslcert", "-----BEGIN CERTIFICATE-----"),
    ("sslkey", "PRIVATE KEY-----"),
];

/// # Errors
/// [`Fault::Misconfigured`]. It tells no value, and no name of ours or of theirs that may be part of a
/// secret.
pub(crate) fn parse(text: &str) -> Result<PgConnectOptions> {
    let malformed = |_| {
        Fault::Misconfigured(
            "it must look like postgres://user:password@host/database, with `?`, `#`, `/`, `@` and `%` in a \
             password percent-encoded (`%3F`)"
                .to_owned(),
        )
    };
    let mut url = Url::parse(text).map_err(malformed)?;
    let mut known = Vec::new();
    for (position, (name, value)) in url.query_pairs().into_owned().enumerate() {
        if PASSED_OVER.contains(&name.as_str()) {
            match value == "require" {
                true => {
                    tracing::warn!(name, "DATABASE_URL requires what is not there: use `sslmode=verify-full`")
                }
                false => tracing::debug!(name, "a parameter of DATABASE_URL that has no effect here"),
            }
        } else if KNOWN.contains(&name.as_str()) || name.starts_with("options[") {
            check_file(&name.replace("ssl-ca", "sslrootcert").replace('-', ""), &value)?;
            known.push((name, value));
        } else {
            // A misspelt `sslmode` would be a connection that nobody checks.
            return Err(Fault::Misconfigured(format!(
                "parameter {} after its `?` is not known; known are {}",
                position + 1,
                KNOWN[..13].join(", ")
            )));
        }
    }
    match known.is_empty() {
        true => url.set_query(None),
        false => drop(url.query_pairs_mut().clear().extend_pairs(known)),
    }
    let options = PgConnectOptions::from_url(&url).map_err(|error| match error {
        sqlx::Error::Configuration(why) => Fault::Misconfigured(why.to_string()),
        error => Fault::Database(error),
    })?;
    if is_perhaps_in_clear(&options) {
        tracing::warn!(
            host = options.get_host(),
            "passwords and data may cross the network in clear: say `sslmode=verify-full` in DATABASE_URL, \
             or `sslmode=disable` where the network is yours alone"
        );
    }
    Ok(options)
}

/// Looks at a file of TLS now, while it is known which one it is.
fn check_file(name: &str, value: &str) -> Result<()> {
    let Some((_, content)) = FILES.iter().find(|(parameter, _)| *parameter == name) else { return Ok(()) };
    if value.contains("-----BEGIN") {
        return Ok(()); // the thing itself
    }
    // What is no path may be the key itself, without its first line.
    let is_path = value.len() < 200 && !value.contains('\n') && value.contains(['/', '.']);
    let shown = if is_path { value } else { "(its value)" };
    let wrong = |why: String| Err(Fault::Misconfigured(format!("`{name}`, {shown}: {why}")));
    match fs::read(value).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) {
        Err(error) => wrong(error.to_string()),
        Ok(text) if text.contains("ENCRYPTED") => {
            wrong("is encrypted; only a key without a password can be used".to_owned())
        }
        Ok(text) if !text.contains(content) => wrong(format!("holds no `{content}`")),
        Ok(_) => Ok(()),
    }
}

/// As with PostgreSQL's own clients, who says nothing gets TLS if the server happens to have it.
fn is_perhaps_in_clear(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_matches(['[', ']']);
    let is_here = options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    !is_here && matches!(options.get_ssl_mode(), PgSslMode::Allow | PgSslMode::Prefer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_effect_is_passed_over() {
        let options = parse(
            "postgres://a%40b:p%2F@db.test:6543/shop?connect_timeout=3&sslmode=require&options=-c%20jit%3Don",
        )
        .unwrap();
        assert_eq!((options.get_host(), options.get_port()), ("db.test", 6543));
        assert_eq!((options.get_username(), options.get_database()), ("a@b", Some("shop")));
        assert_eq!(options.get_options(), Some("-c jit=on"));
        assert!(matches!(options.get_ssl_mode(), PgSslMode::Require));
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is_told() {
        let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        for (url, said) in [
            ("postgres://host:port/shop", "must look like"),
            ("postgres://a:hid#den@db.test/shop", "percent-encoded"),
            (
                "postgres://db.test/shop?sslmod=verify-full",
                "parameter 1 after its `?` is not known; known are sslmode",
            ),
            ("postgres://db.test/shop?sslmode=require&sslpassword=hidden", "parameter 2"),
            ("postgres://a?hidden@db.test/shop?sslmode=require", "parameter 1"),
            ("postgres://db.test/shop?sslmode=verify", "ssl_mode"),
            ("postgres://db.test/shop?sslrootcert=/nowhere.pem", "`sslrootcert`, /nowhere.pem: No such file"),
            ("postgres://db.test/shop?sslrootcert=/", "`sslrootcert`, /: Is a directory"),
            (&format!("postgres://db.test/shop?ssl-key={ours}"), "`sslkey`, "),
        ] {
            let error = parse(url).expect_err(url).to_string();
            assert!(error.contains(said) && !error.contains("hid"), "{url}: {error}");
        }
    }

    #[test]
    fn only_across_a_network_without_a_word_on_tls_it_may_be_in_clear() {
        for (url, may) in [
            ("postgres://db.test/shop", true),
            ("postgres://10.0.0.7/shop?sslmode=allow", true),
            ("postgres://db.test/shop?sslmode=require", false),
            ("postgres://db.test/shop?sslmode=disable", false),
            ("postgres://localhost/shop", false),
            ("postgres://127.0.0.2/shop", false),
            ("postgres://[::1]/shop", false),
            ("postgres:///shop?host=/run/postgresql", false),
        ] {
            assert_eq!(is_perhaps_in_clear(&parse(url).unwrap()), may, "{url}");
        }
    }
}
