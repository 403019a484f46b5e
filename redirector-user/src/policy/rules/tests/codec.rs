//! Rotations as octets.

use proptest::prelude::*;

use super::*;

prop_compose! {
    fn observation()(
        edge in prop::array::uniform6(prop_oneof![Just(0_u64), 0..1000_u64, any::<u64>()]),
        relay in prop::array::uniform10(prop_oneof![3 => Just(0_u64), 1 => 0..1000_u64]),
        used in prop_oneof![0..10_usize, 0..129_usize],
    ) -> Observation {
        let [syns, packets, octets, ended, reset, short] = edge;
        let [
            connections, messages, recipients, distinct_recipients, distinct_senders, unknown, refused, spam,
            limit_hits, learnt,
        ] = relay;
        Observation {
            syns, packets, octets, ended, reset, short, destinations: sketch(used),
            connections, messages, recipients, distinct_recipients, distinct_senders, unknown, refused, spam,
            limit_hits, learnt,
        }
    }
}

fn source() -> impl Strategy<Value = IpNetwork> {
    let v4 = any::<u32>().prop_map(|bits| {
        IpNetwork::new(std::net::Ipv4Addr::from(bits).into(), 32).expect("a prefix")
    });
    let v6 = any::<u64>().prop_map(|bits| {
        let address = std::net::Ipv6Addr::from(u128::from(bits) << 64);
        IpNetwork::new(address.into(), 64).expect("a prefix")
    });
    prop_oneof![v4, v6]
}

proptest! {
    #[test]
    fn what_was_written_is_read(seen in prop::collection::btree_map(source(), observation(), 0..40)) {
        let rotation = Rotation { seen, ..Rotation::between(minute(0), minute(1)) };
        let octets = encode(&rotation.seen);
        prop_assert_eq!(decode(minute(0), minute(1), &octets), Ok(rotation));
        // A shorter text is never another rotation.
        for end in (0..octets.len()).rev().take(30) {
            prop_assert!(decode(minute(0), minute(1), &octets[..end]).is_err());
        }
    }

    #[test]
    fn any_octets_are_read_or_refused(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut octets = octets;
        if let Some(first) = octets.first_mut() {
            *first = 1;
        }
        if let Ok(rotation) = decode(minute(0), minute(1), &octets) {
            let again = encode(&rotation.seen);
            prop_assert_eq!(decode(minute(0), minute(1), &again), Ok(rotation));
        }
    }
}

/// What the documentation says of the size: sources that open twenty connections a minute to twelve networks.
#[test]
fn a_source_takes_some_forty_octets() {
    let seen = (0..10_000_u32).map(|number| {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + 3 * number);
        let seen = Observation {
            syns: 20,
            packets: 400,
            octets: 90_000,
            ended: 19,
            reset: 2,
            short: 3,
            destinations: sketch(12),
            ..Observation::NOTHING
        };
        (IpNetwork::from(std::net::IpAddr::from(address)), seen)
    });
    let octets = encode(&seen.collect()).len();
    assert_eq!(octets, 10_000 * 36 + 7, "{octets}");
}
