//! The features of one message while they are gathered: each bucket once, no more of them than fit.
//!
//! For an explanation the bag keeps the words of each feature, too; otherwise a feature is four octets.

use super::super::hash::Hash;
use super::{About, Features, Named};

/// What a feature is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Says itself what it is, in words.
    Form = 1,
    /// A word of the text.
    Word = 2,
    /// Two words of the text that follow each other.
    Pair = 3,
    /// A word of the subject.
    Subject = 4,
    /// Two words of the subject.
    SubjectPair = 5,
    /// A word of the author's display name.
    Name = 6,
    /// A host that the text links to.
    Host = 7,
    /// Its domain, as far as one can tell without a list.
    Domain = 8,
    /// The program that made the message, as it calls itself.
    Program = 9,
    /// The extension of an attachment's name.
    Extension = 10,
    /// A charset.
    Charset = 11,
    /// A media type.
    Media = 12,
    /// How the header section's fields follow each other.
    Order = 13,
    /// The pattern of an identifier: of letters, digits and what is between them.
    Pattern = 14,
    /// Three characters that follow each other in the author's display name.
    NameGram = 15,
}

impl Kind {
    fn words(self, text: &str) -> String {
        match self {
            Self::Form => text.to_owned(),
            Self::Word => format!("the word \"{text}\""),
            Self::Pair => format!("the words \"{text}\""),
            Self::Subject => format!("\"{text}\" in the subject"),
            Self::SubjectPair => format!("\"{text}\" together in the subject"),
            Self::Name | Self::NameGram => format!("\"{text}\" in the author's name"),
            Self::Host => format!("a link to the host {text}"),
            Self::Domain => format!("a link into {text}"),
            Self::Program => format!("made by \"{text}\""),
            Self::Extension => format!("an attachment of type .{text}"),
            Self::Charset => format!("the charset {text}"),
            Self::Media => format!("a part of type {text}"),
            Self::Order => format!("the order of {text}"),
            Self::Pattern => format!("the form of {text}"),
        }
    }

    const fn about(self) -> About {
        match self {
            Self::Word | Self::Pair => About::Said,
            Self::Form
            | Self::Subject
            | Self::SubjectPair
            | Self::Name
            | Self::Host
            | Self::Domain
            | Self::Program
            | Self::Extension
            | Self::Charset
            | Self::Media
            | Self::Order
            | Self::Pattern
            | Self::NameGram => About::Made,
        }
    }
}

/// The bag.
#[derive(Debug, Default)]
pub(super) struct Bag {
    said: Vec<u32>,
    made: Vec<u32>,
    /// Buckets and their words, if somebody wants to read them.
    named: Option<Vec<Named>>,
}

impl Bag {
    /// One that remembers words.
    pub(super) fn naming() -> Self {
        Self {
            named: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// Puts a feature in.
    pub(super) fn add(&mut self, kind: Kind, text: &str) {
        let hash = Hash::of(kind as u8).octets(text.as_bytes());
        self.put(kind, hash, || kind.words(text));
    }

    /// The same for two texts that follow each other.
    pub(super) fn add_pair(&mut self, kind: Kind, first: &str, second: &str) {
        let word = |text: &str| Hash::of(kind as u8).octets(text.as_bytes());
        self.put(kind, word(first).and(word(second)), || {
            kind.words(&format!("{first} {second}"))
        });
    }

    /// Says `what` of a number, by its order of magnitude.
    pub(super) fn add_size(&mut self, what: &str, number: usize) {
        let magnitude = usize::BITS - number.leading_zeros();
        let hash = Hash::of(Kind::Form as u8).octets(what.as_bytes());
        let hash = hash.octets(&magnitude.to_le_bytes());
        self.put(Kind::Form, hash, || match magnitude {
            0 => format!("no {what}"),
            1 => format!("1 {what}"),
            _ => format!(
                "{}-{} {what}",
                1_u64 << (magnitude - 1),
                (1_u64 << magnitude) - 1
            ),
        });
    }

    /// Says `what` of a share, in tenths.
    pub(super) fn add_share(&mut self, what: &str, part: usize, whole: usize) {
        let tenths = (part.saturating_mul(10) / whole.max(1)).min(10);
        let hash = Hash::of(Kind::Form as u8).octets(what.as_bytes());
        let tenth = u8::try_from(tenths).unwrap_or(10);
        self.put(Kind::Form, hash.octet(b'/').octet(tenth), || {
            format!("about {} % of {what}", tenths * 10)
        });
    }

    /// Each bucket once, in order, and what is known of their words.
    pub(super) fn into_features(self) -> Features {
        let (mut said, mut made) = (self.said, self.made);
        for buckets in [&mut said, &mut made] {
            buckets.sort_unstable();
            buckets.dedup();
        }
        let mut named = self.named.unwrap_or_default();
        // Of those that share a bucket the first one speaks.
        named.sort_by_key(|one| (one.about, one.bucket));
        named.dedup_by_key(|one| (one.about, one.bucket));
        Features { said, made, named }
    }

    fn put(&mut self, kind: Kind, hash: Hash, words: impl FnOnce() -> String) {
        if self.said.len() + self.made.len() == FEATURES_MAX {
            return;
        }
        let (bucket, about) = (hash.bucket(), kind.about());
        match about {
            About::Said => self.said.push(bucket),
            About::Made => self.made.push(bucket),
        }
        if let Some(named) = &mut self.named {
            let words = words();
            named.push(Named {
                bucket,
                about,
                words,
            });
        }
    }
}

/// Of one message, repetitions included: 64 KiB at most.
const FEATURES_MAX: usize = 16_384;
