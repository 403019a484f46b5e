//! What a text is like, in 64 bits: texts that share most of their words differ in few of them.
//!
//! Each pair of neighbouring words (a shingle) votes on each bit, so a name that is changed for every recipient moves few:
//! about `58 / sqrt(words)` of them. Words are runs of letters, in lower case; digits are none of them, because what
//! differs between copies is mostly a number. Texts of fewer words than [`WORDS_MIN`] are like too many others, and have
//! no such number.

use super::hash;

/// Reads a text in pieces.
#[derive(Clone, Debug)]
pub struct Simhash {
    votes: [i32; 64],
    /// The hash of the word that is being read; `None` between words.
    word: Option<u64>,
    /// The one before it.
    last: u64,
    words: u32,
}

impl Default for Simhash {
    fn default() -> Self {
        Self {
            votes: [0; 64],
            word: None,
            last: 0,
            words: 0,
        }
    }
}

impl Simhash {
    /// Reads on. At most [`WORDS_MAX`] words of all are looked at.
    pub fn push(&mut self, text: &str) {
        for c in text.chars() {
            if self.words >= WORDS_MAX {
                return;
            }
            if c.is_alphabetic() {
                let mut word = self.word.unwrap_or(START);
                for lower in c.to_lowercase() {
                    let octets = u32::from(lower).to_be_bytes();
                    word = octets.iter().fold(word, hash::step);
                }
                self.word = Some(word);
            } else {
                self.end_word();
            }
        }
    }

    /// What the text is like, if there is enough of it.
    #[must_use]
    pub fn finish(mut self) -> Option<u64> {
        self.end_word();
        if self.words < WORDS_MIN {
            return None;
        }
        let bits = self
            .votes
            .iter()
            .rev()
            .fold(0_u64, |bits, &votes| (bits << 1) | u64::from(votes > 0));
        Some(bits)
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else {
            return;
        };
        self.words += 1;
        if self.words > 1 {
            let shingle = self.last.rotate_left(21).wrapping_add(word);
            let shingle = hash::finish(shingle);
            for (bit, votes) in self.votes.iter_mut().enumerate() {
                *votes += if (shingle >> bit) & 1 == 1 { 1 } else { -1 };
            }
        }
        self.last = hash::finish(word);
    }
}

/// In how many bits two differ.
#[must_use]
pub const fn distance(one: u64, other: u64) -> u32 {
    (one ^ other).count_ones()
}

/// Of fewer words nothing is said.
pub const WORDS_MIN: u32 = 20;
/// Of more words none is looked at: some 300 KiB of text.
pub const WORDS_MAX: u32 = 50_000;
const START: u64 = 0xcbf2_9ce4_8422_2325;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Option<u64> {
        let mut simhash = Simhash::default();
        simhash.push(text);
        simhash.finish()
    }

    /// A text of so many words, made up by `seed`.
    fn text(seed: u64, words: u64) -> String {
        let word = |number: u64| {
            let number = hash::finish(number.wrapping_add(seed << 32)) % 400;
            let letters = hash::finish(number)
                .to_be_bytes()
                .map(|it| char::from(b'a' + it % 26));
            letters
                .iter()
                .take(2 + usize::try_from(number % 7).unwrap())
                .collect::<String>()
        };
        (0..words).map(word).collect::<Vec<_>>().join(" ")
    }

    /// As a campaign is: a long text, in which the name and a number change.
    fn letter(seed: u64, name: &str, number: u32) -> String {
        format!(
            "Dear {name},\nyour code is {number}.\n{}\nhttps://x.example/{number}",
            text(seed, 500)
        )
    }

    #[test]
    fn copies_are_near_and_others_are_far() {
        for seed in 0..50 {
            let first = of(&letter(seed, "Ann", 1)).unwrap();
            let same = of(&letter(seed, "Ann", 90_210)).unwrap();
            assert_eq!(first, same);
            let other = of(&text(seed + 1000, 500)).unwrap();
            assert!(distance(first, other) > 8, "{}", distance(first, other));
        }
        // A name moves a bit or two of a text of this length.
        let near = (0..50).filter(|&seed| {
            let [ann, bob] = ["Ann", "Bob"].map(|name| of(&letter(seed, name, 1)).unwrap());
            distance(ann, bob) <= 3
        });
        let near = near.count();
        assert!(near >= 40, "{near} of 50");
    }

    #[test]
    fn case_digits_and_layout_change_nothing() {
        let text = letter(1, "Ann", 1);
        let other = text
            .to_uppercase()
            .replace('1', "22")
            .replace(' ', "\r\n  ");
        assert_eq!(of(&text), of(&other));
    }

    #[test]
    fn a_short_text_is_like_too_many() {
        assert_eq!(of(&"word ".repeat(19)), None);
        assert!(of(&"word ".repeat(20)).is_some());
        assert_eq!(of("0123 4567 ".repeat(100).as_str()), None);
    }

    proptest! {
        #[test]
        fn pieces_are_as_good_as_the_whole(text in "[a-zA-Z0-9 äß.]{0,400}", cut in 0_usize..400) {
            let cut = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let (head, tail) = text.split_at(cut);
            let mut simhash = Simhash::default();
            simhash.push(head);
            simhash.push(tail);
            prop_assert_eq!(simhash.finish(), of(&text));
        }
    }
}
