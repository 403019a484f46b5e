//! A real disk.
//!
//! Segments are allocated before they are written, so that a write needs no room and changes no metadata, and a sync
//! of data alone is enough. A file system that cannot allocate is taken as it is: its writes may then fail for want of room.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::{Directory, Medium, Named, Storage};

/// A directory of a file system.
#[derive(Debug)]
pub(in crate::spool) struct Disk {
    root: PathBuf,
}

/// An open file. The standard library opens all of them with `O_CLOEXEC`.
#[derive(Debug)]
struct DiskFile(File);

impl Disk {
    /// The directory as it is, to be read.
    pub(in crate::spool) fn at(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// The directory, made if need be with all that belongs in it, for our eyes alone.
    pub(in crate::spool) fn make(root: &Path) -> io::Result<Self> {
        let made = Self::at(root);
        let is_new = !root.exists();
        make_directory(root)?;
        for directory in Directory::ALL {
            make_directory(&made.directory(directory))?;
        }
        File::open(root)?.sync_all()?;
        if let Some(parent) = root.parent() {
            // A confined relay may not look beyond its spool; who made it has synced its name.
            match File::open(parent) {
                Ok(parent) => parent.sync_all()?,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !is_new => {}
                Err(error) => return Err(error),
            }
        }
        Ok(made)
    }

    fn directory(&self, directory: Directory) -> PathBuf {
        self.root.join(directory.name())
    }
}

impl Storage for Disk {
    fn list(&self, directory: Directory) -> io::Result<Vec<Named>> {
        let mut list = Vec::new();
        for entry in fs::read_dir(self.directory(directory))? {
            let entry = entry?;
            let octets = match entry.metadata() {
                Ok(metadata) if metadata.is_file() => metadata.len(),
                Ok(_) => continue,
                // Somebody else's spool is looked at while it is worked on.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                list.push(Named { name, octets });
            }
        }
        Ok(list)
    }

    fn create(&self, directory: Directory, name: &str, octets: u64) -> io::Result<Arc<dyn Medium>> {
        let path = self.path(directory, name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path)?;
        // The kernel takes no allocation of nothing.
        let allocated = match octets {
            0 => Ok(()),
            _ => match fallocate(&file, FallocateFlags::empty(), 0, octets) {
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(octets),
                outcome => outcome.map_err(Into::into),
            },
        };
        if let Err(error) = allocated {
            // It would take room that others need.
            fs::remove_file(&path)?;
            return Err(error);
        }
        Ok(Arc::new(DiskFile(file)))
    }

    fn open(&self, directory: Directory, name: &str) -> io::Result<Arc<dyn Medium>> {
        let file = File::open(self.path(directory, name))?;
        Ok(Arc::new(DiskFile(file)))
    }

    fn open_to_write(&self, directory: Directory, name: &str) -> io::Result<Arc<dyn Medium>> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .open(self.path(directory, name))?;
        Ok(Arc::new(DiskFile(file)))
    }

    fn rename(&self, from: (Directory, &str), to: (Directory, &str)) -> io::Result<()> {
        fs::rename(self.path(from.0, from.1), self.path(to.0, to.1))
    }

    fn remove(&self, directory: Directory, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(directory, name))
    }

    fn sync_directory(&self, directory: Directory) -> io::Result<()> {
        File::open(self.directory(directory))?.sync_all()
    }

    fn path(&self, directory: Directory, name: &str) -> PathBuf {
        self.directory(directory).join(name)
    }
}

impl Medium for DiskFile {
    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(octets, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, offset + read as u64) {
                Ok(0) => break,
                Ok(octets) => read += octets,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn octets(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
