//! Mail in directories: one message a file, as it came.
//!
//! # Diagnostics
//! A directory that cannot be listed ends it; a file that cannot be read or is not a message is named to the caller, who
//! counts it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::features::LOOKED_AT_OCTETS;
use super::training::Example;
use super::{Extractor, Label};

/// All files below `directory`, in the order of their names; hidden ones are left out. Maildirs are directories, too.
pub fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// As much of a message as is looked at, without the line that a mailbox puts before it.
pub fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    let most = LOOKED_AT_OCTETS as u64 + 1;
    File::open(file)?.take(most).read_to_end(&mut octets)?;
    if octets.starts_with(b"From ")
        && let Some(end) = octets.iter().position(|octet| *octet == b'\n')
    {
        octets.drain(..=end);
    }
    Ok(octets)
}

/// Makes examples of all messages below `directory`. `unusable` hears of each file that is none, and why.
pub fn examples(
    extractor: &Extractor,
    directory: &Path,
    label: Label,
    mut unusable: impl FnMut(&Path, &dyn std::error::Error),
) -> io::Result<Vec<Example>> {
    let mut examples = Vec::new();
    for file in files(directory)? {
        let content = match read(&file) {
            Ok(content) => content,
            Err(error) => {
                unusable(&file, &error);
                continue;
            }
        };
        match Example::new(extractor, &content, label) {
            Ok(example) => examples.push(example),
            Err(error) => unusable(&file, &error),
        }
    }
    Ok(examples)
}
