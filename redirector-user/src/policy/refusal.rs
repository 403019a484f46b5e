//! What the edge itself says to a customer, in the fixed width that the kernel program sends.
//!
//! [`Words`] is what an operator writes; [`refusals`] makes of it the records of the map `REFUSALS`, once per
//! reply code and family, with the checksum summed in advance.

use std::fmt;

use redirector_common::{
    abi::{ADDRESS_OCTETS, NO_ADDRESS, REFUSAL_OCTETS, Refusal, RefusalText},
    addr::{FAMILY_V4, FAMILY_V6},
};

/// One line for people behind the reply code: printable ASCII, 1 to [`LONGEST_WORDS`] octets, with
/// [`PLACEHOLDER`] at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(String);

impl Words {
    /// Reads what an operator wrote.
    ///
    /// # Errors
    ///
    /// What is wrong, and what is allowed.
    pub fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let placeholders = text.matches(PLACEHOLDER).count();
        let octets = text.len() + placeholders * (LONGEST_ADDRESS - PLACEHOLDER.len());
        let printable = text
            .bytes()
            .all(|octet| octet == b' ' || octet.is_ascii_graphic());
        if text.is_empty() || octets > LONGEST_WORDS || !printable || placeholders > 1 {
            return Err(format!(
                "not a line of a reply; allowed are 1 to {LONGEST_WORDS} printable ASCII characters, with \
                 {PLACEHOLDER} at most once, which counts as {LONGEST_ADDRESS}"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// What is said when the operator writes nothing: who refuses, whom, and where to read on. A name that
    /// cannot stand in a reply, or leaves no room, is left out.
    #[must_use]
    pub fn standard(text: RefusalText, operator: &str, help_url: &str) -> Self {
        let what = match text {
            RefusalText::Refused => "mail from %ip% is refused",
            RefusalText::Deferred => "mail from %ip% cannot be taken now, try again later",
        };
        let candidates = [
            format!("{operator}: {what}, see {help_url}"),
            format!("{what}, see {help_url}"),
        ];
        let fits = candidates.iter().find_map(|words| Self::read(words).ok());
        fits.unwrap_or_else(|| Self(what.to_owned()))
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The records of the map, by their index.
#[must_use]
pub fn refusals(refused: &Words, deferred: &Words) -> Vec<(u32, Refusal)> {
    let texts = [
        (RefusalText::Refused, refused),
        (RefusalText::Deferred, deferred),
    ];
    let families = [FAMILY_V4, FAMILY_V6].into_iter().zip(ADDRESS_OCTETS);
    let all = texts.into_iter().flat_map(|(text, words)| {
        let families = families.clone();
        families.map(move |(family, address_octets)| {
            (text.index(family), refusal(text, words, address_octets))
        })
    });
    all.collect()
}

fn refusal(text: RefusalText, words: &Words, address_octets: u16) -> Refusal {
    // RFC 3463: 5.7.1 "delivery not authorized", 4.3.2 "system not accepting network messages".
    let code = match text {
        RefusalText::Refused => "554 5.7.1",
        RefusalText::Deferred => "421 4.3.2",
    };
    let (head, tail) = match words.0.split_once(PLACEHOLDER) {
        Some((head, tail)) => (head, Some(tail)),
        None => (words.0.as_str(), None),
    };
    let mut line = format!("{code} {head}").into_bytes();
    let mut address_at = NO_ADDRESS;
    if let Some(tail) = tail {
        address_at = u16::try_from(line.len()).unwrap_or(NO_ADDRESS);
        line.resize(line.len() + usize::from(address_octets), 0);
        line.extend(tail.bytes());
    }
    // Words of the longest length leave room for code, address and line end.
    line.resize(usize::from(REFUSAL_OCTETS) - LINE_END.len(), b' ');
    line.extend(LINE_END);
    let mut refusal = Refusal {
        sum: sum(&line),
        address_at,
        ..Refusal::default()
    };
    for (place, octet) in refusal.text.as_flattened_mut().iter_mut().zip(line) {
        *place = octet;
    }
    refusal
}

/// Sum over an even number of octets in ones' complement (RFC 1071).
fn sum(octets: &[u8]) -> u16 {
    let (words, _) = octets.as_chunks::<2>();
    words.iter().fold(0, |sum, word| {
        let (sum, carry) = u16::from_be_bytes(*word).overflowing_add(sum);
        sum + u16::from(carry)
    })
}

/// Where the customer's address goes.
pub const PLACEHOLDER: &str = "%ip%";
/// Octets of [`Words`], at most, as a customer reads them.
pub const LONGEST_WORDS: usize = 200;
/// Octets that an address takes: the longer of [`ADDRESS_OCTETS`].
const LONGEST_ADDRESS: usize = 40;
const LINE_END: &[u8] = b"\r\n";

#[cfg(test)]
mod tests {
    use redirector_common::checksum::Sum;

    use super::*;

    fn line(refusal: &Refusal) -> String {
        String::from_utf8(refusal.text.as_flattened().to_vec()).unwrap()
    }

    fn words(text: &str) -> Words {
        Words::read(text).unwrap()
    }

    #[test]
    fn a_line_has_its_width_its_code_and_one_end() {
        let longest = format!("{}%ip%", "x".repeat(LONGEST_WORDS - 40));
        for text in ["no", "a%ip%", "even%ip% and on", "%ip%", &longest] {
            let records = refusals(&words(text), &words("later"));
            let indices: Vec<u32> = records.iter().map(|(index, _)| *index).collect();
            assert_eq!(indices, [0, 1, 2, 3]);
            for (index, refusal) in &records {
                let line = line(refusal);
                let code = if *index < 2 {
                    "554 5.7.1 "
                } else {
                    "421 4.3.2 "
                };
                assert!(line.starts_with(code), "{line:?}");
                assert_eq!(line.find("\r\n"), Some(214), "{line:?}");
                let octets: &[u8; 216] = line.as_bytes().try_into().unwrap();
                assert_eq!(
                    Sum::new().number(refusal.sum).checksum(),
                    Sum::new().octets(octets).checksum()
                );
            }
        }
    }

    #[test]
    fn the_address_has_its_place() {
        for (text, expected) in [("of %ip% is", 13), ("of  %ip% is", 14), ("%ip%", 10)] {
            for (index, refusal) in refusals(&words(text), &words(text)) {
                let at = usize::from(refusal.address_at);
                let width = [16, 40][index as usize % 2];
                let line = line(&refusal);
                assert_eq!(at, expected);
                assert_eq!(line.find('\0'), Some(at), "{line:?}");
                assert_eq!(line.matches('\0').count(), width, "{line:?}");
            }
        }
        assert_eq!(
            refusals(&words("no"), &words("no"))[0].1.address_at,
            NO_ADDRESS
        );
    }

    #[test]
    fn what_cannot_stand_in_a_reply_is_refused() {
        let long = "x".repeat(LONGEST_WORDS + 1);
        let long_with_address = format!("{}%ip%", "x".repeat(LONGEST_WORDS - 39));
        for text in [
            "",
            "  ",
            "a\r\nb",
            "a\tb",
            "gr\u{fc}n",
            "%ip% %ip%",
            &long,
            &long_with_address,
        ] {
            assert!(Words::read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_standard_words_always_fit() {
        let url = "https://abuse.example.net/smtp";
        let long_url = format!("https://{}", "x".repeat(192));
        let said = |operator: &str, url: &str| {
            Words::standard(RefusalText::Refused, operator, url).to_string()
        };
        assert_eq!(
            said("Example Hosting", url),
            "Example Hosting: mail from %ip% is refused, see https://abuse.example.net/smtp"
        );
        let without_name = "mail from %ip% is refused, see https://abuse.example.net/smtp";
        assert_eq!(said("Gr\u{fc}n", url), without_name);
        assert_eq!(said("50 %ip%", url), without_name);
        assert_eq!(said("Example", &long_url), "mail from %ip% is refused");
    }
}
