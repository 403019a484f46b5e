//! Putting a backup into the place of the store.

use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde_json::json;

use super::{
    Lock, Store, StoreError, beside, check_file, move_aside, moved, sync_directory, unusable,
};
use crate::store::audit::{Entry, Kind, Wanted};

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Under which name the store from before is; `None` = there was none.
    pub aside: Option<PathBuf>,
    /// Flags of the backup that have not ended.
    pub flags: usize,
    /// When the backup had its last row of the trail.
    pub as_of: Option<Timestamp>,
}

/// Puts a copy of `backup` into the place of `file`, whose lock the caller has. The backup is checked first, its copy brought
/// up to this version's schema, and the store from before set aside; a failure on the way leaves that one where it is.
///
/// Generations jump ahead: relays and the kernel may know one that the backup has not seen, and take none for another.
///
/// # Errors
///
/// [`StoreError`]; nothing has changed then.
pub async fn restore(
    lock: &Lock,
    backup: &Path,
    file: &Path,
    actor: &str,
    reason: &str,
) -> Result<Restored, StoreError> {
    lock.covers(file)?;
    let checked = check_file(backup).await?;
    if let Some(fault) = checked.faults.first() {
        return Err(StoreError::Damaged {
            file: backup.to_owned(),
            what: fault.clone(),
        });
    }
    let fresh = beside(file, ".restoring");
    for tail in ["", "-wal", "-shm"] {
        // What an attempt that was cut off has left.
        drop(fs::remove_file(beside(&fresh, tail)));
    }
    let prepared = prepare(backup, &fresh, actor, reason).await;
    let (flags, as_of) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            for tail in ["", "-wal", "-shm"] {
                drop(fs::remove_file(beside(&fresh, tail)));
            }
            return Err(error);
        }
    };
    give_to_owner(&fresh, file)?;
    let aside = match file.exists() {
        true => Some(move_aside(file, "replaced", Timestamp::now())?),
        false => None,
    };
    moved(&fresh, file)?;
    sync_directory(file)?;
    Ok(Restored {
        aside,
        flags,
        as_of,
    })
}

/// Makes the store that is to be: one file, durable.
async fn prepare(
    backup: &Path,
    fresh: &Path,
    actor: &str,
    reason: &str,
) -> Result<(usize, Option<Timestamp>), StoreError> {
    fs::copy(backup, fresh).map_err(unusable(backup))?;
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(fresh, private).map_err(unusable(fresh))?;
    let store = Store::open(fresh).await?;
    let newest = Wanted {
        limit: 1,
        ..Wanted::default()
    };
    let as_of = store.trail(&newest).await?;
    let as_of = as_of
        .last()
        .and_then(|row| Timestamp::from_microsecond(row.at_us).ok());
    let flags = store
        .load()
        .await?
        .flags
        .values()
        .filter(|flag| flag.ended.is_none())
        .count();
    sqlx::query("UPDATE meta SET generation = generation + $1 WHERE one = 1")
        .bind(GENERATIONS_AHEAD)
        .execute(&store.writer)
        .await?;
    store
        .record(Entry {
            at: Timestamp::now(),
            actor: actor.to_owned(),
            kind: Kind::StoreRestored,
            subject: String::from("store"),
            payload: json!({ "backup": backup.display().to_string(), "reason": reason }),
        })
        .await?;
    // All of it into the one file, which alone is given the store's name.
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_all(&store.writer)
        .await?;
    store.close().await;
    for tail in ["-wal", "-shm"] {
        // SQLite removes them with its last connection; what it has left is empty.
        drop(fs::remove_file(beside(fresh, tail)));
    }
    let synced = File::open(fresh).and_then(|file| file.sync_all());
    synced.map_err(unusable(fresh))?;
    Ok((flags, as_of))
}

/// To whomever the directory is: the controller may run as somebody else than who restores.
fn give_to_owner(fresh: &Path, file: &Path) -> Result<(), StoreError> {
    let directory = file.parent().unwrap_or_else(|| Path::new("/"));
    let of = fs::metadata(directory).map_err(unusable(directory))?;
    let have = fs::metadata(fresh).map_err(unusable(fresh))?;
    if (of.uid(), of.gid()) == (have.uid(), have.gid()) {
        return Ok(());
    }
    chown(fresh, Some(of.uid()), Some(of.gid())).map_err(unusable(fresh))
}

/// More than there are changes between two backups.
const GENERATIONS_AHEAD: i64 = 1_000_000;
