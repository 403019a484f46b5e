//! The lock of a state_dir: whoever has it may change what is in there.

use std::{
    fs::{DirBuilder, File, TryLockError},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use super::{StoreError, unusable};

/// Held for as long as it lives; the kernel takes it back from a process that was killed.
#[derive(Debug)]
pub struct Lock {
    directory: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock of a directory, and makes the directory if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] while somebody else has it, [`StoreError::Unusable`].
    pub fn take(directory: &Path) -> Result<Self, StoreError> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(directory);
        made.map_err(unusable(directory))?;
        let path = directory.join("outgated.lock");
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(unusable(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self {
                directory: directory.to_owned(),
                _file: file,
            }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(StoreError::Unusable { path, source }),
        }
    }

    /// Whether it is this file's.
    pub(super) fn covers(&self, file: &Path) -> Result<(), StoreError> {
        if file.parent() == Some(&self.directory) {
            return Ok(());
        }
        Err(StoreError::Locked {
            path: file.to_owned(),
        })
    }
}
