//! A capture, frame by frame.
//!
//! # Diagnostics
//!
//! [`ReadError`] says where the file stops making sense, by frame and octet. Frames before that are good.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use pcap_parser::{
    Block, Linktype, PcapBlockOwned, PcapError, create_reader,
    traits::{PcapNGPacketBlock as _, PcapReaderIterator},
};

/// One frame of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number, from 1, as Wireshark counts.
    pub number: u64,
    /// When it was captured; `None` if the file does not say.
    pub at: Option<Timestamp>,
    /// What was kept of it, from the Ethernet header on.
    pub octets: Vec<u8>,
    /// How long it was on the wire.
    pub wire_octets: usize,
}

/// Why a capture cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened.
    #[error("{}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error("{}: neither pcap nor pcapng", path.display())]
    NotACapture {
        /// The file.
        path: PathBuf,
    },
    /// It holds frames that are not Ethernet.
    #[error(
        "{}: frame {frame} has link type {link_type}; only Ethernet (1) can be judged: capture on an Ethernet interface, not on \"any\"",
        path.display()
    )]
    NotEthernet {
        /// The file.
        path: PathBuf,
        /// The first such frame.
        frame: u64,
        /// Number of the link type, as tcpdump.org lists it.
        link_type: i32,
    },
    /// It ends inside a frame.
    #[error("{}: ends inside frame {frame}, at octet {octet}", path.display())]
    CutShort {
        /// The file.
        path: PathBuf,
        /// The frame that is not whole.
        frame: u64,
        /// Where it begins.
        octet: usize,
    },
    /// It is damaged.
    #[error("{}: malformed at octet {octet}, where frame {frame} should be", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The frame that would be next.
        frame: u64,
        /// Where it should begin.
        octet: usize,
    },
}

/// An open capture.
pub struct Reader {
    path: PathBuf,
    blocks: Box<dyn PcapReaderIterator + Send>,
    /// Interfaces of the running section; of pcap, the only one.
    interfaces: Vec<Source>,
    /// Frames so far.
    frames: u64,
}

/// What a file says of where frames come from.
#[derive(Clone, Copy, Debug)]
struct Source {
    link_type: Linktype,
    /// Units of time in a second.
    resolution: u64,
    offset_s: i64,
    snap_octets: u32,
}

impl Reader {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// [`ReadError::Open`], [`ReadError::NotACapture`].
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::Open {
            path: path.to_owned(),
            source,
        })?;
        let blocks =
            create_reader(BUFFER_OCTETS, file).map_err(|_unrecognised| ReadError::NotACapture {
                path: path.to_owned(),
            })?;
        Ok(Self {
            path: path.to_owned(),
            blocks,
            interfaces: Vec::new(),
            frames: 0,
        })
    }

    /// The next frame, or `None` at the end.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; there is nothing to be read behind it.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ReadError> {
        loop {
            let next = match self.blocks.next() {
                Ok((octets, block)) => {
                    let found = take(&block, &mut self.interfaces, self.frames + 1);
                    Next::Block(octets, found)
                }
                Err(PcapError::Eof) => return Ok(None),
                Err(PcapError::Incomplete(_)) => Next::More,
                Err(PcapError::BufferTooSmall) => Next::Larger,
                Err(PcapError::UnexpectedEof) => Next::CutShort,
                Err(
                    PcapError::ReadError
                    | PcapError::HeaderNotRecognized
                    | PcapError::NomError(..)
                    | PcapError::OwnedNomError(..),
                ) => Next::Malformed,
            };
            match next {
                Next::Block(octets, found) => {
                    let begin = self.blocks.consumed();
                    self.blocks.consume(octets);
                    match found {
                        Found::Nothing => {}
                        Found::Frame(frame) => {
                            self.frames += 1;
                            return Ok(Some(frame));
                        }
                        Found::NotEthernet(link_type) => {
                            return Err(ReadError::NotEthernet {
                                path: self.path.clone(),
                                frame: self.frames + 1,
                                link_type,
                            });
                        }
                        Found::Nonsense => return Err(self.malformed(begin)),
                    }
                }
                Next::More => self.refill()?,
                Next::Larger => {
                    // A frame of a megabyte is a damaged length.
                    let grown = self.blocks.data().len().max(BUFFER_OCTETS) * 2;
                    if grown > BLOCK_OCTETS_MAX || !self.blocks.grow(grown) {
                        return Err(self.malformed(self.blocks.consumed()));
                    }
                    self.refill()?;
                }
                Next::CutShort => {
                    return Err(ReadError::CutShort {
                        path: self.path.clone(),
                        frame: self.frames + 1,
                        octet: self.blocks.consumed(),
                    });
                }
                Next::Malformed => return Err(self.malformed(self.blocks.consumed())),
            }
        }
    }

    fn refill(&mut self) -> Result<(), ReadError> {
        if self.blocks.refill().is_ok() {
            return Ok(());
        }
        Err(self.malformed(self.blocks.consumed()))
    }

    fn malformed(&self, octet: usize) -> ReadError {
        ReadError::Malformed {
            path: self.path.clone(),
            frame: self.frames + 1,
            octet,
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("path", &self.path)
            .field("frames", &self.frames)
            .finish_non_exhaustive()
    }
}

/// What the parser says next. The block borrows from it, so it is not kept.
enum Next {
    Block(usize, Found),
    More,
    Larger,
    CutShort,
    Malformed,
}

/// What a block holds for us.
enum Found {
    Nothing,
    Frame(Frame),
    NotEthernet(i32),
    /// A frame of an interface that the file does not describe.
    Nonsense,
}

fn take(block: &PcapBlockOwned<'_>, interfaces: &mut Vec<Source>, number: u64) -> Found {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            interfaces.push(Source {
                // Above it stand flags about the frame check sequence.
                link_type: Linktype(header.network.0 & 0xffff),
                resolution: if header.is_nanosecond_precision() {
                    1_000_000_000
                } else {
                    1_000_000
                },
                offset_s: 0,
                snap_octets: header.snaplen,
            });
            Found::Nothing
        }
        PcapBlockOwned::Legacy(block) => {
            let Some(source) = interfaces.first() else {
                return Found::Nonsense;
            };
            let ticks = u64::from(block.ts_sec) * source.resolution + u64::from(block.ts_usec);
            source.frame(number, Some(ticks), block.data, block.origlen)
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            interfaces.clear();
            Found::Nothing
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(block)) => {
            interfaces.push(Source {
                link_type: block.linktype,
                resolution: block.ts_resolution().unwrap_or(1_000_000),
                offset_s: block.ts_offset(),
                snap_octets: block.snaplen,
            });
            Found::Nothing
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
            let source = usize::try_from(block.if_id).ok();
            let Some(source) = source.and_then(|id| interfaces.get(id)) else {
                return Found::Nonsense;
            };
            let ticks = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
            source.frame(number, Some(ticks), block.packet_data(), block.origlen)
        }
        PcapBlockOwned::NG(Block::SimplePacket(block)) => {
            let Some(source) = interfaces.first() else {
                return Found::Nonsense;
            };
            // It does not say how much was kept: all, or as much as the interface keeps.
            let kept = match source.snap_octets {
                0 => block.origlen,
                snap => block.origlen.min(snap),
            };
            let kept = usize::try_from(kept).unwrap_or(usize::MAX);
            match block.data.get(..kept) {
                Some(octets) => source.frame(number, None, octets, block.origlen),
                None => Found::Nonsense,
            }
        }
        // Names, statistics, secrets.
        PcapBlockOwned::NG(_) => Found::Nothing,
    }
}

impl Source {
    fn frame(&self, number: u64, ticks: Option<u64>, octets: &[u8], wire: u32) -> Found {
        if self.link_type != Linktype::ETHERNET {
            return Found::NotEthernet(self.link_type.0);
        }
        let wire_octets = usize::try_from(wire).unwrap_or(usize::MAX);
        Found::Frame(Frame {
            number,
            at: ticks.and_then(|ticks| self.time(ticks)),
            octets: octets.to_vec(),
            // Some writers leave it zero.
            wire_octets: wire_octets.max(octets.len()),
        })
    }

    /// `None` for a time that is none.
    fn time(&self, ticks: u64) -> Option<Timestamp> {
        let seconds = i64::try_from(ticks.checked_div(self.resolution)?).ok()?;
        let rest = u128::from(ticks % self.resolution) * 1_000_000_000;
        let nanoseconds = i32::try_from(rest / u128::from(self.resolution)).ok()?;
        let since = SignedDuration::new(seconds.checked_add(self.offset_s)?, nanoseconds);
        Timestamp::from_duration(since).ok()
    }
}

const BUFFER_OCTETS: usize = 256 * 1024;
/// No frame is longer than 64 KiB, and comments have the same bound.
const BLOCK_OCTETS_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
