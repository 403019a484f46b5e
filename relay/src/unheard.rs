//! Messages that their destination has taken while our 250 may not have reached the customer.
//!
//! Such a customer sends the message again, and it would arrive twice (RFC 1047). What is kept is a
//! [`Fingerprint`] of customer, envelope and content, for [`LIFETIME`]; the retry is told 250 for it, once, and
//! no second copy is sent.
//!
//! [`Unheard::remember`] is called when a connection has ended in doubt, and [`Unheard::take`] when a message has
//! been received whole. A fingerprint is used at most once, also over a crash: `take` answers yes only after
//! its use is durable. Whatever goes wrong on the way, a crash before a doubt is on disk included, ends in a
//! second copy and never in none.
//!
//! The number is bounded, in total and of one customer, whose oldest goes first: a customer that cuts its
//! connections on purpose forgets its own messages and nobody else's.
//!
//! # Diagnostics
//! Logged: a journal that cannot be read or written (`error`), damaged records (`warn`).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use relay_proto::address::ReversePath;
use relay_proto::envelope::Recipient;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tracing::{error, warn};

use crate::origin::CustomerAddr;

mod journal;

use journal::{Journal, Kind, Record};

/// What tells one message of one customer from all others.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint {
    customer: [u8; 16],
    /// SHA-256 of envelope and content.
    message: [u8; 32],
}

/// The content of a message, on its way to a [`Fingerprint`].
#[derive(Clone, Default)]
pub(crate) struct ContentHash(Sha256);

/// All fingerprints in doubt. One of a directory.
pub(crate) struct Unheard {
    entries: Mutex<Entries>,
    /// `None` = it cannot be used, and nothing is remembered: a use that is not durable could swallow a
    /// message after a restart. Locked on blocking threads alone.
    journal: Mutex<Option<Journal>>,
}

/// By number, which is the order of their coming.
#[derive(Debug, Default)]
struct Entries {
    by_number: BTreeMap<u64, Entry>,
    /// Several of the same: so many copies were sent, and so many retries will come.
    by_fingerprint: HashMap<Fingerprint, Vec<u64>>,
    of_customer: HashMap<[u8; 16], usize>,
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    fingerprint: Fingerprint,
    /// Seconds since 1970: it outlives the process, and the host's boot.
    expires: u64,
}

impl ContentHash {
    /// The next octets of the content.
    pub(crate) fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    /// The fingerprint of a message with this content. The destination is no part of it: a retry may go to
    /// another MX of the same domain. Recipients may come in any order.
    pub(crate) fn fingerprint(
        self,
        customer: CustomerAddr,
        reverse_path: &ReversePath,
        recipients: &[Recipient],
    ) -> Fingerprint {
        let mut recipients: Vec<String> = recipients
            .iter()
            .map(|recipient| recipient.forward_path.to_string())
            .collect();
        recipients.sort_unstable();
        let mut hash = Sha256::new();
        hash.update(self.0.finalize());
        // No path has a line end in it, so no two envelopes read alike.
        for line in std::iter::once(&reverse_path.to_string()).chain(&recipients) {
            hash.update(line);
            hash.update(b"\n");
        }
        let customer = match customer.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Fingerprint {
            customer: customer.octets(),
            message: hash.finalize().into(),
        }
    }
}

impl Unheard {
    /// With what the journal in `directory` remembers. Without a usable one nothing is remembered.
    pub(crate) fn open(directory: &Path) -> Arc<Self> {
        let path = directory.join(FILE);
        let now = now();
        let mut entries = Entries::default();
        let opened = Journal::open(&path, |record| entries.replay(record, now)).and_then(
            |(mut journal, damaged)| {
                if damaged > 0 {
                    warn!(file = %path.display(), damaged, "records of messages in doubt are damaged; those messages may arrive twice");
                }
                journal.rewrite(entries.records())?;
                Ok(journal)
            },
        );
        let journal = opened.map_err(|error| {
            error!(file = %path.display(), %error, "messages in doubt cannot be remembered; they may arrive twice");
        });
        if journal.is_err() {
            entries = Entries::default();
        }
        Arc::new(Self {
            entries: Mutex::new(entries),
            journal: Mutex::new(journal.ok()),
        })
    }

    /// The message was delivered, and the customer may not know. Durable when it returns, if it can be.
    pub(crate) async fn remember(self: &Arc<Self>, fingerprint: Fingerprint) {
        let now = now();
        let entry = Entry {
            fingerprint,
            expires: now + LIFETIME.as_secs(),
        };
        let this = Arc::clone(self);
        // The journal first: of an entry that is used before it is there the use would be forgotten.
        let written = spawn_blocking(move || this.write(Kind::Doubt, entry)).await;
        if matches!(written, Ok(true)) {
            self.entries().insert(entry, now);
        }
    }

    /// Whether this message was delivered before without its customer knowing. Yes is said once.
    pub(crate) async fn take(self: &Arc<Self>, fingerprint: Fingerprint) -> bool {
        let Some(entry) = self.entries().remove(&fingerprint, now()) else {
            return false;
        };
        let this = Arc::clone(self);
        let written = spawn_blocking(move || this.write(Kind::Used, entry)).await;
        matches!(written, Ok(true))
    }

    /// Appends durably; false = the journal is given up.
    fn write(&self, kind: Kind, entry: Entry) -> bool {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = &mut *journal else {
            return false;
        };
        let appended = open.append(&entry.record(kind)).and_then(|()| {
            if open.records() < REWRITE_RECORDS {
                return Ok(());
            }
            // What is being remembered at this moment is in the journal, and not yet among the entries.
            let mut records = self.entries().records();
            if kind == Kind::Doubt {
                records.push(entry.record(kind));
            }
            open.rewrite(records)
        });
        if let Err(error) = appended {
            error!(%error, "messages in doubt cannot be remembered any more; they may arrive twice");
            // What is on disk now may say of a used one that it is not.
            if let Some(journal) = journal.take() {
                journal.discard();
            }
            *self.entries() = Entries::default();
            return false;
        }
        true
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn replay(&mut self, record: Record, now: u64) {
        match record.kind {
            Kind::Doubt => self.insert(record.into(), now),
            Kind::Used => {
                // Used means used, however the clock was set since.
                self.remove(&record.fingerprint, 0);
            }
        }
    }

    fn insert(&mut self, entry: Entry, now: u64) {
        // A clock that was wrong and is right again must not make an entry live for years.
        if entry.expires <= now || entry.expires > now + LIFETIME.as_secs() {
            return;
        }
        let customer = entry.fingerprint.customer;
        if self.of_customer.get(&customer).copied().unwrap_or(0) >= CUSTOMER_ENTRIES_MAX {
            let mut all = self.by_number.iter();
            let oldest = all.find(|(_, entry)| entry.fingerprint.customer == customer);
            let oldest = oldest.map(|(&number, _)| number);
            self.remove_number(oldest);
        }
        while self.by_number.len() >= ENTRIES_MAX {
            let oldest = self.by_number.keys().next().copied();
            self.remove_number(oldest);
        }
        let number = self.next;
        self.next += 1;
        self.by_number.insert(number, entry);
        let same = self.by_fingerprint.entry(entry.fingerprint).or_default();
        same.push(number);
        *self.of_customer.entry(customer).or_default() += 1;
    }

    /// Takes the oldest of this fingerprint out; `None` also if it is too old.
    fn remove(&mut self, fingerprint: &Fingerprint, now: u64) -> Option<Entry> {
        let numbers = self.by_fingerprint.get(fingerprint)?;
        let entry = self.remove_number(numbers.first().copied())?;
        (entry.expires > now).then_some(entry)
    }

    fn remove_number(&mut self, number: Option<u64>) -> Option<Entry> {
        let number = number?;
        let entry = self.by_number.remove(&number)?;
        let fingerprint = entry.fingerprint;
        if let Some(same) = self.by_fingerprint.get_mut(&fingerprint) {
            same.retain(|&other| other != number);
            if same.is_empty() {
                self.by_fingerprint.remove(&fingerprint);
            }
        }
        if let Some(count) = self.of_customer.get_mut(&fingerprint.customer) {
            *count -= 1;
            if *count == 0 {
                self.of_customer.remove(&fingerprint.customer);
            }
        }
        Some(entry)
    }

    fn records(&self) -> Vec<Record> {
        let entries = self.by_number.values();
        entries.map(|entry| entry.record(Kind::Doubt)).collect()
    }
}

impl Entry {
    fn record(self, kind: Kind) -> Record {
        Record {
            kind,
            fingerprint: self.fingerprint,
            expires: self.expires,
        }
    }
}

impl From<Record> for Entry {
    fn from(record: Record) -> Self {
        Self {
            fingerprint: record.fingerprint,
            expires: record.expires,
        }
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.message;
        write!(f, "Fingerprint({a:02x}{b:02x}{c:02x}{d:02x})")
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentHash")
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Senders try again for days, but the first retry is within hours.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// About 3 MiB of memory.
const ENTRIES_MAX: usize = 16_384;
const CUSTOMER_ENTRIES_MAX: usize = 512;
/// More than this, and the journal is written anew with what is left of it.
const REWRITE_RECORDS: usize = 4 * ENTRIES_MAX;
const FILE: &str = "unheard";

#[cfg(test)]
mod tests;
