//! A rotation as octets: what the store keeps for weeks, and memory for hours.
//!
//! A version, then the IPv4 sources in order, then the IPv6 ones; each list begins with its length. A source is
//! its address (as the difference to the one before), a word whose bits say which counters are not zero, those
//! counters, and its sketch. Numbers are LEB128. A sketch of few networks is a list of registers, one of many the
//! registers themselves, six bits each. A source that opened ten connections takes about 25 octets.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use redirector_common::radar::REGISTERS;

use super::{Observation, Rotation};
use crate::radar::sketch::Sketch;

/// Octets that are no rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the figures of a rotation")]
pub struct Damaged;

/// Sources of a rotation as octets; when it was is kept beside them.
#[must_use]
pub fn encode(seen: &BTreeMap<IpNetwork, Observation>) -> Vec<u8> {
    let mut out = vec![VERSION];
    for family in [Family::V4, Family::V6] {
        let of_it = seen
            .iter()
            .filter_map(|(source, seen)| Some((family.key(*source)?, seen)));
        let of_it: Vec<_> = of_it.collect();
        put(&mut out, of_it.len() as u64);
        let mut before = 0;
        for (key, seen) in of_it {
            // A map is in the order of addresses, so differences are never negative.
            put(&mut out, key.wrapping_sub(before));
            before = key;
            put_observation(&mut out, seen);
        }
    }
    out
}

/// The rotation again.
///
/// # Errors
///
/// [`Damaged`].
pub fn decode(from: Timestamp, until: Timestamp, octets: &[u8]) -> Result<Rotation, Damaged> {
    let mut seen = BTreeMap::new();
    let (version, mut rest) = octets.split_first().ok_or(Damaged)?;
    if *version != VERSION {
        return Err(Damaged);
    }
    for family in [Family::V4, Family::V6] {
        let count = take(&mut rest)?;
        let mut key = 0_u64;
        for _ in 0..count {
            key = key.wrapping_add(take(&mut rest)?);
            let source = family.source(key).ok_or(Damaged)?;
            seen.insert(source, take_observation(&mut rest)?);
        }
    }
    match rest {
        [] => Ok(Rotation { from, until, seen }),
        [..] => Err(Damaged),
    }
}

#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn key(self, source: IpNetwork) -> Option<u64> {
        match (self, source.network()) {
            (Self::V4, IpAddr::V4(address)) => Some(u64::from(u32::from(address))),
            (Self::V6, IpAddr::V6(address)) => u64::try_from(u128::from(address) >> 64).ok(),
            (Self::V4, IpAddr::V6(_)) | (Self::V6, IpAddr::V4(_)) => None,
        }
    }

    fn source(self, key: u64) -> Option<IpNetwork> {
        let (address, length): (IpAddr, u8) = match self {
            Self::V4 => (Ipv4Addr::from(u32::try_from(key).ok()?).into(), 32),
            Self::V6 => (Ipv6Addr::from(u128::from(key) << 64).into(), 64),
        };
        IpNetwork::new(address, length).ok()
    }
}

fn put_observation(out: &mut Vec<u8>, seen: &Observation) {
    let counters = counters(seen);
    let bits = counters
        .iter()
        .rev()
        .fold(0_u64, |bits, count| (bits << 1) | u64::from(*count != 0));
    put(out, bits);
    for count in counters.into_iter().filter(|count| *count != 0) {
        put(out, count);
    }
    put_sketch(out, &seen.destinations);
}

fn take_observation(rest: &mut &[u8]) -> Result<Observation, Damaged> {
    let bits = take(rest)?;
    let mut counters = [0; COUNTERS];
    if bits >> COUNTERS != 0 {
        return Err(Damaged);
    }
    for (place, counter) in counters.iter_mut().enumerate() {
        if bits >> place & 1 == 1 {
            *counter = take(rest)?;
        }
    }
    let [
        syns,
        packets,
        octets,
        ended,
        reset,
        short,
        connections,
        messages,
        recipients,
        distinct_recipients,
        distinct_senders,
        unknown,
        refused,
        spam,
        limit_hits,
        learnt,
    ] = counters;
    Ok(Observation {
        syns,
        packets,
        octets,
        ended,
        reset,
        short,
        destinations: take_sketch(rest)?,
        connections,
        messages,
        recipients,
        distinct_recipients,
        distinct_senders,
        unknown,
        refused,
        spam,
        limit_hits,
        learnt,
    })
}

/// Those that are never zero for a sender come first, so that its word is short.
const fn counters(seen: &Observation) -> [u64; COUNTERS] {
    [
        seen.syns,
        seen.packets,
        seen.octets,
        seen.ended,
        seen.reset,
        seen.short,
        seen.connections,
        seen.messages,
        seen.recipients,
        seen.distinct_recipients,
        seen.distinct_senders,
        seen.unknown,
        seen.refused,
        seen.spam,
        seen.limit_hits,
        seen.learnt,
    ]
}

fn put_sketch(out: &mut Vec<u8>, sketch: &Sketch) {
    let registers = sketch.registers();
    let used = registers.iter().zip(0_u8..).filter(|(rank, _)| **rank != 0);
    let used: Vec<(u8, u8)> = used.map(|(rank, at)| (at, *rank)).collect();
    match u8::try_from(used.len()) {
        Ok(count) if count <= SPARSE_MOST => {
            out.push(count);
            out.extend(used.into_iter().flat_map(|(at, rank)| [at, rank]));
        }
        Ok(_) | Err(_) => {
            out.push(DENSE);
            // Four registers of six bits in three octets; a rank is at most 58.
            for four in registers.chunks_exact(4) {
                let word = four
                    .iter()
                    .fold(0_u32, |word, rank| (word << 6) | u32::from(rank & 0x3f));
                let [_, a, b, c] = word.to_be_bytes();
                out.extend([a, b, c]);
            }
        }
    }
}

fn take_sketch(rest: &mut &[u8]) -> Result<Sketch, Damaged> {
    let mut registers = [0; REGISTERS];
    let [count] = take_array::<1>(rest)?;
    if count == DENSE {
        for four in registers.chunks_exact_mut(4) {
            let [a, b, c] = take_array(rest)?;
            let mut word = u32::from_be_bytes([0, a, b, c]);
            for rank in four.iter_mut().rev() {
                *rank = u8::try_from(word & 0x3f).unwrap_or_default();
                word >>= 6;
            }
        }
    } else if count <= SPARSE_MOST {
        for _ in 0..count {
            let [at, rank] = take_array(rest)?;
            *registers.get_mut(usize::from(at)).ok_or(Damaged)? = rank;
        }
    } else {
        return Err(Damaged);
    }
    Ok(Sketch::from_registers(registers))
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn take(rest: &mut &[u8]) -> Result<u64, Damaged> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let [octet] = take_array::<1>(rest)?;
        let part = u64::from(octet & 0x7f);
        let shifted = part << shift;
        if shifted >> shift != part {
            return Err(Damaged);
        }
        number |= shifted;
        if octet & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Damaged)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Damaged> {
    let (array, after) = rest.split_first_chunk::<N>().ok_or(Damaged)?;
    *rest = after;
    Ok(*array)
}

const VERSION: u8 = 1;
const COUNTERS: usize = 16;
/// Registers up to which a list of them is the shorter form.
const SPARSE_MOST: u8 = 47;
/// Says that the registers follow as they are.
const DENSE: u8 = 0xff;
