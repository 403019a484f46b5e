//! What holds for any octets at a relay's host, as a function that panics if it does not: for the property tests and for
//! the fuzzer.
#![expect(clippy::expect_used, reason = "what does not hold is a panic here")]

use std::{collections::BTreeMap, vec::Vec};

use super::{
    cases::network::Network,
    host::{Arrival, Departure, arrive, leave},
    memory::HostMemory,
};
use crate::{
    abi::host::{HostCounter, HostEdge},
    addr::Addr,
    cases::hex,
    frame::{Buffer, Frame as _},
};

/// Whatever comes in or leaves, it is as it came, or it has lost or got one header and nothing else. The first octet
/// chooses the families, the others are the frame.
pub fn host(input: &[u8]) {
    let Some((first, frame)) = input.split_first() else {
        return;
    };
    let networks = Network::all();
    let Some(network) = networks.get(usize::from(*first) % networks.len()) else {
        return;
    };
    if Buffer::new(frame).is_some() {
        comes_in(network, frame);
        leaves(network, frame);
    }
}

fn comes_in(network: &Network, frame: &[u8]) {
    let mut tables = network.tables();
    let mut buffer = Buffer::new(frame).expect("it fits");
    match arrive(&mut buffer, &mut tables) {
        Arrival::Untouched => {
            assert_eq!(buffer.as_slice(), frame, "{}", hex(frame));
            assert!(tables.noted.is_empty());
        }
        Arrival::Inner { .. } => {
            let octets = frame.len() - buffer.octets();
            assert_eq!(octets, network.outer_octets(), "{}", hex(frame));
            let (stations, inner) = parts(buffer.as_slice(), 14);
            let (stations_before, inner_before) = parts(frame, 14 + octets);
            assert_eq!(stations, stations_before);
            // Congestion changes two octets at most, and IPv4's checksum.
            let changed = changed(inner, inner_before);
            let places = [0, 1, 10, 11];
            assert!(
                changed.iter().all(|at| places.contains(at)),
                "{changed:?}, {}",
                hex(frame)
            );
            assert_eq!(tables.counters.get(&HostCounter::Unwrapped), Some(&1));
        }
        Arrival::Dropped => {
            let congested = BTreeMap::from([(HostCounter::Congested, 1)]);
            assert_eq!(tables.counters, congested, "{}", hex(frame));
        }
    }
}

fn leaves(network: &Network, frame: &[u8]) {
    let mut tables = network.tables();
    tables
        .noted
        .insert(network.customer_key(), network.edge_key(0));
    let mut buffer = Buffer::new(frame).expect("it fits");
    match leave(&mut buffer, &mut tables) {
        Departure::Untouched => assert_eq!(buffer.as_slice(), frame, "{}", hex(frame)),
        Departure::Wrapped => {
            assert_eq!(buffer.octets(), frame.len() + network.outer_octets());
            // The edge gets out what was put in, unless that contradicts itself about its length.
            let mut there = at_the_edge(network);
            match arrive(&mut buffer, &mut there) {
                Arrival::Inner { .. } => assert_eq!(buffer.as_slice(), frame, "{}", hex(frame)),
                Arrival::Untouched => {
                    let odd = BTreeMap::from([(HostCounter::Odd, 1)]);
                    assert_eq!(there.counters, odd, "{}", hex(frame));
                }
                Arrival::Dropped => panicked(frame),
            }
        }
        Departure::Dropped => {
            let big = BTreeMap::from([(HostCounter::TooBig, 1)]);
            assert_eq!(tables.counters, big, "{}", hex(frame));
        }
    }
}

/// Maps of whoever is at the other end of the tunnel to the first edge.
pub(super) fn at_the_edge(network: &Network) -> HostMemory {
    let [edge, _] = network.edges.map(Addr::from);
    let record = HostEdge {
        local: edge.mapped(),
        family: edge.family(),
        ..HostEdge::default()
    };
    let mut tables = HostMemory::default();
    let local = Addr::from(network.local).mapped();
    tables.edges.insert(local, record);
    tables
}

/// The stations of a frame, and what is behind so many octets.
fn parts(frame: &[u8], at: usize) -> (&[u8], &[u8]) {
    (
        frame.get(..12).unwrap_or_default(),
        frame.get(at..).unwrap_or_default(),
    )
}

/// Places in which two differ.
fn changed(one: &[u8], other: &[u8]) -> Vec<usize> {
    let pairs = one.iter().zip(other).enumerate();
    pairs
        .filter(|(_, (one, other))| one != other)
        .map(|(at, _)| at)
        .collect()
}

#[expect(clippy::panic, reason = "what does not hold is a panic here")]
fn panicked(frame: &[u8]) {
    panic!(
        "what we have put into a tunnel is dropped there: {}",
        hex(frame)
    );
}
