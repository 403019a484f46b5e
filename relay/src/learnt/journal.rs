//! A file of records that several programs append to, and that one of them now and then writes anew.
//!
//! Whoever appends holds the file's lock (flock(2)) and makes sure that the file under the name is still the one that
//! it has locked; whoever writes it anew holds the lock of the old one until the new one has its name. Reading takes no
//! lock: a line without its end is not read yet.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::Record;

/// How far a journal was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Device and inode.
    file: Option<(u64, u64)>,
    octets: u64,
    lines: u64,
}

/// What stands behind a position.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Another file has taken the journal's place: these are all of its records.
    pub(super) anew: bool,
    pub(super) records: Vec<Record>,
    /// Numbers of lines that are no records.
    pub(super) damaged: Vec<u64>,
    pub(super) position: Position,
}

/// Reads what stands behind `from`. An absent file has nothing in it.
pub(super) fn read(path: &Path, from: Position) -> io::Result<News> {
    let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if absent(&error) => return Ok(nothing_left(from)),
        Err(error) => return Err(error),
    };
    if from.file == Some(identity(&metadata)) && metadata.len() == from.octets {
        return Ok(News {
            position: from,
            ..News::default()
        });
    }
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if absent(&error) => return Ok(nothing_left(from)),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    let identity = Some(identity(&metadata));
    let grown = from.file == identity && metadata.len() >= from.octets;
    let mut news = News {
        anew: !grown,
        position: if grown { from } else { Position::default() },
        ..News::default()
    };
    news.position.file = identity;
    file.seek(SeekFrom::Start(news.position.octets))?;
    let mut text = Vec::new();
    file.take(FILE_OCTETS_MAX).read_to_end(&mut text)?;
    // Somebody is writing the rest, or a crash has kept it from being written.
    let whole = memchr::memrchr(b'\n', &text).map_or(0, |end| end + 1);
    for line in text[..whole].split_inclusive(|&octet| octet == b'\n') {
        news.position.octets += line.len() as u64;
        news.position.lines += 1;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let record = std::str::from_utf8(line).ok();
        match record.and_then(|line| line.parse().ok()) {
            Some(record) => news.records.push(record),
            None => news.damaged.push(news.position.lines),
        }
    }
    Ok(news)
}

/// Appends records, durably. With `live`, what is true after them, it may write the journal anew instead; `read` says
/// how long it was when that was last looked at.
pub(super) fn append(
    path: &Path,
    read: Position,
    records: &[Record],
    live: Option<&dyn Fn() -> Vec<Record>>,
) -> io::Result<()> {
    let mut file = locked(path)?;
    let metadata = file.metadata()?;
    if let Some(live) = live
        && read.lines >= LINES_BEFORE_COMPACTION
        // Nobody else has written what `live` does not know of.
        && read.file == Some(identity(&metadata))
        && read.octets == metadata.len()
    {
        let live = live();
        if read.lines > COMPACTION_GAIN * live.len() as u64 {
            return replace(path, &live);
        }
    }
    let mut text = String::new();
    if metadata.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            // A line that a crash tore must not spoil ours.
            text.push('\n');
        }
    }
    for record in records {
        text += &format!("{record}\n");
    }
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    if metadata.len() == 0 {
        sync_directory(path)?;
    }
    Ok(())
}

/// The file under this name, locked until it is dropped.
fn locked(path: &Path) -> io::Result<File> {
    loop {
        let file = File::options()
            .read(true)
            .append(true)
            .create(true)
            // Who sends mail to whom is nobody else's business.
            .mode(0o600)
            .open(path)?;
        file.lock()?;
        match fs::metadata(path) {
            Ok(now) if identity(&now) == identity(&file.metadata()?) => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// Has the journal hold these records and no others; the caller holds the lock.
fn replace(path: &Path, records: &[Record]) -> io::Result<()> {
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    let text: String = records.iter().map(|record| format!("{record}\n")).collect();
    file.write_all(text.as_bytes())?;
    // The data first, then the name, then the directory that holds the name.
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_directory(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or_else(|| Path::new("/")))?.sync_all()
}

fn nothing_left(from: Position) -> News {
    News {
        anew: from.file.is_some(),
        ..News::default()
    }
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// A short file is not worth writing anew.
const LINES_BEFORE_COMPACTION: u64 = 1000;
/// So many lines for each that is still true.
const COMPACTION_GAIN: u64 = 4;
/// Far more than the bound on pairs allows.
const FILE_OCTETS_MAX: u64 = 256 << 20;
