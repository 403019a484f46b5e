//! What the spool needs of a disk, and no more: so little that a simulated one can lie about all of it.
//!
//! Nothing is durable before its sync has succeeded: what was written not before [`Medium::sync`], a name that was made,
//! changed or removed not before [`Storage::sync_directory`]. After a sync that failed, nobody knows, and another one says
//! nothing of it: what it was about has to be written again, of a directory any one name.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

mod disk;

pub(super) use disk::Disk;

/// One of the spool's directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Directory {
    /// Segments, their indexes, and spare files to become segments.
    Segments,
    /// Contents that have a file of their own.
    Large,
    /// What was damaged.
    Corrupt,
}

/// A file that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Its name in its directory.
    pub(super) name: String,
    /// Its length.
    pub(super) octets: u64,
}

/// The spool's directories.
pub(super) trait Storage: Debug + Send + Sync {
    /// All files of a directory, in no order.
    fn list(&self, directory: Directory) -> io::Result<Vec<Named>>;
    /// Makes a file of so many octets, all zero, for which the disk has room. It must not exist.
    fn create(&self, directory: Directory, name: &str, octets: u64) -> io::Result<Arc<dyn Medium>>;
    /// Opens a file to be read.
    fn open(&self, directory: Directory, name: &str) -> io::Result<Arc<dyn Medium>>;
    /// Opens a file to be written, too.
    fn open_to_write(&self, directory: Directory, name: &str) -> io::Result<Arc<dyn Medium>>;
    /// Gives a file another name, perhaps in another directory; what had that name is gone.
    fn rename(&self, from: (Directory, &str), to: (Directory, &str)) -> io::Result<()>;
    /// Removes a name.
    fn remove(&self, directory: Directory, name: &str) -> io::Result<()>;
    /// Makes durable which names there are.
    fn sync_directory(&self, directory: Directory) -> io::Result<()>;
    /// What people call it.
    fn path(&self, directory: Directory, name: &str) -> PathBuf;
}

/// An open file.
pub(super) trait Medium: Debug + Send + Sync {
    /// Writes all of it.
    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&self) -> io::Result<()>;
    /// Reads up to the end of the buffer or of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Its length.
    fn octets(&self) -> io::Result<u64>;
}

impl Directory {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Segments, Self::Large, Self::Corrupt];

    /// Its name below the spool's.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Segments => "segments",
            Self::Large => "large",
            Self::Corrupt => "corrupt",
        }
    }
}

/// Fills the buffer.
pub(super) fn read_exact_at(medium: &dyn Medium, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    if medium.read_at(buffer, offset)? == buffer.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Removes a name that may be gone already.
pub(super) fn remove_if_there(
    storage: &dyn Storage,
    directory: Directory,
    name: &str,
) -> io::Result<()> {
    match storage.remove(directory, name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
