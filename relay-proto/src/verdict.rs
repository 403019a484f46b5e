//! From the findings of all scanners to one verdict on a message, as a pure function.
//!
//! A refusal outweighs a deferral, and a deferral outweighs acceptance: one scanner that is sure is
//! enough, and a scanner that could not look must not hide behind one that could.

use crate::reply::Reply;

/// What one scanner found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Finding {
    /// Nothing against the message.
    Clean,
    /// The message must not pass; the reason is what its sender reads.
    Reject {
        /// One line, for the sender.
        reason: String,
    },
    /// The scanner wants it tried again later (greylisting, rate).
    Defer {
        /// One line, for the sender.
        reason: String,
    },
    /// The scanner could not look.
    Failed {
        /// What its configuration says about that.
        on_error: OnError,
    },
}

/// What happens to a message that a scanner could not look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnError {
    /// It passes, as far as this scanner is concerned.
    Open,
    /// It is deferred; its sender tries again.
    Defer,
}

/// What happens to the message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It passes.
    Accept,
    /// It is refused for good.
    Reject {
        /// One line, for the sender.
        reason: String,
    },
    /// It is refused for now.
    Defer {
        /// One line, for the sender.
        reason: String,
    },
}

/// Combines the findings of one message. Of several reasons of the same weight the first one stands.
pub fn combine(findings: impl IntoIterator<Item = Finding>) -> Verdict {
    let mut verdict = Verdict::Accept;
    for finding in findings {
        match finding {
            Finding::Clean
            | Finding::Failed {
                on_error: OnError::Open,
            } => {}
            Finding::Reject { reason } => return Verdict::Reject { reason },
            Finding::Defer { reason } => verdict.defer(reason),
            Finding::Failed {
                on_error: OnError::Defer,
            } => verdict.defer("a content scanner is not available, try again later".to_owned()),
        }
    }
    verdict
}

impl Verdict {
    /// What the sender hears: `550 5.7.1 REASON id=ID see URL`, `451 4.7.1 REASON id=ID`, or `None` if
    /// the message passes.
    #[must_use]
    pub fn reply(&self, id: &str, help_url: &str) -> Option<Reply> {
        match self {
            Self::Accept => None,
            Self::Reject { reason } => Some(Reply::new(
                550,
                "5.7.1",
                &format!("{reason} id={id} see {help_url}"),
            )),
            Self::Defer { reason } => Some(Reply::new(451, "4.7.1", &format!("{reason} id={id}"))),
        }
    }

    fn defer(&mut self, reason: String) {
        if *self == Self::Accept {
            *self = Self::Defer { reason };
        }
    }
}
