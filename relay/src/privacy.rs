//! Addresses that can be counted and compared, and not read: a local-part becomes a word that only the holder of the key
//! can make (RFC 6590).
//!
//! The same address has the same word while a key is used, so that "four hundred recipients of one domain" and "the same
//! sender as yesterday" can still be seen. The domain enters into the word: who is `info` at one domain is not told
//! from who is `info` at another. Keys are used for a month and forgotten after a year (`privacy.keys`); then nobody can try
//! names any more.
//!
//! What hides an address from a reader of text (encoded words, base64) hides it here: [`Redactor::text`] is for header
//! sections that are shown to people who may see headers, not for publishing.
//!
//! # Diagnostics
//! Only logged: keys that cannot be read or kept (`error`); words of that run cannot be compared with others then.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use data_encoding::BASE32_NOPAD;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::error;

use crate::config::TokenTerms;
use crate::token::keyring::Keyring;

/// Makes words of local-parts, or leaves them.
pub(crate) struct Redactor {
    file: PathBuf,
    keys: Mutex<Keyring>,
    /// The file can be trusted, and replaced.
    is_kept: bool,
    is_on: bool,
}

impl Redactor {
    /// With the keys that are kept in `state_dir`. Blocks on the disk.
    pub(crate) fn open(state_dir: &Path, is_on: bool) -> Self {
        let file = state_dir.join(KEYS_FILE);
        let (keys, is_kept) = match Keyring::read(&file) {
            Ok(keys) => (keys, true),
            Err(error) => {
                error!(%error, file = %file.display(), "keys of redaction cannot be read; words of this run are its own");
                (Keyring::default(), false)
            }
        };
        Self {
            file,
            keys: Mutex::new(keys),
            is_kept,
            is_on,
        }
    }

    /// Names the key that is in use; words are the same only under the same key. `None` = nothing is redacted.
    pub(crate) fn epoch(&self) -> Option<String> {
        if !self.is_on {
            return None;
        }
        self.keys().newest().map(|key| key.id().to_string())
    }

    /// An address, or `<>`, or `postmaster`, as it may be shown.
    pub(crate) fn address(&self, address: &str) -> String {
        let text = self.text(address.as_bytes());
        String::from_utf8_lossy(&text).into_owned()
    }

    /// All addresses in a text.
    pub(crate) fn text(&self, text: &[u8]) -> Vec<u8> {
        if !self.is_on {
            return text.to_vec();
        }
        let keys = self.keys();
        let Some(key) = keys.newest() else {
            // Without randomness there are no words that others could not make, and then there is nothing.
            return redact(text, |_local, _domain| "redacted".to_owned());
        };
        let key = hmac::Key::new(HMAC_SHA256, key.octets());
        redact(text, |local, domain| word(&key, local, domain))
    }

    /// The keys, with one that is young enough.
    fn keys(&self) -> MutexGuard<'_, Keyring> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        if keys.rotate(today, &TERMS)
            && self.is_kept
            && let Err(error) = keys.write(&self.file, KEYS_HEAD)
        {
            error!(%error, file = %self.file.display(), "keys of redaction cannot be kept; words of this run are its own");
        }
        keys
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The keys are nobody's business.
        f.debug_struct("Redactor")
            .field("is_on", &self.is_on)
            .finish_non_exhaustive()
    }
}

/// Sixteen letters and digits for a local-part of this domain.
fn word(key: &hmac::Key, local: &[u8], domain: &[u8]) -> String {
    let mut address = local.to_vec();
    address.push(b'@');
    // Only the domain's case means nothing (RFC 5321 section 2.4).
    address.extend(domain.to_ascii_lowercase());
    let tag = hmac::sign(key, &address);
    let mut word = BASE32_NOPAD.encode(&tag.as_ref()[..WORD_OCTETS]);
    word.make_ascii_lowercase();
    word
}

/// `text` with a word in place of whatever stands before an `@` that a domain follows.
fn redact(text: &[u8], word: impl Fn(&[u8], &[u8]) -> String) -> Vec<u8> {
    let mut redacted = Vec::with_capacity(text.len());
    // Of `text`, what is in `redacted` already.
    let mut done = 0;
    for at in memchr::memchr_iter(b'@', text) {
        let start = done + start_of_local(&text[done..at]);
        let domain = domain(&text[at + 1..]);
        if start == at || domain.is_empty() {
            continue;
        }
        redacted.extend_from_slice(&text[done..start]);
        redacted.extend(word(&text[start..at], domain).into_bytes());
        done = at;
    }
    redacted.extend_from_slice(&text[done..]);
    redacted
}

/// Where the local-part begins that `text` ends with.
fn start_of_local(text: &[u8]) -> usize {
    if let Some(inside) = text.strip_suffix(b"\"") {
        // A quoted one: back to the quote that no backslash stands before.
        let quotes = memchr::memrchr_iter(b'"', inside);
        let mut quotes = quotes.filter(|&quote| quote == 0 || inside[quote - 1] != b'\\');
        return quotes.next().unwrap_or(0);
    }
    let is_local =
        |octet: &u8| octet.is_ascii_alphanumeric() || LOCAL.contains(octet) || *octet >= 0x80;
    text.len()
        - text
            .iter()
            .rev()
            .take_while(|octet| is_local(octet))
            .count()
}

/// The domain that `text` begins with.
fn domain(text: &[u8]) -> &[u8] {
    let is_domain =
        |octet: &u8| octet.is_ascii_alphanumeric() || b"-.[]:".contains(octet) || *octet >= 0x80;
    let octets = text.iter().take_while(|octet| is_domain(octet)).count();
    &text[..octets]
}

/// Of local-parts beside letters and digits: RFC 5322's atext and the dot.
const LOCAL: &[u8] = b"!#$%&'*+-/=?^_`{|}~.";
/// 80 bits: no two of a million addresses share a word.
const WORD_OCTETS: usize = 10;
const TERMS: TokenTerms = TokenTerms {
    field: true,
    rotate_days: 30,
    keep_days: 365,
};
/// In `state_dir`.
const KEYS_FILE: &str = "privacy.keys";
const KEYS_HEAD: &str =
    "# Keys of redacted addresses: id, first day of use (UTC), key. Who has them can try names.\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_parts_become_words_and_the_rest_stays() {
        let shown = |text: &str| {
            let word = |local: &[u8], _: &[u8]| format!("({})", local.len());
            String::from_utf8(redact(text.as_bytes(), word)).unwrap()
        };
        for (text, expected) in [
            ("ann@example.org", "(3)@example.org"),
            ("<>", "<>"),
            ("postmaster", "postmaster"),
            (
                "To: Ann <ann.b+c@example.org>, bob@[192.0.2.1]",
                "To: Ann <(7)@example.org>, (3)@[192.0.2.1]",
            ),
            ("\"a \\\" b\"@example.org", "(8)@example.org"),
            ("x: \"a@b\"@example.org", "x: \"(1)(3)@example.org"),
            ("jürgen@bücher.example", "(7)@bücher.example"),
            ("a@b@c.example", "(1)@(1)@c.example"),
            ("@example.org", "@example.org"),
            ("ann@ nowhere", "ann@ nowhere"),
            ("@@@", "@@@"),
            ("", ""),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn words_are_the_same_as_long_as_the_key_is_and_tell_domains_apart() {
        let directory = tempfile::tempdir().unwrap();
        let redactor = Redactor::open(directory.path(), true);
        let word = redactor.address("ann@example.org");
        assert!(
            word.ends_with("@example.org") && !word.contains("ann"),
            "{word}"
        );
        assert_eq!(word.len(), "@example.org".len() + 16);
        let again = Redactor::open(directory.path(), true);
        assert_eq!(
            again.address("ann@EXAMPLE.org"),
            word.replace("example", "EXAMPLE")
        );
        assert_eq!(again.epoch(), redactor.epoch());
        let local = |address: &str| {
            redactor
                .address(address)
                .split_once('@')
                .unwrap()
                .0
                .to_owned()
        };
        assert_ne!(local("ann@example.net"), local("ann@example.org"));
        assert_ne!(local("Ann@example.org"), local("ann@example.org"));
        let other = tempfile::tempdir().unwrap();
        let other = Redactor::open(other.path(), true);
        assert_ne!(other.address("ann@example.org"), word);
        let off = Redactor::open(directory.path(), false);
        assert_eq!(
            (off.address("ann@example.org"), off.epoch()),
            ("ann@example.org".into(), None)
        );
        assert!(!format!("{redactor:?}").contains("keys"));
    }
}
