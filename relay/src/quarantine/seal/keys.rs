//! Who can open what was sealed: a recipient is public (`age1...`), its identity is not (`AGE-SECRET-KEY-1...`).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::agreement::{PrivateKey, X25519};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};

/// Whom something is sealed for. Shown as `age1...`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Recipient(pub(super) [u8; KEY_OCTETS]);

/// Who can open it. Never shown by accident.
#[derive(Clone)]
pub struct Identity([u8; KEY_OCTETS]);

/// Text that is no [`Recipient`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a recipient of age: `age-keygen` prints one that begins with age1")]
pub struct NotARecipient;

/// Text that is no [`Identity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no identity of age: `age-keygen` makes a file with a line that begins with AGE-SECRET-KEY-1"
)]
pub struct NotAnIdentity;

impl Identity {
    /// A new one. An error says that the machine has no randomness.
    pub fn generate() -> Result<Self, Unspecified> {
        let mut key = [0; KEY_OCTETS];
        rand::fill(&mut key)?;
        Ok(Self(key))
    }

    /// Those of a file as `age-keygen` writes it: one a line, with comments; at least one.
    pub fn read(text: &str) -> Result<Vec<Self>, NotAnIdentity> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let identities: Vec<Self> = lines.map(str::parse).collect::<Result<_, _>>()?;
        if identities.is_empty() {
            return Err(NotAnIdentity);
        }
        Ok(identities)
    }

    /// Its public side.
    pub fn recipient(&self) -> Result<Recipient, Unspecified> {
        let public = self.private()?.compute_public_key()?;
        let octets = public.as_ref().try_into();
        octets.map(Recipient).map_err(|_length| Unspecified)
    }

    pub(super) fn private(&self) -> Result<PrivateKey, Unspecified> {
        PrivateKey::from_private_key(&X25519, &self.0).map_err(|_rejected| Unspecified)
    }
}

impl FromStr for Recipient {
    type Err = NotARecipient;

    fn from_str(text: &str) -> Result<Self, NotARecipient> {
        decode(text, RECIPIENT).map(Self).ok_or(NotARecipient)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech32::encode_to_fmt::<Bech32, _>(f, Hrp::parse_unchecked(RECIPIENT), &self.0)
            .map_err(|_too_long| fmt::Error)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Identity {
    type Err = NotAnIdentity;

    fn from_str(text: &str) -> Result<Self, NotAnIdentity> {
        decode(text, IDENTITY).map(Self).ok_or(NotAnIdentity)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// The key that `text` is, with this kind of name in front. Upper and lower case are one, but never mixed.
fn decode(text: &str, kind: &str) -> Option<[u8; KEY_OCTETS]> {
    let checked = CheckedHrpstring::new::<Bech32>(text).ok()?;
    if !checked.hrp().as_str().eq_ignore_ascii_case(kind) {
        return None;
    }
    let octets: Vec<u8> = checked.byte_iter().collect();
    octets.try_into().ok()
}

const KEY_OCTETS: usize = 32;
const RECIPIENT: &str = "age";
const IDENTITY: &str = "age-secret-key-";
