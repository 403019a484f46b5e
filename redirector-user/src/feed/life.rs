//! What happens to terms of flags, to exemptions and to bypasses, as events.

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Item;
use crate::{
    policy::{
        bypass::Bypass,
        dial::{FlagId, Proposal},
        exemption::Exemption,
    },
    store::{audit::Kind, drains::Word},
};

/// Something that was decided about how long, or whom.
#[derive(Clone, Copy, Debug)]
pub enum Life<'a> {
    /// The term of a standing flag changed, or its review has come.
    Term {
        /// How the trail calls it.
        kind: Kind,
        /// Which flag.
        id: FlagId,
        /// Its terms from then on.
        terms: &'a Proposal,
        /// Who, and why.
        word: &'a Word,
    },
    /// An exemption was asked for, approved, lifted, or has ended.
    Exemption {
        /// How the trail calls it.
        kind: Kind,
        /// Which one.
        exemption: &'a Exemption,
        /// Who, and why.
        word: &'a Word,
    },
    /// A bypass was added, lifted, or has ended.
    Bypass {
        /// How the trail calls it.
        kind: Kind,
        /// Which one.
        bypass: &'a Bypass,
        /// Who, and why.
        word: &'a Word,
    },
}

impl Life<'_> {
    /// The event.
    #[must_use]
    pub fn at(&self, at: Timestamp, customer: Option<IpNetwork>) -> Item {
        let (kind, flag) = match self {
            Self::Term { kind, id, .. } => (*kind, Some(*id)),
            Self::Exemption { kind, .. } | Self::Bypass { kind, .. } => (*kind, None),
        };
        Item {
            at,
            relay: None,
            // As the trail calls it, in the form that kinds of events have.
            kind: kind.name().replace(' ', "_"),
            customer,
            flag,
            counts: None,
            detail: self.detail(),
        }
    }

    fn detail(&self) -> Value {
        match self {
            Self::Term { terms, word, .. } => json!({
                "by": word.by,
                "reason": word.reason,
                "expires_at": terms.expires_at,
                "review_at": terms.review_at(),
            }),
            Self::Exemption {
                exemption, word, ..
            } => json!({
                "by": word.by,
                "reason": word.reason,
                "exemption": exemption.id,
                "reference": exemption.reference,
                "until": exemption.until,
            }),
            Self::Bypass { bypass, word, .. } => json!({
                "by": word.by,
                "reason": word.reason,
                "bypass": bypass.id,
                "destination": bypass.prefix,
                "until": bypass.until,
            }),
        }
    }
}
