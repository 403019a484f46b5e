//! Frames in octets.

use core::ffi::CStr;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ffi::CString;

use bytes::Bytes;

use super::{BadFrame, Change, Command, FRAME_OCTETS, Reply, Steps, Terms};

/// Octets that follow the length in front of a frame.
pub fn frame_octets(length: [u8; 4]) -> Result<usize, BadFrame> {
    match u32::from_be_bytes(length) {
        0 => Err(BadFrame::Empty),
        octets if octets > FRAME_OCTETS => Err(BadFrame::TooLong(octets)),
        octets => Ok(usize::try_from(octets).unwrap_or(usize::MAX)),
    }
}

impl Command {
    /// Its letter.
    #[must_use]
    pub const fn letter(&self) -> u8 {
        match self {
            Self::Negotiate(_) => b'O',
            Self::Macros { .. } => b'D',
            Self::Connect { .. } => b'C',
            Self::Helo(_) => b'H',
            Self::Mail(_) => b'M',
            Self::Recipient(_) => b'R',
            Self::Data => b'T',
            Self::Header { .. } => b'L',
            Self::EndOfHeader => b'N',
            Self::Body(_) => b'B',
            Self::EndOfBody => b'E',
            Self::Abort => b'A',
            Self::Quit => b'Q',
        }
    }

    /// Its frame, the length in front of it included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut frame = Frame::new(self.letter());
        match self {
            Self::Negotiate(terms) => frame.terms(terms),
            Self::Macros { of, values } => {
                frame.0.push(*of);
                for (name, value) in values {
                    frame.text(name).text(value);
                }
            }
            Self::Connect { name, client, port } => {
                frame.text(name);
                let family = match client {
                    IpAddr::V4(_) => b'4',
                    IpAddr::V6(_) => b'6',
                };
                frame.0.push(family);
                frame.0.extend_from_slice(&port.to_be_bytes());
                frame.0.extend_from_slice(client.to_string().as_bytes());
                frame.0.push(0);
            }
            Self::Helo(name) => {
                frame.text(name);
            }
            Self::Mail(words) | Self::Recipient(words) => {
                for word in words {
                    frame.text(word);
                }
            }
            Self::Header { name, value } => {
                frame.text(name).text(value);
            }
            Self::Body(octets) => frame.0.extend_from_slice(octets),
            Self::Data | Self::EndOfHeader | Self::EndOfBody | Self::Abort | Self::Quit => {}
        }
        frame.finish()
    }

    /// The command that a frame is, of which these are the octets behind the length.
    pub fn decode(frame: &Bytes) -> Result<Self, BadFrame> {
        let (&letter, mut rest) = frame.split_first().ok_or(BadFrame::Empty)?;
        let read = match letter {
            b'O' => take_terms(&mut rest).map(Self::Negotiate),
            b'D' => take_macros(&mut rest),
            b'C' => take_connect(&mut rest),
            b'H' => take_text(&mut rest).map(Self::Helo),
            b'M' => take_words(&mut rest).map(Self::Mail),
            b'R' => take_words(&mut rest).map(Self::Recipient),
            b'T' => Some(Self::Data),
            b'L' => take_header(&mut rest),
            b'N' => Some(Self::EndOfHeader),
            b'B' => return Ok(Self::Body(frame.slice(1..))),
            b'E' => Some(Self::EndOfBody),
            b'A' => Some(Self::Abort),
            b'Q' => Some(Self::Quit),
            unknown => return Err(BadFrame::Unknown(unknown)),
        };
        whole(letter, read, rest)
    }
}

impl Reply {
    /// Its frame, the length in front of it included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut frame = Frame::new(self.letter());
        match self {
            Self::Negotiate(terms) => frame.terms(terms),
            Self::Code(text) | Self::Quarantine(text) => {
                frame.text(text);
            }
            Self::Change { octets, .. } => frame.0.extend_from_slice(octets),
            Self::Continue
            | Self::Accept
            | Self::Reject
            | Self::TempFail
            | Self::Discard
            | Self::Shutdown
            | Self::ConnectionFailed
            | Self::Skip
            | Self::Progress => {}
        }
        frame.finish()
    }

    /// The reply that a frame is, of which these are the octets behind the length.
    pub fn decode(frame: &Bytes) -> Result<Self, BadFrame> {
        let (&letter, mut rest) = frame.split_first().ok_or(BadFrame::Empty)?;
        let read = match letter {
            b'O' => take_terms(&mut rest).map(Self::Negotiate),
            b'c' => Some(Self::Continue),
            b'a' => Some(Self::Accept),
            b'r' => Some(Self::Reject),
            b't' => Some(Self::TempFail),
            b'd' => Some(Self::Discard),
            b'y' => take_text(&mut rest).map(Self::Code),
            b'4' => Some(Self::Shutdown),
            b'f' => Some(Self::ConnectionFailed),
            b's' => Some(Self::Skip),
            b'p' => Some(Self::Progress),
            b'q' => take_text(&mut rest).map(Self::Quarantine),
            other => {
                let kind = Change::of(other).ok_or(BadFrame::Unknown(other))?;
                let octets = frame.slice(1..);
                return Ok(Self::Change { kind, octets });
            }
        };
        whole(letter, read, rest)
    }

    const fn letter(&self) -> u8 {
        match self {
            Self::Negotiate(_) => b'O',
            Self::Continue => b'c',
            Self::Accept => b'a',
            Self::Reject => b'r',
            Self::TempFail => b't',
            Self::Discard => b'd',
            Self::Code(_) => b'y',
            Self::Shutdown => b'4',
            Self::ConnectionFailed => b'f',
            Self::Skip => b's',
            Self::Progress => b'p',
            Self::Quarantine(_) => b'q',
            Self::Change { kind, .. } => kind.letter(),
        }
    }
}

impl Change {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::AddRecipient,
        Self::AddRecipientWith,
        Self::DeleteRecipient,
        Self::ChangeSender,
        Self::AddHeader,
        Self::InsertHeader,
        Self::ChangeHeader,
        Self::ReplaceBody,
    ];

    const fn letter(self) -> u8 {
        match self {
            Self::AddRecipient => b'+',
            Self::AddRecipientWith => b'2',
            Self::DeleteRecipient => b'-',
            Self::ChangeSender => b'e',
            Self::AddHeader => b'h',
            Self::InsertHeader => b'i',
            Self::ChangeHeader => b'm',
            Self::ReplaceBody => b'b',
        }
    }

    fn of(letter: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.letter() == letter)
    }
}

/// A frame being written; its length is put in last.
struct Frame(Vec<u8>);

impl Frame {
    fn new(letter: u8) -> Self {
        Self(vec![0, 0, 0, 0, letter])
    }

    fn text(&mut self, text: &CStr) -> &mut Self {
        self.0.extend_from_slice(text.to_bytes_with_nul());
        self
    }

    fn number(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    fn terms(&mut self, terms: &Terms) {
        self.number(terms.version);
        self.number(terms.actions);
        self.number(terms.steps.bits());
        for (place, names) in &terms.macros {
            self.number(*place);
            self.text(names);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let octets = self.0.len().saturating_sub(4);
        let length = u32::try_from(octets).unwrap_or(u32::MAX).to_be_bytes();
        if let Some(front) = self.0.first_chunk_mut::<4>() {
            *front = length;
        }
        self.0
    }
}

/// What was read, if it was read to its end.
fn whole<T>(letter: u8, read: Option<T>, rest: &[u8]) -> Result<T, BadFrame> {
    read.filter(|_| rest.is_empty())
        .ok_or(BadFrame::Malformed(letter))
}

fn take_number(rest: &mut &[u8]) -> Option<u32> {
    let (number, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_be_bytes(*number))
}

fn take_text(rest: &mut &[u8]) -> Option<CString> {
    let text = CStr::from_bytes_until_nul(rest).ok()?;
    *rest = rest.get(text.to_bytes_with_nul().len()..)?;
    Some(text.to_owned())
}

/// At least one, up to the end.
fn take_words(rest: &mut &[u8]) -> Option<Vec<CString>> {
    let mut words = vec![take_text(rest)?];
    while !rest.is_empty() {
        words.push(take_text(rest)?);
    }
    Some(words)
}

fn take_macros(rest: &mut &[u8]) -> Option<Command> {
    let (&of, after) = rest.split_first()?;
    *rest = after;
    let mut values = Vec::new();
    while !rest.is_empty() {
        values.push((take_text(rest)?, take_text(rest)?));
    }
    Some(Command::Macros { of, values })
}

fn take_header(rest: &mut &[u8]) -> Option<Command> {
    let name = take_text(rest)?;
    let value = take_text(rest)?;
    Some(Command::Header { name, value })
}

fn take_connect(rest: &mut &[u8]) -> Option<Command> {
    let name = take_text(rest)?;
    let ([family, port @ ..], after) = rest.split_first_chunk::<3>()?;
    *rest = after;
    let address = take_text(rest)?.into_string().ok()?;
    let client = match family {
        b'4' => address.parse::<Ipv4Addr>().ok()?.into(),
        b'6' => address.parse::<Ipv6Addr>().ok()?.into(),
        _ => return None,
    };
    let port = u16::from_be_bytes(*port);
    Some(Command::Connect { name, client, port })
}

fn take_terms(rest: &mut &[u8]) -> Option<Terms> {
    let mut terms = Terms {
        version: take_number(rest)?,
        actions: take_number(rest)?,
        steps: Steps::from_bits(take_number(rest)?),
        macros: Vec::new(),
    };
    while !rest.is_empty() {
        terms.macros.push((take_number(rest)?, take_text(rest)?));
    }
    Some(terms)
}
