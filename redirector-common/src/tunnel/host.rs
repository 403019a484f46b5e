//! What the relay's host does: at its ingress it takes tunnels' headers off and notes by which edge a customer came, at
//! its egress it puts one around what goes to that customer, or leaves in its name.
//!
//! The host's own stack does the rest: inside is a packet as if the edge were adjacent, and the way to the edge is the
//! kernel's to find. What is nobody's here leaves both with the octets that it came with.

use super::{
    customer::{Parties, Way},
    ecn,
    outer::{Inner, OCTETS_V4, OCTETS_V6, Outer, Plain},
};
use crate::{
    abi::host::{HostCounter, HostCustomer, HostEdge},
    addr::{AddrRef, FAMILY_V4},
    frame::Frame,
    parse::{
        self, Ends, Packet,
        ether::{self, IPV4_BE, IPV6_BE, Link},
        usual,
    },
    rewrite::is_present,
};

/// The maps of a relay's host.
pub trait HostTables {
    /// The edge with that tunnel address, if we know it.
    fn edge(&self, address: &[u8; 16]) -> Option<HostEdge>;

    /// Tunnel address of the edge by which a customer came last.
    fn noted(&self, customer: &HostCustomer) -> Option<[u8; 16]>;

    /// Notes it.
    fn note(&mut self, customer: &HostCustomer, edge: &[u8; 16]);

    /// Whether the host itself has this address.
    fn is_own(&self, address: &[u8; 16]) -> bool;

    /// Counts a packet.
    fn count(&mut self, counter: HostCounter);
}

/// A frame that a header can be taken off. It is untagged.
pub trait Unwrap: Frame {
    /// Takes so many octets off behind the Ethernet header, and makes its type that of what is left. `false` = it
    /// could not be done; the frame is then fit for nothing but a drop.
    fn unwrap(&mut self, octets: u16, ethertype_be: [u8; 2]) -> bool;
}

/// A frame that a header can be put around. It is untagged.
pub trait Wrap: Frame {
    /// Puts a header behind the Ethernet header, whose type becomes that one.
    ///
    /// # Errors
    ///
    /// The frame is then fit for nothing but a drop.
    fn wrap<const N: usize>(&mut self, outer: &[u8; N], ethertype_be: [u8; 2])
    -> Result<(), Unfit>;
}

/// Why no header could be put around a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// With it the interface does not take the frame, or a segment of it.
    TooBig,
    /// The kernel refused.
    Failed,
}

/// What becomes of a frame at the ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is as it came.
    Untouched,
    /// It is the packet that was inside, of the same family as the one around it or of the other one.
    Inner {
        /// Whether the EtherType is another one now.
        other_family: bool,
    },
    /// It is to be dropped.
    Dropped,
}

/// What becomes of a frame at the egress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It is as it came.
    Untouched,
    /// It is for an edge now, and the kernel has to find the way.
    Wrapped,
    /// It is to be dropped.
    Dropped,
}

/// Judges a frame that came in by the interface that leads to the edges.
#[inline(always)]
pub fn arrive<F: Unwrap, T: HostTables>(frame: &mut F, tables: &mut T) -> Arrival {
    let Some(link) = untagged(frame) else {
        return Arrival::Untouched;
    };
    let outer = Outer::read(frame, link);
    if outer == Outer::None {
        return Arrival::Untouched;
    }
    let mut ends = Ends::default();
    if !ends.read(frame, link) {
        return Arrival::Untouched;
    }
    // Both ends must be those of a tunnel: a source alone says little of who has sent something.
    let edge = tables.edge(&ends.source);
    if !edge.is_some_and(|edge| edge.family == ends.family && edge.local == ends.destination) {
        tables.count(HostCounter::Stranger);
        return Arrival::Untouched;
    }
    let plain = match outer {
        Outer::Plain(plain) => plain,
        Outer::Odd | Outer::None => {
            tables.count(HostCounter::Odd);
            return Arrival::Untouched;
        }
    };
    take_off(frame, tables, link, &plain, &ends.source)
}

#[inline(always)]
fn take_off<F: Unwrap, T: HostTables>(
    frame: &mut F,
    tables: &mut T,
    link: Link,
    plain: &Plain,
    edge: &[u8; 16],
) -> Arrival {
    if !frame.unwrap(plain.octets, plain.ethertype_be) {
        tables.count(HostCounter::Failed);
        return Arrival::Dropped;
    }
    let inner = Link {
        ethertype_be: plain.ethertype_be,
        ..link
    };
    if !ecn::hand_on(frame, inner, plain) {
        tables.count(HostCounter::Congested);
        return Arrival::Dropped;
    }
    let packet = parse::packet(frame, inner);
    if let Some(parties) = Way::ToRelay.parties(frame, inner, packet) {
        let customer = customer(tables, &parties);
        if tables.noted(&customer) != Some(*edge) {
            tables.note(&customer, edge);
            tables.count(HostCounter::Noted);
        }
    }
    tables.count(HostCounter::Unwrapped);
    Arrival::Inner {
        other_family: plain.ethertype_be != link.ethertype_be,
    }
}

/// Judges a frame that is about to leave by that interface.
#[inline(always)]
pub fn leave<F: Wrap, T: HostTables>(frame: &mut F, tables: &mut T) -> Departure {
    let Some((link, packet)) = leaving(frame) else {
        return Departure::Untouched;
    };
    let Some(parties) = Way::FromRelay.parties(frame, link, packet) else {
        return Departure::Untouched;
    };
    // A leg of the host's own.
    if tables.is_own(&parties.customer) {
        return Departure::Untouched;
    }
    let customer = customer(tables, &parties);
    let noted = tables.noted(&customer);
    let Some((remote, edge)) = noted.and_then(|edge| Some((edge, tables.edge(&edge)?))) else {
        // What the host says in its own name need not be for a customer.
        if customer.own == 0 {
            tables.count(HostCounter::Unnoted);
        }
        return Departure::Untouched;
    };
    let counter = put_around(frame, link, &edge, &remote);
    tables.count(counter);
    if counter == HostCounter::Wrapped {
        Departure::Wrapped
    } else {
        Departure::Dropped
    }
}

/// The customer of a packet, as it is noted.
#[inline(always)]
fn customer<T: HostTables>(tables: &T, parties: &Parties) -> HostCustomer {
    let address = AddrRef {
        mapped: &parties.customer,
        family: parties.family,
    };
    HostCustomer {
        address: address.customer_key(),
        family: parties.family,
        own: u8::from(tables.is_own(&parties.other)),
        reserved16: 0,
        reserved32: 0,
    }
}

#[inline(always)]
fn put_around<F: Wrap>(
    frame: &mut F,
    link: Link,
    edge: &HostEdge,
    remote: &[u8; 16],
) -> HostCounter {
    let Some(inner) = Inner::read(frame, link) else {
        return HostCounter::TooBig;
    };
    let done = if edge.family == FAMILY_V4 {
        let [.., l0, l1, l2, l3] = edge.local;
        let [.., r0, r1, r2, r3] = *remote;
        match inner.within_v4([l0, l1, l2, l3], [r0, r1, r2, r3]) {
            Some(outer) => frame.wrap::<OCTETS_V4>(&outer, IPV4_BE),
            None => return HostCounter::TooBig,
        }
    } else {
        frame.wrap::<OCTETS_V6>(&inner.within_v6(&edge.local, remote), IPV6_BE)
    };
    match done {
        Ok(()) => HostCounter::Wrapped,
        Err(Unfit::TooBig) => HostCounter::TooBig,
        Err(Unfit::Failed) => HostCounter::Failed,
    }
}

/// Reads what leaves, as far as it may be ours.
#[inline(always)]
fn leaving<F: Frame>(frame: &F) -> Option<(Link, Packet)> {
    if is_present(frame.tag_beside()) {
        return None;
    }
    if let Some(usual) = usual::packet(frame) {
        return Some(usual);
    }
    let link = untagged(frame)?;
    Some((link, parse::packet(frame, link)))
}

/// The Ethernet header, if it has no tag: what is of a VLAN is for the programs of that VLAN's own interface.
#[inline(always)]
fn untagged<F: Frame>(frame: &F) -> Option<Link> {
    if is_present(frame.tag_beside()) {
        return None;
    }
    ether::link(frame).filter(|link| link.octets == ether::LINK_OCTETS[0])
}
