//! A pcapng file of frames, each with what became of it as its comment.
//!
//! draft-ietf-opsawg-pcapng, sections 4.1 to 4.3; in little endian, with times in nanoseconds.

use std::io::{self, Write};

use jiff::Timestamp;

/// Writes one section.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    /// Names, in the order of their descriptions.
    interfaces: Vec<String>,
}

/// One frame to be written.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Name of the interface.
    pub interface: &'a str,
    /// When.
    pub at: Timestamp,
    /// What was kept of it.
    pub octets: &'a [u8],
    /// How long it was.
    pub wire_octets: u32,
    /// What a person should read beside it.
    pub comment: &'a str,
}

impl<W: Write> Writer<W> {
    /// Begins the section.
    ///
    /// # Errors
    ///
    /// The sink's.
    pub fn new(mut out: W) -> io::Result<Self> {
        let mut body = Vec::new();
        body.extend(BYTE_ORDER.to_le_bytes());
        body.extend([1, 0, 0, 0]);
        // The section's length is not known yet.
        body.extend(u64::MAX.to_le_bytes());
        option(
            &mut body,
            SHB_USERAPPL,
            concat!("outgate ", env!("CARGO_PKG_VERSION")).as_bytes(),
        );
        end_of_options(&mut body);
        block(&mut out, SECTION_HEADER, &body)?;
        Ok(Self {
            out,
            interfaces: Vec::new(),
        })
    }

    /// Adds a frame, and describes its interface before if that is new.
    ///
    /// # Errors
    ///
    /// The sink's.
    pub fn frame(&mut self, record: &Record<'_>) -> io::Result<()> {
        let id = match self.interfaces.iter().position(|it| it == record.interface) {
            Some(id) => id,
            None => {
                self.describe(record.interface)?;
                self.interfaces.len() - 1
            }
        };
        let id = u32::try_from(id).unwrap_or(u32::MAX);
        // Until the year 2554.
        let at = u64::try_from(record.at.as_nanosecond())
            .unwrap_or_default()
            .to_be_bytes();
        let [h0, h1, h2, h3, l0, l1, l2, l3] = at;
        let mut body = Vec::with_capacity(64 + record.octets.len() + record.comment.len());
        body.extend(id.to_le_bytes());
        body.extend(u32::from_be_bytes([h0, h1, h2, h3]).to_le_bytes());
        body.extend(u32::from_be_bytes([l0, l1, l2, l3]).to_le_bytes());
        let kept = u32::try_from(record.octets.len()).unwrap_or(u32::MAX);
        body.extend(kept.to_le_bytes());
        body.extend(record.wire_octets.max(kept).to_le_bytes());
        body.extend(record.octets);
        pad(&mut body);
        option(&mut body, COMMENT, record.comment.as_bytes());
        end_of_options(&mut body);
        block(&mut self.out, ENHANCED_PACKET, &body)
    }

    /// Hands what is buffered on.
    ///
    /// # Errors
    ///
    /// The sink's.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The sink, with all that was written.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn describe(&mut self, name: &str) -> io::Result<()> {
        let mut body = Vec::new();
        body.extend(ETHERNET.to_le_bytes());
        // Reserved; and no limit to the frames.
        body.extend([0; 2 + 4]);
        option(&mut body, IF_NAME, name.as_bytes());
        option(&mut body, IF_TSRESOL, &[NANOSECONDS]);
        end_of_options(&mut body);
        block(&mut self.out, INTERFACE_DESCRIPTION, &body)?;
        self.interfaces.push(name.to_owned());
        Ok(())
    }
}

fn block(out: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(12 + body.len()).map_err(io::Error::other)?;
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(body)?;
    out.write_all(&length.to_le_bytes())
}

/// A value too long for an option is left out.
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let Ok(length) = u16::try_from(value.len()) else {
        return;
    };
    body.extend(code.to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(value);
    pad(body);
}

fn end_of_options(body: &mut Vec<u8>) {
    body.extend([0; 4]);
}

/// Everything in a block begins at a multiple of four octets; so does its body.
fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const ETHERNET: u16 = 1;
const COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
/// As a negative power of ten.
const NANOSECONDS: u8 = 9;
