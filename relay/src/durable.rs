//! Files that are replaced as a whole, and are whole after a crash.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Makes `content` what `path` holds, durably. Blocks on the disk.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    // The data first, then the name, then the directory that holds the name: in any other order a
    // crash can leave a name without content.
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}
