//! Sealing for people who are elsewhere: the format of age (age-encryption.org/v1) with X25519 recipients, which Debian's
//! `age` opens and makes, too.
//!
//! ```text
//! age-encryption.org/v1
//! -> X25519 EPHEMERAL-SHARE              for each recipient: the file key, sealed by HKDF(shared secret)
//! SEALED-FILE-KEY
//! --- MAC                                HMAC of all above by HKDF(file key, "header")
//! nonce (16), chunks of 64 KiB           ChaCha20-Poly1305 by HKDF(file key, nonce, "payload"); the last one says so
//! ```
//!
//! A [`Sealer`] is fed and yields octets as they become final; an [`Opener`] reads. The primitives are those of the library
//! that TLS uses here; the format is small, and the crate that has it would bring 75 others.
//!
//! # Diagnostics
//! Returned: [`SealError`] (the machine has no randomness, or a recipient is no point of the curve), [`OpenError`]. An
//! opener that finds a changed or missing octet yields nothing of its chunk.

use std::io::{self, BufRead, Read};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand;
use data_encoding::BASE64_NOPAD;

mod keys;

pub use keys::{Identity, NotARecipient, NotAnIdentity, Recipient};

/// Why nothing can be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It would be sealed for nobody.
    #[error("nobody could open it: there is no recipient")]
    NoRecipient,
    /// No randomness, or a recipient that no secret can be shared with.
    #[error("the key cannot be made: no randomness, or a recipient is not a usable key")]
    Key,
}

/// Why something cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else, or of a later version.
    #[error("not a sealed file of age, version 1")]
    NotSealed,
    /// It was sealed for others.
    #[error("none of these identities can open it; it was sealed for somebody else")]
    WrongIdentity,
    /// Somebody has changed its head.
    #[error("damaged or forged: its head does not prove itself")]
    Forged,
}

/// Seals one text.
pub struct Sealer {
    key: LessSafeKey,
    number: u64,
    pending: Vec<u8>,
}

/// Reads what was sealed.
pub struct Opener<R> {
    inner: R,
    key: LessSafeKey,
    number: u64,
    /// The chunk after the one that is being given out, still sealed.
    next: Vec<u8>,
    opened: Vec<u8>,
    given: usize,
    last: bool,
}

impl Sealer {
    /// For these recipients; and the first octets of the sealed form.
    pub fn new(recipients: &[Recipient]) -> Result<(Self, Vec<u8>), SealError> {
        if recipients.is_empty() {
            return Err(SealError::NoRecipient);
        }
        let no_key = |_: Unspecified| SealError::Key;
        let mut file_key = [0; FILE_KEY_OCTETS];
        rand::fill(&mut file_key).map_err(no_key)?;
        let mut head = format!("{INTRO}\n");
        for recipient in recipients {
            let (share, sealed) = wrap(&file_key, recipient).map_err(no_key)?;
            let (share, sealed) = (BASE64_NOPAD.encode(&share), BASE64_NOPAD.encode(&sealed));
            head += &format!("-> {STANZA} {share}\n{sealed}\n");
        }
        head += END;
        let mac = BASE64_NOPAD.encode(mac(&file_key, head.as_bytes()).map_err(no_key)?.as_ref());
        let mut octets = format!("{head} {mac}\n").into_bytes();
        let mut nonce = [0; PAYLOAD_NONCE_OCTETS];
        rand::fill(&mut nonce).map_err(no_key)?;
        octets.extend_from_slice(&nonce);
        let sealer = Self {
            key: payload_key(&file_key, &nonce).map_err(no_key)?,
            number: 0,
            pending: Vec::new(),
        };
        Ok((sealer, octets))
    }

    /// More of the text; what became final of the sealed form is put behind `sealed`.
    pub fn update(&mut self, mut text: &[u8], sealed: &mut Vec<u8>) -> Result<(), SealError> {
        while !text.is_empty() {
            // A full chunk waits: only if something follows it, it is not the last one.
            if self.pending.len() == CHUNK_OCTETS {
                self.seal(false, sealed)?;
            }
            let room = CHUNK_OCTETS - self.pending.len();
            let (some, rest) = text.split_at(room.min(text.len()));
            self.pending.extend_from_slice(some);
            text = rest;
        }
        Ok(())
    }

    /// Nothing more follows.
    pub fn finish(mut self, sealed: &mut Vec<u8>) -> Result<(), SealError> {
        self.seal(true, sealed)
    }

    fn seal(&mut self, last: bool, sealed: &mut Vec<u8>) -> Result<(), SealError> {
        let nonce = chunk_nonce(self.number, last);
        self.key
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut self.pending)
            .map_err(|_unspecified| SealError::Key)?;
        sealed.append(&mut self.pending);
        self.number += 1;
        Ok(())
    }
}

impl<R: BufRead> Opener<R> {
    /// Opens with whichever of the identities fits.
    pub fn new(mut inner: R, identities: &[Identity]) -> Result<Self, OpenError> {
        let head = Head::read(&mut inner)?;
        let fitting = |(share, sealed): &([u8; 32], Vec<u8>)| {
            let mut keys = identities.iter().map(|it| unwrap(it, share, sealed));
            keys.find_map(Result::ok)
        };
        let file_key = head.stanzas.iter().find_map(fitting);
        let file_key = file_key.ok_or(OpenError::WrongIdentity)?;
        let key =
            hkdf(None, &file_key, HEADER_CONTEXT).map_err(|_unspecified| OpenError::Forged)?;
        let key = hmac::Key::new(HMAC_SHA256, &key);
        hmac::verify(&key, head.text.as_bytes(), &head.mac)
            .map_err(|_unspecified| OpenError::Forged)?;
        let mut nonce = [0; PAYLOAD_NONCE_OCTETS];
        inner.read_exact(&mut nonce)?;
        let key = payload_key(&file_key, &nonce).map_err(|_unspecified| OpenError::Forged)?;
        let mut opener = Self {
            inner,
            key,
            number: 0,
            next: Vec::new(),
            opened: Vec::new(),
            given: 0,
            last: false,
        };
        opener.next = opener.chunk()?;
        Ok(opener)
    }

    fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let mut chunk = Vec::new();
        let octets = (CHUNK_OCTETS + TAG_OCTETS) as u64;
        self.inner.by_ref().take(octets).read_to_end(&mut chunk)?;
        Ok(chunk)
    }

    /// Opens the next chunk. The last one is known by what follows it: nothing.
    fn advance(&mut self) -> io::Result<()> {
        let following = self.chunk()?;
        let mut sealed = std::mem::replace(&mut self.next, following);
        self.last = self.next.is_empty();
        let nonce = chunk_nonce(self.number, self.last);
        let opened = self.key.open_in_place(nonce, Aad::empty(), &mut sealed);
        let octets = opened.map_err(|_unspecified| forged())?.len();
        // An empty chunk would be a second way to write the same text.
        if octets == 0 && self.number > 0 {
            return Err(forged());
        }
        sealed.truncate(octets);
        (self.opened, self.given) = (sealed, 0);
        self.number += 1;
        Ok(())
    }
}

impl<R: BufRead> Read for Opener<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.opened.len() && !self.last {
            self.advance()?;
        }
        let rest = &self.opened[self.given..];
        let octets = rest.len().min(buffer.len());
        buffer[..octets].copy_from_slice(&rest[..octets]);
        self.given += octets;
        Ok(octets)
    }
}

/// What stands above the payload.
struct Head {
    /// All that the MAC proves.
    text: String,
    stanzas: Vec<([u8; 32], Vec<u8>)>,
    mac: Vec<u8>,
}

impl Head {
    fn read(inner: &mut impl BufRead) -> Result<Self, OpenError> {
        let mut text = String::new();
        let mut stanzas = Vec::new();
        let mut limited = inner.take(HEAD_OCTETS_MAX);
        if line(&mut limited)? != INTRO {
            return Err(OpenError::NotSealed);
        }
        text += &format!("{INTRO}\n");
        loop {
            let first = line(&mut limited)?;
            if let Some(mac) = first.strip_prefix("--- ") {
                text += END;
                let mac = decoded(mac)?;
                return Ok(Self { text, stanzas, mac });
            }
            let words = first.strip_prefix("-> ").ok_or(OpenError::NotSealed)?;
            text += &format!("{first}\n");
            let mut body = String::new();
            // A stanza ends with its first line that is not full.
            loop {
                let more = line(&mut limited)?;
                text += &format!("{more}\n");
                body += &more;
                if more.len() < COLUMNS {
                    break;
                }
            }
            let share = words.strip_prefix(STANZA).map(str::trim_start);
            // Others' stanzas are passed over: they are for others.
            if let Some(share) = share
                && let Ok(share) = <[u8; 32]>::try_from(decoded(share)?)
            {
                stanzas.push((share, decoded(&body)?));
            }
        }
    }
}

fn line(reader: &mut impl BufRead) -> Result<String, OpenError> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(OpenError::NotSealed);
    }
    String::from_utf8(line).map_err(|_octets| OpenError::NotSealed)
}

fn decoded(text: &str) -> Result<Vec<u8>, OpenError> {
    let octets = BASE64_NOPAD.decode(text.as_bytes());
    octets.map_err(|_decode| OpenError::NotSealed)
}

fn forged() -> io::Error {
    let what = "damaged, forged, or cut off: a part of it does not prove itself";
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The file key for one recipient: a share of a secret, and the key under it.
fn wrap(
    file_key: &[u8; FILE_KEY_OCTETS],
    recipient: &Recipient,
) -> Result<(Vec<u8>, Vec<u8>), Unspecified> {
    let ephemeral = PrivateKey::generate(&X25519)?;
    let share = ephemeral.compute_public_key()?.as_ref().to_vec();
    let key = wrapping_key(&ephemeral, &recipient.0, &share, &recipient.0)?;
    let mut sealed = file_key.to_vec();
    // Each wrapping key seals once.
    key.seal_in_place_append_tag(zero_nonce(), Aad::empty(), &mut sealed)?;
    Ok((share, sealed))
}

fn unwrap(
    identity: &Identity,
    share: &[u8; 32],
    sealed: &[u8],
) -> Result<[u8; FILE_KEY_OCTETS], Unspecified> {
    let public = identity.recipient()?.0;
    let key = wrapping_key(&identity.private()?, share, share, &public)?;
    let mut sealed = sealed.to_vec();
    let opened = key.open_in_place(zero_nonce(), Aad::empty(), &mut sealed)?;
    (&*opened).try_into().map_err(|_length| Unspecified)
}

fn wrapping_key(
    private: &PrivateKey,
    peer: &[u8; 32],
    share: &[u8],
    recipient: &[u8; 32],
) -> Result<LessSafeKey, Unspecified> {
    let salt = [share, recipient].concat();
    let peer = UnparsedPublicKey::new(&X25519, peer);
    let key = agree(private, peer, Unspecified, |secret| {
        hkdf(Some(&salt), secret, WRAP_CONTEXT)
    })?;
    aead(&key)
}

fn payload_key(file_key: &[u8], nonce: &[u8]) -> Result<LessSafeKey, Unspecified> {
    aead(&hkdf(Some(nonce), file_key, PAYLOAD_CONTEXT)?)
}

fn mac(file_key: &[u8], head: &[u8]) -> Result<hmac::Tag, Unspecified> {
    let key = hkdf(None, file_key, HEADER_CONTEXT)?;
    Ok(hmac::sign(&hmac::Key::new(HMAC_SHA256, &key), head))
}

fn hkdf(salt: Option<&[u8]>, secret: &[u8], context: &[u8]) -> Result<[u8; 32], Unspecified> {
    let salt = match salt {
        Some(salt) => Salt::new(HKDF_SHA256, salt),
        None => Salt::none(HKDF_SHA256),
    };
    let mut key = [0; 32];
    salt.extract(secret)
        .expand(&[context], HKDF_SHA256)?
        .fill(&mut key)?;
    Ok(key)
}

fn aead(key: &[u8; 32]) -> Result<LessSafeKey, Unspecified> {
    Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key)?))
}

fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// Eleven octets of the chunk's number, and whether it is the last one.
fn chunk_nonce(number: u64, last: bool) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[3..11].copy_from_slice(&number.to_be_bytes());
    nonce[11] = last.into();
    Nonce::assume_unique_for_key(nonce)
}

const INTRO: &str = "age-encryption.org/v1";
const STANZA: &str = "X25519";
const END: &str = "---";
const WRAP_CONTEXT: &[u8] = b"age-encryption.org/v1/X25519";
const HEADER_CONTEXT: &[u8] = b"header";
const PAYLOAD_CONTEXT: &[u8] = b"payload";
const FILE_KEY_OCTETS: usize = 16;
const PAYLOAD_NONCE_OCTETS: usize = 16;
const CHUNK_OCTETS: usize = 64 << 10;
const TAG_OCTETS: usize = 16;
const COLUMNS: usize = 64;
/// Some hundred recipients.
const HEAD_OCTETS_MAX: u64 = 64 << 10;

#[cfg(test)]
mod tests;
