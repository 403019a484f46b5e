//! Who can open what was sealed: a recipient is public (`age1...`), its identity is not (`AGE-SECRET-KEY-1...`).

use std::fmt;
use std::str::FromStr;

use age::x25519;

/// Whom something is sealed for. Shown as `age1...`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Recipient(x25519::Recipient);

/// Who can open it. Never shown by accident.
#[derive(Clone)]
pub struct Identity(x25519::Identity);

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

impl Recipient {
    pub(super) fn as_age(&self) -> &dyn age::Recipient {
        &self.0
    }
}

impl Identity {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self(x25519::Identity::generate())
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
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        Recipient(self.0.to_public())
    }

    pub(super) fn as_age(&self) -> &dyn age::Identity {
        &self.0
    }
}

impl FromStr for Recipient {
    type Err = NotARecipient;

    fn from_str(text: &str) -> Result<Self, NotARecipient> {
        text.parse().map(Self).map_err(|_why| NotARecipient)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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
        text.parse().map(Self).map_err(|_why| NotAnIdentity)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}
