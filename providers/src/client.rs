//! Where every HTTP client begins: reqwest is built without a choice of cryptography, and panics until
//! somebody chose. Needed for plain HTTP, too.

/// A client's builder, after ring was chosen for this process.
pub fn http_client() -> reqwest::ClientBuilder {
    // Whoever comes first chooses for the process; all here choose ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}
