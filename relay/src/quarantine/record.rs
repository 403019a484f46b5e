//! What is kept of one refused message: its metadata as JSON, and where its parts lie in the store.
//!
//! ```text
//! records/2026/11/22/ID.json    the metadata; written last, so that a record that is there is whole
//! headers/2026/11/22/ID         the header section, redacted
//! bodies/2026/11/22/ID.age      envelope and content, sealed
//! aside/...                     what a crash has left half written, and what cannot be read
//! ```

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use contract::Tier;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

/// Name of a record: that of its message in the log, the reply and the trace fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordId(Box<str>);

/// Text that is no [`RecordId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a record: names are as in the reply to the sender (id=...) and in the log (queue.id)")]
pub struct NotARecord;

/// The metadata. Nothing of it changes once it is written; what people do with it stands in the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Of this shape: 1.
    pub version: u32,
    /// Its name.
    pub id: RecordId,
    /// When its content had arrived.
    pub at: Timestamp,
    /// Whose it is.
    pub customer: IpAddr,
    /// The flag that diverted it.
    pub flag_id: Option<u32>,
    /// Who has logged in, if it came by submission.
    pub user: Option<String>,
    /// Who inside of the customer has sent it, if rules say.
    #[serde(default)]
    pub identity: Option<String>,
    /// Where it was going.
    pub original_dst: Option<SocketAddr>,
    /// What the customer called itself.
    pub ehlo: Option<String>,
    /// One word: `spam`, `malware` or `unscannable`.
    pub verdict: String,
    /// What its sender has read.
    pub reason: String,
    /// What the scanners gave as reasons.
    pub reasons: Vec<String>,
    /// Each scanner in a word.
    pub scanners: String,
    /// Reverse-path, redacted.
    pub from: String,
    /// Recipients, redacted.
    pub to: Vec<String>,
    /// Names the key of redaction; absent if nothing was redacted.
    pub redacted_with: Option<String>,
    /// Octets of its content.
    pub octets: u64,
    /// SHA-256 of its content, if that may be looked at.
    pub content_sha256: Option<String>,
    /// The same for texts that differ in numbers, blanks and case alone.
    #[serde(default)]
    pub text_hash: Option<u64>,
    /// What near-duplicates have nearly alike, if its text may be looked at.
    pub simhash: Option<u64>,
    /// The most that is kept of it.
    pub tier: Tier,
    /// Octets of the header section, if it is kept.
    pub header_octets: Option<u64>,
    /// The sealed part, if it is kept.
    pub sealed: Option<Sealed>,
}

/// What is known of the sealed part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Its octets in the store.
    pub octets: u64,
    /// Octets under the seal.
    pub text_octets: u64,
    /// SHA-256 of what is under the seal, in hexadecimal: nobody can give back anything else. It tells nothing of
    /// addresses, because there are random octets among them.
    pub sha256: String,
}

/// A part of a record in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Metadata,
    Headers,
    Body,
}

impl Record {
    /// Octets that it takes in the store, without its metadata.
    pub(super) fn stored_octets(&self) -> u64 {
        let sealed = self.sealed.as_ref().map_or(0, |sealed| sealed.octets);
        sealed + self.header_octets.unwrap_or(0)
    }

    /// The octets that are stored.
    pub(super) fn to_json(&self) -> Vec<u8> {
        // Nothing in it can fail: no maps with other keys than text, no foreign types.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// From what was stored; an error says why it is none.
    pub(super) fn from_json(octets: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(octets).map_err(|error| error.to_string())?;
        if record.version != VERSION {
            return Err(format!("version {}, of a later relay", record.version));
        }
        Ok(record)
    }
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Metadata, Self::Headers, Self::Body];

    /// The folder of all of its kind.
    pub(super) const fn folder(self) -> &'static str {
        match self {
            Self::Metadata => "records",
            Self::Headers => "headers",
            Self::Body => "bodies",
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Metadata => ".json",
            Self::Headers => "",
            Self::Body => ".age",
        }
    }

    /// Where it lies for a record of this time.
    pub(super) fn path(self, id: &RecordId, at: Timestamp) -> Path {
        let day = at.to_zoned(TimeZone::UTC).strftime("%Y/%m/%d").to_string();
        let (folder, suffix) = (self.folder(), self.suffix());
        Path::from(format!("{folder}/{day}/{id}{suffix}"))
    }

    /// The record that a path of its kind belongs to.
    pub(super) fn id_of(self, path: &Path) -> Option<RecordId> {
        let name = path.filename()?;
        name.strip_suffix(self.suffix())?.parse().ok()
    }
}

impl FromStr for RecordId {
    type Err = NotARecord;

    fn from_str(text: &str) -> Result<Self, NotARecord> {
        // It becomes the name of a file.
        let fits = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'.';
        let is_name = (1..=ID_OCTETS_MAX).contains(&text.len())
            && text.bytes().all(fits)
            && !text.starts_with('.')
            && !text.ends_with('.');
        is_name.then(|| Self(text.into())).ok_or(NotARecord)
    }
}

impl TryFrom<String> for RecordId {
    type Error = NotARecord;

    fn try_from(text: String) -> Result<Self, NotARecord> {
        text.parse()
    }
}

impl From<RecordId> for String {
    fn from(id: RecordId) -> Self {
        id.0.into()
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Of [`Record::version`].
pub(super) const VERSION: u32 = 1;
const ID_OCTETS_MAX: usize = 40;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As an earlier relay has written it; may gain lines, and never change one.
    const WRITTEN: &str = r#"{
        "version": 1,
        "id": "0QZ8K3V5M00AB12.3",
        "at": "2026-11-22T06:12:13.5Z",
        "customer": "2001:db8:a:a::10",
        "flag_id": 17,
        "user": null,
        "original_dst": "[2001:db8:b:1::10]:25",
        "ehlo": "client.example",
        "verdict": "spam",
        "reason": "spam",
        "reasons": ["GTUBE"],
        "scanners": "builtin=spam/3ms",
        "from": "<abcdefghijklmnop@customer.example>",
        "to": ["abcdefghijklmnop@mx.example"],
        "redacted_with": "00112233",
        "octets": 1234,
        "content_sha256": "aa",
        "simhash": 5,
        "tier": "body",
        "header_octets": 200,
        "sealed": {"octets": 1600, "text_octets": 1400, "sha256": "bb"}
    }"#;

    pub(in crate::quarantine) fn record(id: &str, at: &str, customer: &str) -> Record {
        Record {
            id: id.parse().unwrap(),
            at: at.parse().unwrap(),
            customer: customer.parse().unwrap(),
            ..Record::from_json(WRITTEN.as_bytes()).unwrap()
        }
    }

    #[test]
    fn what_an_earlier_relay_wrote_is_read() {
        let record = Record::from_json(WRITTEN.as_bytes()).unwrap();
        assert_eq!(record.stored_octets(), 1800);
        assert_eq!(Record::from_json(&record.to_json()).unwrap(), record);
        let later = WRITTEN.replace("\"version\": 1", "\"version\": 2");
        let error = Record::from_json(later.as_bytes()).unwrap_err();
        assert!(error.contains("later"), "{error}");
        for end in 0..WRITTEN.len() {
            assert!(Record::from_json(&WRITTEN.as_bytes()[..end]).is_err());
        }
    }

    #[test]
    fn parts_lie_by_their_day_and_lead_back() {
        let record = record("0QZ8K3V5M00AB12.3", "2026-11-22T23:59:59Z", "192.0.2.10");
        let paths = Part::ALL.map(|part| part.path(&record.id, record.at));
        let texts = paths.each_ref().map(ToString::to_string);
        assert_eq!(
            texts,
            [
                "records/2026/11/22/0QZ8K3V5M00AB12.3.json",
                "headers/2026/11/22/0QZ8K3V5M00AB12.3",
                "bodies/2026/11/22/0QZ8K3V5M00AB12.3.age"
            ]
        );
        for (part, path) in Part::ALL.into_iter().zip(&paths) {
            assert_eq!(part.id_of(path), Some(record.id.clone()));
        }
        for wrong in ["", "..", "a/b", ".a", "a\0", "ä", &"A".repeat(41)] {
            assert_eq!(wrong.parse::<RecordId>(), Err(NotARecord), "{wrong}");
        }
    }
}
