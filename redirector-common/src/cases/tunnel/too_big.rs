//! Packets that are longer than the tunnel carries.

use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv6Packet, IpProtocol,
    Ipv4Packet, Ipv6Packet,
};

use super::{MTU, Scene, inside, tags};
use crate::{
    abi::Role,
    cases::{
        Case, EGRESS,
        icmp::{
            message::{Kind, Message},
            router,
        },
        packet::Packet,
        world::{EDGE_MAC, RELAY_MAC},
    },
    counters::Counter,
};

pub(super) fn cases(s: &Scene<'_>, cases: &mut Vec<Case>) {
    let w = s.world;
    let headers = if w.customer.is_ipv4() { 40 } else { 60 };
    let long = |octets: usize| Packet {
        payload: vec![b'x'; octets - headers],
        ..w.to_mx("A")
    };
    let just = long(MTU.into());
    let over = long(usize::from(MTU) + 1);
    let tagged = Packet {
        tags: tags(),
        ..over.clone()
    };
    let behind = Packet {
        payload: vec![b'x'; MTU.into()],
        ..w.behind_more(w.to_mx("A"))
    };
    let to_leg = Packet {
        stations: [EDGE_MAC, RELAY_MAC],
        from: w.mx[0],
        to: w.customer,
        ports: [25, 61_000],
        ..over.clone()
    };
    let error = Message {
        stations: over.stations,
        tags: vec![],
        from: router(w),
        to: w.mx[0],
        hops: 60,
        options: vec![],
        kind: Kind::TimeExceeded,
        quote: {
            let mut quote = super::answer(w, "A").octets()[14..].to_vec();
            quote.resize(MTU.into(), 0);
            quote
        },
    };
    let too_big = &[Counter::TunnelTooBig];
    cases.extend([
        s.case("a packet that just fits in", s.established(), just.octets())
            .leaves(
                EGRESS,
                s.sealed(&inside(&just).octets()),
                &[Counter::Tunnelled, Counter::ToRelay],
            ),
        s.case(
            "a packet that does not fit in",
            s.established(),
            over.octets(),
        )
        .answered(told(&over.octets()), too_big),
        s.case(
            "a packet with tags that does not fit in",
            s.established(),
            tagged.octets(),
        )
        .answered(told(&tagged.octets()), too_big),
        s.case(
            "a packet behind options that does not fit in",
            s.established(),
            behind.octets(),
        )
        .answered(told(&behind.octets()), too_big),
        s.case(
            "an answer to a leg that does not fit in",
            s.lent(),
            to_leg.octets(),
        )
        .role(Some(Role::Uplink))
        .answered(told(&to_leg.octets()), too_big),
        s.case(
            "an error that does not fit in",
            s.established(),
            error.octets(),
        )
        .dropped(too_big),
    ]);
    if w.customer.is_ipv4() {
        let mut divisible = over.octets();
        divisible[14 + 6] = 0;
        Ipv4Packet::new_unchecked(&mut divisible[14..]).fill_checksum();
        cases.push(
            s.case(
                "a packet that may be cut and does not fit in",
                s.established(),
                divisible,
            )
            .dropped(too_big),
        );
    }
}

/// The answer to a frame, written by smoltcp.
fn told(frame: &[u8]) -> Vec<u8> {
    let link = super::envelope::link_octets(frame);
    let quote = &frame[link..link + 80];
    let mut message = vec![0; 8];
    message.extend_from_slice(quote);
    let (ethertype, packet) = if quote[0] >> 4 == 4 {
        let came = Ipv4Packet::new_unchecked(quote);
        message[..2].copy_from_slice(&[3, 4]);
        message[6..8].copy_from_slice(&MTU.to_be_bytes());
        Icmpv4Packet::new_unchecked(&mut message).fill_checksum();
        let mut octets = vec![0; 20];
        octets.extend_from_slice(&message);
        let mut packet = Ipv4Packet::new_unchecked(&mut octets);
        packet.set_version(4);
        packet.set_header_len(20);
        packet.set_total_len(20 + 88);
        packet.set_dont_frag(true);
        packet.set_hop_limit(64);
        packet.set_next_header(IpProtocol::Icmp);
        packet.set_src_addr(came.dst_addr());
        packet.set_dst_addr(came.src_addr());
        packet.fill_checksum();
        (EthernetProtocol::Ipv4, octets)
    } else {
        let came = Ipv6Packet::new_unchecked(quote);
        let (from, to) = (came.dst_addr(), came.src_addr());
        message[0] = 2;
        message[6..8].copy_from_slice(&MTU.to_be_bytes());
        Icmpv6Packet::new_unchecked(&mut message).fill_checksum(&from, &to);
        let mut octets = vec![0; 40];
        octets.extend_from_slice(&message);
        let mut packet = Ipv6Packet::new_unchecked(&mut octets);
        packet.set_version(6);
        packet.set_payload_len(88);
        packet.set_hop_limit(64);
        packet.set_next_header(IpProtocol::Icmpv6);
        packet.set_src_addr(from);
        packet.set_dst_addr(to);
        (EthernetProtocol::Ipv6, octets)
    };
    let mut octets = vec![0; 14];
    octets.extend_from_slice(&packet);
    let came = EthernetFrame::new_unchecked(frame);
    let mut ether = EthernetFrame::new_unchecked(&mut octets);
    ether.set_dst_addr(EthernetAddress(came.src_addr().0));
    ether.set_src_addr(came.dst_addr());
    ether.set_ethertype(ethertype);
    octets.splice(12..12, frame[12..link - 2].iter().copied());
    octets
}
