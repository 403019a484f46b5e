//! What the maps of a scene hold.

use std::collections::BTreeMap;

use anyhow::Result;
use ipnetwork::IpNetwork;
use redirector_common::abi::{
    Action, L2Path, OnFailure, Policy, Pool, Relay, SLOTS_PER_POOL, Tunnel, Via,
};
use redirector_user::reconcile::MapOp;

use crate::{
    device::{OUT_MAC, RELAY_V4, RELAY_V6, SINK_MAC},
    traffic::Family,
};

/// What is done with a customer; every scene has as many customers of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Redirected to a pool that rewrites.
    Rewrite,
    /// Redirected to a pool that steers.
    Steer,
    /// Exempt.
    Pass,
    /// Counted.
    Observe,
    /// Limited; the bucket is nearly always empty.
    Limit,
    /// Refused by the edge itself.
    Refuse,
    /// Reset.
    Reset,
    /// Dropped.
    Drop,
}

impl Deed {
    pub(super) const ALL: [Self; 8] = [
        Self::Rewrite,
        Self::Steer,
        Self::Pass,
        Self::Observe,
        Self::Limit,
        Self::Refuse,
        Self::Reset,
        Self::Drop,
    ];

    pub(super) fn policy(self, prefix_len: u8) -> Policy {
        let (action, pool) = match self {
            Self::Rewrite => (Action::Redirect, POOL_REWRITE),
            Self::Steer => (Action::Redirect, POOL_STEER),
            Self::Pass => (Action::Pass, 0),
            Self::Observe => (Action::Observe, 0),
            Self::Limit => (Action::Limit, 0),
            Self::Refuse => (Action::Refuse, 0),
            Self::Reset => (Action::Reset, 0),
            Self::Drop => (Action::Drop, 0),
        };
        Policy {
            flag_id: 1,
            pool,
            action: action as u8,
            prefix_len,
            limit_per_hour: 1,
            limit_burst: 1,
            ..Policy::default()
        }
    }
}

/// How large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Family of all policies and flows.
    pub(crate) family: Family,
    /// Policies of single addresses. With one policy and many flows that policy is a prefix.
    pub(crate) policies: u32,
    /// Policies of prefixes, all drops, beside them; with no policies of addresses they are who sends.
    pub(crate) prefixes: u32,
    /// Flows, all of this kind.
    pub(crate) flows: Option<(Deed, u32)>,
    /// Sources that the radar has room for.
    pub(crate) radar_sources: u32,
}

/// Two pools of one relay.
pub(super) fn relays(ifindex: u32) -> Result<Vec<MapOp>> {
    let path = L2Path {
        ifindex,
        peer_mac: SINK_MAC,
        own_mac: OUT_MAC,
        tags: [[0; 4]; 2],
    };
    let relay = Relay {
        addr4: RELAY_V4.parse::<std::net::Ipv4Addr>()?.octets(),
        addr6: RELAY_V6.parse::<std::net::Ipv6Addr>()?.octets(),
        port_be: RELAY_PORT.to_be_bytes(),
        flags: 0,
        reserved: 0,
        path4: path,
        path6: path,
        tunnel: Tunnel::default(),
    };
    let mut ops = vec![MapOp::PutRelay(0, relay)];
    for (number, via) in [(POOL_REWRITE, Via::Rewrite), (POOL_STEER, Via::Steer)] {
        let number = u16::from(number);
        ops.extend((0..SLOTS_PER_POOL).map(|slot| MapOp::PutSlot(number, slot, 0)));
        ops.push(MapOp::PutPool(
            number,
            Pool {
                on_failure: OnFailure::Closed as u8,
                present: 1,
                via: via as u8,
                reserved: [0; 5],
            },
        ));
    }
    for customers in ["10.0.0.0/8", "3fff::/32"] {
        ops.push(MapOp::PutCustomer(customers.parse()?));
    }
    Ok(ops)
}

/// Policies of single addresses, as many of each kind.
pub(super) fn hosts(size: Size) -> Result<BTreeMap<IpNetwork, Policy>> {
    let length = whole(size.family);
    if size.policies == 1 {
        let Some((deed, flows)) = size.flows else {
            return Ok(BTreeMap::new());
        };
        let bits = u8::try_from(flows.next_power_of_two().trailing_zeros())?;
        let host_bits = if size.family == Family::V6 { 64 } else { 0 };
        let length = length - host_bits - bits;
        let prefix = IpNetwork::new(size.family.customer(0), length)?;
        let prefix = IpNetwork::new(prefix.network(), length)?;
        return Ok(BTreeMap::from([(prefix, deed.policy(length))]));
    }
    let each = size.policies / KINDS;
    (0..size.policies)
        .map(|number| {
            let deed = (number / each).min(KINDS - 1);
            let deed = Deed::ALL[usize::try_from(deed)?];
            let prefix = IpNetwork::new(size.family.customer(number), length)?;
            Ok((prefix, deed.policy(length)))
        })
        .collect()
}

/// Prefixes around addresses that nobody else is about.
pub(super) fn prefixes(size: Size) -> Result<BTreeMap<IpNetwork, Policy>> {
    let host_bits = if size.family == Family::V6 { 64 } else { 0 };
    let length = whole(size.family) - host_bits - PREFIX_BITS;
    (0..size.prefixes)
        .map(|number| {
            let first = size.family.customer(PREFIXED + (number << PREFIX_BITS));
            let prefix = IpNetwork::new(first, length)?;
            let prefix = IpNetwork::new(prefix.network(), length)?;
            Ok((prefix, Deed::Drop.policy(length)))
        })
        .collect()
}

/// Length of a prefix that is one address.
pub(super) const fn whole(family: Family) -> u8 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

pub(super) const KINDS: u32 = 8;
const POOL_REWRITE: u8 = 0;
const POOL_STEER: u8 = 1;
/// The relay's.
pub(crate) const RELAY_PORT: u16 = 2525;
/// Numbers of customers that prefixes are flagged around.
pub(super) const PREFIXED: u32 = 0xc0_0000;
/// Customers in each of those prefixes, as a power of two: a million prefixes end before 2^24.
pub(super) const PREFIX_BITS: u8 = 2;
