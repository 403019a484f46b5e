//! The lives of segments, and the names of files.
//!
//! A segment that is given away begins another life under another name: a higher sequence number, another epoch. What
//! an earlier life has left in it is no record of the later one.

use std::fmt;

use relay_proto::queued::QueueId;
use relay_proto::record::Epoch;
use sha2::{Digest, Sha256};

/// One life of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// Number of this life among all of the spool.
    pub(super) sequence: u64,
    /// What its records begin with.
    pub(super) epoch: Epoch,
}

/// Makes epochs that nobody can guess: a sender could otherwise write records of its own into a message.
#[derive(Clone)]
pub(super) struct Secret(pub(super) [u8; 32]);

/// What a file in the directory of segments is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A segment.
    Segment(Life),
    /// Its index.
    Index(Life),
    /// To become a segment.
    Spare,
    /// Never finished.
    Unfinished,
}

impl Life {
    /// Name of the segment.
    pub(super) fn segment(self) -> String {
        format!("{self}.{SEGMENT}")
    }

    /// Name of its index.
    pub(super) fn index(self) -> String {
        format!("{self}.{INDEX}")
    }

    /// Name of its index while it is written.
    pub(super) fn unfinished_index(self) -> String {
        format!("{self}.{INDEX}.{UNFINISHED}")
    }

    /// Name of the file when this life has ended.
    pub(super) fn spare(self) -> String {
        format!("{self}.{SPARE}")
    }

    /// Name of what was damaged in it.
    pub(super) fn damage(self, offset: u64) -> String {
        format!("{self}-{offset:08x}")
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, epoch } = self;
        write!(f, "{sequence:016x}-{:016x}", epoch.0)
    }
}

impl Secret {
    /// The life of that number.
    pub(super) fn life(&self, sequence: u64) -> Life {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(sequence.to_le_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        Life {
            sequence,
            epoch: Epoch(u64::from_le_bytes([a, b, c, d, e, f, g, h])),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What the file of that name is; `None` = none of ours.
pub(super) fn role(name: &str) -> Option<Role> {
    let (stem, rest) = name.split_once('.')?;
    let (sequence, epoch) = stem.split_once('-')?;
    if sequence.len() != 16 || epoch.len() != 16 {
        return None;
    }
    let life = Life {
        sequence: u64::from_str_radix(sequence, 16).ok()?,
        epoch: Epoch(u64::from_str_radix(epoch, 16).ok()?),
    };
    match rest {
        SEGMENT => Some(Role::Segment(life)),
        INDEX => Some(Role::Index(life)),
        SPARE => Some(Role::Spare),
        _ if rest.ends_with(UNFINISHED) => Some(Role::Unfinished),
        _ => None,
    }
}

/// Name of a large content while it is written.
pub(super) fn unfinished(id: QueueId) -> String {
    format!("{id}.{UNFINISHED}")
}

const SEGMENT: &str = "segment";
const INDEX: &str = "index";
const SPARE: &str = "spare";
const UNFINISHED: &str = "new";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let life = Secret([7; 32]).life(0x1f);
        for (name, expected) in [
            (life.segment(), Some(Role::Segment(life))),
            (life.index(), Some(Role::Index(life))),
            (life.unfinished_index(), Some(Role::Unfinished)),
            (life.spare(), Some(Role::Spare)),
            (life.damage(4096), None),
            ("lost+found".into(), None),
            ("1-2.segment".into(), None),
        ] {
            assert_eq!(role(&name), expected, "{name}");
        }
        assert!(life.segment().starts_with("000000000000001f-"));
    }

    #[test]
    fn no_life_has_the_epoch_of_another() {
        let epochs = [1, 2].map(|secret| [1, 2].map(|it| Secret([secret; 32]).life(it).epoch.0));
        let mut epochs = epochs.concat();
        epochs.sort_unstable();
        epochs.dedup();
        assert_eq!(epochs.len(), 4);
    }
}
