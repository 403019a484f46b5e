//! The kinds of things that happen, and the figures that each has.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What happened. On the wire an object whose `kind` says which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happening {
    /// A message was judged, and not just accepted: those that were are only counted, in [`Rates`].
    Verdict(MessageVerdict),
    /// What the customer did.
    Rates(Rates),
    /// The customer met a limit.
    LimitHit {
        /// Its name in the configuration.
        limit: String,
        /// What the customer has reached.
        figure: f64,
        /// What it may.
        allowed: f64,
        /// Whom inside of the customer's host it is about, if the limit is not the whole host's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identity: Option<String>,
    },
    /// Sessions of the customer with this destination are spliced from now on.
    Learnt {
        /// Where they go.
        destination: SocketAddr,
        /// The customer verifies certificates; otherwise the destination's TLS is too old for the relay.
        verifying: bool,
    },
    /// A copy of a message was kept.
    Kept {
        /// Its name in the quarantine.
        record: String,
    },
    /// A person has released a kept message to its recipients.
    Released {
        /// Its name.
        record: String,
        /// Who.
        by: String,
        /// Why, in the words of whoever did.
        reason: String,
    },
    /// A person has looked at what is kept of a message.
    Viewed {
        /// Its name.
        record: String,
        /// Who.
        by: String,
        /// Why, in the words of whoever did.
        reason: String,
        /// What was shown: `headers`, `redacted`, `body`.
        what: String,
    },
    /// A person says that a kept message is what the scanners took it for.
    Confirmed {
        /// Its name.
        record: String,
        /// Who.
        by: String,
    },
    /// A scanner answers no more; said once, until it is back.
    ScannerDown {
        /// Its name.
        scanner: String,
        /// What is wrong with it.
        error: String,
    },
    /// A scanner that was down answers again.
    ScannerBack {
        /// Its name.
        scanner: String,
    },
    /// The relay's disk refuses; said once, until it takes again.
    DiskFailed {
        /// What of the relay it was for: `spool`, `events`.
        what: String,
        /// What the system says.
        error: String,
    },
    /// The relay's disk takes again.
    DiskBack {
        /// See [`Happening::DiskFailed`].
        what: String,
    },
    /// The relay had to throw events away, because the controller was away for longer than its journal holds.
    Lost {
        /// How many.
        events: u64,
    },
    /// Of a newer relay: what it said, `kind` included.
    #[serde(untagged)]
    Unknown(serde_json::Map<String, serde_json::Value>),
}

/// The verdict on one message, with what led to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageVerdict {
    /// The relay's name of the message, as the customer's log has it.
    pub id: String,
    /// What became of it.
    pub verdict: Decision,
    /// What was found, if something was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concern: Option<Concern>,
    /// Why, the weightiest first; at most [`REASONS_MAX`].
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Sum of the scanners' log-odds of spam, if any has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_odds: Option<f64>,
    /// What each scanner said; at most [`SCANNERS_MAX`].
    #[serde(default)]
    pub scanners: Vec<ScannerWord>,
    /// Its length.
    pub octets: u64,
    /// How many recipients its destination had taken.
    pub recipients: u32,
    /// Who inside of the customer's host sent it, by the rules of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It passed.
    Accepted,
    /// It was refused.
    Rejected,
    /// It was refused, and a copy is to be kept; [`Happening::Kept`] says that it was.
    Kept,
    /// Its sender was told to try again.
    Deferred,
    /// It was taken, and waits for a person.
    Held,
}

/// What a message was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Concern {
    /// Mail that nobody asked for.
    Spam,
    /// Something that harms whoever opens it.
    Malware,
    /// A scanner could not judge it.
    Unscannable,
}

/// One scanner's word on a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScannerWord {
    /// Its name.
    pub scanner: String,
    /// `clean`, `found`, `defer`, `unscannable`, `failed`, `skipped`.
    pub finding: String,
    /// Its own figure, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// How long it took.
    pub elapsed_ms: u32,
}

/// What a customer did: counts are those of one window, and windows do not overlap, so that they add up; different
/// recipients and senders, and shares, are those of the hour before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rates {
    /// Length of the window, up to the moment of the event.
    pub window_s: u32,
    /// Connections that were served.
    pub connections: u64,
    /// Messages whose content arrived, whatever became of them.
    pub messages: u64,
    /// Of these, those that the relay itself refused, for good or for now.
    pub refused: u64,
    /// Of these, those that were found to be spam or malware.
    pub spam: u64,
    /// Recipients that were named.
    pub recipients: u64,
    /// Octets of content.
    pub octets: u64,
    /// About how many different recipients, in the last hour.
    pub distinct_recipients: u64,
    /// About how many different reverse-paths, in the last hour.
    pub distinct_senders: u64,
    /// Of the recipients that destinations answered for in the last hour, the share that they do not know; 0 to 1.
    pub unknown_share: f64,
    /// Of the same, the share that they refused by policy; 0 to 1.
    pub refused_share: f64,
}

impl Happening {
    /// Its name on the wire.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Verdict(_) => "verdict",
            Self::Rates(_) => "rates",
            Self::LimitHit { .. } => "limit_hit",
            Self::Learnt { .. } => "learnt",
            Self::Kept { .. } => "kept",
            Self::Released { .. } => "released",
            Self::Viewed { .. } => "viewed",
            Self::Confirmed { .. } => "confirmed",
            Self::ScannerDown { .. } => "scanner_down",
            Self::ScannerBack { .. } => "scanner_back",
            Self::DiskFailed { .. } => "disk_failed",
            Self::DiskBack { .. } => "disk_back",
            Self::Lost { .. } => "lost",
            Self::Unknown(said) => said
                .get("kind")
                .and_then(serde_json::Value::as_str)
                .unwrap_or("unknown"),
        }
    }

    /// Shortens texts to [`TEXT_CHARS_MAX`] and lists to their bounds: part of them is chosen by who writes messages.
    pub fn bound(&mut self) {
        match self {
            Self::Verdict(verdict) => {
                verdict.reasons.truncate(REASONS_MAX);
                verdict.scanners.truncate(SCANNERS_MAX);
                let words = verdict.scanners.iter_mut();
                let words = words.flat_map(|word| [&mut word.scanner, &mut word.finding]);
                let texts = verdict.reasons.iter_mut().chain(&mut verdict.identity);
                texts.chain(words).chain([&mut verdict.id]).for_each(cut);
            }
            Self::LimitHit {
                limit, identity, ..
            } => identity.iter_mut().chain([limit]).for_each(cut),
            Self::Kept { record } => cut(record),
            Self::Released { record, by, reason } => [record, by, reason].into_iter().for_each(cut),
            Self::Viewed {
                record,
                by,
                reason,
                what,
            } => [record, by, reason, what].into_iter().for_each(cut),
            Self::Confirmed { record, by } => [record, by].into_iter().for_each(cut),
            Self::ScannerDown { scanner, error } => [scanner, error].into_iter().for_each(cut),
            Self::ScannerBack { scanner } => cut(scanner),
            Self::DiskFailed { what, error } => [what, error].into_iter().for_each(cut),
            Self::DiskBack { what } => cut(what),
            Self::Rates(_) | Self::Learnt { .. } | Self::Lost { .. } | Self::Unknown(_) => {}
        }
    }
}

fn cut(text: &mut String) {
    if let Some((at, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
        text.truncate(at);
    }
}

/// Reasons of one verdict.
pub const REASONS_MAX: usize = 16;
/// Scanners of one verdict.
pub const SCANNERS_MAX: usize = 16;
/// Characters of any text.
pub const TEXT_CHARS_MAX: usize = 200;
