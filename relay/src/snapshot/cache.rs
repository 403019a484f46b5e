//! The copy of the newest snapshot that outlives the relay.
//!
//! [`store`] returns only when the copy is durable: a generation is acknowledged to the controller
//! after that, and the edge then diverts customers who must still be known after a power cut.
//!
//! # Diagnostics
//! Returned: I/O errors and a damaged file. A damaged cache is never deleted here; it is overwritten
//! by the next snapshot, and until then the relay answers 421.

use std::fs;
use std::io;
use std::path::Path;

use contract::Snapshot;

use crate::durable;

/// Reads the cached snapshot; `None` if there is none.
pub fn load(path: &Path) -> io::Result<Option<Snapshot>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(serde_json::from_slice(&text)?))
}

/// Makes `snapshot` the cached one, durably. Blocks on the disk.
pub fn store(path: &Path, snapshot: &Snapshot) -> io::Result<()> {
    durable::replace(path, &serde_json::to_vec(snapshot)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_comes_back_and_replaces_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("snapshot.json");
        assert_eq!(load(&path).unwrap(), None);
        for generation in [4, 5] {
            let snapshot = Snapshot {
                generation: contract::Generation(generation),
                customer_prefixes: vec!["192.0.2.0/24".parse().unwrap()],
                probe_sources: vec![],
                probe_prefixes: vec![],
                customers: vec![],
                submission: contract::Submission::default(),
            };
            store(&path, &snapshot).unwrap();
            assert_eq!(load(&path).unwrap(), Some(snapshot));
        }
        let names: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(
            names.len(),
            1,
            "a temporary file was left behind: {names:?}"
        );
    }

    #[test]
    fn a_damaged_cache_is_an_error_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("snapshot.json");
        fs::write(&path, b"{\"generation\":").unwrap();
        assert!(load(&path).is_err());
        assert!(path.exists());
    }
}
