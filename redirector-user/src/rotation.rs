//! Which relays take new connections, and which flags are in force. Pure.
//!
//! A redirect that a relay does not know of would meet a relay that refuses the customer. So a redirect
//! becomes active only when every relay that could meet its customer has acknowledged a generation that
//! contains it; and a relay that lags behind an active redirect takes no new connections until it has
//! caught up. A third party's relay is told nothing, so nothing waits for it, and only its health counts.
//!
//! A flag that is in force stays in force: a relay that comes or goes afterwards changes the rotation, never
//! the flag.

use std::collections::{BTreeMap, BTreeSet};

use contract::Generation;
use ipnetwork::IpNetwork;

use crate::{
    edge::health::Health,
    policy::{
        dial::Flag,
        ledger::{Ledger, Wait},
    },
};

/// What the rules need to know of one relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayState {
    /// Its pool.
    pub pool: String,
    /// It is a third party's: nobody tells it about customers, so it has nothing to acknowledge.
    pub third_party: bool,
    /// A person has taken it out of rotation. What it knows of customers it goes on being told, so that it
    /// can be let back.
    pub drained: bool,
    /// What probes say.
    pub health: Health,
    /// Newest generation that it said to have in force.
    pub acknowledged: Option<Generation>,
    /// It stood in the kernel's slots when this controller started, and is believed to be what it was until
    /// it has shown itself or a grace period has passed: a restart must not take it out of service.
    pub adopted: bool,
}

/// The judgement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Names of the relays that take new connections.
    pub in_rotation: BTreeSet<String>,
    /// Relays that redirects wait for, by what these are waiting for.
    pub pending: BTreeMap<Wait, Vec<String>>,
}

/// Judges. `flags` holds every active flag, and of a waiting flag also the ended ones that it replaces: until
/// it is in force, the one of them that was keeps its place, so that tightening a flag never opens a gap.
#[must_use]
pub fn judge(flags: &Ledger, relays: &BTreeMap<String, RelayState>) -> Standing {
    let mut standing = Standing::default();
    for (name, relay) in relays {
        if is_in_rotation(relay, flags.needed(&relay.pool)) {
            standing.in_rotation.insert(name.clone());
        }
    }
    for (wait, _) in flags.waiting() {
        let awaited = awaited(wait, relays, &standing.in_rotation);
        if !awaited.is_empty() {
            standing.pending.insert(wait.clone(), awaited);
        }
    }
    standing
}

/// The flag that a prefix is under in the kernel.
#[must_use]
pub fn in_force<'a>(flags: &'a Ledger, standing: &Standing, prefix: IpNetwork) -> Option<&'a Flag> {
    let flag = flags.on(prefix)?;
    if standing.awaited(flag).is_empty() {
        Some(flag)
    } else {
        predecessor_in_force(flags, flag)
    }
}

impl Standing {
    /// Relays that a flag waits for.
    #[must_use]
    pub fn awaited(&self, flag: &Flag) -> &[String] {
        match flag.activated_at {
            Some(_) => &[],
            None => self.pending.get(&Wait::of(flag)).map_or(&[], Vec::as_slice),
        }
    }
}

fn is_in_rotation(relay: &RelayState, needed: Generation) -> bool {
    let knows_enough = match relay.acknowledged {
        _ if relay.third_party => true,
        Some(acknowledged) => acknowledged >= needed,
        None => relay.adopted || needed == Generation::default(),
    };
    let greets = match relay.health {
        Health::Up => true,
        Health::Unknown => relay.adopted,
        Health::Down => false,
    };
    knows_enough && greets && !relay.drained
}

/// The relays that must acknowledge before what waits for them can be in force: those in rotation, and those of which
/// nothing is known yet, because they may be in rotation with the next probe.
fn awaited(
    wait: &Wait,
    relays: &BTreeMap<String, RelayState>,
    in_rotation: &BTreeSet<String>,
) -> Vec<String> {
    let must = |(name, relay): &(&String, &RelayState)| {
        wait.pool.as_ref() == Some(&relay.pool)
            && !relay.third_party
            && !relay.drained
            && (in_rotation.contains(*name) || relay.health == Health::Unknown)
            && relay.acknowledged < Some(wait.generation)
    };
    relays
        .iter()
        .filter(must)
        .map(|(name, _)| name.clone())
        .collect()
}

fn predecessor_in_force<'a>(flags: &'a Ledger, flag: &Flag) -> Option<&'a Flag> {
    let replaced = flags.get(&flag.replaces?)?;
    match replaced.activated_at {
        Some(_) => Some(replaced),
        None => predecessor_in_force(flags, replaced),
    }
}

#[cfg(test)]
mod tests;
