//! The coding of content, against a second reading that is too simple to be wrong.

use bytes::BytesMut;

use super::pieces;
use crate::wire::dot::{Decoded, Decoder, Encoder};
use crate::wire::line::FramingError;

/// What became of octets read as content.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// The content, and how many octets come after the end of data.
    Ended(Vec<u8>, usize),
    Broken(FramingError),
    Unfinished,
}

/// However the octets are cut, the decoder finds what a reader of whole lines finds.
pub fn decoding(octets: &[u8], cuts: &[u8]) {
    let expected = line_by_line(octets);
    assert_eq!(decode(pieces(octets, cuts)), expected, "in pieces");
    assert_eq!(decode(pieces(octets, &[1])), expected, "octet by octet");
    assert_eq!(decode(core::iter::once(octets)), expected, "all at once");
}

/// What is encoded is decoded to the same again, however both are cut.
pub fn round_trip(octets: &[u8], cuts: &[u8]) {
    let lines = octets.split(|octet| matches!(octet, b'\r' | b'\n'));
    let content: Vec<u8> = lines
        .filter(|line| !line.starts_with(b"\0") || without_nul(line) != b".")
        .flat_map(|line| [line, b"\r\n".as_slice()].concat())
        .collect();
    let mut encoder = Encoder::default();
    let mut wire = BytesMut::new();
    for piece in pieces(&content, cuts) {
        let encoded = encoder.encode(piece, &mut wire);
        assert_eq!(encoded, Ok(()), "well-framed content");
    }
    assert_eq!(encoder.finish(&mut wire), Ok(()), "well-framed content");
    let expected = Outcome::Ended(content, 0);
    assert_eq!(line_by_line(&wire), expected, "the end of data is the end");
    let other_cuts: Vec<u8> = cuts.iter().rev().copied().collect();
    assert_eq!(decode(pieces(&wire, &other_cuts)), expected);
}

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = Decoder::default();
    let mut input = BytesMut::new();
    let mut content = Vec::new();
    let mut outcome = Outcome::Unfinished;
    for piece in pieces {
        input.extend_from_slice(piece);
        while outcome == Outcome::Unfinished {
            match decoder.decode(&mut input) {
                Ok(Some(Decoded::Content(piece))) => content.extend_from_slice(&piece),
                Ok(Some(Decoded::End)) => outcome = Outcome::Ended(content.clone(), 0),
                Ok(None) => break,
                Err(error) => outcome = Outcome::Broken(error),
            }
        }
    }
    match outcome {
        Outcome::Ended(content, _) => Outcome::Ended(content, input.len()),
        Outcome::Broken(_) | Outcome::Unfinished => outcome,
    }
}

/// Whether a line would be the end of data if its NULs were dropped, as it came or as it will leave.
fn is_disguised(line: &[u8]) -> bool {
    let content = line.strip_prefix(b".").unwrap_or(line);
    line.contains(&0)
        && (without_nul(line) == b"."
            || (content.starts_with(b"\0") && without_nul(content) == b"."))
}

fn without_nul(line: &[u8]) -> Vec<u8> {
    line.iter().copied().filter(|octet| *octet != 0).collect()
}

fn line_by_line(octets: &[u8]) -> Outcome {
    let mut content = Vec::new();
    let mut rest = octets;
    loop {
        let at = |index: usize| rest.get(index).copied();
        let special = rest.iter().position(|octet| matches!(octet, b'\r' | b'\n'));
        let Some(end) = special else {
            return Outcome::Unfinished;
        };
        let text = rest.get(..end).unwrap_or_default();
        match (at(end), at(end + 1)) {
            (Some(b'\r'), _) if is_disguised(text) => {
                return Outcome::Broken(FramingError::NulBesideDot);
            }
            (Some(b'\r'), Some(b'\n')) => {}
            (Some(b'\r'), None) => return Outcome::Unfinished,
            (Some(b'\r'), _) => return Outcome::Broken(FramingError::BareCr),
            (_, _) => return Outcome::Broken(FramingError::BareLf),
        }
        let (line, after) = rest.split_at_checked(end + 2).unwrap_or((rest, &[]));
        rest = after;
        if line == b".\r\n" {
            return Outcome::Ended(content, rest.len());
        }
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
}
