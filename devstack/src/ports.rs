//! Ports on 127.0.0.1: picking free ones, and saying which one was taken.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A port somebody asked for is in use. Callers find it with `error.downcast_ref::<PortTaken>()`
/// to add which flag changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortTaken {
    /// The port in use.
    pub port: u16,
    /// What it was meant for, as in "Temporal UI".
    pub what: &'static str,
}

impl fmt::Display for PortTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {} ({}) is already taken", self.port, self.what)
    }
}

impl std::error::Error for PortTaken {}

/// A port nobody listens on right now. Somebody else may take it before you do.
///
/// # Panics
/// When this machine has no loopback interface, or no free port at all.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("127.0.0.1 has a free port")
        .port()
}

/// Whether a server could listen on this port of 127.0.0.1 right now.
pub fn port_is_free(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    // Some systems let us bind beside a server that listens on all interfaces, so ask for one first.
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err()
        && TcpListener::bind(address).is_ok()
}

/// The port to use: the one asked for if it is free, else a free one.
pub(crate) fn choose(asked: Option<u16>, what: &'static str) -> Result<u16, PortTaken> {
    match asked {
        Some(port) if port_is_free(port) => Ok(port),
        Some(port) => Err(PortTaken { port, what }),
        None => Ok(free_port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_taken_port_is_named() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = choose(Some(port), "Temporal").unwrap_err();
        assert_eq!(taken.to_string(), format!("port {port} (Temporal) is already taken"));

        drop(listener);
        // Another test that starts a process holds a copy of every socket here, from its fork until its exec.
        let deadline = Instant::now() + Duration::from_secs(10);
        while choose(Some(port), "Temporal") != Ok(port) {
            assert!(Instant::now() < deadline, "port {port} is never free again");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
