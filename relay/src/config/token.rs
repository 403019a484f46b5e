//! `[token]`: the trace field by which a complaint leads to the customer.

use serde::Deserialize;

use super::Invalid;

/// What becomes of tokens and their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenTerms {
    /// Messages have the field.
    pub field: bool,
    /// Days for which a key is used.
    pub rotate_days: u32,
    /// Days for which it is kept after that: so long a complaint can be resolved.
    pub keep_days: u32,
}

/// `[token]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawToken {
    field: bool,
    rotate_days: u32,
    keep_days: u32,
}

impl Default for RawToken {
    fn default() -> Self {
        Self {
            field: true,
            rotate_days: 30,
            keep_days: 400,
        }
    }
}

impl TryFrom<RawToken> for TokenTerms {
    type Error = Invalid;

    fn try_from(raw: RawToken) -> Result<Self, Invalid> {
        for (key, days) in [
            ("rotate_days", raw.rotate_days),
            ("keep_days", raw.keep_days),
        ] {
            if !(1..=3650).contains(&days) {
                let problem = "must be between 1 and 3650";
                return Err(Invalid::new(&format!("token.{key}"), days, problem));
            }
        }
        Ok(Self {
            field: raw.field,
            rotate_days: raw.rotate_days,
            keep_days: raw.keep_days,
        })
    }
}
