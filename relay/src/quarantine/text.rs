//! What two texts share that differ in numbers, blanks, marks and case alone.
//!
//! Header sections do not count: each copy of a mailing has its own.

use sha2::{Digest, Sha256};

/// The hash of a text on its way.
#[derive(Debug, Default)]
pub(super) struct TextHash {
    hash: Sha256,
    /// How much of the empty line that ends the header section was seen; four is all of it.
    ended: usize,
    letters: u64,
}

impl TextHash {
    /// The next octets of a content.
    pub(super) fn update(&mut self, octets: &[u8]) {
        let mut letters = Vec::with_capacity(octets.len());
        for &octet in octets {
            if self.ended < END.len() {
                let follows = END.get(self.ended) == Some(&octet);
                self.ended = match (follows, octet) {
                    (true, _) => self.ended + 1,
                    (false, b'\r') => 1,
                    (false, _) => 0,
                };
            } else if octet.is_ascii_alphabetic() || octet >= 0x80 {
                letters.push(octet.to_ascii_lowercase());
            }
        }
        self.letters += letters.len() as u64;
        self.hash.update(&letters);
    }

    /// `None` for a text that is too short to be told from others.
    pub(super) fn finish(self) -> Option<u64> {
        let hash = self.hash.finalize();
        let start = hash.first_chunk::<8>()?;
        (self.letters >= LETTERS_MIN).then(|| u64::from_be_bytes(*start))
    }
}

const END: &[u8] = b"\r\n\r\n";
const LETTERS_MIN: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(content: &str, piece: usize) -> Option<u64> {
        let mut hash = TextHash::default();
        for piece in content.as_bytes().chunks(piece) {
            hash.update(piece);
        }
        hash.finish()
    }

    #[test]
    fn numbers_blanks_case_and_the_header_make_no_difference_and_words_do() {
        let one = "Subject: 1\r\n\r\nDear customer 4711, your parcel is waiting.\r\n";
        let two =
            "Subject: other\r\nX: y\r\n\r\ndear  CUSTOMER 0815,\r\nyour parcel is waiting!\r\n";
        let three = "Subject: 1\r\n\r\nDear customer 4711, your letter is waiting.\r\n";
        for piece in [1, 3, 1000] {
            assert!(hash(one, piece).is_some());
            assert_eq!(hash(one, piece), hash(two, 1000));
            assert_ne!(hash(one, piece), hash(three, piece));
        }
        for short in [
            "",
            "Subject: a long one without any text\r\n",
            "\r\n\r\nshort 12345678901234567890",
        ] {
            assert_eq!(hash(short, 5), None, "{short}");
        }
    }
}
