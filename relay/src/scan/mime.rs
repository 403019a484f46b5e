//! What a message is made of, decoded, and never more of it than [`Limits`] say.
//!
//! [`Bounded::parse`] takes a content that is in memory and gives its parts, each behind the container that it stands
//! in. It does not fail. What lies beyond a limit is left out, and the limit is named in [`Bounded::beyond`]; what is
//! broken is read as programs that show mail to people read it (a base64 with strange octets, a part without its
//! end). A scanner may therefore find something in what there is, and says [`Unscannable`] if it has found nothing and
//! something was left out:
//!
//! ```text
//! let parsed = Bounded::parse(content, Limits::default());
//! let found = parsed.parts.iter().any(|part| looks_bad(part));
//! if !found { parsed.whole()?; }
//! ```
//!
//! The structure is read in one passage over the octets, with a stack on the heap: its cost is the length of the
//! message times the depth limit at most, whatever the message says about itself. A parser that calls itself for what
//! is nested, or that looks for each boundary to the end, is ended by a message of a mebibyte. Fields are
//! understood by mail-parser, one at a time and none longer than [`FIELD_OCTETS_MAX`].

use std::borrow::Cow;

use bytes::Bytes;
use mail_parser::decoders::charsets::map::charset_decoder;

#[cfg(any(test, fuzzing))]
pub(crate) mod check;
mod fields;
mod transfer;
mod walk;

/// How much is looked at of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Octets of each header section.
    pub(crate) header_octets: usize,
    /// Parts, containers included.
    pub(crate) parts: usize,
    /// Containers around a part.
    pub(crate) depth: usize,
    /// Octets that are decoded from base64 and quoted-printable, all parts together. What is not encoded costs nothing.
    pub(crate) decoded_octets: usize,
}

impl Default for Limits {
    /// What honest mail stays far below: a digest has hundreds of parts, a forwarded thread a dozen levels.
    fn default() -> Self {
        Self {
            header_octets: 256 << 10,
            parts: 1000,
            depth: 30,
            decoded_octets: 4 << 20,
        }
    }
}

/// Why a message was not looked at whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unscannable {
    /// A header section is longer.
    #[error("a header of more than {0} octets")]
    Header(usize),
    /// There are more parts.
    #[error("more than {0} parts")]
    Parts(usize),
    /// A part lies deeper.
    #[error("parts nested more than {0} deep")]
    Depth(usize),
    /// Decoded, it is longer.
    #[error("more than {0} octets when decoded")]
    Decoded(usize),
}

/// A message within its limits.
#[derive(Debug)]
pub(crate) struct Bounded {
    /// The message itself comes first. Containers stand before what they contain; what lies in an encoded message
    /// follows everything that does not.
    pub(crate) parts: Vec<Part>,
    /// The first limit that something was beyond.
    pub(crate) beyond: Option<Unscannable>,
}

/// The message, or something in it that has a header of its own.
#[derive(Debug)]
pub(crate) struct Part {
    /// Containers around it.
    pub(crate) depth: usize,
    /// Its header section, without the empty line; as much of it as the limit allows.
    pub(crate) header: Bytes,
    /// Type and subtype in small letters; `text/plain` if it does not say.
    pub(crate) media: String,
    /// The charset that it claims.
    pub(crate) charset: Option<String>,
    /// What it says.
    pub(crate) body: Body,
}

/// What a part says, decoded from its transfer encoding and not from its charset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    /// Other parts.
    Multipart,
    /// A message.
    Message,
    /// What people read.
    Text(Bytes),
    /// The same in HTML.
    Html(Bytes),
    /// Anything else.
    Other(Bytes),
}

impl Bounded {
    /// The parts of `content`, whose length is the caller's to bound.
    pub(crate) fn parse(content: Bytes, limits: Limits) -> Self {
        walk::walk(content, limits)
    }

    /// Whether nothing was left out.
    pub(crate) fn whole(&self) -> Result<(), Unscannable> {
        self.beyond.map_or(Ok(()), Err)
    }
}

impl Part {
    /// Its octets, if it is no container.
    pub(crate) fn octets(&self) -> Option<&Bytes> {
        match &self.body {
            Body::Multipart | Body::Message => None,
            Body::Text(octets) | Body::Html(octets) | Body::Other(octets) => Some(octets),
        }
    }

    /// What people would read: the octets in the charset that it claims if there is such a one, and else as UTF-8. Takes up to
    /// three times the memory of the octets.
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        let (Body::Text(octets) | Body::Html(octets)) = &self.body else {
            return None;
        };
        let charset = self.charset.as_deref().unwrap_or_default();
        let utf8 = charset.is_empty() || charset.eq_ignore_ascii_case("utf-8");
        Some(match charset_decoder(charset.as_bytes()) {
            Some(decode) if !utf8 => decode(octets).into(),
            _ => String::from_utf8_lossy(octets),
        })
    }
}

/// A longer Content-Type is as if it were not there. Names of files in it are some hundred octets at most; mail-parser's
/// time grows with the square of what is continued (RFC 2231).
const FIELD_OCTETS_MAX: usize = 4 << 10;

#[cfg(test)]
mod tests;
