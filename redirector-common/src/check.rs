//! What holds for any octets, as functions that panic if it does not.
//!
//! The property tests and the fuzz targets call the same ones, so that a crash found by the fuzzer is
//! repeated by a test with the octets it found. [`case`] turns such octets into a frame and the maps that
//! it meets, for the fuzzer on the host and for the corpus in the kernel alike: its first two octets choose
//! the maps, and what they mean never changes, or a corpus would no longer say what it said.
#![expect(clippy::expect_used, reason = "what does not hold is a panic here")]

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    vec::Vec,
};

use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv6Packet, IpAddress, IpProtocol, Ipv4Packet,
    Ipv6Packet, TcpPacket,
};

use crate::{
    abi::{Action, Flow, FlowKey, OnFailure, Role},
    cases::{Case, World, hex, packet::Packet, relay_path, tunnel},
    counters::Counter,
    frame::{Buffer, CAPACITY},
    parse::{self, ether, icmp},
    tables::{Verdict, memory::MemoryTables},
    tunnel::outer::{IPV4_INSIDE, is_carried},
};

/// Whatever it is, it is parsed without a panic, and what is found lies inside it.
pub fn parsing(octets: &[u8]) {
    let Some(frame) = Buffer::new(octets) else {
        return;
    };
    let Some(link) = ether::link(&frame) else {
        assert!(octets.len() < 22, "no link in {}", hex(octets));
        return;
    };
    assert!(usize::from(link.octets) <= octets.len());
    let packet = parse::packet(&frame, link);
    if let Some(usual) = parse::usual::packet(&frame) {
        assert_eq!(usual, (link, packet), "at one look, {}", hex(octets));
    }
    if let parse::Packet::Tcp(segment) = packet {
        assert!(
            segment.l4 >= link.octets + 20 && usize::from(segment.l4) + 20 <= octets.len(),
            "{segment:?} in {}",
            hex(octets)
        );
    }
    let mut quote = icmp::Quote::default();
    if packet == parse::Packet::Icmp && quote.read(&frame, link) {
        let icmp = usize::from(quote.icmp);
        assert!(
            icmp >= usize::from(link.octets) + 20
                && usize::from(quote.l3) == icmp + icmp::HEADER_OCTETS
                && quote.l4 >= quote.l3 + 20
                && usize::from(quote.l4) + icmp::QUOTED_OCTETS <= octets.len(),
            "{quote:?} in {}",
            hex(octets)
        );
    }
}

/// Whatever it is and whatever maps it meets: it is judged, what is judged is counted once, and what
/// leaves is as sound as it came. `false` if the octets are no [`case`].
#[must_use]
pub fn decision(input: &[u8]) -> bool {
    let Some(case) = case(input, NOW_S) else {
        return false;
    };
    let outcome = case.run();
    let told = || std::format!("{:?} of {}", outcome.judged, hex(&case.frame));
    match outcome.judged.counter {
        Some(counter) => assert_eq!(
            outcome.tables.counters.get(&counter),
            Some(&1),
            "{}",
            told()
        ),
        None => assert_eq!(outcome.judged.verdict, Verdict::Pass, "{}", told()),
    }
    match outcome.judged.verdict {
        Verdict::Pass if outcome.tables.counters.contains_key(&Counter::Untunnelled) => {
            let may_pass = [Some(Counter::CustomerEgress), Some(Counter::HopLimit)];
            assert!(may_pass.contains(&outcome.judged.counter), "{}", told());
            assert_eq!(
                soundness(&outcome.frame),
                soundness(&case.frame),
                "{}",
                told()
            );
        }
        Verdict::Pass => assert_eq!(hex(&outcome.frame), hex(&case.frame), "{}", told()),
        Verdict::Drop => {}
        Verdict::Tx => assert_ne!(soundness(&outcome.frame), Some(false), "{}", told()),
        Verdict::Redirect { ifindex } => {
            assert!(outcome.tables.devices.contains(&ifindex), "{}", told());
            if soundness(&case.frame) == Some(true) {
                assert_eq!(soundness(&outcome.frame), Some(true), "{}", told());
            }
        }
    }
    true
}

/// A segment of a diverted connection leaves with valid checksums, whatever its addresses, ports and
/// payload, and comes back as the packet that it was.
pub fn rewriting(input: &[u8]) {
    let Some((world, packet)) = packet(input) else {
        return;
    };
    let mut tables = world.flagged(Action::Redirect);
    let flow = Flow {
        customer_port_be: packet.ports[0].to_be_bytes(),
        ..world.flow()
    };
    tables.put_flow(world.key(packet.ports[0]), flow);

    let before = packet.octets();
    let there = leaves(&world, tables.clone(), before, Role::Customer);
    assert_eq!(soundness(&there), Some(true), "{}", hex(&there));
    let back = leaves(&world, tables, turned_round(&there), Role::Relay);
    assert_eq!(soundness(&back), Some(true), "{}", hex(&back));
    // Two hops, and the way of an answer.
    let [to, from] = packet.stations;
    let expected = Packet {
        hops: packet.hops - 2,
        stations: [from, to],
        ..packet
    };
    assert_eq!(hex(&turned_round(&back)), hex(&expected.octets()));
}

/// A segment of a steered connection goes into its relay's tunnel as the packet that it was with one hop fewer, behind a
/// sound header; and what its relay says in return comes out as the packet that it was.
pub fn tunnelling(input: &[u8]) {
    let Some((world, packet)) = packet(input) else {
        return;
    };
    let outside = if input.first().is_some_and(|kind| kind & 2 == 0) {
        tunnel::V4
    } else {
        tunnel::V6
    };
    let mut tables = tunnel::with_tunnel(&world, world.steered(), outside, relay_path());
    let port_be = packet.ports[0].to_be_bytes();
    let flow = Flow {
        customer_port_be: port_be,
        ..world.flow()
    };
    let key = FlowKey {
        shown_port_be: port_be,
        ..world.steered_key(world.mx[0])
    };
    tables.put_flow(key, flow);

    let there = leaves(&world, tables.clone(), packet.octets(), Role::Customer);
    let path = relay_path();
    let inside = Packet {
        hops: packet.hops - 1,
        stations: [path.peer_mac, path.own_mac],
        ..packet.clone()
    };
    assert_eq!(hex(&there), hex(&outside.around(&inside.octets())));
    assert_eq!(soundness(&there), Some(true), "{}", hex(&there));

    let said = outside.back().around(&turned_round(&inside.octets()));
    let back = leaves(&world, tables, said, Role::Relay);
    let [to, from] = packet.stations;
    let expected = Packet {
        hops: packet.hops - 2,
        stations: [from, to],
        ..packet
    };
    // A short one is padded to what Ethernet wants.
    let back = turned_round(&back);
    let (back, padding) = back.split_at(expected.octets().len());
    assert_eq!(hex(back), hex(&expected.octets()));
    assert!(padding.len() <= 6 && padding.iter().all(|octet| *octet == 0));
}

/// The frame and the maps that these octets stand for; `None` if they are too few, or too many.
#[must_use]
pub fn case(input: &[u8], now_s: u32) -> Option<Case> {
    let (&[kind, how], frame) = input.split_first_chunk()?;
    // The kernel runs nothing shorter than an Ethernet header.
    if !(ether::HEADER_OCTETS..=CAPACITY - GROWTH).contains(&frame.len()) {
        return None;
    }
    let world = if kind & 1 == 0 {
        World::v4(now_s)
    } else {
        World::v6(now_s)
    };
    let mut tables = tables(&world, kind >> 1, how >> 4);
    for (mark, outside) in [(0xa, tunnel::V4), (0xb, tunnel::V6)] {
        if kind >> 4 == mark {
            tables = tunnel::with_tunnel(&world, tables, outside, relay_path());
        }
    }
    tables.settings.radar_window = u32::from(how >> 2) % 4;
    let role = [Role::Customer, Role::Relay, Role::Uplink, Role::Customer];
    let mut case = world.case("by the fuzzer", tables, frame.to_vec());
    case.role = role.get(usize::from(how & 3)).copied();
    Some(case)
}

fn tables(world: &World, kind: u8, action: u8) -> MemoryTables {
    let steered = |mut tables: MemoryTables| {
        tables.put_flow(world.steered_key(world.mx[0]), world.flow());
        tables
    };
    match kind % 8 {
        0 => world.tables(),
        1 => world.flagged(Action::from_number(action).unwrap_or(Action::Redirect)),
        2 => world.diverted(),
        3 => steered(world.steered()),
        4 => steered(world.lent()),
        5 => world.refusing(),
        6 => {
            let mut tables = world.diverted();
            tables.hosts.clear();
            tables
        }
        _ => {
            let mut tables = world.refusing();
            tables.hosts = world.flagged(Action::Redirect).hosts;
            tables.slots.clear();
            let failing = [OnFailure::Open, OnFailure::Closed, OnFailure::Refuse];
            if let (Some(pool), Some(on_failure)) = (
                tables.pools.get_mut(&0),
                failing.get(usize::from(action) % failing.len()),
            ) {
                pool.on_failure = *on_failure as u8;
            }
            tables
        }
    }
}

/// A world with addresses, and a customer's segment, of these octets.
fn packet(input: &[u8]) -> Option<(World, Packet)> {
    let (&[kind, hops, flags], rest) = input.split_first_chunk()?;
    let (customer, rest) = rest.split_first_chunk::<16>()?;
    let (relay, rest) = rest.split_first_chunk::<16>()?;
    let (mx, rest) = rest.split_first_chunk::<16>()?;
    let (&[a, b, c, d, e, f, g, h], rest) = rest.split_first_chunk()?;
    let (&[port_high, port_low, window_high, window_low], payload) = rest.split_first_chunk()?;
    let port = u16::from_be_bytes([port_high, port_low]);
    if port == 0 || payload.len() > 1000 {
        return None;
    }
    let v6 = kind & 1 == 1;
    let at_rest = if v6 {
        World::v6(NOW_S)
    } else {
        World::v4(NOW_S)
    };
    let world = World {
        customer: address(v6, *customer),
        relay: address(v6, *relay),
        mx: [address(v6, *mx), at_rest.mx[1]],
        ..at_rest
    };
    let flags = ["A", "FA", "RA", "F", "SA", "A", "A", ""]
        .get(usize::from(flags) % 8)
        .copied()
        .expect("one of eight");
    let packet = Packet {
        ports: [port, 25],
        hops: hops.max(3),
        numbers: [
            i32::from_be_bytes([a, b, c, d]),
            i32::from_be_bytes([e, f, g, h]),
        ],
        window: u16::from_be_bytes([window_high, window_low]),
        payload: payload.to_vec(),
        ..world.to_mx(flags)
    };
    Some((world, packet))
}

/// An address that a host may have: nothing of zeros alone, which would be no relay.
fn address(v6: bool, [a, b, c, d, rest @ ..]: [u8; 16]) -> IpAddr {
    if v6 {
        let mut octets = [0; 16];
        octets[..4].copy_from_slice(&[a | 1, b, c, d]);
        octets[4..].copy_from_slice(&rest);
        Ipv6Addr::from(octets).into()
    } else {
        Ipv4Addr::new(a | 1, b, c, d).into()
    }
}

/// The frame after a judgement that must send it on.
fn leaves(world: &World, tables: MemoryTables, frame: Vec<u8>, role: Role) -> Vec<u8> {
    let mut case = world.case("by the fuzzer", tables, frame);
    case.role = Some(role);
    let outcome = case.run();
    assert!(
        matches!(outcome.judged.verdict, Verdict::Redirect { .. }),
        "{:?} of {}",
        outcome.judged,
        hex(&case.frame)
    );
    outcome.frame
}

/// Whether all checksums of an untagged frame with TCP or ICMP hold, by smoltcp's reckoning, in a tunnel or not; `None`
/// if it is none, or does not stand alone in its packet.
#[must_use]
pub fn soundness(octets: &[u8]) -> Option<bool> {
    let frame = EthernetFrame::new_checked(octets).ok()?;
    let (source, destination, segment): (IpAddress, IpAddress, &[u8]) = match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
            let alone = !packet.more_frags() && packet.frag_offset() == 0;
            if packet.version() != 4 || !alone {
                return None;
            }
            if is_carried(packet.next_header().into()) {
                let inside = soundness(&carried(octets, packet.next_header(), packet.payload()))?;
                return Some(packet.verify_checksum() && inside);
            }
            if packet.next_header() == IpProtocol::Icmp {
                let message = Icmpv4Packet::new_checked(packet.payload()).ok()?;
                return Some(packet.verify_checksum() && message.verify_checksum());
            }
            if packet.next_header() != IpProtocol::Tcp {
                return None;
            }
            if !packet.verify_checksum() {
                return Some(false);
            }
            let (source, destination) = (packet.src_addr(), packet.dst_addr());
            (source.into(), destination.into(), packet.payload())
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
            if packet.version() != 6 {
                return None;
            }
            if is_carried(packet.next_header().into()) {
                return soundness(&carried(octets, packet.next_header(), packet.payload()));
            }
            let (source, destination) = (packet.src_addr(), packet.dst_addr());
            if packet.next_header() == IpProtocol::Icmpv6 {
                let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
                return Some(message.verify_checksum(&source, &destination));
            }
            if packet.next_header() != IpProtocol::Tcp {
                return None;
            }
            (source.into(), destination.into(), packet.payload())
        }
        EthernetProtocol::Arp | EthernetProtocol::Unknown(_) => return None,
    };
    let segment = TcpPacket::new_checked(segment).ok()?;
    Some(segment.verify_checksum(&source, &destination))
}

/// The frame that is left of another without the header around its packet.
fn carried(frame: &[u8], protocol: IpProtocol, packet: &[u8]) -> Vec<u8> {
    let ethertype = if u8::from(protocol) == IPV4_INSIDE {
        ether::IPV4_BE
    } else {
        ether::IPV6_BE
    };
    let stations = frame.get(..ether::TAGS_AT).unwrap_or_default();
    [stations, &ethertype, packet].concat()
}

/// Exchanges the ends of an untagged packet without options. No checksum minds.
pub(crate) fn turned_round(octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    let v4 = octets.get(12) == Some(&0x08);
    let (at, length, l4) = if v4 { (26, 4, 34) } else { (22, 16, 54) };
    for index in 0..length {
        octets.swap(at + index, at + length + index);
    }
    octets.swap(l4, l4 + 2);
    octets.swap(l4 + 1, l4 + 3);
    octets
}

/// What [`case`] understands, found by the fuzzer to reach different code: a case a line, in hexadecimal.
pub const CORPUS: &str = include_str!("../fuzz/corpus/decide.txt");

/// The octets of a line of [`CORPUS`].
#[must_use]
pub fn unhex(line: &str) -> Vec<u8> {
    let digit = |digit: char| {
        digit
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let digits: Option<Vec<u8>> = line.trim().chars().map(digit).collect();
    let digits = digits.expect("hexadecimal digits");
    digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | digit))
        .collect()
}

/// When all of this happens; any time would do.
const NOW_S: u32 = 100_000;
/// Octets by which a frame may grow: a refusal's text, and a tag or two.
const GROWTH: usize = 256;

#[cfg(test)]
mod tests;
