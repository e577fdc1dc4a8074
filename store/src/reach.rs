//! Why there is no connection: host, port and reason, in one sentence and at once.

use std::{io::ErrorKind, time::Duration};

use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};

use crate::{Fault, Result};

/// An address that drops what is sent to it never answers.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    let connected = tokio::time::timeout(TIMEOUT, options.connect()).await;
    let why = match connected {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(error)) => why(&error),
        Err(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
    };
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    Err(Fault::Unreachable { place, why })
}

/// The reason in PostgreSQL's, the system's or the certificate checker's own words, and what to do about it
/// where these do not say. None of them holds a password.
fn why(error: &sqlx::Error) -> String {
    let said = match error {
        // By a socket it is the socket's file; else only the files of TLS are looked for.
        sqlx::Error::Io(error) if error.kind() == ErrorKind::NotFound => {
            format!("{error}: of its socket, or of `sslrootcert`, `sslcert` or `sslkey`")
        }
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Tls(error) => error.to_string(),
        sqlx::Error::Database(error) => error.message().to_owned(),
        error => error.to_string(),
    };
    let untrusted =
        "no authority that is trusted has signed its certificate; name its own with `sslrootcert`";
    let advice = [
        ("UnknownIssuer", untrusted),
        ("BadSignature", untrusted),
        ("unsupported startup parameter", "set HOLDFAST_DATABASE_POOLER=transaction behind a pooler"),
    ];
    let advice = advice.into_iter().find(|(word, _)| said.contains(word));
    advice.map_or(said.clone(), |(_, advice)| format!("{said}: {advice}"))
}
