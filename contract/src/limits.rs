//! The name of a set of limits, which stands in relays' configurations.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names `[behaviour.named_limits.NAME]` of a relay: 1 to [`LimitsName::OCTETS_MAX`] small letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(pattern = "^[a-z0-9-]{1,32}$"))]
pub struct LimitsName(String);

/// What a text would have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoLimitsName;

impl LimitsName {
    /// Octets of the longest one.
    pub const OCTETS_MAX: usize = 32;

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LimitsName {
    type Err = NoLimitsName;

    fn from_str(text: &str) -> Result<Self, NoLimitsName> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for LimitsName {
    type Error = NoLimitsName;

    fn try_from(text: String) -> Result<Self, NoLimitsName> {
        let fits = |octet: u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let length = (1..=Self::OCTETS_MAX).contains(&text.len());
        (length && text.bytes().all(fits))
            .then_some(Self(text))
            .ok_or(NoLimitsName)
    }
}

impl From<LimitsName> for String {
    fn from(name: LimitsName) -> Self {
        name.0
    }
}

impl fmt::Display for LimitsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NoLimitsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = LimitsName::OCTETS_MAX;
        write!(
            f,
            "allowed are 1 to {most} small letters, digits and hyphens"
        )
    }
}

impl std::error::Error for NoLimitsName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_small_letters_digits_and_hyphens() {
        let longest = "x".repeat(LimitsName::OCTETS_MAX);
        for name in ["small", "vps-2", "7", &longest] {
            let read: LimitsName = name.parse().unwrap();
            let written = serde_json::to_value(&read).unwrap();
            assert_eq!(written, name);
            assert_eq!(serde_json::from_value::<LimitsName>(written).unwrap(), read);
        }
        let too_long = format!("{longest}x");
        for name in ["", "Small", "a b", "a_b", "ä", "a\n", &too_long] {
            assert_eq!(name.parse::<LimitsName>(), Err(NoLimitsName), "{name:?}");
            assert!(serde_json::from_value::<LimitsName>(name.into()).is_err());
        }
    }
}
