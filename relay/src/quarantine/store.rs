//! The store: a directory of this host, behind the interface that object stores elsewhere have, too.
//!
//! What is written is durable when that is said, and whole or not there.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};

/// Where records are.
#[derive(Debug, Clone)]
pub(super) struct Store {
    objects: Arc<dyn ObjectStore>,
    directory: PathBuf,
}

/// An object that is being written. One that is dropped leaves nothing that has a name.
#[derive(Debug)]
pub(super) struct Writing {
    upload: Box<dyn MultipartUpload>,
    pending: Vec<u8>,
    octets: u64,
}

impl Store {
    /// That directory; made if it is not there, for this user alone. Blocks.
    pub(super) fn open(directory: &FilePath) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let local = LocalFileSystem::new_with_prefix(directory)?.with_fsync(true);
        Ok(Self {
            objects: Arc::new(local),
            directory: directory.to_owned(),
        })
    }

    pub(super) async fn put(&self, path: &Path, octets: Vec<u8>) -> io::Result<()> {
        self.objects.put(path, PutPayload::from(octets)).await?;
        Ok(())
    }

    pub(super) async fn write(&self, path: &Path) -> io::Result<Writing> {
        Ok(Writing {
            upload: self.objects.put_multipart(path).await?,
            pending: Vec::new(),
            octets: 0,
        })
    }

    /// All of a small object.
    pub(super) async fn get(&self, path: &Path) -> io::Result<Bytes> {
        let found = self.objects.get(path).await?;
        if found.meta.size > SMALL_OCTETS_MAX {
            let what = format!("{path}: {} octets are too many", found.meta.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(found.bytes().await?)
    }

    /// An object by and by.
    pub(super) async fn stream(
        &self,
        path: &Path,
    ) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        let found = self.objects.get(path).await?;
        Ok(found.into_stream().map_err(io::Error::from).boxed())
    }

    /// How many octets an object has; 0 = it is not there.
    pub(super) async fn octets(&self, path: &Path) -> io::Result<u64> {
        match self.objects.head(path).await {
            Ok(meta) => Ok(meta.size),
            Err(object_store::Error::NotFound { .. }) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether it is gone now; that it was not there is as good.
    pub(super) async fn remove(&self, path: &Path) -> io::Result<()> {
        match self.objects.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes an object out of the way, and keeps it.
    pub(super) async fn set_aside(&self, path: &Path) -> io::Result<()> {
        let aside = Path::from(format!("{ASIDE}/{path}"));
        Ok(self.objects.rename(path, &aside).await?)
    }

    /// Takes what a crash has left of objects that were being written before that moment out of the way; how many they
    /// were. They have a `#` in their names and are never listed. Blocks.
    pub(super) fn set_aside_unfinished(&self, before: SystemTime) -> io::Result<usize> {
        let mut unfinished = 0;
        walk(&self.directory, before, &mut |path: &FilePath| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.contains('#') {
                let aside = self.directory.join(ASIDE);
                fs::create_dir_all(&aside)?;
                fs::rename(path, aside.join(name.replace('#', ".unfinished.")))?;
                unfinished += 1;
            }
            Ok(())
        })?;
        Ok(unfinished)
    }

    /// All objects below a folder.
    pub(super) fn list(&self, folder: &str) -> BoxStream<'static, io::Result<ObjectMeta>> {
        let folder = Path::from(folder);
        self.objects
            .list(Some(&folder))
            .map_err(io::Error::from)
            .boxed()
    }
}

/// Goes through a directory and those in it, but for what was set aside.
fn walk(
    directory: &FilePath,
    before: SystemTime,
    see: &mut impl FnMut(&FilePath) -> io::Result<()>,
) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && entry.file_name() != ASIDE {
            walk(&entry.path(), before, see)?;
        } else if kind.is_file() && entry.metadata()?.modified()? < before {
            see(&entry.path())?;
        }
    }
    Ok(())
}

impl Writing {
    /// More of it.
    pub(super) async fn append(&mut self, octets: &mut Vec<u8>) -> io::Result<()> {
        self.octets += octets.len() as u64;
        self.pending.append(octets);
        if self.pending.len() >= PART_OCTETS {
            self.flush().await?;
        }
        Ok(())
    }

    /// Gives it its name; how many octets it has.
    pub(super) async fn finish(mut self) -> io::Result<u64> {
        self.flush().await?;
        self.upload.complete().await?;
        Ok(self.octets)
    }

    /// Leaves nothing of it.
    pub(super) async fn give_up(mut self) {
        // What is left then has no name that is ever listed.
        drop(self.upload.abort().await);
    }

    async fn flush(&mut self) -> io::Result<()> {
        let part = std::mem::take(&mut self.pending);
        if part.is_empty() {
            return Ok(());
        }
        Ok(self.upload.put_part(PutPayload::from(part)).await?)
    }
}

/// The folder of what nobody can read.
pub(super) const ASIDE: &str = "aside";
/// Metadata and header sections.
const SMALL_OCTETS_MAX: u64 = 4 << 20;
/// What a copy holds in memory on its way. S3 and its like want parts of at least 5 MiB.
const PART_OCTETS: usize = 1 << 20;
