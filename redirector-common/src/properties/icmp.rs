//! What holds for any ICMP error about a diverted connection.

use proptest::prelude::*;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv6Packet, Ipv4Packet, Ipv6Packet,
};

use super::{packets, run, with_flow, without_hops};
use crate::{
    abi::Role,
    cases::{
        EGRESS, INGRESS, World,
        icmp::{Kind, Message, router, too_big},
        packet::Packet,
    },
    tables::Verdict,
};

/// What an untagged error quotes; its own checksums must hold, and that of an IPv4 header inside it.
fn quote_of(octets: &[u8]) -> Vec<u8> {
    let frame = EthernetFrame::new_checked(octets).expect("Ethernet");
    if frame.ethertype() == EthernetProtocol::Ipv4 {
        let packet = Ipv4Packet::new_checked(frame.payload()).expect("IPv4");
        assert!(packet.verify_checksum());
        let error = Icmpv4Packet::new_checked(packet.payload()).expect("ICMP");
        assert!(error.verify_checksum());
        let quote = packet.payload()[8..].to_vec();
        assert!(Ipv4Packet::new_unchecked(&quote[..]).verify_checksum());
        quote
    } else {
        let packet = Ipv6Packet::new_checked(frame.payload()).expect("IPv6");
        let error = Icmpv6Packet::new_checked(packet.payload()).expect("ICMPv6");
        assert!(error.verify_checksum(&packet.src_addr(), &packet.dst_addr()));
        packet.payload()[8..].to_vec()
    }
}

/// A frame with the start of a packet in the place of a whole one, as [`without_hops`] wants it.
fn framed(world: &World, quote: &[u8]) -> Vec<u8> {
    let mut octets = vec![0; 12];
    octets.extend(if world.customer.is_ipv4() {
        [8, 0]
    } else {
        [0x86, 0xdd]
    });
    octets.extend(quote);
    octets
}

/// An error about `about`, cut to something between the least and all of it.
fn error(world: &World, about: &Packet, kind: Kind, share: u8, by_router: bool) -> Message {
    let from = if by_router { router(world) } else { about.to };
    let whole = too_big(from, about);
    let least = if world.customer.is_ipv4() { 28 } else { 48 };
    let more = (whole.quote.len() - least) * usize::from(share) / 255;
    // An odd end is padded for the checksum, so half a TCP checksum would be cut.
    let octets = if more == 9 { least + 8 } else { least + more };
    Message {
        kind,
        ..whole.cut(octets)
    }
}

proptest! {
    #[test]
    fn an_error_from_the_relay_quotes_what_the_customer_sent(
        (world, packet) in packets(),
        kind in prop::sample::select(Kind::ERRORS.to_vec()),
        share: u8,
        by_router: bool,
    ) {
        prop_assume!(world.relay != router(&world) && world.customer != world.relay);
        let mut tables = with_flow(&world, &packet);
        // The customers are few, or a router of chance would be among them.
        tables.customers.clear();
        let before = tables.flow_records();
        let error = error(&world, &world.at_relay(&packet), kind, share, by_router);
        let (judged, out) = run(&error.octets(), &mut tables, Role::Relay);
        prop_assert_eq!(judged.verdict, Verdict::Redirect { ifindex: INGRESS });
        let quote = quote_of(&out);
        let sent = &packet.octets()[14..14 + quote.len()];
        prop_assert_eq!(without_hops(&framed(&world, &quote)), without_hops(&framed(&world, sent)));
        prop_assert_eq!(tables.flow_records(), before);
    }

    #[test]
    fn an_error_from_the_customer_quotes_what_the_relay_sent(
        (world, packet) in packets(),
        kind in prop::sample::select(Kind::ERRORS.to_vec()),
        share: u8,
        by_router: bool,
    ) {
        let mut tables = with_flow(&world, &packet);
        let before = tables.flow_records();
        let answer = Packet {
            ports: [World::RELAY_PORT, packet.ports[0]],
            from: world.relay,
            to: world.customer,
            ..packet.clone()
        };
        let received = Packet { ports: [25, packet.ports[0]], from: world.mx[0], ..answer.clone() };
        let error = error(&world, &received, kind, share, by_router);
        // From the customer or a router, never from whom it goes to.
        let error = Message { from: if by_router { router(&world) } else { world.customer }, ..error };
        let (judged, out) = run(&error.octets(), &mut tables, Role::Customer);
        prop_assert_eq!(judged.verdict, Verdict::Redirect { ifindex: EGRESS });
        let quote = quote_of(&out);
        let sent = &answer.octets()[14..14 + quote.len()];
        prop_assert_eq!(without_hops(&framed(&world, &quote)), without_hops(&framed(&world, sent)));
        prop_assert_eq!(tables.flow_records(), before);
    }

    #[test]
    fn a_damaged_error_goes_whole_or_stays_what_it_is(
        (world, packet) in packets(),
        role in prop::sample::select(vec![Role::Customer, Role::Uplink, Role::Relay]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in any::<prop::sample::Index>(),
        lent: bool,
    ) {
        let about = match role {
            Role::Customer => Packet { ports: [25, packet.ports[0]], from: world.mx[0], to: world.customer, ..packet.clone() },
            Role::Uplink => packet.clone(),
            Role::Relay => world.at_relay(&packet),
        };
        let mut octets = too_big(about.to, &about).octets();
        for (at, value) in damage {
            let at = at.index(octets.len());
            octets[at] = value;
        }
        if lent {
            octets.truncate(14 + end.index(octets.len() - 13));
        }
        let mut tables = if lent { world.lent() } else { with_flow(&world, &packet) };
        let (judged, out) = run(&octets, &mut tables, role);
        match judged.verdict {
            Verdict::Pass | Verdict::Drop => prop_assert_eq!(out, octets),
            Verdict::Redirect { .. } => prop_assert_eq!(out.len(), octets.len()),
            Verdict::Tx => prop_assert!(false, "nothing answers an error"),
        }
    }
}
