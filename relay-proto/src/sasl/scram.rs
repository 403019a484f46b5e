//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side, without channel binding.
//!
//! ```text
//! client  n,,n=user,r=CNONCE
//! server  r=CNONCE SNONCE,s=SALT,i=ITERATIONS
//! client  c=biws,r=CNONCE SNONCE,p=PROOF
//! server  v=SIGNATURE
//! ```
//! A user that is unknown has keys, too, which nothing was made of: the exchange then goes its way, and no proof fits.

use core::fmt;

use data_encoding::BASE64;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{ACTS_AS, Step, UserName};

/// What is kept of a password for SCRAM (RFC 5802 section 3): who knows them can pretend to be the server, and can guess
/// at the password, but cannot log in with them.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// At random, for each password.
    pub salt: Vec<u8>,
    /// Rounds of PBKDF2; at least 4096 (RFC 7677 section 4).
    pub iterations: u32,
    /// Hash of the client's key.
    pub stored_key: [u8; 32],
    /// By which the server shows that it knows the user.
    pub server_key: [u8; 32],
}

/// The client's first message.
pub(super) struct First {
    user: UserName,
    /// What stands before `bare`, which the client says again at the end.
    gs2_header: String,
    bare: String,
    nonce: String,
}

/// What the client was asked.
pub(super) struct Asked {
    user: UserName,
    /// `c=` of the last message.
    channel: String,
    /// Both halves.
    nonce: String,
    /// Both first messages.
    messages: String,
    keys: Keys,
}

impl First {
    pub(super) fn parse(text: &str) -> Result<Self, Step> {
        let malformed = || Step::Malformed(FIRST);
        let (binding, rest) = text.split_once(',').ok_or_else(malformed)?;
        match binding {
            "n" | "y" => {}
            binding if binding.starts_with("p=") => {
                return Err(Step::Refused("channel binding is not offered"));
            }
            _ => return Err(malformed()),
        }
        let (acts_as, bare) = rest.split_once(',').ok_or_else(malformed)?;
        let mut attributes = bare.split(',');
        let mut next = |name| {
            let attribute = attributes.next()?;
            attribute.strip_prefix(name)
        };
        // Another attribute here, `m=`, is an extension that must be understood (RFC 5802 section 5.1).
        let name = next("n=").ok_or_else(malformed)?;
        let nonce = next("r=").filter(|nonce| is_nonce(nonce));
        let nonce = nonce.ok_or_else(malformed)?;
        let user = unescaped(name).and_then(|name| UserName::new(&name));
        let user = user.ok_or(Step::Malformed(super::NO_NAME))?;
        if !acts_as.is_empty() && acts_as.strip_prefix("a=") != Some(name) {
            return Err(Step::Refused(ACTS_AS));
        }
        Ok(Self {
            user,
            gs2_header: format!("{binding},{acts_as},"),
            bare: bare.to_owned(),
            nonce: nonce.to_owned(),
        })
    }

    pub(super) fn user(&self) -> &UserName {
        &self.user
    }

    pub(super) fn challenge(self, keys: Keys, nonce: &str) -> (Asked, Vec<u8>) {
        let nonce = self.nonce + nonce;
        let salt = BASE64.encode(&keys.salt);
        let challenge = format!("r={nonce},s={salt},i={}", keys.iterations);
        let asked = Asked {
            user: self.user,
            channel: BASE64.encode(self.gs2_header.as_bytes()),
            nonce,
            messages: format!("{},{challenge}", self.bare),
            keys,
        };
        (asked, challenge.into_bytes())
    }
}

impl Asked {
    /// The user, and the server's signature if the client's proof holds.
    pub(super) fn verify(self, text: &str) -> Result<(UserName, Option<Vec<u8>>), &'static str> {
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(FINAL)?;
        let mut attributes = without_proof.split(',');
        let mut next = |name| {
            let attribute = attributes.next()?;
            attribute.strip_prefix(name)
        };
        let channel = next("c=").ok_or(FINAL)?;
        let nonce = next("r=").ok_or(FINAL)?;
        if channel != self.channel || nonce != self.nonce {
            return Err(FINAL);
        }
        let proof = BASE64.decode(proof.as_bytes()).ok();
        let proof: Option<[u8; 32]> = proof.and_then(|proof| proof.try_into().ok());
        let proof = proof.ok_or(FINAL)?;
        let message = format!("{},{without_proof}", self.messages);
        let signature = hmac(&self.keys.stored_key, message.as_bytes());
        let mut client_key = proof;
        for (octet, mask) in client_key.iter_mut().zip(signature) {
            *octet ^= mask;
        }
        let stored_key: [u8; 32] = Sha256::digest(client_key).into();
        let is_proven: bool = stored_key.ct_eq(&self.keys.stored_key).into();
        let signature = is_proven.then(|| {
            let signature = hmac(&self.keys.server_key, message.as_bytes());
            format!("v={}", BASE64.encode(&signature)).into_bytes()
        });
        Ok((self.user, signature))
    }
}

/// Without the keys, and without what the client calls itself.
impl fmt::Debug for First {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("First")
    }
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asked")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    // Shorter keys are filled up with zeros (RFC 2104 section 2), which cannot fail.
    let mut block = [0; 64];
    let (head, _) = block.split_at_mut(key.len());
    head.copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// `=2C` is a comma and `=3D` an equals sign; nothing else is escaped (RFC 5802 section 5.1).
fn unescaped(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let comma = part.strip_prefix("2C").map(|rest| (',', rest));
        let (escaped, rest) = comma.or_else(|| part.strip_prefix("3D").map(|rest| ('=', rest)))?;
        plain.push(escaped);
        plain.push_str(rest);
    }
    Some(plain)
}

fn is_nonce(nonce: &str) -> bool {
    (1..=MAX_NONCE_OCTETS).contains(&nonce.len())
        && nonce.bytes().all(|octet| octet.is_ascii_graphic())
}

/// Both nonces and the salt go back in one line, which is at most 512 octets.
const MAX_NONCE_OCTETS: usize = 256;
const FIRST: &str = "not the first message of SCRAM, see RFC 5802 section 7";
const FINAL: &str = "not the last message of this exchange, see RFC 5802 section 7";
