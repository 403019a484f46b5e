//! From what all scanners say about a message to one verdict on it, as a pure function.
//!
//! A [`Report`] is one scanner's word, a [`Policy`] says what each kind of finding leads to, and [`combine`] makes one
//! [`Judgement`] of them. A refusal outweighs a deferral, a deferral outweighs holding, and that outweighs acceptance:
//! one scanner that is sure is enough, and a scanner that could not look must not hide behind one that could.
//!
//! Scanners that are not sure can add up: the [`Report::log_odds`] of all that have one are added, and from
//! [`Policy::spam_log_odds`] on the message is spam as if one of them had found it. That is right as far as they err
//! independently of each other, which is why a scanner's own threshold stands beside it, and why what a [`Scale`] makes of a
//! score has a bound below: two scanners know spam by different marks, but both stay silent about a mark that is new.

use core::fmt;
use core::time::Duration;

use crate::reply::Reply;

mod combine;
mod scale;

pub use combine::{combine, is_final};
pub use scale::Scale;

/// What a scanner looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Concern {
    /// Mail that nobody has asked for.
    Spam,
    /// What harms whoever opens it.
    Malware,
}

/// What one scanner found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Finding {
    /// Nothing that would be enough by itself.
    Clean,
    /// What it looks for; the reason is what the message's sender reads.
    Found {
        /// What that is.
        concern: Concern,
        /// One line, for the sender.
        reason: String,
    },
    /// The scanner wants it tried again later (greylisting, rate).
    Defer {
        /// One line, for the sender.
        reason: String,
    },
    /// It looked, and the message is beyond what it can judge: too deep, too large, encrypted.
    Unscannable {
        /// One line, for the sender.
        reason: String,
    },
    /// The scanner could not look.
    Failed {
        /// What its configuration says about that.
        on_error: OnError,
    },
    /// It was not asked, or not to the end: others had decided before.
    Skipped,
}

impl Finding {
    /// One word for a log.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Found {
                concern: Concern::Spam,
                ..
            } => "spam",
            Self::Found {
                concern: Concern::Malware,
                ..
            } => "malware",
            Self::Defer { .. } => "defer",
            Self::Unscannable { .. } => "unscannable",
            Self::Failed { .. } => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What happens to a message that a scanner could not look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnError {
    /// It passes, as far as this scanner is concerned.
    Open,
    /// It passes while its customer has sent few such messages, and is deferred beyond that.
    Limit,
    /// It is deferred; its sender tries again.
    Defer,
}

/// What one scanner said about one message.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The scanner.
    pub scanner: &'static str,
    /// What it means.
    pub finding: Finding,
    /// Its figure, on its own scale.
    pub score: Option<f64>,
    /// The natural logarithm of the odds that the message is spam, as far as this scanner can tell; 0 is "no idea".
    pub log_odds: Option<f64>,
    /// What it saw, the weightiest first; for the operator, not for the sender.
    pub reasons: Vec<String>,
    /// How long it took.
    pub elapsed: Duration,
}

/// `rspamd=spam/12.5/40ms`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.scanner, self.finding.word())?;
        if let Some(score) = self.score {
            write!(f, "/{score:.1}")?;
        }
        write!(f, "/{}ms", self.elapsed.as_millis())
    }
}

/// What a kind of finding leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The message passes; the finding stands in the log alone.
    Accept,
    /// The message waits in the queue until a person decides. Where there is no queue it is refused and kept.
    Hold,
    /// It is refused for now.
    Defer,
    /// It is refused for good.
    Reject,
    /// The same, and a copy is kept as evidence.
    RejectAndKeep,
}

/// What each kind of finding leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// What is found to be spam.
    pub spam: Action,
    /// What is found to be malware.
    pub malware: Action,
    /// What cannot be judged.
    pub unscannable: Action,
    /// From what sum of log-odds on a message is spam that no scanner alone has found to be; `None` = they do not add up.
    pub spam_log_odds: Option<f64>,
}

/// What happens to the message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It passes.
    Accept {
        /// But somebody could not look at it, so that its customer may send only a few of its kind.
        limited: bool,
    },
    /// A person decides.
    Hold {
        /// One line, for that person.
        reason: String,
    },
    /// It is refused for now.
    Defer {
        /// One line, for the sender.
        reason: String,
    },
    /// It is refused for good.
    Reject {
        /// One line, for the sender.
        reason: String,
        /// A copy is kept as evidence.
        keep: bool,
    },
}

/// A verdict, and what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// What happens to the message.
    pub verdict: Verdict,
    /// What decided, if the message does not simply pass: spam or malware.
    pub concern: Option<Concern>,
    /// The sum of the scanners' log-odds, if one had any.
    pub log_odds: Option<f64>,
}

impl Verdict {
    /// What the sender hears: `550 5.7.1 REASON id=ID see URL`, `451 4.7.1 REASON id=ID`, or `None` if
    /// the message is taken.
    #[must_use]
    pub fn reply(&self, id: &str, help_url: &str) -> Option<Reply> {
        match self {
            Self::Accept { .. } | Self::Hold { .. } => None,
            Self::Reject { reason, .. } => Some(Reply::new(
                550,
                "5.7.1",
                &format!("{reason} id={id} see {help_url}"),
            )),
            Self::Defer { reason } => Some(Reply::new(451, "4.7.1", &format!("{reason} id={id}"))),
        }
    }
}
