//! Why Kafka did not do it, in a sentence.

use krafka::{KrafkaError, error::ErrorCode};

/// Why Kafka did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}", why(.0))]
    Client(#[from] KrafkaError),
    #[error("{0} took too long")]
    TimedOut(&'static str),
    #[error("the topic {topic} is missing, and cannot be created: {why}")]
    TopicMissing { topic: String, why: String },
}

impl Error {
    /// The broker does not take what was to be noted beside an offset.
    pub fn is_of_note(&self) -> bool {
        matches!(self, Self::Client(KrafkaError::Broker { code: ErrorCode::OffsetMetadataTooLarge, .. }))
    }

    /// It is the record's fault: as it is, it can never be written.
    pub fn is_of_record(&self) -> bool {
        let Self::Client(error) = self else { return false };
        match error {
            KrafkaError::Config { .. } => true, // it is larger than we may send
            KrafkaError::Broker { code, .. } => matches!(
                code,
                ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidRecord
            ),
            _ => false,
        }
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason in Kafka's, the system's or the certificate checker's own words, and what to do about it where
/// these do not say. None of them holds a password.
fn why(error: &KrafkaError) -> String {
    let said = error.to_string();
    let untrusted =
        "no authority that is trusted has signed its certificate; name its own with HOLDFAST_KAFKA_TLS_CA";
    let advice = [
        ("UnknownIssuer", untrusted),
        ("BadSignature", untrusted),
        ("InvalidContentType", "there is no TLS at this port"),
        ("UnsupportedSaslMechanism", "set HOLDFAST_KAFKA_SASL_MECHANISM to one that it supports"),
        (
            "SaslAuthenticationFailed",
            "look at HOLDFAST_KAFKA_SASL_USERNAME, HOLDFAST_KAFKA_SASL_PASSWORD and \
             HOLDFAST_KAFKA_SASL_MECHANISM",
        ),
    ];
    let advice = advice.into_iter().find(|(word, _)| said.contains(word));
    advice.map_or(said.clone(), |(_, advice)| format!("{said}: {advice}"))
}
