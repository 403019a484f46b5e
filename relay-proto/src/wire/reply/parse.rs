//! Reading of replies, line by line.

use super::{Code, Reply, clean};

/// Puts a reply together from its lines.
#[derive(Debug, Default)]
pub struct Parser {
    code: Option<Code>,
    lines: Vec<String>,
    octets: usize,
}

/// Why a line belongs to no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.reason())]
pub enum ReplyError {
    /// It does not start with a code from 200 to 599.
    NoCode,
    /// After the code comes neither a space nor a hyphen.
    Separator,
    /// Its code is not that of the lines before it.
    Inconsistent,
    /// More lines, or more octets, than any reply needs.
    TooLong,
}

impl ReplyError {
    /// In words.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoCode => "no reply code",
            Self::Separator => "no space or hyphen after the reply code",
            Self::Inconsistent => "lines with different reply codes",
            Self::TooLong => "reply too long",
        }
    }
}

impl Parser {
    /// Takes one line, without its CRLF; the reply if this was its last.
    ///
    /// # Errors
    /// The line is malformed; the parser must not be used again.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let (digits, rest) = line.split_at_checked(3).ok_or(ReplyError::NoCode)?;
        let code = code(digits).ok_or(ReplyError::NoCode)?;
        if self.code.is_some_and(|first| first != code) {
            return Err(ReplyError::Inconsistent);
        }
        let (last, text) = match rest.split_first() {
            // RFC 5321 section 4.2: some servers leave out the space when there is no text.
            None => (true, rest),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return Err(ReplyError::Separator),
        };
        self.octets += line.len();
        if self.octets > MAX_REPLY_OCTETS || self.lines.len() >= MAX_LINES {
            return Err(ReplyError::TooLong);
        }
        self.code = Some(code);
        self.lines.push(clean(&String::from_utf8_lossy(text)));
        if !last {
            return Ok(None);
        }
        let Self { lines, .. } = core::mem::take(self);
        Ok(Some(Reply { code, lines }))
    }
}

fn code(digits: &[u8]) -> Option<Code> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
        .fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    Code::new(number)
}

/// Bound on one line of a reply, its CRLF included: four times what RFC 5321 section 4.5.3.1.5 allows,
/// because servers that quote addresses and URLs exceed it.
pub const MAX_LINE_OCTETS: usize = 2048;

const MAX_LINES: usize = 128;

const MAX_REPLY_OCTETS: usize = 64 * 1024;
