//! A message's content while the relay holds it: in memory, and beyond a limit in an unlinked file.
//!
//! [`Intake`] takes the octets as they arrive and never fails on the way: the sender must be read to
//! the end of its message in any case before it can be told. [`Intake::finish`] then yields the
//! [`Message`], or the first error. A [`Message`] is read any number of times, also at the same time,
//! by scanners and by the delivery.
//!
//! The file has no name, so that nothing is left behind by a crash; it need not survive one, because
//! the sender has not been told 250. Disk work happens on blocking threads.
//!
//! # Diagnostics
//! Returned: I/O errors of the spill file, a full disk among them.

mod header;

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::task::spawn_blocking;

use crate::config::MessageLimits;

/// A message being received.
#[derive(Debug)]
pub struct Intake {
    memory_octets: usize,
    spill_dir: PathBuf,
    octets: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// All of it so far.
    Memory(BytesMut),
    /// The rest of it so far is in the file.
    Spilling { file: Arc<File>, pending: BytesMut },
    /// It could not be kept; what follows is read and forgotten.
    Failed(io::Error),
}

/// A message received whole.
#[derive(Debug, Clone)]
pub struct Message {
    octets: u64,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Memory(Bytes),
    Spilled(Arc<File>),
    Elsewhere(Arc<dyn Source>),
}

/// Content that lies somewhere and stays as it is.
pub(crate) trait Source: Debug + Send + Sync {
    /// Fills the buffer with what stands there. Blocks.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

/// One passage over a message's content.
#[derive(Debug)]
pub struct Reader {
    message: Message,
    offset: u64,
}

impl Intake {
    /// A message of which nothing has arrived.
    #[must_use]
    pub fn new(limits: &MessageLimits) -> Self {
        Self {
            memory_octets: limits.memory_octets,
            spill_dir: limits.spill_dir.clone(),
            octets: 0,
            state: State::Memory(BytesMut::new()),
        }
    }

    /// The next octets.
    pub async fn append(&mut self, octets: &[u8]) {
        self.octets += octets.len() as u64;
        if let Err(error) = self.keep(octets).await {
            // The file goes with the old state, and its blocks with it: the next message may fit.
            self.state = State::Failed(error);
        }
    }

    /// Nothing more follows.
    pub async fn finish(self) -> io::Result<Message> {
        let content = match self.state {
            State::Memory(memory) => Content::Memory(memory.freeze()),
            State::Spilling { file, pending } => {
                write(&file, pending.freeze()).await?;
                Content::Spilled(file)
            }
            State::Failed(error) => return Err(error),
        };
        Ok(Message {
            octets: self.octets,
            content,
        })
    }

    async fn keep(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.state {
            State::Memory(memory) => {
                memory.extend_from_slice(octets);
                if memory.len() > self.memory_octets {
                    let memory = memory.split().freeze();
                    let directory = self.spill_dir.clone();
                    let file = spawn_blocking(move || tempfile::tempfile_in(directory)).await??;
                    let file = Arc::new(file);
                    write(&file, memory).await?;
                    self.state = State::Spilling {
                        file,
                        pending: BytesMut::new(),
                    };
                }
            }
            State::Spilling { file, pending } => {
                pending.extend_from_slice(octets);
                if pending.len() >= BLOCK_OCTETS {
                    write(file, pending.split().freeze()).await?;
                }
            }
            State::Failed(_) => {}
        }
        Ok(())
    }
}

impl Message {
    /// Content of so many octets that lies in `source`.
    pub(crate) fn elsewhere(octets: u64, source: Arc<dyn Source>) -> Self {
        Self {
            octets,
            content: Content::Elsewhere(source),
        }
    }

    /// Octets of content.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Reads from the beginning.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader {
            message: self.clone(),
            offset: 0,
        }
    }

    /// All of it in memory; the caller has looked at [`Message::octets`].
    pub async fn read_whole(&self) -> io::Result<Bytes> {
        let length = usize::try_from(self.octets).map_err(io::Error::other)?;
        self.content.read(0, length).await
    }

    /// Its first octets in memory, at most so many.
    pub(crate) async fn beginning(&self, octets: usize) -> io::Result<Bytes> {
        let whole = usize::try_from(self.octets).unwrap_or(usize::MAX);
        self.content.read(0, whole.min(octets)).await
    }

    /// All of it behind what is in `front` already.
    pub(crate) async fn append_to(&self, mut front: Vec<u8>) -> io::Result<Vec<u8>> {
        let start = front.len();
        let length = usize::try_from(self.octets).map_err(io::Error::other)?;
        let content = self.content.clone();
        if let Content::Memory(memory) = content {
            front.extend_from_slice(&memory);
            return Ok(front);
        }
        spawn_blocking(move || {
            front.resize(start + length, 0);
            content.read_exact_at(&mut front[start..], 0)?;
            Ok(front)
        })
        .await?
    }
}

impl Content {
    /// So many octets from there.
    async fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        // In memory, an offset is an index.
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        if let Self::Memory(memory) = self {
            return Ok(memory.slice(start..start + length));
        }
        let content = self.clone();
        spawn_blocking(move || {
            let mut block = vec![0; length];
            content.read_exact_at(&mut block, offset)?;
            Ok(block.into())
        })
        .await?
    }

    /// Fills the buffer with what stands there. Blocks where it is not in memory.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Memory(memory) => {
                let start = usize::try_from(offset).map_err(io::Error::other)?;
                let stands = memory.get(start..).and_then(|it| it.get(..buffer.len()));
                buffer.copy_from_slice(stands.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            Self::Spilled(file) => file.read_exact_at(buffer, offset),
            Self::Elsewhere(source) => source.read_exact_at(buffer, offset),
        }
    }
}

/// Octets that are in memory already.
impl From<Bytes> for Message {
    fn from(octets: Bytes) -> Self {
        Self {
            octets: octets.len() as u64,
            content: Content::Memory(octets),
        }
    }
}

impl Reader {
    /// The next octets; `None` at the end.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let rest = self.message.octets - self.offset;
        let length = usize::try_from(rest)
            .unwrap_or(usize::MAX)
            .min(BLOCK_OCTETS);
        if length == 0 {
            return Ok(None);
        }
        let offset = self.offset;
        self.offset += length as u64;
        self.message.content.read(offset, length).await.map(Some)
    }
}

async fn write(file: &Arc<File>, octets: Bytes) -> io::Result<()> {
    let file = Arc::clone(file);
    spawn_blocking(move || (&*file).write_all(&octets)).await?
}

/// Octets of one disk operation.
const BLOCK_OCTETS: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(memory_octets: usize, spill_dir: &std::path::Path) -> MessageLimits {
        MessageLimits {
            max_octets: 1 << 30,
            memory_octets,
            spill_dir: spill_dir.into(),
        }
    }

    /// Octets that no two offsets share by accident.
    fn content(octets: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(octets as u64);
        (0..octets).map(|_| random.u8(..)).collect()
    }

    async fn read_by_blocks(message: &Message) -> Vec<u8> {
        let (mut reader, mut read) = (message.reader(), Vec::new());
        while let Some(block) = reader.next().await.unwrap() {
            read.extend_from_slice(&block);
        }
        read
    }

    #[tokio::test]
    async fn what_went_in_comes_out_whatever_the_sizes() {
        let directory = tempfile::tempdir().unwrap();
        for octets in [0, 1, 999, 1000, 1001, BLOCK_OCTETS, 3 * BLOCK_OCTETS + 17] {
            for piece in [1, 7, 1000, 100_000] {
                let content = content(octets);
                let mut intake = Intake::new(&limits(1000, directory.path()));
                for piece in content.chunks(if octets > 2000 { piece.max(700) } else { piece }) {
                    intake.append(piece).await;
                }
                let message = intake.finish().await.unwrap();
                assert_eq!(message.octets(), octets as u64);
                let spilled = matches!(message.content, Content::Spilled(_));
                assert_eq!(spilled, octets > 1000, "{octets} octets");
                // Twice: scanners and the delivery each read from the beginning.
                for _ in 0..2 {
                    assert_eq!(read_by_blocks(&message).await, content);
                }
                assert_eq!(message.read_whole().await.unwrap(), content);
            }
        }
        assert_eq!(
            directory.path().read_dir().unwrap().count(),
            0,
            "the spill file has a name"
        );
    }

    #[tokio::test]
    async fn a_missing_spill_directory_is_told_at_the_end_and_not_before() {
        let directory = tempfile::tempdir().unwrap();
        let mut intake = Intake::new(&limits(10, &directory.path().join("absent")));
        for _ in 0..5 {
            intake.append(b"0123456789abcdef").await;
        }
        let error = intake.finish().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
