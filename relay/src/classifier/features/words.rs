//! Words of texts, and what can be said of a text without reading its words.
//!
//! A word is letters and digits in small letters, every digit a `0`, without apostrophes and without characters that
//! nobody sees. Scripts that do not separate words give pairs of characters. Of a message so many words are read that a
//! long letter fits, and no more.

use super::super::hash::Hash;
use super::bag::{Bag, Kind};

/// Shows `look` up to `most` words of `text`.
pub(super) fn each(text: &str, most: usize, mut look: impl FnMut(&str)) {
    let mut word = String::with_capacity(RUN_OCTETS_MAX + 4);
    let mut count = 0;
    for letter in text.chars().chain(std::iter::once(' ')) {
        if letter.is_alphanumeric() || matches!(letter, '$' | '€' | '£') {
            if letter.is_ascii_digit() {
                word.push('0');
            } else if letter.is_ascii() {
                word.push(letter.to_ascii_lowercase());
            } else {
                word.extend(letter.to_lowercase());
            }
            if word.len() < RUN_OCTETS_MAX {
                continue;
            }
        } else if is_invisible(letter) || (matches!(letter, '\'' | '\u{2019}') && !word.is_empty())
        {
            continue;
        }
        if word.is_empty() {
            continue;
        }
        if word.len() <= WORD_OCTETS_MAX {
            look(&word);
            count += 1;
        } else if !word.is_ascii() {
            let (mut last, mut pair) = (' ', String::with_capacity(8));
            for letter in word.chars() {
                pair.clear();
                pair.extend([last, letter]);
                if last != ' ' {
                    look(&pair);
                    count += 1;
                }
                last = letter;
            }
        }
        word.clear();
        if count >= most {
            return;
        }
    }
}

/// Shows `look` each three characters of `text` that follow each other.
pub(super) fn each_gram(text: &str, mut look: impl FnMut(&str)) {
    let starts = text.char_indices().map(|(at, _)| at);
    let ends = text
        .char_indices()
        .map(|(at, letter)| at + letter.len_utf8());
    for (start, end) in starts.zip(ends.skip(GRAM_CHARACTERS - 1)) {
        look(text.get(start..end).unwrap_or_default());
    }
}

/// All that the text of one message says, part by part.
#[derive(Debug, Default)]
pub(super) struct Text {
    octets: usize,
    words: usize,
    letters: usize,
    capitals: usize,
    exclamations: usize,
    money: usize,
    lines: usize,
    quoted: usize,
    invisible: usize,
    mixed: usize,
    digits_within: usize,
    spaced: usize,
    last: String,
    /// Single letters that follow each other.
    single: String,
}

impl Text {
    /// Nothing but blanks so far.
    pub(super) fn is_empty(&self) -> bool {
        self.words == 0
    }

    /// Reads another part's text.
    pub(super) fn read(&mut self, text: &str, bag: &mut Bag) {
        let left = TEXT_OCTETS_MAX.saturating_sub(self.octets);
        let text = text.get(..text.floor_char_boundary(left)).unwrap_or(text);
        self.octets += text.len();
        for letter in text.chars() {
            match letter {
                '!' => self.exclamations += 1,
                '$' | '€' | '£' => self.money += 1,
                'A'..='Z' => {
                    self.capitals += 1;
                    self.letters += 1;
                }
                'a'..='z' => self.letters += 1,
                '\n' => self.lines += 1,
                _ if letter.is_ascii() => {}
                _ if is_invisible(letter) => self.invisible += 1,
                _ if letter.is_uppercase() => {
                    self.capitals += 1;
                    self.letters += 1;
                }
                _ if letter.is_alphabetic() => self.letters += 1,
                _ => {}
            }
        }
        self.quoted += text
            .lines()
            .filter(|line| line.starts_with(['>', '|']))
            .count();
        let most = WORDS_MAX.saturating_sub(self.words);
        if most == 0 {
            return;
        }
        each(text, most, |word| self.word(word, bag));
        self.end_of_single(bag);
    }

    /// What is to be said in the end.
    pub(super) fn finish(self, bag: &mut Bag) {
        bag.add_size("words", self.words);
        if self.letters >= 20 {
            bag.add_share("the letters in capitals", self.capitals, self.letters);
        }
        if self.lines > 0 {
            bag.add_share("the lines quoted", self.quoted, self.lines);
        }
        for (what, count) in [
            ("exclamation marks", self.exclamations),
            ("signs of currencies", self.money),
            ("characters that nobody sees", self.invisible),
            ("words of two alphabets", self.mixed),
            ("words with digits for letters", self.digits_within),
            ("words with spaces between their letters", self.spaced),
        ] {
            if count > 0 {
                bag.add_size(what, count);
            }
        }
    }

    fn word(&mut self, word: &str, bag: &mut Bag) {
        self.words += 1;
        if word.len() == 1 {
            if word != "0" {
                self.single.push_str(word);
            }
            return;
        }
        self.end_of_single(bag);
        bag.add(Kind::Word, word);
        if !self.last.is_empty() {
            bag.add_pair(Kind::Pair, &self.last, word);
        }
        word.clone_into(&mut self.last);
        let trimmed = word.trim_matches('0');
        self.digits_within += usize::from(trimmed.contains('0'));
        if !word.is_ascii() {
            let latin = word.bytes().any(|octet| octet.is_ascii_lowercase());
            // Greek and Cyrillic have letters that look like Latin ones; nobody uses both in one word.
            let other = word
                .chars()
                .any(|letter| matches!(letter, '\u{370}'..='\u{52f}'));
            self.mixed += usize::from(latin && other);
        }
    }

    /// `f r e e` is a word, too.
    fn end_of_single(&mut self, bag: &mut Bag) {
        if self.single.chars().count() >= SPACED_LETTERS {
            self.spaced += 1;
            let word = std::mem::take(&mut self.single);
            if word.len() <= WORD_OCTETS_MAX {
                bag.add(Kind::Word, &word);
            }
        }
        self.single.clear();
    }
}

/// A digest of a text without what bulk mail varies.
#[derive(Debug)]
pub(super) struct Sameness {
    hash: Hash,
    words: usize,
}

impl Default for Sameness {
    fn default() -> Self {
        Self {
            hash: Hash::of(0),
            words: 0,
        }
    }
}

impl Sameness {
    /// Reads on.
    pub(super) fn read(&mut self, text: &str) {
        for token in text.split_whitespace() {
            let varies = token.contains(['@', '/', '='])
                || token.bytes().any(|octet| octet.is_ascii_digit());
            if varies || self.words == SAMENESS_WORDS {
                continue;
            }
            each(token, 1, |word| {
                self.hash = self.hash.octets(word.as_bytes()).octet(b' ');
                self.words += 1;
            });
        }
    }

    /// Too short to tell messages apart.
    pub(super) fn is_short(&self) -> bool {
        self.words < SAMENESS_WORDS_MIN
    }

    pub(super) fn digest(&self) -> u64 {
        self.hash.digest()
    }
}

/// Zero width, direction, soft hyphen: they tear words apart for programs and not for people.
fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
    )
}

/// Of one message, all parts together.
const TEXT_OCTETS_MAX: usize = 64 << 10;
const WORDS_MAX: usize = 4096;
/// What is longer is no word, or of a script without blanks.
const WORD_OCTETS_MAX: usize = 24;
const RUN_OCTETS_MAX: usize = 96;
const SPACED_LETTERS: usize = 4;
const GRAM_CHARACTERS: usize = 3;
/// The beginning says which message it is; what follows may be padding.
const SAMENESS_WORDS: usize = 200;
const SAMENESS_WORDS_MIN: usize = 12;
