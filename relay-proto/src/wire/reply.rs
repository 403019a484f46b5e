//! SMTP replies: a code, lines of text, and the enhanced status code that opens each line.
//!
//! [`Reply`] is what either side says; [`Parser`] reads one from lines, bounded in every direction.
//! Control characters never survive in a reply, so that nothing that a peer or a scanner said can
//! start a line of its own.
//!
//! # Diagnostics
//! A code outside 200..=599 given to [`Reply::new`] is a bug of ours. Debug builds assert; a release
//! takes 451 instead, so that a wrong constant never becomes an acceptance. [`ReplyError`] is the
//! peer's doing.

mod parse;

use core::fmt;

use bytes::BytesMut;

pub use parse::{MAX_LINE_OCTETS, Parser, ReplyError};

use super::line::CRLF;

/// A three-digit reply code, 200 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u16);

/// A reply as one side says it to the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reply {
    code: Code,
    /// Never empty. Each is free of control characters, and starts with the enhanced code if there is one.
    lines: Vec<String>,
}

impl Code {
    /// `None` outside 200..=599.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 200 && code <= 599 {
            Some(Self(code))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }

    /// 2xx: done.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 / 100 == 2
    }

    /// 3xx: go on.
    #[must_use]
    pub const fn is_intermediate(self) -> bool {
        self.0 / 100 == 3
    }

    /// 4xx: not now.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        self.0 / 100 == 4
    }

    /// 5xx: never.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        self.0 / 100 == 5
    }
}

impl PartialEq<u16> for Code {
    fn eq(&self, other: &u16) -> bool {
        self.0 == *other
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Reply {
    /// A reply with an enhanced status code (RFC 3463), which opens every line. A newline in `text`
    /// starts another line; other control characters become `?`.
    #[must_use]
    pub fn new(code: u16, enhanced: &str, text: &str) -> Self {
        let mut reply = Self::plain(code, text);
        reply.prefix(&clean(enhanced));
        reply
    }

    /// A reply without an enhanced status code: a greeting, the answer to EHLO, 354.
    #[must_use]
    pub fn plain(code: u16, text: &str) -> Self {
        debug_assert!(Code::new(code).is_some(), "no reply code: {code}");
        let mut lines: Vec<String> = text.lines().map(clean).collect();
        if lines.is_empty() {
            lines.push(String::new());
        }
        Self {
            code: Code::new(code).unwrap_or(Code(451)),
            lines,
        }
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The enhanced status code, `5.7.1`, if the reply has one of its code's class.
    #[must_use]
    pub fn enhanced(&self) -> Option<&str> {
        let first = self.lines.first()?.split(' ').next()?;
        is_enhanced(first, self.code).then_some(first)
    }

    /// The lines of text after the code, enhanced status code included.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The text of all lines in one, without the enhanced status codes.
    #[must_use]
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self.lines().map(|line| self.without_code(line)).collect();
        texts.join(" ")
    }

    /// The same reply, with the least enhanced status code of its class if it has none. Whoever offers
    /// ENHANCEDSTATUSCODES must have one on every such reply (RFC 2034 section 4), also on one that it
    /// passes on for a server that has none.
    #[must_use]
    pub fn or_generic_enhanced(mut self) -> Self {
        if self.enhanced().is_none() && !self.code.is_intermediate() {
            let generic = format!("{}.0.0", self.code.0 / 100);
            self.prefix(&generic);
        }
        self
    }

    /// Appends the reply as it goes on the wire. A line is cut to fit into 512 octets (RFC 5321 section
    /// 4.5.3.1.5), at a space if there is one, and goes on in another line of the reply. Unless `utf8`,
    /// characters outside ASCII become `?` (RFC 6531 section 3.7.4.1).
    pub fn encode(&self, utf8: bool, out: &mut BytesMut) {
        let mut lines = Vec::with_capacity(self.lines.len());
        for line in &self.lines {
            let line = if utf8 {
                line.clone()
            } else {
                line.replace(|c: char| !c.is_ascii(), "?")
            };
            self.cut(&line, &mut lines);
        }
        let last = lines.len().saturating_sub(1);
        for (index, line) in lines.iter().enumerate() {
            let separator = if index == last { ' ' } else { '-' };
            out.extend_from_slice(format!("{}{separator}{line}", self.code).as_bytes());
            out.extend_from_slice(CRLF);
        }
    }

    fn cut(&self, line: &str, lines: &mut Vec<String>) {
        let opening = match self.enhanced() {
            Some(enhanced) if self.without_code(line).len() < line.len() => format!("{enhanced} "),
            Some(_) | None => String::new(),
        };
        let mut rest = line;
        let mut start = String::new();
        loop {
            let room = MAX_TEXT_OCTETS.saturating_sub(start.len());
            if rest.len() <= room {
                lines.push(start + rest);
                return;
            }
            let fits = rest.floor_char_boundary(room);
            let (head, _) = rest.split_at_checked(fits).unwrap_or((rest, ""));
            let at_space = head.rfind(' ').filter(|&at| at > room / 2);
            let (head, tail) = rest
                .split_at_checked(at_space.unwrap_or(fits))
                .unwrap_or((rest, ""));
            lines.push(start + head);
            rest = tail.strip_prefix(' ').unwrap_or(tail);
            start = opening.clone();
        }
    }

    fn prefix(&mut self, enhanced: &str) {
        for line in &mut self.lines {
            *line = format!("{enhanced} {line}");
        }
    }

    fn without_code<'a>(&self, line: &'a str) -> &'a str {
        match line.split_once(' ') {
            Some((first, rest)) if is_enhanced(first, self.code) => rest,
            Some(_) | None => line,
        }
    }
}

/// On one line, for logs and for quoting in another reply: `550 5.7.1 first line 5.7.1 second line`.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        for line in &self.lines {
            write!(f, " {line}")?;
        }
        Ok(())
    }
}

/// RFC 3463 section 2: class, subject and detail, the last two of 1 to 3 digits. The class is the code's.
fn is_enhanced(word: &str, code: Code) -> bool {
    let mut parts = word.split('.');
    let class = match parts.next() {
        Some("2") => 2,
        Some("4") => 4,
        Some("5") => 5,
        Some(_) | None => return false,
    };
    let mut numbers = 0;
    let all_numbers = parts.all(|part| {
        numbers += 1;
        (1..=3).contains(&part.len()) && part.bytes().all(|o| o.is_ascii_digit())
    });
    class == code.0 / 100 && numbers == 2 && all_numbers
}

/// Text that stays on its line, and on the terminal of whoever reads it.
fn clean(text: &str) -> String {
    let kept = |c: char| if c == '\t' { ' ' } else { '?' };
    text.chars()
        .map(|c| if c.is_control() { kept(c) } else { c })
        .collect()
}

/// 512 octets without the code, the separator and CRLF.
const MAX_TEXT_OCTETS: usize = 512 - 3 - 1 - 2;

#[cfg(test)]
mod tests;
