//! A message taken apart by `mail-parser`, within bounds that the parser does not have itself.
//!
//! The parser follows messages inside of messages as deep as they go, and its results are dropped by recursion, so some
//! hundred kilobytes of nested headers would overflow a thread's stack. Here it never gets to see one: the names of the
//! media types that it would follow are made illegible in a copy before it parses, and what such a part holds is parsed
//! by itself, [`DEPTH_MAX`] levels deep. Boundaries, multiparts and continued parameters are counted first, too: each
//! of them may cost the parser a search through all of the message.

use std::borrow::Cow;

use aho_corasick::AhoCorasick;
use mail_parser::{Message, MimeHeaders, PartType};
use memchr::{memchr_iter, memmem};

use super::{DEPTH_MAX, Extractor, HEADER_OCTETS_MAX, LOOKED_AT_OCTETS, PARTS_MAX, Unscannable};

/// Which one of the messages that a message is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// The one that is sent.
    Top,
    /// One that hangs on it.
    Attached,
}

/// Shows `look` the message, and then every message that hangs on it.
pub(super) fn each(
    extractor: &Extractor,
    content: &[u8],
    mut look: impl FnMut(&Message<'_>, Level),
) -> Result<(), Unscannable> {
    let looked_at = content.get(..LOOKED_AT_OCTETS).unwrap_or(content);
    let mut waiting = vec![(Cow::Borrowed(looked_at), 0)];
    let mut parts = 0;
    let mut octets_attached = 0;
    while let Some((octets, depth)) = waiting.pop() {
        let octets = legible(&extractor.traps, octets)?;
        let Some(message) = extractor.parser.parse(&*octets) else {
            let tried = octets.starts_with(NO_HEADER) || octets.trim_ascii().is_empty();
            if depth == 0 && tried {
                return Err(Unscannable::NoHeader);
            }
            if depth == 0 {
                // Receivers show it all the same, as text.
                waiting.push((Cow::Owned([NO_HEADER, &octets].concat()), depth));
            }
            continue;
        };
        parts += message.parts.len();
        if parts > PARTS_MAX {
            return Err(Unscannable::ManyParts);
        }
        look(
            &message,
            if depth == 0 {
                Level::Top
            } else {
                Level::Attached
            },
        );
        for part in &message.parts {
            let Some(attached) = attached_message(part) else {
                continue;
            };
            if depth == DEPTH_MAX {
                return Err(Unscannable::Deep);
            }
            octets_attached += attached.len();
            if octets_attached > LOOKED_AT_OCTETS {
                return Err(Unscannable::Deep);
            }
            waiting.push((Cow::Owned(attached.to_vec()), depth + 1));
        }
    }
    Ok(())
}

/// The words that lead the parser into a message, or into a search.
pub(super) fn traps() -> AhoCorasick {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(TRAPS)
        .expect("words are patterns")
}

/// The same, without what the parser must not see; refuses what it should not be asked to read.
fn legible<'a>(traps: &AhoCorasick, octets: Cow<'a, [u8]>) -> Result<Cow<'a, [u8]>, Unscannable> {
    if octets.len() > HEADER_OCTETS_MAX {
        let head = octets.get(..HEADER_OCTETS_MAX).unwrap_or_default();
        if memmem::find(head, b"\n\r\n").is_none() && memmem::find(head, b"\n\n").is_none() {
            return Err(Unscannable::LargeHeader);
        }
    }
    let continued = |at: usize| matches!(octets.get(at + 1), Some(b'0'..=b'9' | b'='));
    let stars = memchr_iter(b'*', &octets).filter(|at| continued(*at));
    let boundaries = memmem::find_iter(&octets, b"\n--");
    if stars.take(CONTINUED_MAX).count() == CONTINUED_MAX
        || boundaries.take(BOUNDARIES_MAX).count() == BOUNDARIES_MAX
    {
        return Err(Unscannable::ManyParts);
    }
    let mut multiparts = 0;
    let mut to_hide = Vec::new();
    for found in traps.find_iter(&*octets) {
        if TRAPS.get(found.pattern().as_usize()) == Some(&MULTIPART) {
            multiparts += 1;
        } else if follows_a_type(octets.get(..found.start()).unwrap_or_default()) {
            to_hide.push(found.start());
        }
    }
    if multiparts > MULTIPARTS_MAX {
        return Err(Unscannable::ManyParts);
    }
    if to_hide.is_empty() {
        return Ok(octets);
    }
    let mut octets = octets.into_owned();
    for at in to_hide {
        if let Some(octet) = octets.get_mut(at) {
            *octet = HIDDEN;
        }
    }
    Ok(Cow::Owned(octets))
}

/// Whether a subtype may stand after this. The parser allows blanks and comments between `/` and the subtype.
fn follows_a_type(before: &[u8]) -> bool {
    let between = before
        .iter()
        .rev()
        .take_while(|octet| !octet.is_ascii_alphanumeric());
    between
        .take(BETWEEN_MAX)
        .any(|octet| matches!(octet, b'/' | b')'))
}

fn attached_message<'a>(part: &'a mail_parser::MessagePart<'_>) -> Option<&'a [u8]> {
    let media = part.content_type()?;
    let subtype = media.subtype()?;
    if !media.ctype().eq_ignore_ascii_case("message") || !HIDDEN_SUBTYPES.contains(&subtype) {
        return None;
    }
    match &part.body {
        PartType::Binary(octets) | PartType::InlineBinary(octets) => Some(octets),
        PartType::Text(text) | PartType::Html(text) => Some(text.as_bytes()),
        PartType::Message(_) | PartType::Multipart(_) => None,
    }
}

const MULTIPART: &str = "multipart";
const TRAPS: [&str; 4] = ["rfc822", "global", "digest", MULTIPART];
/// What takes the place of their first letter.
const HIDDEN: u8 = b'x';
const HIDDEN_SUBTYPES: [&str; 2] = ["xfc822", "xlobal"];
/// A field that says nothing, and the end of a header.
const NO_HEADER: &[u8] = b"Comments: none\r\n\r\n";
const CONTINUED_MAX: usize = 2048;
const BOUNDARIES_MAX: usize = 4096;
const MULTIPARTS_MAX: usize = 64;
/// Blanks before a subtype that are looked through; a line of SMTP.
const BETWEEN_MAX: usize = 1000;
