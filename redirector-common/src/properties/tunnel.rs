//! What holds for any SYN on its way through a tunnel.

use proptest::prelude::*;

use super::{packets, run};
use crate::{
    abi::Role,
    cases::{EGRESS, packet::Packet, relay_path, tunnel},
    check::soundness,
    tables::Verdict,
};

/// Options as hosts write them, and noise.
fn options() -> impl Strategy<Value = Vec<u8>> {
    let size = any::<u16>().prop_map(|size| {
        let [high, low] = size.to_be_bytes();
        vec![2, 4, high, low]
    });
    let other = (3_u8.., 0_usize..8, any::<u8>()).prop_map(|(kind, more, octet)| {
        let mut option = vec![kind, u8::try_from(2 + more).expect("below ten")];
        option.resize(2 + more, octet);
        option
    });
    let one = prop_oneof![
        3 => size,
        3 => other,
        2 => Just(vec![1]),
        1 => prop::collection::vec(any::<u8>(), 1..5),
    ];
    prop::collection::vec(one, 0..8).prop_map(|options| {
        let mut octets = options.concat();
        octets.truncate(40);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    })
}

/// Where the first option of the maximum segment size has its number, by RFC 9293 section 3.1.
fn size_at(options: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match *options.get(at..)? {
            [2, 4, _, _, ..] => return Some(at + 2),
            [1, ..] => at += 1,
            [0 | 2, ..] => return None,
            [_, length, ..] if length >= 2 => at += usize::from(length),
            _ => return None,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_syn_says_what_fits_in_and_nothing_else_changes(
        (world, packet) in packets(),
        options in options(),
        over_v6: bool,
    ) {
        let outside = if over_v6 { tunnel::V6 } else { tunnel::V4 };
        let syn = |options: Vec<u8>| Packet {
            flags: "S",
            options,
            ..packet.clone()
        };
        let mut tables = tunnel::with_tunnel(&world, world.steered(), outside, relay_path());
        let (judged, there) = run(&syn(options.clone()).octets(), &mut tables, Role::Customer);
        prop_assert_eq!(judged.verdict, Verdict::Redirect { ifindex: EGRESS });
        prop_assert_eq!(soundness(&there), Some(true));

        let most = tunnel::MTU - if world.customer.is_ipv4() { 40 } else { 60 };
        let mut fitting = options.clone();
        if let Some(size) = size_at(&options).and_then(|at| fitting.get_mut(at..at + 2)) {
            let said = u16::from_be_bytes([size[0], size[1]]);
            size.copy_from_slice(&said.min(most).to_be_bytes());
        }
        let path = relay_path();
        let expected = Packet {
            stations: [path.peer_mac, path.own_mac],
            hops: packet.hops - 1,
            ..syn(fitting)
        };
        prop_assert_eq!(there, outside.around(&expected.octets()));
    }
}
