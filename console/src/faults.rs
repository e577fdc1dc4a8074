//! What breaks in `holdfast dev` when it is asked to, and is whole again when it is asked to.

use tokio::sync::watch;

/// A part that can be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Nobody takes mails.
    Mail,
    /// The sandbox provider's webhooks are lost.
    Webhooks,
    /// Killed as by `kill -9`.
    Worker,
}

/// A part and its switch, which is on while the part is away.
#[derive(Debug, Clone)]
pub struct Fault {
    pub part: Part,
    pub is_on: watch::Sender<bool>,
}

impl Part {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Webhooks => "webhooks",
            Self::Worker => "worker",
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Mail => "The mail server",
            Self::Webhooks => "The provider's webhooks",
            Self::Worker => "The worker",
        }
    }

    /// What can be seen meanwhile.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Mail => {
                "Orders go on without it. A mail is tried again until somebody takes it, and is sent once."
            }
            Self::Webhooks => {
                "The provider has the money, and nobody tells us. Its books are read every hour, or now: the \
                 order is paid all the same."
            }
            Self::Worker => {
                "Orders are placed and paid, and wait. When it is back each goes on where it stood."
            }
        }
    }

    pub(crate) const fn take_away(self) -> &'static str {
        match self {
            Self::Mail => "Take it away",
            Self::Webhooks => "Lose them",
            Self::Worker => "Kill it (kill -9)",
        }
    }

    pub(crate) const fn bring_back(self) -> &'static str {
        match self {
            Self::Mail => "Bring it back",
            Self::Webhooks => "Send them again",
            Self::Worker => "Start it again",
        }
    }
}
