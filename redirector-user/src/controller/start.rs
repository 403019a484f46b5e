//! Why a configuration does not fit what is stored.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use redirector_common::abi::Via;

use super::Problem;
use crate::{
    config::Config,
    policy::{
        dial::{Flag, FlagId},
        ledger::Ledger,
    },
};

/// Why a configuration does not fit what is stored.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Active flags name a pool that is gone.
    #[error(
        "pool {pool}: not configured, but active flags use it: {}; configure it, or lift them with the old \
         configuration first",
        ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    PoolGone {
        /// The pool.
        pool: String,
        /// The flags.
        ids: Vec<FlagId>,
    },
    /// Active flags lend relays an address that no answer would find them by.
    #[error(
        "pool {pool}: via = \"{via}\", but active flags with egress customer use it: {}; make it via = \"steer\", \
         or lift them with the old configuration first",
        ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    PoolNotSteered {
        /// The pool.
        pool: String,
        /// How frames get to its relays.
        via: &'static str,
        /// The flags.
        ids: Vec<FlagId>,
    },
    /// Active flags are about addresses that are kept for probes now.
    #[error(
        "health.probe_sources: {reserved}: active flags lie in it: {}; reserve another prefix, or lift them with the \
         old configuration first",
        ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    ProbeSourcesFlagged {
        /// The reserved prefix.
        reserved: IpNetwork,
        /// The flags.
        ids: Vec<FlagId>,
    },
    /// The system has no thread left for the edge.
    #[error("the edge's thread could not be started: {0}; raise TasksMax of the service")]
    Thread(std::io::Error),
    /// No list can be asked.
    #[error(transparent)]
    Listings(#[from] super::ListingsError),
    /// The rules cannot be gone by.
    #[error(transparent)]
    Rules(#[from] super::rules::RulesError),
    /// A webhook could not be told anything.
    #[error(transparent)]
    Webhook(#[from] crate::webhook::WebhookError),
    /// The texts of notices are not what they should be.
    #[error(transparent)]
    Templates(#[from] crate::notice::TemplateError),
    /// Customers could not be told.
    #[error(transparent)]
    Notices(#[from] crate::notice::SetUpError),
    /// Anything else.
    #[error(transparent)]
    Problem(#[from] Problem),
}

pub(super) fn refuse_lost_pools(config: &Config, flags: &Ledger) -> Result<(), StartError> {
    let mut lost: BTreeMap<&String, Vec<FlagId>> = BTreeMap::new();
    for flag in flags.values().filter(|flag| flag.ended.is_none()) {
        let Some(redirect) = flag.terms.action.redirect() else {
            continue;
        };
        if !config.pools.iter().any(|pool| pool.name == redirect.pool) {
            lost.entry(&redirect.pool).or_default().push(flag.id);
        }
    }
    match lost.into_iter().next() {
        Some((pool, ids)) => Err(StartError::PoolGone {
            pool: pool.clone(),
            ids,
        }),
        None => Ok(()),
    }
}

pub(super) fn refuse_unsteered(config: &Config, flags: &Ledger) -> Result<(), StartError> {
    for pool in config.pools.iter().filter(|pool| pool.via != Via::Steer) {
        let lends = |flag: &&Flag| {
            let redirect = flag.terms.action.redirect();
            flag.ended.is_none()
                && redirect.is_some_and(|redirect| {
                    redirect.pool == pool.name && redirect.egress.lends_address()
                })
        };
        let ids: Vec<FlagId> = flags.values().filter(lends).map(|flag| flag.id).collect();
        if !ids.is_empty() {
            return Err(StartError::PoolNotSteered {
                pool: pool.name.clone(),
                via: pool.via.name(),
                ids,
            });
        }
    }
    Ok(())
}
