//! `[quarantine]`: where copies of refused messages are kept as evidence, sealed for whom, and for how long. `[privacy]`:
//! whether addresses in it are redacted.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Invalid;
use crate::quarantine::seal::Recipient;

/// What is kept of messages that were refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineConfig {
    /// Directory of the store.
    pub dir: PathBuf,
    /// Who can open what is sealed; nobody = contents are not kept.
    pub recipients: Vec<Recipient>,
    /// Octets that all of it may have.
    pub max_octets: u64,
    /// Records at once.
    pub max_records: usize,
    /// Copies that are made of one customer's mail in an hour.
    pub per_customer_per_hour: NonZeroU32,
    /// For how long which part is kept.
    pub keep: KeepDays,
}

/// Days after which parts of a record are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepDays {
    /// The sealed message.
    pub bodies: u32,
    /// The header section.
    pub headers: u32,
    /// All else of it.
    pub metadata: u32,
    /// What people have done with it.
    pub audit: u32,
}

/// `[quarantine]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawQuarantine {
    store: Option<String>,
    recipients: Vec<String>,
    max_octets: u64,
    max_records: usize,
    per_customer_per_hour: u32,
    bodies_days: u32,
    headers_days: u32,
    metadata_days: u32,
    audit_days: u32,
}

/// `[privacy]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Privacy {
    /// Local-parts of addresses are replaced by words that only this relay can make.
    pub redact: bool,
}

impl Default for Privacy {
    fn default() -> Self {
        Self { redact: true }
    }
}

impl Default for RawQuarantine {
    fn default() -> Self {
        Self {
            store: None,
            recipients: Vec::new(),
            max_octets: 8 << 30,
            max_records: 1_000_000,
            per_customer_per_hour: 200,
            bodies_days: 7,
            headers_days: 30,
            metadata_days: 90,
            audit_days: 400,
        }
    }
}

impl RawQuarantine {
    /// The other arguments are what stands elsewhere in the file.
    pub(super) fn check(
        self,
        state_dir: &Path,
        has_spool: bool,
    ) -> Result<QuarantineConfig, Invalid> {
        if !has_spool {
            let problem = "needs [spool]: what is released goes out by the queue, and people come by its socket";
            return Err(Invalid::new("quarantine", "without [spool]", problem));
        }
        let recipients = self.recipients.iter().map(|text| {
            let parsed = text.parse::<Recipient>();
            parsed.map_err(|problem| Invalid::new("quarantine.recipients", text, problem))
        });
        let keep = KeepDays {
            bodies: days("bodies_days", self.bodies_days)?,
            headers: days("headers_days", self.headers_days)?,
            metadata: days("metadata_days", self.metadata_days)?,
            audit: days("audit_days", self.audit_days)?,
        };
        if keep.metadata < keep.bodies.max(keep.headers) {
            let problem = format!(
                "must not be less than bodies_days ({}) and headers_days ({}): what has no metadata cannot be found",
                keep.bodies, keep.headers
            );
            let key = "quarantine.metadata_days";
            return Err(Invalid::new(key, keep.metadata, problem));
        }
        if keep.audit < keep.metadata {
            let problem = format!(
                "must not be less than metadata_days ({}): what was released would be forgotten before it is gone",
                keep.metadata
            );
            return Err(Invalid::new("quarantine.audit_days", keep.audit, problem));
        }
        if self.max_octets < OCTETS_MIN {
            let problem = format!("must be at least {OCTETS_MIN}");
            let key = "quarantine.max_octets";
            return Err(Invalid::new(key, self.max_octets, problem));
        }
        if !(1..=RECORDS_MAX).contains(&self.max_records) {
            let problem = format!(
                "must be between 1 and {RECORDS_MAX}; each takes some 250 octets of memory"
            );
            let key = "quarantine.max_records";
            return Err(Invalid::new(key, self.max_records, problem));
        }
        let rate = NonZeroU32::new(self.per_customer_per_hour).ok_or_else(|| {
            let problem = "must be at least 1; leave the table out to keep nothing";
            Invalid::new("quarantine.per_customer_per_hour", 0, problem)
        })?;
        Ok(QuarantineConfig {
            dir: match self.store {
                Some(store) => directory(&store)?,
                None => state_dir.join("quarantine"),
            },
            recipients: recipients.collect::<Result<_, _>>()?,
            max_octets: self.max_octets,
            max_records: self.max_records,
            per_customer_per_hour: rate,
            keep,
        })
    }
}

/// The directory of a file: URL.
fn directory(store: &str) -> Result<PathBuf, Invalid> {
    let path = store.strip_prefix("file://").map(Path::new);
    match path.filter(|path| path.is_absolute() && path.parent().is_some()) {
        Some(path) => Ok(path.to_owned()),
        None => {
            let problem =
                "must be a directory of this host, as file:///var/lib/outgate-relay/quarantine";
            Err(Invalid::new("quarantine.store", store, problem))
        }
    }
}

fn days(key: &str, days: u32) -> Result<u32, Invalid> {
    if (1..=3650).contains(&days) {
        Ok(days)
    } else {
        let problem = "must be between 1 and 3650";
        Err(Invalid::new(&format!("quarantine.{key}"), days, problem))
    }
}

const OCTETS_MIN: u64 = 1 << 20;
const RECORDS_MAX: usize = 4_000_000;
