//! `[verdict]`: what the scanners' findings lead to.

use std::num::NonZeroU32;

use contract::Tier;
use relay_proto::verdict::{Action, Policy};
use serde::Deserialize;

use super::Invalid;

/// What findings lead to, and how much scanners may see.
#[derive(Debug, Clone, Copy)]
pub struct VerdictConfig {
    /// What each kind of finding leads to.
    pub policy: Policy,
    /// Messages of one customer in an hour that pass although a scanner with `on_error = "limit"` has failed.
    pub unscanned_per_hour: NonZeroU32,
    /// What may be looked at where the customer's own policy does not say.
    pub tier: Tier,
}

/// `[verdict]` as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawVerdict {
    spam: String,
    malware: String,
    unscannable: String,
    spam_log_odds: f64,
    unscanned_per_hour: u32,
    tier: String,
}

impl Default for RawVerdict {
    fn default() -> Self {
        Self {
            spam: "reject".into(),
            malware: "reject".into(),
            unscannable: "accept".into(),
            spam_log_odds: SPAM_LOG_ODDS,
            unscanned_per_hour: 20,
            tier: "body".into(),
        }
    }
}

impl Default for VerdictConfig {
    /// As without the table.
    fn default() -> Self {
        Self::try_from(RawVerdict::default()).expect("the defaults are valid")
    }
}

impl TryFrom<RawVerdict> for VerdictConfig {
    type Error = Invalid;

    fn try_from(raw: RawVerdict) -> Result<Self, Invalid> {
        let unscanned_per_hour = NonZeroU32::new(raw.unscanned_per_hour).ok_or_else(|| {
            let problem =
                "must be at least 1; where nothing may pass unscanned, write on_error = \"defer\"";
            Invalid::new("verdict.unscanned_per_hour", 0, problem)
        })?;
        let odds = raw.spam_log_odds;
        if !odds.is_finite() || odds <= 0.0 {
            let problem = "must be a number above 0, as 7.0, which is odds of 1100 to 1";
            return Err(Invalid::new("verdict.spam_log_odds", odds, problem));
        }
        let tier = Tier::from_name(&raw.tier).ok_or_else(|| {
            let problem = "must be \"none\", \"metadata\", \"headers\" or \"body\"";
            Invalid::new("verdict.tier", &raw.tier, problem)
        })?;
        Ok(Self {
            policy: Policy {
                spam: action("verdict.spam", &raw.spam)?,
                malware: action("verdict.malware", &raw.malware)?,
                unscannable: action("verdict.unscannable", &raw.unscannable)?,
                spam_log_odds: Some(odds),
            },
            unscanned_per_hour,
            tier,
        })
    }
}

fn action(key: &str, word: &str) -> Result<Action, Invalid> {
    match word {
        "accept" => Ok(Action::Accept),
        "defer" => Ok(Action::Defer),
        "reject" => Ok(Action::Reject),
        _ => {
            let problem = "must be \"accept\", \"defer\" or \"reject\"";
            Err(Invalid::new(key, word, problem))
        }
    }
}

/// Odds of 1100 to 1: of the mail that is refused so, one in a thousand is honest, as far as the scanners are right
/// about themselves.
const SPAM_LOG_ODDS: f64 = 7.0;
