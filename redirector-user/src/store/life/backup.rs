//! Copies of the store, made while it is in use.
//!
//! A copy is one state of the store, as SQLite reads it at one moment. It is checked after it was written, and has its
//! name only once it is on the disk: a file that is called a backup is one.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use sqlx::{AnyConnection, Connection as _};

use super::{Store, StoreError, beside, check_file, stamp, sync_directory, unusable};
use crate::store::sqlite_url;

/// One copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Where it is.
    pub file: PathBuf,
    /// Its octets.
    pub octets: u64,
    /// When it was begun.
    pub at: Timestamp,
}

impl Store {
    /// Writes a copy into a file that there must not be yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unusable`], [`StoreError::Exists`], [`StoreError::Damaged`] if what was written is not sound; then no
    /// file of that name is left.
    pub async fn back_up(&self, to: &Path, at: Timestamp) -> Result<Backup, StoreError> {
        let from = self.file("a backup")?;
        if to.exists() {
            return Err(StoreError::Exists {
                file: to.to_owned(),
            });
        }
        let partial = beside(to, ".partial");
        let written = write_copy(from, &partial, to).await;
        if written.is_err() {
            // Whatever there is of it is no backup; the error says why.
            drop(fs::remove_file(&partial));
        }
        Ok(Backup {
            file: to.to_owned(),
            octets: written?,
            at,
        })
    }

    /// The same, in a directory, under a name that says when.
    ///
    /// # Errors
    ///
    /// As [`Store::back_up`].
    pub async fn back_up_into(
        &self,
        directory: &Path,
        at: Timestamp,
    ) -> Result<Backup, StoreError> {
        let name = format!("{PREFIX}{}{SUFFIX}", stamp(at));
        self.back_up(&directory.join(name), at).await
    }
}

/// Writes a copy under a name that says that it is none yet, and gives it its own when it is on the disk.
async fn write_copy(file: &Path, partial: &Path, to: &Path) -> Result<u64, StoreError> {
    let path = partial.to_str().map(str::to_owned);
    let path = path.ok_or_else(|| {
        let odd = std::io::Error::new(std::io::ErrorKind::InvalidInput, "the path is not UTF-8");
        unusable(partial)(odd)
    })?;
    // What a crash has left of an earlier one.
    drop(fs::remove_file(partial));
    // SQLite would make the file for everybody to read; it takes one that is empty.
    let mut options = OpenOptions::new();
    let made = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(partial);
    drop(made.map_err(unusable(partial))?);
    let mut connection = AnyConnection::connect(&sqlite_url(file)?).await?;
    sqlx::query("VACUUM INTO $1")
        .bind(path)
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    let checked = check_file(partial).await?;
    if let Some(fault) = checked.faults.first() {
        return Err(StoreError::Damaged {
            file: partial.to_owned(),
            what: fault.clone(),
        });
    }
    let (partial, to) = (partial.to_owned(), to.to_owned());
    let named = tokio::task::spawn_blocking(move || {
        let synced = File::open(&partial).and_then(|file| file.sync_all());
        synced.map_err(unusable(&partial))?;
        super::moved(&partial, &to)?;
        sync_directory(&to)
    });
    named
        .await
        .map_err(|error| unusable(file)(error.into()))??;
    Ok(checked.octets)
}

/// Copies of a directory with the times in their names, oldest first.
///
/// # Errors
///
/// [`StoreError::Unusable`].
pub fn backups_in(directory: &Path) -> Result<Vec<(Timestamp, PathBuf)>, StoreError> {
    let entries = fs::read_dir(directory).map_err(unusable(directory))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let of_us = names.filter_map(|name| Some((time_of(&name)?, directory.join(name))));
    let mut found: Vec<_> = of_us.collect();
    found.sort();
    Ok(found)
}

/// The newest copy of a directory that is sound, and not of a newer version.
pub async fn last_good_backup(directory: &Path) -> Option<PathBuf> {
    for (_, file) in backups_in(directory).ok()?.into_iter().rev() {
        if check_file(&file)
            .await
            .is_ok_and(|checked| checked.is_sound())
        {
            return Some(file);
        }
    }
    None
}

/// Removes all copies of a directory but the newest ones; other files stay.
///
/// # Errors
///
/// [`StoreError::Unusable`].
pub fn prune(directory: &Path, keep: usize) -> Result<(), StoreError> {
    let all = backups_in(directory)?;
    let many = all.len().saturating_sub(keep);
    for (_, file) in all.into_iter().take(many) {
        fs::remove_file(&file).map_err(unusable(&file))?;
    }
    Ok(())
}

fn time_of(name: &str) -> Option<Timestamp> {
    let stamp = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    stamp.parse().ok()
}

const PREFIX: &str = "outgate-";
const SUFFIX: &str = ".db";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_when_and_others_are_none() {
        let at = Timestamp::from_millisecond(1_750_000_000_007).unwrap();
        let name = format!("{PREFIX}{}{SUFFIX}", stamp(at));
        assert_eq!(name, "outgate-20250615T150640.007Z.db");
        assert_eq!(time_of(&name), Some(at));
        for other in [
            "outgate.db",
            "outgate-.db",
            "outgate-20250615T150640.007Z.db.partial",
            "x",
        ] {
            assert_eq!(time_of(other), None, "{other}");
        }
    }

    #[test]
    fn only_the_oldest_copies_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let name = |second| {
            format!(
                "{PREFIX}{}{SUFFIX}",
                stamp(Timestamp::from_second(second).unwrap())
            )
        };
        for second in [3, 1, 2] {
            fs::write(directory.path().join(name(second)), "").unwrap();
        }
        fs::write(directory.path().join("mine.db"), "").unwrap();
        prune(directory.path(), 2).unwrap();
        let left = backups_in(directory.path()).unwrap();
        let left: Vec<_> = left.iter().map(|(at, _)| at.as_second()).collect();
        assert_eq!(left, [2, 3]);
        assert!(directory.path().join("mine.db").exists());
    }
}
