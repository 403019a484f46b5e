//! Copies of the store: by themselves as often as the configuration says, and whenever somebody asks.
//!
//! When the next one is due is read from the names in the directory, so a restart neither loses count nor makes one more.

use std::{
    path::Path,
    sync::{
        PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::Mutex;

use super::{Controller, Problem, clock, since, trail::actor_of};
use crate::{
    feed::Own,
    store::{
        StoreError,
        audit::{Entry, Kind, OUTGATED},
        life::{Backup, Checked, backups_in, prune},
    },
};

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Backups {
    /// Held by whoever makes one.
    turn: Mutex<()>,
    last: std::sync::Mutex<Option<Timestamp>>,
    failed: AtomicU64,
    /// Whether the last attempt failed, and that was told.
    failing: std::sync::atomic::AtomicBool,
}

impl Backups {
    /// When the last good one was made, as far as is known.
    pub(super) fn last(&self) -> Option<Timestamp> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that failed since the start.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    fn made(&self, at: Timestamp) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = (*last).max(Some(at));
    }
}

impl Controller {
    /// Makes a copy of the store, in a file that is not there yet, or in the directory of the configuration.
    ///
    /// # Errors
    ///
    /// [`Problem::Usage`] without a file where no directory is configured, [`Problem::Guard`] without an actor or where there
    /// is a file of that name, else [`Problem::Store`].
    pub async fn back_up(&self, file: Option<&Path>, actor: &str) -> Result<Backup, Problem> {
        let actor = actor_of(actor)?;
        let made = match (file, &self.config.backups) {
            (Some(file), _) if !file.is_absolute() => {
                return Err(Problem::Usage(format!(
                    "{}: outgated runs in another directory; give an absolute path of its host",
                    file.display()
                )));
            }
            (Some(file), _) => {
                let _turn = self.backups.turn.lock().await;
                self.store.back_up(file, clock()).await
            }
            (None, Some(backups)) => {
                let _turn = self.backups.turn.lock().await;
                self.store.back_up_into(&backups.directory, clock()).await
            }
            (None, None) => {
                return Err(Problem::Usage(String::from(
                    "no store.backup_directory is configured; name a file (`outgate store backup FILE`)",
                )));
            }
        };
        let made = made.map_err(|error| match error {
            StoreError::Exists { .. } => Problem::Guard(error.to_string()),
            error => error.into(),
        })?;
        self.note_backup(&made, actor).await?;
        Ok(made)
    }

    /// Looks at all of the store.
    ///
    /// # Errors
    ///
    /// [`Problem::Store`] if it cannot be looked at.
    pub async fn check_store(&self) -> Result<Checked, Problem> {
        let checked = self.store.check().await?;
        for fault in &checked.faults {
            tracing::error!(
                fault,
                "the store is damaged; keep a copy, and restore a backup"
            );
        }
        Ok(checked)
    }

    /// Makes a copy if one is due, and removes those beyond the most that are kept.
    pub(super) async fn back_up_if_due(&self) -> Result<(), Problem> {
        let Some(backups) = &self.config.backups else {
            return Ok(());
        };
        let _turn = self.backups.turn.lock().await;
        let outcome = async {
            let newest = backups_in(&backups.directory)?.pop().map(|(at, _)| at);
            let now = clock();
            if let Some(newest) = newest {
                self.backups.made(newest);
                // One from the future was made by a clock that was wrong.
                if newest <= now && since(newest, now) < backups.every {
                    return Ok(None);
                }
            }
            let made = self.store.back_up_into(&backups.directory, now).await?;
            prune(&backups.directory, backups.keep)?;
            Ok::<_, StoreError>(Some(made))
        };
        match outcome.await {
            Ok(made) => {
                self.backups.failing.store(false, Ordering::Relaxed);
                match made {
                    Some(made) => self.note_backup(&made, String::from(OUTGATED)).await,
                    None => Ok(()),
                }
            }
            Err(error) => {
                self.backups.failed.fetch_add(1, Ordering::Relaxed);
                if !self.backups.failing.swap(true, Ordering::Relaxed) {
                    let error = error.to_string();
                    self.tell(Own::BackupFailed { error: &error }).await;
                }
                Err(error.into())
            }
        }
    }

    async fn note_backup(&self, made: &Backup, actor: String) -> Result<(), Problem> {
        let file = made.file.display().to_string();
        tracing::info!(file, octets = made.octets, actor, "the store was backed up");
        self.backups.made(made.at);
        let entry = Entry {
            at: made.at,
            actor,
            kind: Kind::StoreBackedUp,
            subject: String::from("store"),
            payload: json!({ "file": file, "octets": made.octets }),
        };
        Ok(self.store.record(entry).await?)
    }
}
