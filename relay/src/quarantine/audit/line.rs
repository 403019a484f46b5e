//! One line of the audit log.

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::RecordId;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "lowercase")]
pub enum Act {
    /// Something of it was shown: `metadata`, `headers` or `body`.
    View {
        /// What.
        part: String,
    },
    /// It is to go out under that name. Whether it has is said by what follows.
    Releasing {
        /// The name in the queue.
        queue_id: String,
    },
    /// It is in the queue.
    Released {
        /// The name in the queue.
        queue_id: String,
    },
    /// It could not be queued.
    Abandoned,
    /// Its content was deleted.
    Dropped,
    /// A person says that it is spam.
    Confirmed,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Counts from 1.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// The record.
    pub id: RecordId,
    /// What.
    #[serde(flatten)]
    pub act: Act,
    /// Why.
    pub reason: String,
    /// Of the line before, in hexadecimal.
    pub before: String,
    /// Of this one without this.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
}

impl Line {
    pub(super) fn octets(&self) -> Vec<u8> {
        let mut octets = serde_json::to_vec(self).unwrap_or_default();
        octets.push(b'\n');
        octets
    }

    /// What its hash must be.
    pub(super) fn proof(&self) -> String {
        let unproven = Self {
            hash: String::new(),
            ..self.clone()
        };
        HEXLOWER.encode(&Sha256::digest(unproven.octets()))
    }
}

impl Act {
    /// What stands in its line, and what it is about.
    #[must_use]
    pub fn words(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::View { part } => ("view", Some(part)),
            Self::Releasing { queue_id } => ("releasing", Some(queue_id)),
            Self::Released { queue_id } => ("released", Some(queue_id)),
            Self::Abandoned => ("abandoned", None),
            Self::Dropped => ("dropped", None),
            Self::Confirmed => ("confirmed", None),
        }
    }
}
