//! The database's address, as its operators write it.

use std::net::IpAddr;

use sqlx::{
    ConnectOptions as _,
    postgres::{PgConnectOptions, PgSslMode},
};
use url::Url;

use crate::Result;

/// What sqlx knows of what stands after the `?`, in its three spellings.
const TLS: [&str; 10] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
];
const OTHERS: [&str; 8] =
    ["host", "hostaddr", "port", "dbname", "user", "password", "application_name", "options"];

/// Passes over what is not known, and says so by name alone: sqlx would log the value, which may be a secret.
pub(crate) fn parse(text: &str) -> Result<PgConnectOptions> {
    let mut url = Url::parse(text).map_err(|error| sqlx::Error::Configuration(error.into()))?;
    let (known, unknown): (Vec<_>, Vec<_>) =
        url.query_pairs().into_owned().partition(|(name, _)| is_known(name));
    for (name, _) in unknown {
        tracing::warn!(name, "DATABASE_URL says something that is not known here");
    }
    url.query_pairs_mut().clear().extend_pairs(known);
    let options = PgConnectOptions::from_url(&url)?;
    if is_perhaps_in_clear(&options) {
        tracing::warn!(
            host = options.get_host(),
            "passwords and data may cross the network in clear: say `sslmode=verify-full` in DATABASE_URL, \
             or `sslmode=disable` where the network is yours alone"
        );
    }
    Ok(options)
}

fn is_known(name: &str) -> bool {
    TLS.contains(&name) || OTHERS.contains(&name) || name.starts_with("options[")
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
    fn what_is_not_known_is_passed_over() {
        let options = parse(
            "postgres://a%40b:p%2F@db.test:6543/shop?sslpassword=s&sslmode=require&options=-c%20jit%3Don",
        )
        .unwrap();
        assert_eq!((options.get_host(), options.get_port()), ("db.test", 6543));
        assert_eq!((options.get_username(), options.get_database()), ("a@b", Some("shop")));
        assert_eq!(options.get_options(), Some("-c jit=on"));
        assert!(matches!(options.get_ssl_mode(), PgSslMode::Require));
        assert!(parse("postgres://host:port/shop").is_err());
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
