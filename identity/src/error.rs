//! Why a token is not taken.

/// What is wrong with a token. Clients are told no more than that it is not valid; the word is for logs and
/// metrics, and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum Refused {
    /// It is no signed token, or says what no token of ours or the provider's says in that way.
    Malformed,
    /// It names an algorithm that we do not take, or one that its key is not for.
    Algorithm,
    /// Its signature is not one by the key that it names.
    Signature,
    /// It names a key that nobody has published.
    UnknownKey,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// Somebody issued it whom we do not believe.
    Issuer,
    /// It is meant for somebody else.
    Audience,
    /// It is a token of another kind.
    Type,
    /// It is about nobody, or about somebody whom its issuer may not speak for.
    Subject,
}

impl Refused {
    /// The words of all refusals, as metrics are labelled with.
    pub const WORDS: [&str; 10] = [
        "malformed",
        "algorithm",
        "signature",
        "unknown_key",
        "expired",
        "not_yet_valid",
        "issuer",
        "audience",
        "type",
        "subject",
    ];

    /// The one word for it.
    pub const fn as_str(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// Nobody can say now whether a token is good: the identity provider's keys cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the identity provider's keys cannot be had")]
pub struct Unavailable;

/// Why a token is not taken: it is not good, or nobody can say now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the token is refused: {0}")]
    Refused(#[from] Refused),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_word() {
        let all = [
            (Refused::Malformed, "malformed"),
            (Refused::Algorithm, "algorithm"),
            (Refused::Signature, "signature"),
            (Refused::UnknownKey, "unknown_key"),
            (Refused::Expired, "expired"),
            (Refused::NotYetValid, "not_yet_valid"),
            (Refused::Issuer, "issuer"),
            (Refused::Audience, "audience"),
            (Refused::Type, "type"),
            (Refused::Subject, "subject"),
        ];
        assert_eq!(all.map(|(refused, _)| refused.as_str()), all.map(|(_, word)| word));
        assert_eq!(Refused::UnknownKey.to_string(), "unknown_key");
    }
}
