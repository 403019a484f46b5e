//! Whether a customer who asks for port 25 would be a good neighbour: what the DNS, its own mail server and lists say.
//!
//! [`Question::read`] is the only way to a question, [`ask::facts`] asks the DNS and knocks at port 25, and [`judge`] makes
//! findings of what came back. All but `ask` and `knock` is pure: facts in, [`Finding`]s out. Each finding has what was
//! seen, as it was seen, and what the customer can paste to mend it.
//!
//! It runs in the controller, not in the command line: the controller is on the edge, from where customers are reached;
//! and an approval goes by what it has seen itself, not by what somebody says to have seen.
//!
//! Who does not answer says nothing: that is [`Verdict::Unknown`], never a pass.

pub mod ask;
mod bounces;
mod dkim;
mod dmarc;
pub mod facts;
mod fqdn;
mod knock;
mod lists;
mod neighbour;
mod question;
mod relay;
mod spf;
mod zone;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::facts::Facts;
pub use self::{
    fqdn::{Fqdn, NotAName},
    question::{ADDRESSES_MAX, ApproveRequest, PrecheckRequest, Question},
};

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The address has a name (RFC 1912 section 2.1).
    Ptr,
    /// The name has the address.
    Fcrdns,
    /// The name that its mail server says has the address.
    Ehlo,
    /// The domain lets the address send (RFC 7208).
    Spf,
    /// The domain has keys (RFC 6376).
    Dkim,
    /// The domain says what holds of mail that is in its name (RFC 7489).
    Dmarc,
    /// Bounces to the domain arrive.
    Bounces,
    /// The address does not carry strangers' mail to strangers.
    OpenRelay,
    /// No list names the address (RFC 5782).
    Listing,
}

/// What came of it, the better one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Not forbidden, and not well.
    Warn,
    /// Nobody could tell.
    Unknown,
    /// Not as it must be.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What was looked at.
    pub check: Check,
    /// About which address or name.
    pub subject: String,
    /// What came of it.
    pub verdict: Verdict,
    /// The record or line as it was seen, or that there is none.
    pub seen: String,
    /// What to do.
    pub fix: Option<String>,
    /// What the customer can paste to do it: a line of a zone file, of a configuration, or a command.
    pub paste: Option<String>,
}

/// Everything about one question; the order is that of checks, then of addresses.
#[must_use]
pub fn judge(question: &Question, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for host in &facts.hosts {
        findings.extend(neighbour::judge(question, host));
        findings.push(relay::judge(question, host));
        findings.extend(lists::judge(host, &facts.lists));
    }
    if facts.lists.is_empty() {
        findings.push(lists::none(question));
    }
    findings.extend(spf::judge(question, facts));
    findings.extend(dkim::judge(question, &facts.domain));
    findings.push(dmarc::judge(question, &facts.domain));
    findings.push(bounces::judge(question, &facts.domain));
    // Stable: addresses stay in their order.
    findings.sort_by_key(|finding| finding.check);
    findings
}

/// The worst of them.
#[must_use]
pub fn worst(findings: &[Finding]) -> Verdict {
    let verdicts = findings.iter().map(|finding| finding.verdict);
    verdicts.max().unwrap_or(Verdict::Unknown)
}

impl Verdict {
    /// Whether somebody may be let out by it.
    #[must_use]
    pub const fn lets_out(self) -> bool {
        match self {
            Self::Pass | Self::Warn => true,
            Self::Unknown | Self::Fail => false,
        }
    }

    /// As it is told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Unknown => "unknown",
            Self::Fail => "fail",
        }
    }
}

impl Check {
    /// As it is told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ptr => "ptr",
            Self::Fcrdns => "fcrdns",
            Self::Ehlo => "ehlo",
            Self::Spf => "spf",
            Self::Dkim => "dkim",
            Self::Dmarc => "dmarc",
            Self::Bounces => "bounces",
            Self::OpenRelay => "open-relay",
            Self::Listing => "listing",
        }
    }
}

impl Finding {
    fn new(
        check: Check,
        subject: impl ToString,
        verdict: Verdict,
        seen: impl Into<String>,
    ) -> Self {
        Self {
            check,
            subject: subject.to_string(),
            verdict,
            seen: seen.into(),
            fix: None,
            paste: None,
        }
    }

    fn fix(self, fix: impl Into<String>) -> Self {
        Self {
            fix: Some(fix.into()),
            ..self
        }
    }

    fn paste(self, paste: impl Into<String>) -> Self {
        Self {
            paste: Some(paste.into()),
            ..self
        }
    }

    fn unknown(check: Check, subject: impl ToString, silence: &facts::Silence) -> Self {
        Self::new(check, subject, Verdict::Unknown, silence.to_string())
            .fix("ask again once it answers; who cannot tell has not passed")
    }
}

#[cfg(test)]
mod tests;
