//! What is damaged is copied to where people find it, and never deleted.

use std::io;
use std::ops::Range;

use tracing::error;

use super::life::Life;
use super::storage::{Directory, Storage};

/// Copies a part of a segment to the directory of what is damaged; whether it was not there yet. Octets that the disk
/// cannot read are zeros in it.
pub(super) fn set_aside(storage: &dyn Storage, life: Life, range: &Range<u64>) -> io::Result<bool> {
    let name = life.damage(range.start);
    let known = storage.list(Directory::Corrupt)?;
    if known.iter().any(|it| it.name == name) {
        return Ok(false);
    }
    let from = storage.open(Directory::Segments, &life.segment())?;
    copy(storage, &*from, range, &name)?;
    error!(
        segment = %storage.path(Directory::Segments, &life.segment()).display(),
        offset = range.start,
        octets = range.end - range.start,
        copy = %storage.path(Directory::Corrupt, &name).display(),
        "a part of the spool is damaged, and a copy is kept: it may hold messages that were not delivered"
    );
    Ok(true)
}

fn copy(
    storage: &dyn Storage,
    from: &dyn super::storage::Medium,
    range: &Range<u64>,
    name: &str,
) -> io::Result<()> {
    let unfinished = format!("{name}.new");
    super::storage::remove_if_there(storage, Directory::Corrupt, &unfinished)?;
    let to = storage.create(Directory::Corrupt, &unfinished, 0)?;
    let mut block = [0; 4096];
    let mut at = range.start;
    while at < range.end {
        let length = usize::try_from(range.end - at).map_or(block.len(), |it| it.min(block.len()));
        let block = &mut block[..length];
        if !matches!(from.read_at(block, at), Ok(read) if read == length) {
            block.fill(0);
        }
        to.write_at(block, at - range.start)?;
        at += length as u64;
    }
    to.sync()?;
    storage.rename(
        (Directory::Corrupt, &unfinished),
        (Directory::Corrupt, name),
    )?;
    storage.sync_directory(Directory::Corrupt)
}
