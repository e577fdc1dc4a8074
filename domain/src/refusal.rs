//! Why a mail server takes a mail at no time: the codes of RFC 3463, which stand in its replies and in the
//! reports of mails that came back.

use std::fmt;

/// A code of class 5: `5.1.1` is a mailbox that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    subject: u16,
    detail: u16,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Nobody has that mailbox, or it takes nothing any more: the next mail will not arrive either.
    Mailbox,
    /// This mail, or something that may pass, such as a mailbox that is full: it says nothing of the next.
    Mail,
    /// Us: our address, our keys and DNS, a list that we are on. The operator mends it, for all mails.
    Us,
}

impl Refusal {
    /// Policy. Of a content that was looked at, it is a word on the mail.
    pub const NOT_AUTHORIZED: Self = Self { subject: 7, detail: 1 };

    /// None: it is no such code, or one of another class.
    pub fn parse(code: &str) -> Option<Self> {
        let is_number =
            |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let number = |part: &str| part.parse::<u16>().ok().filter(|_| is_number(part));
        let (subject, detail) = code.strip_prefix("5.")?.split_once('.')?;
        Some(Self { subject: number(subject)?, detail: number(detail)? })
    }

    /// - X.1.7 and X.1.8 are about the sender's address; X.7 is policy: we may not relay, or are on a list,
    ///   or our keys and DNS are wrong (RFC 7372); X.5.1, X.5.2 and X.5.4 say that we are not understood.
    /// - The rest of X.1 is the recipient's address. X.2.0 and X.2.1 are a mailbox that takes nothing.
    pub const fn blame(self) -> Blame {
        match (self.subject, self.detail) {
            (1, 7 | 8) | (5, 1 | 2 | 4) | (7, _) => Blame::Us,
            (1, _) | (2, 0 | 1) => Blame::Mailbox,
            _ => Blame::Mail,
        }
    }
}

/// As RFC 3463 writes it.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "5.{}.{}", self.subject, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_what_it_is_about() {
        for (code, blame) in [
            ("5.1.1", Blame::Mailbox),
            ("5.1.10", Blame::Mailbox),
            ("5.2.1", Blame::Mailbox),
            ("5.2.2", Blame::Mail),
            ("5.4.7", Blame::Mail),
            ("5.0.0", Blame::Mail),
            ("5.6.0", Blame::Mail),
            ("5.1.8", Blame::Us),
            ("5.5.4", Blame::Us),
            ("5.7.1", Blame::Us),
            ("5.7.26", Blame::Us),
        ] {
            let refusal = Refusal::parse(code).expect(code);
            assert_eq!((refusal.to_string().as_str(), refusal.blame()), (code, blame));
        }
        for code in ["", "5", "5.1", "5.1.1.1", "4.1.1", "2.0.0", "5.1.1000", "5.1.x", "5..1", "5.1.+1"] {
            assert_eq!(Refusal::parse(code), None, "{code}");
        }
    }
}
