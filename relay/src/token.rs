//! The token that stands in every message's trace fields, and from which a returned complaint leads to the customer.
//!
//! Feedback loops redact addresses and names, and a recipient should not learn more of a customer than the mail
//! itself says; so the token holds who, when and why, encrypted and authenticated (AES-256-GCM-SIV, by the
//! library that TLS uses; a nonce that repeats by chance costs nothing there). Nothing of it is stored here but the
//! keys: each is used for a time and forgotten after another, and then no token of it tells anybody anything.
//!
//! ```text
//! token  = base64url(length, key id, nonce, sealed)           1, 4, 12 and length - 16 octets
//! sealed = AEAD(format 1, treatment, egress, flag id, seconds, address, message id)
//!                       1          1       1        4        8       16        rest  octets, big-endian
//! ```
//!
//! # Diagnostics
//! Returned by [`Tokens::resolve`]: [`ResolveError`]. Only logged: keys that cannot be read or kept (`error`); tokens
//! are then made all the same, and lead nowhere after a restart.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use contract::{Egress, Treatment};
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tracing::error;

mod field;
pub(crate) mod keyring;

pub use field::find;
use keyring::{Key, KeyId, Keyring};

use crate::config::TokenTerms;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribution {
    /// Whose message it was.
    pub customer: IpAddr,
    /// The flag that diverted it.
    pub flag_id: Option<u32>,
    /// What was done with its mail.
    pub treatment: Treatment,
    /// What it left from.
    pub egress: Egress,
    /// When it was taken, to the second.
    pub at: Timestamp,
    /// The message's name in the log (`queue.id`).
    pub id: String,
}

/// Makes tokens, and reads them.
pub struct Tokens {
    file: PathBuf,
    terms: TokenTerms,
    keys: Mutex<Keyring>,
    /// The file can be trusted, and replaced.
    is_kept: bool,
}

/// Why a token does not tell anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// It is not one.
    #[error("not a token: X-Outgate-Token of a message is one")]
    NotAToken,
    /// The key has been forgotten, or is another relay's.
    #[error("no key {0} here: the token is another relay's, or too old")]
    UnknownKey(String),
    /// Some of it is missing or was changed.
    #[error("the token is damaged or forged")]
    Forged,
}

impl Tokens {
    /// With the keys that are kept in `state_dir`; makes the first one.
    pub(crate) fn open(state_dir: &Path, terms: TokenTerms) -> Self {
        let file = state_dir.join(KEYS_FILE);
        let (keys, is_kept) = match Keyring::read(&file) {
            Ok(keys) => (keys, true),
            Err(error) => {
                // What cannot be read may still be mended, so it is not written over.
                error!(%error, file = %file.display(), "keys of tokens cannot be read; tokens of this run lead nowhere after it");
                (Keyring::default(), false)
            }
        };
        let tokens = Self {
            file,
            terms,
            keys: Mutex::new(keys),
            is_kept,
        };
        tokens.rotate(&mut tokens.keys(), today());
        tokens
    }

    /// Those of another process: only to be read.
    pub fn read(state_dir: &Path, terms: TokenTerms) -> std::io::Result<Self> {
        let file = state_dir.join(KEYS_FILE);
        Ok(Self {
            keys: Mutex::new(Keyring::read(&file)?),
            file,
            terms,
            is_kept: false,
        })
    }

    /// The token of a message. `None` only if the machine has no randomness left.
    pub(crate) fn make(&self, attribution: &Attribution) -> Option<String> {
        let mut keys = self.keys();
        self.rotate(&mut keys, today());
        let key = keys.newest()?;
        let mut sealed = attribution.to_octets();
        let nonce = sealing(key)
            .seal_in_place_append_tag(Aad::from(CONTEXT), &mut sealed)
            .ok()?;
        let mut octets = vec![u8::try_from(KeyId::OCTETS + NONCE_LEN + sealed.len()).ok()?];
        octets.extend_from_slice(&key.id().0);
        octets.extend_from_slice(nonce.as_ref());
        octets.extend_from_slice(&sealed);
        Some(BASE64URL_NOPAD.encode(&octets))
    }

    /// What `token` says.
    pub fn resolve(&self, token: &str) -> Result<Attribution, ResolveError> {
        let octets = BASE64URL_NOPAD.decode(token.trim().as_bytes());
        let octets = octets.map_err(|_decode| ResolveError::NotAToken)?;
        let Some((&length, rest)) = octets.split_first() else {
            return Err(ResolveError::NotAToken);
        };
        let parts = rest.split_first_chunk::<{ KeyId::OCTETS }>();
        let parts = parts.and_then(|(id, rest)| Some((id, rest.split_first_chunk::<NONCE_LEN>()?)));
        let Some((id, (nonce, sealed))) = parts else {
            return Err(ResolveError::NotAToken);
        };
        if usize::from(length) != rest.len() {
            return Err(ResolveError::NotAToken);
        }
        let id = KeyId(*id);
        let keys = self.keys();
        let unknown = || ResolveError::UnknownKey(id.to_string());
        let key = keys.find(id).ok_or_else(unknown)?;
        let mut sealed = sealed.to_vec();
        let opened =
            sealing(key).open_in_place(Nonce::from(nonce), Aad::from(CONTEXT), &mut sealed);
        let opened = opened.map_err(|_unspecified| ResolveError::Forged)?;
        Attribution::from_octets(opened).ok_or(ResolveError::Forged)
    }

    /// Makes a new key if the newest has been used for long enough, and forgets old ones.
    fn rotate(&self, keys: &mut Keyring, today: Date) {
        if !keys.rotate(today, &self.terms) || !self.is_kept {
            return;
        }
        if let Err(error) = keys.write(&self.file, KEYS_HEAD) {
            error!(%error, file = %self.file.display(), "keys of tokens cannot be kept; tokens lead nowhere after this run");
        }
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, Keyring> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sealing(key: &Key) -> RandomizedNonceKey {
    RandomizedNonceKey::new(&AES_256_GCM_SIV, key.octets()).expect("a key has 32 octets")
}

impl Attribution {
    fn to_octets(&self) -> Vec<u8> {
        let mut octets = vec![
            FORMAT,
            treatment_code(self.treatment),
            egress_code(self.egress),
        ];
        octets.extend_from_slice(&self.flag_id.unwrap_or(0).to_be_bytes());
        octets.extend_from_slice(&self.at.as_second().to_be_bytes());
        let address = match self.customer {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        octets.extend_from_slice(&address.octets());
        octets.extend(self.id.bytes().take(ID_OCTETS_MAX));
        octets
    }

    fn from_octets(octets: &[u8]) -> Option<Self> {
        let (&[FORMAT, treatment, egress], rest) = octets.split_first_chunk::<3>()? else {
            return None;
        };
        let (flag_id, rest) = rest.split_first_chunk::<4>()?;
        let (seconds, rest) = rest.split_first_chunk::<8>()?;
        let (address, id) = rest.split_first_chunk::<16>()?;
        Some(Self {
            customer: IpAddr::V6(Ipv6Addr::from(*address)).to_canonical(),
            flag_id: Some(u32::from_be_bytes(*flag_id)).filter(|&id| id != 0),
            treatment: *Treatment::ALL
                .iter()
                .find(|&&known| treatment_code(known) == treatment)?,
            egress: *Egress::ALL
                .iter()
                .find(|&&known| egress_code(known) == egress)?,
            at: Timestamp::from_second(i64::from_be_bytes(*seconds)).ok()?,
            id: String::from_utf8(id.to_vec()).ok()?,
        })
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The keys are nobody's business.
        f.debug_struct("Tokens")
            .field("file", &self.file)
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}

/// For ever: tokens are read by later versions.
fn treatment_code(treatment: Treatment) -> u8 {
    match treatment {
        Treatment::Filter => 0,
        Treatment::Opaque => 1,
        Treatment::Walled => 2,
    }
}

/// For ever, too.
fn egress_code(egress: Egress) -> u8 {
    match egress {
        Egress::Pool => 0,
        Egress::Customer => 1,
        Egress::Socks5 => 2,
        Egress::PoolOrCustomer => 3,
    }
}

fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// In `state_dir`.
const KEYS_FILE: &str = "token.keys";
const KEYS_HEAD: &str = "# Keys of X-Outgate-Token: id, first day of use (UTC), key. Who has them can read every token.\n";
/// What else these keys should ever seal will say something else here.
const CONTEXT: &[u8] = b"outgate token";
const FORMAT: u8 = 1;
/// A name has some twenty; the whole must fit in a length of one octet.
const ID_OCTETS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> TokenTerms {
        TokenTerms {
            field: true,
            rotate_days: 30,
            keep_days: 400,
        }
    }

    fn attribution(customer: &str) -> Attribution {
        Attribution {
            customer: customer.parse().unwrap(),
            flag_id: Some(17),
            treatment: Treatment::Filter,
            egress: Egress::Socks5,
            at: "2026-11-22T06:12:13Z".parse().unwrap(),
            id: "0QZ8K3V5M00AB12.3".into(),
        }
    }

    #[test]
    fn a_token_says_what_it_was_told_and_no_two_are_alike() {
        let directory = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(directory.path(), terms());
        let unflagged = Attribution {
            flag_id: None,
            id: String::new(),
            treatment: Treatment::Walled,
            egress: Egress::Pool,
            ..attribution("2001:db8:a:a::10")
        };
        for told in [
            attribution("192.0.2.10"),
            attribution("2001:db8:a:a::10"),
            unflagged,
        ] {
            let (one, two) = (tokens.make(&told).unwrap(), tokens.make(&told).unwrap());
            assert_ne!(one, two);
            assert_eq!(tokens.resolve(&one), Ok(told.clone()));
            // Another process of the same relay.
            let other = Tokens::read(directory.path(), terms()).unwrap();
            assert_eq!(other.resolve(&format!(" {two}\n")), Ok(told));
        }
    }

    #[test]
    fn no_octet_can_be_changed() {
        let directory = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(directory.path(), terms());
        let token = tokens.make(&attribution("192.0.2.10")).unwrap();
        let octets = BASE64URL_NOPAD.decode(token.as_bytes()).unwrap();
        for place in 0..octets.len() {
            let mut changed = octets.clone();
            changed[place] ^= 1;
            let result = tokens.resolve(&BASE64URL_NOPAD.encode(&changed));
            match place {
                0 => assert_eq!(result, Err(ResolveError::NotAToken)),
                1..=4 => assert!(matches!(result, Err(ResolveError::UnknownKey(_)))),
                _ => assert_eq!(result, Err(ResolveError::Forged)),
            }
            let cut = tokens.resolve(&BASE64URL_NOPAD.encode(&octets[..place]));
            assert_eq!(cut, Err(ResolveError::NotAToken));
        }
        for nonsense in ["", "A", "Ääh", "AAAA", &"A".repeat(9999)] {
            assert_eq!(
                tokens.resolve(nonsense),
                Err(ResolveError::NotAToken),
                "{nonsense}"
            );
        }
    }

    #[test]
    fn another_relays_token_says_nothing() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let there = Tokens::open(there.path(), terms());
        let token = there.make(&attribution("192.0.2.10")).unwrap();
        let here = Tokens::open(here.path(), terms());
        assert!(matches!(
            here.resolve(&token),
            Err(ResolveError::UnknownKey(_))
        ));
        assert!(!token.contains("192") && !format!("{there:?}").contains("octets"));
    }

    #[test]
    fn a_damaged_file_is_left_for_a_person() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(KEYS_FILE);
        std::fs::write(&file, "something\n").unwrap();
        let tokens = Tokens::open(directory.path(), terms());
        let token = tokens.make(&attribution("192.0.2.10")).unwrap();
        assert!(tokens.resolve(&token).is_ok());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "something\n");
    }
}
