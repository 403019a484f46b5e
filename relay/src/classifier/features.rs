//! From the octets of a message to the buckets of its features.
//!
//! An [`Extractor`] is made once; [`Extractor::features`] may be called for any octets. What it looks at is bounded:
//! [`LOOKED_AT_OCTETS`] of the content, [`HEADER_OCTETS_MAX`] of them header, [`PARTS_MAX`] parts, messages inside of
//! messages three deep, and so much of their text that a page of any language fits (`words`). What is beyond the bounds
//! in a way that hides the text is [`Unscannable`], not guessed at.

mod bag;
mod header;
mod html;
mod links;
mod lists;
mod parts;
mod structure;
mod words;

use aho_corasick::AhoCorasick;
use mail_parser::{MessageParser, PartType};

use self::bag::{Bag, Kind};
use self::parts::Level;
use self::words::Text;

/// The features of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// What the message says: each bucket once, in order.
    pub(super) said: Vec<u32>,
    /// How it is made, the same way.
    pub(super) made: Vec<u32>,
    /// Their words, if they were asked for.
    pub(super) named: Vec<Named>,
}

/// A feature in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) bucket: u32,
    pub(super) about: About,
    pub(super) words: String,
}

/// What a feature is about. Each has a length of its own in the vector of a message, so that a long letter does not
/// drown how it was made, and a short one is not judged by that alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    /// The words of the text.
    Said,
    /// Everything else.
    Made,
}

impl Features {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.said.len() + self.made.len()
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.said.is_empty() && self.made.is_empty()
    }

    /// All of them, with what each counts.
    pub(super) fn groups(&self) -> [(&[u32], f64); 2] {
        [About::Said, About::Made].map(|about| (self.of(about), self.value(about)))
    }

    /// What each of the features about something counts: the length of all together is the same for every message, so
    /// that nobody gains by writing much.
    pub(super) fn value(&self, about: About) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let count = self.of(about).len().max(1) as f64;
        about.length() / count.sqrt()
    }

    /// The sum of their weights, as far as they count.
    pub(super) fn sum(&self, weight: impl Fn(u32) -> f64) -> f64 {
        let groups = self.groups().into_iter();
        let sums = groups.map(|(buckets, value)| {
            buckets.iter().map(|bucket| weight(*bucket)).sum::<f64>() * value
        });
        sums.sum()
    }

    fn of(&self, about: About) -> &[u32] {
        match about {
            About::Said => &self.said,
            About::Made => &self.made,
        }
    }
}

impl About {
    const fn length(self) -> f64 {
        match self {
            Self::Said => SAID_LENGTH,
            Self::Made => MADE_LENGTH,
        }
    }
}

/// Why a message cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unscannable {
    /// Without a header nothing says how the rest is to be read.
    #[error("it has no header")]
    NoHeader,
    /// No honest message has so much header.
    #[error("its header section is larger than {HEADER_OCTETS_MAX} octets")]
    LargeHeader,
    /// More than anybody reads.
    #[error("it has more than {PARTS_MAX} parts, or is made to look as if")]
    ManyParts,
    /// Messages in messages.
    #[error("it has messages inside of each other, more than {DEPTH_MAX} deep")]
    Deep,
    /// All that could be looked at was something else.
    #[error("its first {LOOKED_AT_OCTETS} octets have no text")]
    NoText,
}

/// Makes features. Costs some kilobytes.
#[derive(Debug)]
pub struct Extractor {
    parser: MessageParser,
    traps: AhoCorasick,
}

impl Default for Extractor {
    fn default() -> Self {
        Self {
            parser: MessageParser::default(),
            traps: parts::traps(),
        }
    }
}

impl Extractor {
    /// The features of a message, `content` as its sender wrote it.
    pub fn features(&self, content: &[u8]) -> Result<Features, Unscannable> {
        self.gather(content, Bag::default())
    }

    /// The same, with the words of each feature; costs several times as much.
    pub fn named_features(&self, content: &[u8]) -> Result<Features, Unscannable> {
        self.gather(content, Bag::naming())
    }

    /// What says whether two messages are the same one, sent again: the words of their text, without numbers, addresses
    /// and links, which are what bulk mail varies. 0 for a message that cannot be read.
    #[must_use]
    pub fn sameness(&self, content: &[u8]) -> u64 {
        let mut sameness = words::Sameness::default();
        let read = parts::each(self, content, |message, _| {
            for part in &message.parts {
                match &part.body {
                    PartType::Text(text) => sameness.read(text),
                    PartType::Html(html) => {
                        sameness.read(&html::reduce(html, &mut Bag::default()).text);
                    }
                    PartType::Binary(_)
                    | PartType::InlineBinary(_)
                    | PartType::Message(_)
                    | PartType::Multipart(_) => {}
                }
            }
            if sameness.is_short() {
                sameness.read(message.subject().unwrap_or_default());
            }
        });
        read.map_or(0, |()| sameness.digest())
    }

    fn gather(&self, content: &[u8], mut bag: Bag) -> Result<Features, Unscannable> {
        let mut by_list = false;
        let mut text = Text::default();
        parts::each(self, content, |message, level| {
            if level == Level::Top {
                by_list = lists::distributed(message.headers());
                header::gather(message, by_list, &mut bag);
            } else {
                bag.add(Kind::Form, "a message hangs on it");
            }
            structure::gather(message, by_list, &mut text, &mut bag);
        })?;
        if content.len() > LOOKED_AT_OCTETS && text.is_empty() {
            return Err(Unscannable::NoText);
        }
        text.finish(&mut bag);
        Ok(bag.into_features())
    }
}

/// Of everything that decides which features a message has.
pub(super) const FEATURES_VERSION: u16 = 2;
/// How much of a message is looked at; what is cut off is mostly the end of an attachment.
pub const LOOKED_AT_OCTETS: usize = 512 << 10;
/// Of the message, and of each message in it.
pub const HEADER_OCTETS_MAX: usize = 64 << 10;
/// Parts of one message, all levels together.
pub const PARTS_MAX: usize = 256;
/// Messages inside of messages.
pub const DEPTH_MAX: usize = 3;
/// So that a typical weight is of the size of one. Both lengths were chosen on mail that judged nothing else;
/// `models/README.md` says how.
const SAID_LENGTH: f64 = 14.3;
const MADE_LENGTH: f64 = 7.2;

#[cfg(test)]
mod tests;
