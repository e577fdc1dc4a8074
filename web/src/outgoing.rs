//! HTTP to others.

/// The builder of any HTTP client. reqwest is built without a choice of cryptography, and panics until
/// somebody chose, also for plain HTTP: here ring is chosen for the process.
pub fn http_client() -> reqwest::ClientBuilder {
    // Whoever comes first chooses; all here choose ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}
