//! The store's file beyond one run: whose it is, whether it is sound, copies of it, and putting one back.
//!
//! What cannot be read is never deleted and never begun anew by itself: an empty store would lift every flag. It is set
//! aside under another name, and nobody starts before a person has put a backup into its place or taken the name away.

mod backup;
mod check;
mod lock;
mod restore;

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, tz::TimeZone};

pub use self::{
    backup::{Backup, backups_in, last_good_backup, prune},
    check::{Checked, check_file},
    lock::Lock,
    restore::{Restored, restore},
};
use super::{Store, StoreError};

/// What is left of a store that cannot be read, and what can be put into its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// Under which name it is now.
    pub file: PathBuf,
    /// The newest backup that is sound, if there is one.
    pub backup: Option<PathBuf>,
}

impl Store {
    /// Opens the store of a controller that is about to serve, under its lock. A damaged one is set aside, now or when it is
    /// loaded.
    ///
    /// # Errors
    ///
    /// [`StoreError::SetAside`] for a damaged one, now or at an earlier start; else as [`Store::open`].
    pub async fn open_for_service(
        lock: &Lock,
        file: &Path,
        backups: Option<&Path>,
    ) -> Result<Self, StoreError> {
        lock.covers(file)?;
        if !file.exists()
            && let Some(aside) = set_aside_before(file)
        {
            let what = String::from("damaged, at an earlier start");
            return Err(refusal(file, aside, what, backups).await);
        }
        match Self::open(file).await {
            Err(StoreError::Damaged { file, what }) => Err(set_aside(&file, &what, backups).await),
            opened => Ok(Self {
                set_aside: Some(backups.map(Path::to_owned)),
                ..opened?
            }),
        }
    }

    /// What is to be said of a damaged store that was opened: as much as if that had been seen then.
    pub(super) async fn found_damaged(&self, error: StoreError) -> StoreError {
        match (error, &self.set_aside) {
            (StoreError::Damaged { file, what }, Some(backups)) => {
                self.close().await;
                set_aside(&file, &what, backups.as_deref()).await
            }
            (error, _) => error,
        }
    }
}

async fn set_aside(file: &Path, what: &str, backups: Option<&Path>) -> StoreError {
    match move_aside(file, "corrupt", Timestamp::now()) {
        Ok(aside) => refusal(file, aside, format!("damaged: {what}"), backups).await,
        Err(error) => error,
    }
}

async fn refusal(file: &Path, aside: PathBuf, what: String, backups: Option<&Path>) -> StoreError {
    let backup = match backups {
        Some(directory) => last_good_backup(directory).await,
        None => None,
    };
    StoreError::SetAside {
        file: file.to_owned(),
        what,
        aside: Aside {
            file: aside,
            backup,
        },
    }
}

/// What a person is to do next.
impl fmt::Display for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aside = self.file.display();
        write!(
            f,
            "it was set aside as {aside}; keep it as evidence. The kernel was not touched: what is in force there stays. "
        )?;
        match &self.backup {
            Some(backup) => write!(
                f,
                "The last good backup is {0}. To go on with it: `outgate store restore {0}`, then start outgated",
                backup.display()
            )?,
            None => f.write_str(
                "No good backup is in store.backup_directory. To go on with one from elsewhere: `outgate store restore \
                 FILE`, then start outgated",
            )?,
        }
        write!(
            f,
            ". To begin with an empty store, which lifts every flag: `mkdir -p /var/tmp/outgate && mv {aside}* \
             /var/tmp/outgate/`, then start outgated"
        )
    }
}

/// Gives a database another name, with what SQLite keeps beside it.
fn move_aside(file: &Path, why: &str, now: Timestamp) -> Result<PathBuf, StoreError> {
    let to = beside(file, &format!(".{why}-{}", stamp(now)));
    for tail in ["-wal", "-shm"] {
        let from = beside(file, tail);
        match fs::rename(&from, beside(&to, tail)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => outcome.map_err(unusable(&from))?,
        }
    }
    // Last, so that a crash on the way leaves something that is found again.
    moved(file, &to)?;
    sync_directory(file)?;
    Ok(to)
}

/// The newest one that an earlier start has set aside.
fn set_aside_before(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.to_str()?.to_owned() + ".corrupt-";
    let entries = fs::read_dir(file.parent()?).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let of_it =
        names.filter(|it| it.starts_with(&name) && !it.ends_with("-wal") && !it.ends_with("-shm"));
    Some(file.with_file_name(of_it.max()?))
}

fn moved(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(unusable(from))
}

/// Makes names in a file's directory durable.
fn sync_directory(file: &Path) -> Result<(), StoreError> {
    let directory = file.parent().unwrap_or_else(|| Path::new("/"));
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(unusable(directory))
}

/// The same path with more at its end.
fn beside(file: &Path, tail: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(tail);
    PathBuf::from(name)
}

/// A time as it stands in names: it sorts, and has no character that a shell minds.
fn stamp(at: Timestamp) -> String {
    let millisecond = at.as_millisecond().rem_euclid(1000);
    let seconds = at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%S");
    format!("{seconds}.{millisecond:03}Z")
}

pub(super) fn unusable(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::Unusable { path, source }
}
