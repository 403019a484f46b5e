//! What holds for any packet, not only for those of the cases.

use proptest::prelude::*;

use super::{
    cases::network::Network,
    check::{at_the_edge, host},
    host::{Arrival, Departure, arrive, leave},
    outer::{Inner, OCTETS_V4, Outer},
};
use crate::{
    abi::host::HostCounter,
    addr::{Addr, FAMILY_V4},
    cases::packet::Packet,
    frame::{Buffer, Frame as _},
    parse::ether,
};

fn networks() -> impl Strategy<Value = Network> {
    prop::sample::select(Network::all())
}

prop_compose! {
    /// A frame that the relay's host may send, and the network that it is of.
    fn leaving()(
        n in networks(),
        leg: bool,
        flags in prop::sample::select(vec!["S", "SA", "A", "PA", "FA", "R"]),
        numbers: [i32; 2],
        hops in 1_u8..,
        port in 1_u16..,
        payload in prop::collection::vec(any::<u8>(), 0..1200),
    ) -> (Network, Vec<u8>) {
        let packet = if leg {
            // 0xf000 is above 61000, where the legs' ports begin.
            Packet { ports: [port | 0xf000, 25], ..n.of_leg() }
        } else {
            Packet { ports: [25, port], ..n.to_customer() }
        };
        (n, Packet { flags, numbers, hops, payload, ..packet }.octets())
    }
}

proptest! {
    #[test]
    fn what_one_end_puts_around_a_packet_the_other_takes_off((n, frame) in leaving()) {
        let mut tables = n.tables();
        tables.noted.insert(n.customer_key(), n.edge_key(0));
        let mut buffer = Buffer::new(&frame).expect("it fits");
        prop_assert_eq!(leave(&mut buffer, &mut tables), Departure::Wrapped);
        prop_assert_eq!(buffer.octets(), frame.len() + n.outer_octets());

        let mut there = at_the_edge(&n);
        let arrival = arrive(&mut buffer, &mut there);
        prop_assert!(matches!(arrival, Arrival::Inner { .. }), "{arrival:?}");
        prop_assert_eq!(buffer.as_slice(), &frame[..]);
        prop_assert_eq!(there.counters.get(&HostCounter::Unwrapped), Some(&1));
    }

    #[test]
    fn a_header_reads_as_it_was_written(
        n in networks(),
        class: u8,
        payload in prop::collection::vec(any::<u8>(), 0..1200),
    ) {
        let frame = Packet { payload, ..n.to_customer() }.octets();
        let buffer = Buffer::new(&frame).expect("it fits");
        let link = ether::link(&buffer).expect("Ethernet");
        let inner = Inner { class, ..Inner::read(&buffer, link).expect("IP") };
        prop_assert_eq!(usize::from(inner.octets), frame.len() - 14);
        let (local, remote) = (Addr::from(n.local), Addr::from(n.edges[0]));
        let (ethertype, header) = match (local, remote) {
            (Addr::V4(local), Addr::V4(remote)) => {
                ([0x08, 0x00], inner.within_v4(local, remote).expect("it fits").to_vec())
            }
            (Addr::V6(local), Addr::V6(remote)) => {
                ([0x86, 0xdd], inner.within_v6(&local, &remote).to_vec())
            }
            _ => unreachable!("ends of one family"),
        };
        let octets = [&frame[..12], &ethertype, &header, &frame[14..]].concat();
        let buffer = Buffer::new(&octets).expect("it fits");
        let link = ether::link(&buffer).expect("Ethernet");
        let Outer::Plain(plain) = Outer::read(&buffer, link) else {
            return Err(TestCaseError::fail("it is not plain"));
        };
        prop_assert_eq!(usize::from(plain.octets), header.len());
        prop_assert_eq!(&plain.ethertype_be, &frame[12..14]);
        prop_assert_eq!(plain.class, class);
        prop_assert_eq!(local.family() == FAMILY_V4, header.len() == OCTETS_V4);
    }

    #[test]
    fn a_frame_keeps_its_octets_or_its_packet(
        (n, mut frame) in leaving(),
        first: u8,
        outside: bool,
        damage in prop::collection::vec((0_usize..120, any::<u8>()), 0..6),
        cut in 0_usize..1500,
    ) {
        if outside {
            frame = n.from_edge(0).around(&frame);
        }
        for (at, octet) in damage {
            if let Some(place) = frame.get_mut(at) {
                *place = octet;
            }
        }
        frame.truncate(cut.max(14));
        frame.insert(0, first);
        host(&frame);
    }

    #[test]
    fn any_octets_are_answered(input in prop::collection::vec(any::<u8>(), 0..200)) {
        host(&input);
    }
}
