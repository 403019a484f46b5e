//! Keys that are used for a time, and the file that they are kept in: a line each, `ID DAY KEY` in hexadecimal, the oldest
//! first. Tokens have them, and redaction.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use aws_lc_rs::rand;
use data_encoding::HEXLOWER;
use jiff::civil::Date;
use sha2::{Digest, Sha256};

use crate::config::TokenTerms;

/// What a token calls its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyId(pub(crate) [u8; Self::OCTETS]);

/// A key, and since when it is used.
#[derive(Clone)]
pub(crate) struct Key {
    octets: [u8; KEY_OCTETS],
    since: Date,
}

/// All that are known, the oldest first.
#[derive(Default)]
pub(crate) struct Keyring(Vec<Key>);

impl KeyId {
    pub(crate) const OCTETS: usize = 4;
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl Key {
    /// `None` only if the machine has no randomness.
    fn random(since: Date) -> Option<Self> {
        let mut octets = [0; KEY_OCTETS];
        rand::fill(&mut octets).ok()?;
        Some(Self { octets, since })
    }

    pub(crate) fn octets(&self) -> &[u8; KEY_OCTETS] {
        &self.octets
    }

    pub(crate) fn id(&self) -> KeyId {
        let digest = Sha256::digest(self.octets);
        let mut id = [0; KeyId::OCTETS];
        id.copy_from_slice(&digest[..KeyId::OCTETS]);
        KeyId(id)
    }
}

impl Keyring {
    pub(crate) fn newest(&self) -> Option<&Key> {
        self.0.last()
    }

    pub(crate) fn find(&self, id: KeyId) -> Option<&Key> {
        self.0.iter().rev().find(|key| key.id() == id)
    }

    /// Makes a key if there is none that is young enough, and forgets those that have been out of use for long
    /// enough; whether anything has changed.
    pub(crate) fn rotate(&mut self, today: Date, terms: &TokenTerms) -> bool {
        let age = |since: Date| i64::from((today - since).get_days());
        let before = self.0.len();
        // A key is in use until the next one is.
        let forgotten = self.0.windows(2);
        let forgotten =
            forgotten.take_while(|pair| age(pair[1].since) > i64::from(terms.keep_days));
        let forgotten = forgotten.count();
        self.0.drain(..forgotten);
        let is_due = self
            .newest()
            .is_none_or(|key| age(key.since) >= i64::from(terms.rotate_days));
        if is_due && let Some(key) = Key::random(today) {
            self.0.push(key);
            return true;
        }
        self.0.len() != before
    }

    /// An absent file has none.
    pub(crate) fn read(file: &Path) -> io::Result<Self> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let lines = text.lines().enumerate();
        let keys = lines
            .filter(|(_, line)| !line.starts_with('#'))
            .map(|(number, line)| {
                parse(line).ok_or_else(|| {
                    let what = format!("line {} is not a key", number + 1);
                    io::Error::new(io::ErrorKind::InvalidData, what)
                })
            });
        Ok(Self(keys.collect::<Result<_, _>>()?))
    }

    /// The data first, then the name, then the directory that holds the name. Others may not read it.
    /// `head` is a comment.
    pub(crate) fn write(&self, file: &Path, head: &str) -> io::Result<()> {
        let directory = file.parent().unwrap_or_else(|| Path::new("/"));
        // tempfile makes files of mode 0600.
        let mut new = tempfile::NamedTempFile::new_in(directory)?;
        let lines = self.0.iter().map(|key| {
            let hexadecimal = HEXLOWER.encode(&key.octets);
            format!("{} {} {hexadecimal}\n", key.id(), key.since)
        });
        let text: String = std::iter::once(head.to_owned()).chain(lines).collect();
        new.write_all(text.as_bytes())?;
        new.as_file().sync_all()?;
        new.persist(file)?;
        File::open(directory)?.sync_all()
    }
}

fn parse(line: &str) -> Option<Key> {
    let mut words = line.split(' ');
    let (id, since, key) = (words.next()?, words.next()?, words.next()?);
    let octets = HEXLOWER.decode(key.as_bytes()).ok()?;
    let key = Key {
        octets: octets.try_into().ok()?,
        since: since.parse().ok()?,
    };
    (words.next().is_none() && key.id().to_string() == id).then_some(key)
}

const KEY_OCTETS: usize = 32;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const HEAD: &str = "# Keys of something: id, first day of use (UTC), key.\n";

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn keys_are_used_for_a_time_and_kept_for_another() {
        let terms = TokenTerms {
            field: true,
            rotate_days: 30,
            keep_days: 60,
        };
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("keys");
        let mut keys = Keyring::default();
        let days = [
            "2026-01-01",
            "2026-01-30",
            "2026-01-31",
            "2026-03-02",
            "2026-04-01",
            "2026-04-02",
            "2026-05-01",
        ];
        let mut kept = Vec::new();
        for today in days {
            if keys.rotate(day(today), &terms) {
                keys.write(&file, HEAD).unwrap();
            }
            let again = Keyring::read(&file).unwrap();
            assert_eq!(again.newest().unwrap().id(), keys.newest().unwrap().id());
            kept.push(
                again
                    .0
                    .iter()
                    .map(|key| key.since.to_string())
                    .collect::<Vec<_>>(),
            );
        }
        let (first, second, third, fourth) =
            ("2026-01-01", "2026-01-31", "2026-03-02", "2026-04-01");
        assert_eq!(
            kept,
            [
                vec![first],
                vec![first],
                vec![first, second],
                vec![first, second, third],
                // The first was in use until 01-31, sixty days ago.
                vec![first, second, third, fourth],
                vec![second, third, fourth],
                vec![second, third, fourth, "2026-05-01"],
            ]
        );
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_line_that_is_no_key_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("keys");
        let terms = TokenTerms {
            field: true,
            rotate_days: 30,
            keep_days: 60,
        };
        let mut keys = Keyring::default();
        keys.rotate(day("2026-01-01"), &terms);
        keys.write(&file, HEAD).unwrap();
        let whole = fs::read_to_string(&file).unwrap();
        for end in 0..whole.trim_end().len() {
            let cut = whole.get(..end).unwrap();
            if cut.is_empty() || cut.ends_with('\n') {
                continue;
            }
            fs::write(&file, cut).unwrap();
            let read = Keyring::read(&file);
            let is_comment = end < HEAD.len();
            assert_eq!(read.is_ok(), is_comment, "{end}");
        }
        fs::write(&file, whole.replacen("2026", "20z6", 1)).unwrap();
        let error = Keyring::read(&file).err().unwrap().to_string();
        assert_eq!(error, "line 2 is not a key");
    }
}
