//! What was taken from other spools and may be asked for again: a file beside the spool, `taken.journal`.
//!
//! A line says what happened, to which message of which spool, and what it is here. [`Taken::taking`] is durable before
//! the spool is told, [`Taken::have`] before the message is delivered or its giver is answered; [`Taken::forget`] follows
//! when the giver has written down that it does not deliver it. So for each message of a giver whose end is not heard
//! of, this file and the spool together say whether it is here: what is only being taken is here if the spool has it.
//!
//! At most two batches are remembered for each giver, and none for longer than a message can live. A line has a check,
//! because the last one may be torn.
//!
//! # Diagnostics
//! Returned: what the disk says, with the file. Logged: damaged lines.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use relay_proto::handover::{BATCH_MESSAGES, SpoolName};
use relay_proto::queued::{QueueId, UnixMillis};
use relay_proto::record::checksum;
use tracing::{error, info};

use super::in_file;
use crate::durable;
use crate::spool::Spool;

/// What is remembered.
#[derive(Debug)]
pub(crate) struct Taken {
    path: PathBuf,
    /// Open at the end of the file.
    file: Option<File>,
    entries: BTreeMap<(SpoolName, QueueId), Entry>,
    lines: usize,
}

/// A message of another spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name there.
    pub(super) theirs: QueueId,
    /// Its name here.
    pub(super) ours: QueueId,
    /// When it was taken.
    pub(super) at: UnixMillis,
    /// Recipients that were done before it came.
    pub(super) done: Vec<usize>,
    /// It is durable in the spool.
    pub(super) have: bool,
}

impl Taken {
    /// Reads the file in the spool's directory, and puts in order what was being taken when an earlier run ended. To be
    /// called before anybody asks the spool for recipients. Blocks.
    pub(crate) fn open(dir: &Path, spool: &Spool, now: UnixMillis) -> io::Result<Self> {
        let mut taken = Self {
            path: dir.join(FILE),
            file: None,
            entries: BTreeMap::new(),
            lines: 0,
        };
        let text = match fs::read_to_string(&taken.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(taken),
            Err(error) => return Err(in_file(&taken.path, &error)),
        };
        let mut damaged = 0_usize;
        for line in text.lines() {
            if taken.apply(line).is_none() {
                damaged += 1;
            }
        }
        if damaged > 0 {
            error!(file = %taken.path.display(), lines = damaged, "damaged lines are left out; the last one is usual after a crash");
        }
        taken.entries.retain(|_, entry| {
            let living = spool.has(entry.ours);
            if living {
                // Of a message that was stored a moment before the crash this may not be on the disk yet.
                spool.finish(entry.ours, &entry.done);
                if !entry.have {
                    info!(queue.id = %entry.ours, former = %entry.theirs, "was taken over when the relay ended; it is here");
                }
            }
            entry.have |= living;
            entry.have && entry.at.0.saturating_add(KEPT_MS) > now.0
        });
        taken.rewrite()?;
        Ok(taken)
    }

    /// What a message of that spool is here.
    pub(super) fn name_of(&self, spool: SpoolName, theirs: QueueId) -> Option<QueueId> {
        let entry = self.entries.get(&(spool, theirs))?;
        entry.have.then_some(entry.ours)
    }

    /// Messages of that spool that are here, by their names there.
    pub(super) fn of(&self, spool: SpoolName) -> Vec<QueueId> {
        let all = self.range(spool);
        all.filter(|entry| entry.have)
            .map(|entry| entry.theirs)
            .collect()
    }

    /// Whether a batch more can be remembered.
    pub(super) fn has_room(&self, spool: SpoolName) -> bool {
        self.range(spool).count() <= BATCH_MESSAGES
    }

    /// These are being taken. Blocks; durable when it returns.
    pub(super) fn taking(&mut self, spool: SpoolName, entries: &[Entry]) -> io::Result<()> {
        let lines = entries.iter().map(|entry| taking(spool, entry));
        self.append(lines.collect(), true)?;
        for entry in entries {
            self.entries.insert((spool, entry.theirs), entry.clone());
        }
        Ok(())
    }

    /// These are durable in the spool. Blocks; durable when it returns.
    pub(super) fn have(&mut self, spool: SpoolName, theirs: &[QueueId]) -> io::Result<()> {
        let lines = theirs.iter().map(|id| format!("have {spool} {id}"));
        self.append(lines.collect(), true)?;
        for id in theirs {
            if let Some(entry) = self.entries.get_mut(&(spool, *id)) {
                entry.have = true;
            }
        }
        Ok(())
    }

    /// These will not be asked for again. Blocks. It need not be durable: whoever knows too much is asked in vain.
    pub(super) fn forget(&mut self, spool: SpoolName, theirs: &[QueueId]) -> io::Result<()> {
        for id in theirs {
            self.entries.remove(&(spool, *id));
        }
        if self.lines > LINES_BEFORE_REWRITE {
            return self.rewrite();
        }
        let lines = theirs.iter().map(|id| format!("forget {spool} {id}"));
        self.append(lines.collect(), false)
    }

    fn range(&self, spool: SpoolName) -> impl Iterator<Item = &Entry> {
        let all = self.entries.iter().filter(move |((of, _), _)| *of == spool);
        all.map(|(_, entry)| entry)
    }

    fn append(&mut self, lines: Vec<String>, durably: bool) -> io::Result<()> {
        let appended = self.try_append(&lines, durably);
        if appended.is_err() {
            // Nobody knows what is in it now.
            self.file = None;
        }
        appended.map_err(|error| in_file(&self.path, &error))
    }

    fn try_append(&mut self, lines: &[String], durably: bool) -> io::Result<()> {
        if self.file.is_none() {
            // All that is known, in a new file: what stands behind a torn line or a failed sync is worth nothing.
            self.rewrite()?;
        }
        let Some(file) = &mut self.file else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let text: String = lines.iter().map(|line| checked(line)).collect();
        file.write_all(text.as_bytes())?;
        self.lines += lines.len();
        if durably { file.sync_data() } else { Ok(()) }
    }

    /// Has the file hold what is known and no more.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut text = String::new();
        let mut lines = 0;
        for ((spool, theirs), entry) in &self.entries {
            text += &checked(&taking(*spool, entry));
            lines += 1;
            if entry.have {
                text += &checked(&format!("have {spool} {theirs}"));
                lines += 1;
            }
        }
        self.file = None;
        durable::replace(&self.path, text.as_bytes())?;
        let mut options = File::options();
        self.file = Some(options.append(true).mode(0o600).open(&self.path)?);
        self.lines = lines;
        Ok(())
    }

    fn apply(&mut self, line: &str) -> Option<()> {
        self.lines += 1;
        let (text, sum) = line.rsplit_once(" #")?;
        if u32::from_str_radix(sum, 16).ok()? != checksum(0, text.as_bytes()) {
            return None;
        }
        let mut words = text.split(' ');
        let verb = words.next()?;
        let spool: SpoolName = words.next()?.parse().ok()?;
        let theirs: QueueId = words.next()?.parse().ok()?;
        match verb {
            "taking" => {
                let entry = Entry {
                    theirs,
                    ours: words.next()?.parse().ok()?,
                    at: UnixMillis(words.next()?.parse().ok()?),
                    done: words
                        .next()?
                        .split(',')
                        .filter(|it| *it != NOBODY)
                        .map(|it| it.parse().ok())
                        .collect::<Option<_>>()?,
                    have: false,
                };
                self.entries.insert((spool, theirs), entry);
            }
            "have" => self.entries.get_mut(&(spool, theirs))?.have = true,
            "forget" => {
                self.entries.remove(&(spool, theirs));
            }
            _ => return None,
        }
        Some(())
    }
}

fn taking(spool: SpoolName, entry: &Entry) -> String {
    let Entry {
        theirs, ours, at, ..
    } = entry;
    let done: Vec<String> = entry.done.iter().map(ToString::to_string).collect();
    let done = if done.is_empty() {
        NOBODY.to_owned()
    } else {
        done.join(",")
    };
    format!("taking {spool} {theirs} {ours} {} {done}", at.0)
}

fn checked(line: &str) -> String {
    let mut checked = line.to_owned();
    let sum = checksum(0, line.as_bytes());
    // Writing to a string never fails.
    let _written = writeln!(checked, " #{sum:08x}").is_ok();
    checked
}

const FILE: &str = "taken.journal";
const NOBODY: &str = "-";
/// Longer than `queue.lifetime` may be.
const KEPT_MS: u64 = 40 * 86_400_000;
const LINES_BEFORE_REWRITE: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::tests::{opened, store};

    fn spool_name() -> SpoolName {
        SpoolName([7; 16])
    }

    fn id(number: u64) -> QueueId {
        QueueId::from_number(number).unwrap()
    }

    fn entry(theirs: QueueId, ours: QueueId, done: &[usize]) -> Entry {
        Entry {
            theirs,
            ours,
            at: UnixMillis(1_000),
            done: done.to_vec(),
            have: false,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_being_taken_is_here_if_the_spool_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let spool = opened(dir.path());
        let now = UnixMillis(2_000);
        let mut taken = Taken::open(dir.path(), &spool, now).unwrap();
        let (stored, delivered) = (store(&spool, 2).await, store(&spool, 1).await);
        let never = spool.next_id(now);
        let entries = [
            entry(id(1), stored, &[1]),
            entry(id(2), delivered, &[]),
            entry(id(3), never, &[]),
        ];
        taken.taking(spool_name(), &entries).unwrap();
        taken.have(spool_name(), &[id(2)]).unwrap();
        spool.finish_all(delivered);
        assert_eq!(taken.of(spool_name()), [id(2)]);
        // The relay ends here, in the middle of a line.
        let mut file = File::options()
            .append(true)
            .open(dir.path().join(FILE))
            .unwrap();
        file.write_all(b"have 0707").unwrap();
        let mut taken = Taken::open(dir.path(), &spool, now).unwrap();
        assert_eq!(taken.of(spool_name()), [id(1), id(2)]);
        assert_eq!(taken.name_of(spool_name(), id(1)), Some(stored));
        assert_eq!(taken.name_of(spool_name(), id(3)), None);
        assert_eq!(taken.of(SpoolName([8; 16])), []);
        let (_, pending) = spool.envelope(stored).await.unwrap();
        assert_eq!(pending, [0], "the other was done before it came");
        taken.forget(spool_name(), &[id(1)]).unwrap();
        let taken = Taken::open(dir.path(), &spool, now).unwrap();
        assert_eq!(taken.of(spool_name()), [id(2)]);
        // Nothing lives as long as this.
        let taken = Taken::open(dir.path(), &spool, UnixMillis(now.0 + KEPT_MS)).unwrap();
        assert_eq!(taken.of(spool_name()), []);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_file_and_what_is_remembered_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let spool = opened(dir.path());
        let mut taken = Taken::open(dir.path(), &spool, UnixMillis(0)).unwrap();
        for round in 0..400_u64 {
            let entries = [entry(id(round + 1), id(round + 1), &[])];
            taken.taking(spool_name(), &entries).unwrap();
            taken.have(spool_name(), &[id(round + 1)]).unwrap();
            assert!(taken.has_room(spool_name()));
            taken.forget(spool_name(), &[id(round + 1)]).unwrap();
        }
        let lines = fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(lines.lines().count() <= LINES_BEFORE_REWRITE + 3);
        let many: Vec<Entry> = (1..=33).map(|it| entry(id(it), id(it), &[])).collect();
        taken.taking(spool_name(), &many).unwrap();
        assert!(!taken.has_room(spool_name()));
    }
}
