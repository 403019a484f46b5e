//! What the controller itself does, as events.

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Item;
use crate::{
    policy::{
        dial::{Ended, Flag, FlagId},
        tenant::Reassignment,
        token::Token,
    },
    store::{
        drains::Word,
        firings::{Came, Fired},
    },
};

/// Something that the controller did or saw.
#[derive(Clone, Debug)]
pub enum Own<'a> {
    /// A flag was stored.
    FlagAdded(&'a Flag),
    /// A file of flags was stored; one event for all of them.
    FlagsImported {
        /// How many.
        flags: usize,
        /// Number of the first; the others follow on it.
        first: FlagId,
        /// Number of the last.
        last: FlagId,
        /// Who.
        actor: &'a str,
    },
    /// Flags are in force; the numbers of a few, and how many there are.
    FlagsInForce(&'a [FlagId]),
    /// A flag ended because another took its place.
    FlagReplaced(FlagId, &'a Ended),
    /// A flag was lifted by hand.
    FlagLifted(FlagId, &'a Ended),
    /// A flag ended by itself.
    FlagExpired(FlagId, &'a Ended),
    /// A relay answers probes.
    RelayUp(&'a str),
    /// A relay does not.
    RelayDown {
        /// Its name.
        relay: &'a str,
        /// Why, as the last probe found it.
        error: &'a str,
    },
    /// A pool has no relay in rotation: its new connections fall under its failure policy.
    FailurePolicy {
        /// Its name.
        pool: &'a str,
        /// The policy.
        on_failure: &'a str,
    },
    /// A pool has a relay in rotation again.
    FailurePolicyOver {
        /// Its name.
        pool: &'a str,
    },
    /// The flow table fills up.
    MapPressure {
        /// Flows in it.
        flows: usize,
        /// As many as fit.
        flows_max: u32,
    },
    /// The flow table has room again.
    MapPressureOver,
    /// A rule was held back by a cap or a guard, or would have acted were rules not frozen.
    RuleDidNot(&'a Fired),
    /// Rules may do nothing until somebody says so.
    RulesFrozen(&'a Word),
    /// Rules may act again.
    RulesThawed(&'a Word),
    /// Somebody may use the API with a token.
    TokenAdded(&'a Token),
    /// A token is no good any more; its name.
    TokenRemoved(&'a str, &'a Word),
    /// No copy of the store could be made; told once until one was.
    BackupFailed {
        /// Why.
        error: &'a str,
    },
    /// The store of several edges did not answer this one for a while.
    StoreWasAway {
        /// This edge.
        edge: &'a str,
        /// Since when.
        since: Timestamp,
    },
    /// A prefix that was nobody's is a customer's.
    PrefixAssigned(&'a Reassignment),
    /// A prefix has gone from one customer to another, or to nobody.
    CustomerReassigned(&'a Reassignment),
    /// A flag ended because its prefix is another customer's.
    FlagReassigned(FlagId, &'a Ended),
    /// A file of assignments was taken; so many.
    AssignmentsImported {
        /// Prefixes whose assignment has changed.
        assignments: usize,
        /// Who.
        actor: &'a str,
    },
    /// A webhook was not told events.
    WebhookLost {
        /// Its name.
        webhook: &'a str,
        /// Number of the first.
        first: u64,
        /// Number of the last.
        last: u64,
        /// How many.
        events: u64,
        /// Why.
        why: &'a str,
    },
    /// A webhook has said that it is gone, and is told nothing more.
    WebhookStopped {
        /// Its name.
        webhook: &'a str,
    },
    /// A customer is to be told something, or would be if anybody knew whom to tell.
    NoticeMade {
        /// What it says.
        kind: &'static str,
        /// Of which flag.
        flag: FlagId,
        /// Its subject.
        subject: &'a str,
        /// Its text.
        text: &'a str,
        /// Whether nobody is there to be told.
        nobody: bool,
    },
    /// A customer was told.
    NoticeSent {
        /// Number of the notice.
        notice: u64,
        /// What it says.
        kind: &'static str,
        /// Of which flag.
        flag: FlagId,
    },
    /// A customer could not be told.
    NoticeLost {
        /// Number of the notice.
        notice: u64,
        /// What it says.
        kind: &'static str,
        /// Of which flag.
        flag: FlagId,
        /// Why.
        error: &'a str,
    },
}

impl Own<'_> {
    /// The kind of [`Own::WebhookLost`].
    pub const WEBHOOK_LOST: &'static str = "webhook_lost";
    /// The kind of [`Own::FlagAdded`].
    pub const FLAG_ADDED: &'static str = "flag_added";
    /// The kind of [`Own::FlagsImported`].
    pub const FLAGS_IMPORTED: &'static str = "flags_imported";
    /// The kind of [`Own::FlagLifted`].
    pub const FLAG_LIFTED: &'static str = "flag_lifted";
    /// The kind of [`Own::FlagExpired`].
    pub const FLAG_EXPIRED: &'static str = "flag_expired";

    /// The event; of a flag, whom it is about is known to the caller.
    #[must_use]
    pub fn at(&self, at: Timestamp, customer: Option<IpNetwork>) -> Item {
        let flag = match self {
            Self::FlagAdded(flag) => Some(flag.id),
            Self::FlagReplaced(id, _)
            | Self::FlagLifted(id, _)
            | Self::FlagExpired(id, _)
            | Self::FlagReassigned(id, _) => Some(*id),
            Self::FlagsInForce([id]) => Some(*id),
            Self::NoticeMade { flag, .. }
            | Self::NoticeSent { flag, .. }
            | Self::NoticeLost { flag, .. } => Some(*flag),
            Self::FlagsImported { .. }
            | Self::FlagsInForce(_)
            | Self::RelayUp(_)
            | Self::RelayDown { .. }
            | Self::FailurePolicy { .. }
            | Self::FailurePolicyOver { .. }
            | Self::MapPressure { .. }
            | Self::MapPressureOver
            | Self::RuleDidNot(_)
            | Self::RulesFrozen(_)
            | Self::RulesThawed(_)
            | Self::TokenAdded(_)
            | Self::TokenRemoved(..)
            | Self::BackupFailed { .. }
            | Self::StoreWasAway { .. }
            | Self::PrefixAssigned(_)
            | Self::CustomerReassigned(_)
            | Self::AssignmentsImported { .. }
            | Self::WebhookLost { .. }
            | Self::WebhookStopped { .. } => None,
        };
        Item {
            at,
            relay: None,
            kind: self.kind().to_owned(),
            customer,
            flag,
            counts: None,
            detail: self.detail(),
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::FlagAdded(_) => Self::FLAG_ADDED,
            Self::FlagsImported { .. } => Self::FLAGS_IMPORTED,
            Self::FlagsInForce(_) => "flag_in_force",
            Self::FlagReplaced(..) => "flag_replaced",
            Self::FlagLifted(..) => Self::FLAG_LIFTED,
            Self::FlagExpired(..) => Self::FLAG_EXPIRED,
            Self::RelayUp(_) => "relay_up",
            Self::RelayDown { .. } => "relay_down",
            Self::FailurePolicy { .. } => "failure_policy",
            Self::FailurePolicyOver { .. } => "failure_policy_over",
            Self::MapPressure { .. } => "map_pressure",
            Self::MapPressureOver => "map_pressure_over",
            Self::RuleDidNot(fired) => match fired.outcome {
                Came::WouldHave => "rule_would_have",
                Came::HeldBack | Came::Done => "rule_held_back",
            },
            Self::RulesFrozen(_) => "rules_frozen",
            Self::RulesThawed(_) => "rules_thawed",
            Self::TokenAdded(_) => "token_added",
            Self::TokenRemoved(..) => "token_removed",
            Self::StoreWasAway { .. } => "store_was_away",
            Self::BackupFailed { .. } => "backup_failed",
            Self::PrefixAssigned(_) => "prefix_assigned",
            Self::CustomerReassigned(_) => "customer_reassigned",
            Self::FlagReassigned(..) => "flag_reassigned",
            Self::AssignmentsImported { .. } => "assignments_imported",
            Self::WebhookLost { .. } => Self::WEBHOOK_LOST,
            Self::WebhookStopped { .. } => "webhook_stopped",
            Self::NoticeMade { nobody: false, .. } => "notice_made",
            Self::NoticeMade { nobody: true, .. } => "notice_nobody",
            Self::NoticeSent { .. } => "notice_sent",
            Self::NoticeLost { .. } => "notice_lost",
        }
    }

    fn detail(&self) -> Value {
        match self {
            Self::FlagAdded(flag) => json!({
                "action": flag.terms.action.name(),
                "reason": flag.terms.reason,
                "actor": flag.terms.actor,
                "expires_at": flag.terms.expires_at,
            }),
            Self::FlagsImported {
                flags,
                first,
                last,
                actor,
            } => json!({ "flags": flags, "first": first, "last": last, "actor": actor }),
            Self::FlagsInForce([_]) => json!({}),
            Self::FlagsInForce(ids) => {
                let some: Vec<_> = ids.iter().take(FLAGS_NAMED).collect();
                json!({ "flags": ids.len(), "ids": some })
            }
            Self::FlagReplaced(_, ended)
            | Self::FlagLifted(_, ended)
            | Self::FlagExpired(_, ended)
            | Self::FlagReassigned(_, ended) => json!({ "by": ended.by, "reason": ended.reason }),
            Self::RelayUp(relay) => json!({ "relay": relay }),
            Self::RelayDown { relay, error } => json!({ "relay": relay, "error": error }),
            Self::FailurePolicy { pool, on_failure } => {
                json!({ "pool": pool, "on_failure": on_failure })
            }
            Self::FailurePolicyOver { pool } => json!({ "pool": pool }),
            Self::MapPressure { flows, flows_max } => {
                json!({ "flows": flows, "flows_max": flows_max })
            }
            Self::MapPressureOver => json!({}),
            Self::RuleDidNot(fired) => json!({
                "rule": fired.rule,
                "dial": fired.detail.dial,
                "held_back_by": fired.detail.held_back_by,
                "because": fired.detail.cause.in_words(),
            }),
            Self::RulesFrozen(word) | Self::RulesThawed(word) => {
                json!({ "by": word.by, "reason": word.reason })
            }
            Self::TokenAdded(token) => json!({
                "token": token.name,
                "scope": token.scope,
                "by": token.created_by,
                "expires_at": token.expires_at,
            }),
            Self::TokenRemoved(token, word) => {
                json!({ "token": token, "by": word.by, "reason": word.reason })
            }
            Self::StoreWasAway { edge, since } => json!({ "edge": edge, "since": since }),
            Self::BackupFailed { error } => json!({ "error": error }),
            Self::PrefixAssigned(change) | Self::CustomerReassigned(change) => {
                json!({ "from": change.was, "to": change.is, "since": change.at })
            }
            Self::AssignmentsImported { assignments, actor } => {
                json!({ "assignments": assignments, "actor": actor })
            }
            Self::WebhookLost {
                webhook,
                first,
                last,
                events,
                why,
            } => json!({
                "webhook": webhook, "first": first, "last": last, "events": events, "why": why,
            }),
            Self::WebhookStopped { webhook } => json!({ "webhook": webhook }),
            Self::NoticeMade {
                kind,
                subject,
                text,
                ..
            } => json!({ "notice_kind": kind, "subject": subject, "text": text }),
            Self::NoticeSent { notice, kind, .. } => {
                json!({ "notice": notice, "notice_kind": kind })
            }
            Self::NoticeLost {
                notice,
                kind,
                error,
                ..
            } => json!({ "notice": notice, "notice_kind": kind, "error": error }),
        }
    }
}

/// Numbers of flags in one event.
const FLAGS_NAMED: usize = 100;
