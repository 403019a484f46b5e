//! What holds for any packet, not only for those of the cases.

mod hidden;
mod icmp;
mod tunnel;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use smoltcp::wire::Ipv4Packet;

use crate::{
    abi::{Action, Flow, FlowKey, L2Path, Role},
    cases::{self, EGRESS, INGRESS, World, packet::Packet},
    check::{soundness, turned_round},
    counters::Counter,
    decide::{Ingress, Judged, judge},
    frame::Buffer,
    tables::{Verdict, memory::MemoryTables},
};

fn run(octets: &[u8], tables: &mut MemoryTables, role: Role) -> (Judged, Vec<u8>) {
    let mut frame = Buffer::new(octets).expect("it fits");
    let judged = judge(
        &mut frame,
        tables,
        Ingress {
            ifindex: INGRESS,
            role: Some(role),
        },
    );
    (judged, frame.as_slice().to_vec())
}

/// Whether all checksums of an untagged frame with TCP hold.
fn is_sound(octets: &[u8]) -> bool {
    soundness(octets).expect("TCP that stands alone in its packet")
}

/// The packet of an untagged frame without its hop limit, and without IPv4's checksum over that.
fn without_hops(octets: &[u8]) -> Vec<u8> {
    let mut packet = octets[14..].to_vec();
    if octets[12] == 0x08 {
        packet[8] = 0;
        packet[10..12].fill(0);
    } else {
        packet[7] = 0;
    }
    packet
}

/// Whether the IP header's checksum holds, if it has one.
fn is_sound_ip(octets: &[u8]) -> bool {
    octets[12] != 0x08
        || Ipv4Packet::new_checked(&octets[14..])
            .expect("IPv4")
            .verify_checksum()
}

prop_compose! {
    fn worlds()(
        now_s in 10_000..1_000_000_u32,
        v6: bool,
        customer: [u8; 16],
        relay: [u8; 16],
        mx: [[u8; 16]; 2],
    ) -> World {
        let address = |[a, b, c, d, rest @ ..]: [u8; 16]| -> IpAddr {
            if v6 {
                let mut octets = [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                octets[4..].copy_from_slice(&rest);
                Ipv6Addr::from(octets).into()
            } else {
                // A relay at 0.0.0.0 is none.
                Ipv4Addr::new(a | 1, b, c, d).into()
            }
        };
        let world = if v6 { World::v6(now_s) } else { World::v4(now_s) };
        World {
            customer: address(customer),
            relay: address(relay),
            mx: mx.map(address),
            ..world
        }
    }
}

prop_compose! {
    fn packets()(
        world in worlds(),
        port in 1_u16..,
        hops in 3_u8..,
        flags in prop::sample::select(vec!["S", "A", "FA", "RA", "F", "SA", ""]),
        numbers: [i32; 2],
        window: u16,
        ident: u16,
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) -> (World, Packet) {
        let packet = Packet {
            ports: [port, 25], hops, numbers, window, ident, payload, ..world.to_mx(flags)
        };
        (world, packet)
    }
}

/// The customer's connection from that port stands in the table, under that port.
fn with_flow(world: &World, packet: &Packet) -> MemoryTables {
    let mut tables = world.flagged(Action::Redirect);
    let mut flow = world.flow();
    flow.customer_port_be = packet.ports[0].to_be_bytes();
    tables.put_flow(world.key(packet.ports[0]), flow);
    tables
}

proptest! {
    #[test]
    fn every_rewrite_leaves_valid_checksums((world, packet) in packets()) {
        let (judged, forward) =
            run(&packet.octets(), &mut with_flow(&world, &packet), Role::Customer);
        prop_assert_eq!(judged.verdict, Verdict::Redirect { ifindex: EGRESS });
        prop_assert!(is_sound(&forward));

        let (judged, answer) =
            run(&turned_round(&forward), &mut with_flow(&world, &packet), Role::Relay);
        prop_assert_eq!(judged.verdict, Verdict::Redirect { ifindex: INGRESS });
        prop_assert!(is_sound(&answer));
    }

    #[test]
    fn nobody_is_redirected_away_from_a_spared_destination(
        (world, packet) in packets(),
        length in 0..=32_u8,
        diverted: bool,
    ) {
        let mut tables = if diverted {
            with_flow(&world, &packet)
        } else {
            world.flagged(Action::Redirect)
        };
        tables.bypasses.insert((world.mx[0].into(), length));
        let opens = packet.flags == "S";
        let (judged, out) = run(&packet.octets(), &mut tables, Role::Customer);
        if diverted && !opens {
            prop_assert_eq!(judged.verdict, Verdict::Redirect { ifindex: EGRESS });
        } else {
            prop_assert_eq!(judged.counter, Some(Counter::Bypassed));
            prop_assert_eq!(judged.verdict, Verdict::Pass);
            prop_assert_eq!(out, packet.octets());
            prop_assert_eq!(tables.flows.len(), usize::from(diverted));
        }
    }

    #[test]
    fn every_reset_has_valid_checksums((world, packet) in packets()) {
        let (judged, answer) =
            run(&packet.octets(), &mut world.flagged(Action::Reset), Role::Customer);
        if packet.flags.contains('R') {
            prop_assert_eq!(judged.verdict, Verdict::Drop);
        } else {
            prop_assert_eq!(judged.verdict, Verdict::Tx);
            prop_assert!(is_sound(&answer));
        }
    }

    #[test]
    fn a_refused_client_is_told_and_let_go((world, packet) in packets(), late in 0..64_u32) {
        let mut tables = world.refusing();
        let syn = Packet { flags: "S", payload: Vec::new(), ..packet.clone() };
        let (judged, answer) = run(&syn.octets(), &mut tables, Role::Customer);
        prop_assert_eq!(judged.counter, Some(Counter::RefuseHandshake));
        prop_assert!(is_sound(&answer));
        let l4 = if world.customer.is_ipv4() { 34 } else { 54 };
        let number = |octets: &[u8], at: usize| {
            i32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
        };
        let cookie = number(&answer, l4 + 4);
        prop_assert_eq!(number(&answer, l4 + 8), packet.numbers[0].wrapping_add(1));

        tables.now_ns += u64::from(late) * 1_000_000_000;
        let follow = |flags, numbers, payload: &[u8]| Packet {
            flags,
            numbers,
            window: packet.window.max(216),
            payload: payload.to_vec(),
            ..packet.clone()
        };
        let ours = packet.numbers[0].wrapping_add(1);
        let ack = follow("A", [ours, cookie.wrapping_add(1)], &[]);
        let (judged, told) = run(&ack.octets(), &mut tables, Role::Customer);
        prop_assert_eq!(judged.counter, Some(Counter::Refused));
        prop_assert!(is_sound(&told));
        prop_assert_eq!(told.len(), l4 + 20 + 216);
        prop_assert!(told.ends_with(b"\r\n"));

        let quit = follow("FA", [ours, cookie.wrapping_add(218)], b"QUIT\r\n");
        let (judged, last) = run(&quit.octets(), &mut tables, Role::Customer);
        prop_assert_eq!(judged.counter, Some(Counter::RefuseClosing));
        prop_assert!(is_sound(&last));
        prop_assert_eq!(number(&last, l4 + 4), cookie.wrapping_add(218));
        prop_assert_eq!(number(&last, l4 + 8), ours.wrapping_add(7));
        prop_assert!(tables.flows.is_empty() && tables.buckets.is_empty());
    }

    #[test]
    fn there_and_back_is_the_same_packet((world, packet) in packets(), beyond: bool) {
        let mut tables = with_flow(&world, &packet);
        let mut role = Role::Relay;
        if beyond {
            tables = world.with_relay_beyond(tables, World::RELAY_PORT);
            role = Role::Uplink;
        }
        let (_, forward) = run(&packet.octets(), &mut tables, Role::Customer);
        let (_, back) = run(&turned_round(&forward), &mut tables, role);
        // Two hops, and the way of an answer.
        let expected = Packet {
            hops: packet.hops - 2,
            stations: [packet.stations[1], packet.stations[0]],
            ..packet
        };
        prop_assert_eq!(turned_round(&back), expected.octets());
    }

    #[test]
    fn steering_touches_the_stations_and_one_hop((world, packet) in packets(), damage: [u8; 2]) {
        let mut octets = packet.octets();
        // Nor does it mend a TCP checksum.
        let last = octets.len() - 1;
        octets[last] ^= damage[0];
        octets[last - 1] ^= damage[1];
        let mut tables = world.steered();
        let key = FlowKey { shown_port_be: packet.ports[0].to_be_bytes(), ..world.steered_key(world.mx[0]) };
        tables.put_flow(key, Flow { customer_port_be: key.shown_port_be, ..world.flow() });

        let (judged, forward) = run(&octets, &mut tables, Role::Customer);
        prop_assert_eq!(judged.verdict, Verdict::Redirect { ifindex: EGRESS });
        prop_assert_eq!(without_hops(&forward), without_hops(&octets));
        let (judged, back) = run(&turned_round(&octets), &mut tables, Role::Relay);
        prop_assert_eq!(judged.verdict, Verdict::Redirect { ifindex: INGRESS });
        prop_assert_eq!(without_hops(&back), without_hops(&turned_round(&octets)));
        for frame in [&forward, &back] {
            prop_assert!(is_sound_ip(frame));
        }
    }

    #[test]
    fn the_uplink_steers_answers_to_lent_addresses_and_nothing_else(
        (world, packet) in packets(),
        port in prop_oneof![any::<u16>(), 60_990_u16..],
        source_port in prop_oneof![Just(25_u16), any::<u16>()],
        lent: bool,
        to_customer: bool,
    ) {
        prop_assume!(world.customer != world.mx[1]);
        let mut tables = if lent { world.lent() } else { world.steered() };
        let packet = Packet {
            from: world.mx[0],
            to: if to_customer { world.customer } else { world.mx[1] },
            ports: [source_port, port],
            ..packet
        };
        let octets = packet.octets();
        let (judged, after) = run(&octets, &mut tables, Role::Uplink);
        if lent && to_customer && source_port == 25 && port >= 61_000 {
            prop_assert_eq!(judged.verdict, Verdict::Redirect { ifindex: EGRESS });
            prop_assert_eq!(judged.counter, Some(Counter::ReturnSteered));
            prop_assert_eq!(without_hops(&after), without_hops(&octets));
        } else {
            prop_assert_eq!(judged.verdict, Verdict::Pass);
            prop_assert_eq!(judged.counter, None);
            prop_assert_eq!(after, octets);
        }
    }

    #[test]
    fn a_source_without_a_policy_leaves_as_it_came((world, packet) in packets()) {
        let octets = packet.octets();
        let (judged, after) = run(&octets, &mut world.tables(), Role::Customer);
        prop_assert_eq!(judged.verdict, Verdict::Pass);
        prop_assert_eq!(judged.counter, Some(Counter::Unflagged));
        prop_assert_eq!(after, octets);
    }

    #[test]
    fn noise_without_a_policy_leaves_as_it_came(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        ethertype in prop::sample::select(vec![[8, 0], [0x86, 0xdd], [0x81, 0], [0x88, 0xa8]]),
        customer: bool,
    ) {
        let mut octets = noise;
        if let Some(at) = octets.get_mut(12..14) {
            at.copy_from_slice(&ethertype);
        }
        let role = if customer { Role::Customer } else { Role::Relay };
        let (judged, after) = run(&octets, &mut World::v4(100_000).tables(), role);
        prop_assert_eq!(judged.verdict, Verdict::Pass);
        prop_assert_eq!(after, octets);
    }

    #[test]
    fn two_connections_from_one_port_both_come_back((world, packet) in packets()) {
        prop_assume!(world.mx[0] != world.mx[1]);
        let mut tables = world.flagged(Action::Redirect);
        let mut shown = Vec::new();
        for mx in world.mx {
            let syn = Packet { to: mx, flags: "S", payload: Vec::new(), ..packet.clone() };
            let (judged, forward) = run(&syn.octets(), &mut tables, Role::Customer);
            prop_assert_eq!(judged.verdict, Verdict::Redirect { ifindex: EGRESS });
            let (_, back) = run(&turned_round(&forward), &mut tables, Role::Relay);
            let expected = Packet {
                from: mx,
                to: world.customer,
                ports: [25, packet.ports[0]],
                hops: packet.hops - 2,
                stations: [syn.stations[1], syn.stations[0]],
                ..syn
            };
            prop_assert_eq!(back, expected.octets());
            shown.push(forward);
        }
        let l4 = if world.customer.is_ipv4() { 34 } else { 54 };
        prop_assert_ne!(&shown[0][l4..l4 + 2], &shown[1][l4..l4 + 2]);
    }
}

#[test]
fn a_frame_cut_anywhere_is_rewritten_whole_or_not_at_all() {
    for case in cases::all(100_000) {
        if case.counters.contains(&Counter::InternalError) {
            continue;
        }
        let whole = case.run();
        for octets in 0..case.frame.len() {
            let cut = &case.frame[..octets];
            let after = case.run_on(Buffer::new(cut).expect("it fits"));
            match after.judged.verdict {
                Verdict::Pass | Verdict::Drop => {
                    assert_eq!(after.frame, cut, "{} cut at {octets}", case.name);
                }
                // Only what stands behind the headers is missing.
                Verdict::Tx => assert_eq!(whole.judged.verdict, Verdict::Tx),
                Verdict::Redirect { .. } => {
                    assert!(
                        whole.frame.starts_with(&after.frame),
                        "{} cut at {octets}",
                        case.name
                    );
                }
            }
        }
    }
}

#[test]
fn room_in_front_of_a_frame_is_as_good_as_room_behind_it() {
    for case in cases::all(100_000) {
        if !case.counters.contains(&Counter::Refused) {
            continue;
        }
        let behind = case.run();
        let in_front = case.run_on(Buffer::without_tailroom(&case.frame).expect("it fits"));
        assert_eq!(in_front.frame, behind.frame, "{}", case.name);
    }
}

#[test]
fn without_headroom_for_a_tag_the_frame_is_dropped() {
    let world = World::v4(100_000);
    let mut tables = world.flagged(Action::Redirect);
    let path = L2Path {
        ifindex: EGRESS,
        tags: [[0x81, 0, 0, 100], [0; 4]],
        ..L2Path::default()
    };
    tables
        .relays
        .insert(World::RELAY.into(), world.relay_record(path));
    let octets = world.to_mx("S").octets();
    let mut frame = Buffer::without_headroom(&octets).expect("it fits");
    let ingress = Ingress {
        ifindex: INGRESS,
        role: Some(Role::Customer),
    };
    let judged = judge(&mut frame, &mut tables, ingress);
    assert_eq!(
        (judged.verdict, judged.counter),
        (Verdict::Drop, Some(Counter::InternalError))
    );
    assert_eq!(frame.as_slice(), octets);
}
