//! What a mail server has answered, and whether it is a word on the mail or on us.

use std::error::Error as _;

use domain::refusal::{Blame, Refusal};
use lettre::transport::smtp;

/// Replies to who has not shown who they are: RFC 4954, section 6. Some say 503, a bad sequence of commands.
const NOT_LOGGED_IN: [u16; 5] = [503, 530, 534, 535, 538];

/// What the server was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// To let us in, and to take a mail from us.
    Opening,
    Recipient,
    Content,
}

impl Stage {
    /// What it was answered to.
    pub const fn to(self) -> &'static str {
        match self {
            Self::Opening => "to us",
            Self::Recipient => "to the recipient",
            Self::Content => "to the content",
        }
    }
}

#[derive(Debug)]
pub enum Fault {
    Failed(Stage, smtp::Error),
    TooSlow,
    /// The mailbox is written in letters that this mail server does not take.
    NeedsUtf8,
    /// Ours is.
    SenderNeedsUtf8,
    /// It says yes in the wrong place: who knows what it has understood.
    OutOfStep(u16),
}

impl Fault {
    /// The server's word on this mail: it takes it at no time. Whatever it says before it has heard of the
    /// recipient is about us (it does not know us, we are on a list, it does not like our address), and so is
    /// some of what it says later, since many servers keep such words until RCPT TO. That is for the operator
    /// to mend, and the mail waits:
    ///
    /// - replies to who is not logged in, [`NOT_LOGGED_IN`];
    /// - the codes of RFC 3463 for which we are to blame, [`Refusal::blame`]. Only of a content that was
    ///   looked at, X.7.1 is a word on the mail;
    /// - and without a code, that it does not relay.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::NeedsUtf8 => true,
            Self::TooSlow | Self::SenderNeedsUtf8 | Self::OutOfStep(_) => false,
            Self::Failed(stage, error) => {
                error.is_permanent()
                    && *stage != Stage::Opening
                    && self.code().is_none_or(|code| !NOT_LOGGED_IN.contains(&code))
                    && !is_about_us(*stage, &error.source().map(ToString::to_string).unwrap_or_default())
            }
        }
    }

    /// The server's reply.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Failed(_, error) => error.status().map(u16::from),
            Self::OutOfStep(code) => Some(*code),
            Self::TooSlow | Self::NeedsUtf8 | Self::SenderNeedsUtf8 => None,
        }
    }
}

/// By the first code of RFC 3463 in the reply. Many servers have none where they do not relay for us.
fn is_about_us(stage: Stage, reply: &str) -> bool {
    match reply.split_ascii_whitespace().find_map(refusal) {
        Some(Refusal::NOT_AUTHORIZED) if stage == Stage::Content => false,
        Some(refusal) => refusal.blame() == Blame::Us,
        None => stage == Stage::Recipient && reply.split_ascii_whitespace().any(is_about_relaying),
    }
}

fn is_about_relaying(word: &str) -> bool {
    let word = word.trim_matches(|c: char| ",.;:!()".contains(c)).to_ascii_lowercase();
    ["relay", "relaying", "relayed"].contains(&word.as_str())
}

/// Such a code: `5.7.1`, `#5.7.1`, `(5.7.1)`.
fn refusal(word: &str) -> Option<Refusal> {
    Refusal::parse(word.trim_matches(|c: char| !c.is_ascii_digit()))
}
