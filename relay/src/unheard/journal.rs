//! The file that outlives the relay: records of one length, each with a check over itself, appended
//! and synced one by one.
//!
//! A record that a crash left half written has no valid check and is passed over, wherever it stands; its
//! message may arrive twice. Before others follow it, a torn end is cut off. [`Journal::rewrite`] replaces
//! the whole file, atomically.
//!
//! # Diagnostics
//! Returned: I/O errors, and how many records are damaged.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tracing::error;

use super::Fingerprint;

/// What happened to a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It was delivered, and its customer may not know.
    Doubt,
    /// Its retry was told 250.
    Used,
}

/// One line of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) fingerprint: Fingerprint,
    /// Seconds since 1970.
    pub(super) expires: u64,
}

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    records: usize,
    /// A second relay in the same directory would replace the file under us, and what we say about uses
    /// would be in a file without a name. The lock is on a file of its own, because ours changes.
    _lock: File,
}

impl Journal {
    /// Opens or makes the file, and shows every valid record; with how many others there were.
    pub(super) fn open(path: &Path, mut show: impl FnMut(Record)) -> io::Result<(Self, usize)> {
        let lock = lock(&path.with_extension("lock"))?;
        let content = match fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let (records, torn) = content.as_chunks::<RECORD_OCTETS>();
        let mut damaged = usize::from(!torn.is_empty());
        for octets in records {
            match Record::decode(octets) {
                Some(record) => show(record),
                None => damaged += 1,
            }
        }
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.set_len(whole(records.len()))?;
        let journal = Self {
            path: path.to_owned(),
            file,
            records: records.len(),
            _lock: lock,
        };
        Ok((journal, damaged))
    }

    /// How many there are, used and damaged ones included.
    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// Adds one, durably.
    pub(super) fn append(&mut self, record: &Record) -> io::Result<()> {
        let end = whole(self.records);
        let appended =
            (self.file.write_all_at(&record.encode(), end)).and_then(|()| self.file.sync_data());
        match appended {
            Ok(()) => self.records += 1,
            // Whatever of it is there is not to be believed.
            Err(_) => self.file.set_len(end)?,
        }
        appended
    }

    /// Keeps these and no others, durably.
    pub(super) fn rewrite(&mut self, records: Vec<Record>) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or_else(|| Path::new("/"));
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        let mut octets = Vec::with_capacity(records.len() * RECORD_OCTETS);
        for record in &records {
            octets.extend_from_slice(&record.encode());
        }
        file.write_all(&octets)?;
        // The data first, then the name, then the directory that holds the name.
        file.as_file().sync_all()?;
        self.file = file.persist(&self.path)?;
        File::open(directory)?.sync_all()?;
        self.records = records.len();
        Ok(())
    }

    /// Appends go to `file` from here on.
    #[cfg(test)]
    pub(super) fn break_with(&mut self, file: File) {
        self.file = file;
    }

    /// Removes the file, as far as that is possible.
    pub(super) fn discard(self) {
        let emptied = self.file.set_len(0).and_then(|()| self.file.sync_data());
        if let Err(error) = fs::remove_file(&self.path).and(emptied) {
            error!(file = %self.path.display(), %error, "remove this file before the relay starts again");
        }
    }
}

impl Record {
    fn encode(&self) -> [u8; RECORD_OCTETS] {
        let mut octets = [0; RECORD_OCTETS];
        let (body, check) = octets.split_at_mut(BODY_OCTETS);
        let kind = match self.kind {
            Kind::Doubt => DOUBT,
            Kind::Used => USED,
        };
        body[..8].copy_from_slice(kind);
        body[8..16].copy_from_slice(&self.expires.to_be_bytes());
        body[16..32].copy_from_slice(&self.fingerprint.customer);
        body[32..64].copy_from_slice(&self.fingerprint.message);
        check.copy_from_slice(&check_of(body));
        octets
    }

    fn decode(octets: &[u8; RECORD_OCTETS]) -> Option<Self> {
        let (body, check) = octets.split_first_chunk::<BODY_OCTETS>()?;
        if check != check_of(body) {
            return None;
        }
        let (kind, rest) = body.split_first_chunk::<8>()?;
        let (expires, rest) = rest.split_first_chunk::<8>()?;
        let (customer, rest) = rest.split_first_chunk::<16>()?;
        let (message, _) = rest.split_first_chunk::<32>()?;
        let kind = match kind {
            DOUBT => Kind::Doubt,
            USED => Kind::Used,
            _ => return None,
        };
        Some(Self {
            kind,
            fingerprint: Fingerprint {
                customer: *customer,
                message: *message,
            },
            expires: u64::from_be_bytes(*expires),
        })
    }
}

/// Waits a moment for a relay that is just ending.
fn lock(path: &Path) -> io::Result<File> {
    let file = File::create(path)?;
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(LOCK_STEP),
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::other("another relay has the same state_dir"));
            }
        }
    }
}

fn check_of(body: &[u8]) -> [u8; 8] {
    let digest: [u8; 32] = Sha256::digest(body).into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    [a, b, c, d, e, f, g, h]
}

/// Octets of so many records.
fn whole(records: usize) -> u64 {
    (records * RECORD_OCTETS) as u64
}

/// What a record begins with, the version of its shape included.
const DOUBT: &[u8; 8] = b"doubt v1";
const USED: &[u8; 8] = b"used  v1";
/// Kind, expiry, customer, hash.
const BODY_OCTETS: usize = 8 + 8 + 16 + 32;
const RECORD_OCTETS: usize = BODY_OCTETS + 8;
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_STEP: Duration = Duration::from_millis(20);
