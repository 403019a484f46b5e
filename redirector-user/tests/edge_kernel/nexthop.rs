//! The way to a relay, as the kernel's own tables give it.

use redirector_common::abi::L2Path;
use redirector_user::edge::{
    local_source_towards,
    nexthop::{NextHopError, resolve},
};

use crate::bench::{Elsewhere, address, ip, isolated};

/// A relay at `198.51.100.2` and `2001:db8:2::2` behind `relay0`.
fn relay() -> Elsewhere {
    let relay = Elsewhere::new();
    relay.wire(
        "relay0",
        &["198.51.100.1/24", "2001:db8:2::1/64"],
        &["198.51.100.2/24", "2001:db8:2::2/64"],
    );
    relay
}

fn resolved(target: &str, vlan: &[u16]) -> Result<L2Path, NextHopError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(resolve(address(target), vlan))
}

fn mac(interface: &str) -> [u8; 6] {
    let shown = crate::bench::ip_shows(&format!("link show dev {interface}"));
    let after = shown
        .split_whitespace()
        .skip_while(|word| *word != "link/ether")
        .nth(1);
    let octets: Vec<u8> = after
        .expect("an Ethernet address")
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16).unwrap())
        .collect();
    octets.try_into().unwrap()
}

fn index(interface: &str) -> u32 {
    let shown = crate::bench::ip_shows(&format!("link show dev {interface}"));
    shown.split(':').next().unwrap().parse().unwrap()
}

#[test]
fn a_relay_on_the_link_is_found() {
    isolated(|| {
        let relay = relay();
        let expected = L2Path {
            ifindex: index("relay0"),
            peer_mac: relay.run(|| mac("eth0")),
            own_mac: mac("relay0"),
            tags: [[0; 4]; 2],
        };
        assert_eq!(resolved("198.51.100.2", &[]).unwrap(), expected);
        assert_eq!(resolved("2001:db8:2::2", &[]).unwrap(), expected);
        // Once more, out of the neighbour table.
        assert_eq!(resolved("198.51.100.2", &[]).unwrap(), expected);
    });
}

#[test]
fn a_relay_behind_a_gateway_is_reached_by_the_gateway() {
    isolated(|| {
        let gateway = relay();
        ip("route add 203.0.113.0/24 via 198.51.100.2");
        ip("route add 2001:db8:b::/48 via 2001:db8:2::2");
        let peer = gateway.run(|| mac("eth0"));
        assert_eq!(resolved("203.0.113.77", &[]).unwrap().peer_mac, peer);
        assert_eq!(resolved("2001:db8:b::77", &[]).unwrap().peer_mac, peer);
        assert_eq!(
            local_source_towards(address("203.0.113.77")).unwrap(),
            address("198.51.100.1")
        );
        assert_eq!(
            local_source_towards(address("2001:db8:b::7")).unwrap(),
            address("2001:db8:2::1")
        );
    });
}

#[test]
fn configured_tags_are_put_on() {
    isolated(|| {
        let _relay = relay();
        let one = resolved("198.51.100.2", &[100]).unwrap();
        assert_eq!(one.tags, [[0x81, 0, 0, 100], [0; 4]]);
        let two = resolved("198.51.100.2", &[100, 200]).unwrap();
        assert_eq!(two.tags, [[0x88, 0xa8, 0, 100], [0x81, 0, 0, 200]]);
        let error = resolved("198.51.100.2", &[1, 2, 3]).unwrap_err();
        assert!(matches!(error, NextHopError::Tags(_)), "{error}");
    });
}

#[test]
fn what_cannot_be_reached_says_why() {
    isolated(|| {
        let _relay = relay();
        let silent = resolved("198.51.100.77", &[]).unwrap_err();
        assert!(matches!(&silent, NextHopError::Silent { interface, .. } if interface == "relay0"));
        let unrouted = resolved("203.0.113.1", &[]).unwrap_err();
        assert!(matches!(unrouted, NextHopError::NoRoute(_)), "{unrouted}");
        let own = resolved("198.51.100.1", &[]).unwrap_err();
        assert!(matches!(own, NextHopError::Local(_)), "{own}");
        ip("route add blackhole 203.0.113.0/24");
        let hole = resolved("203.0.113.1", &[]).unwrap_err();
        assert!(matches!(hole, NextHopError::NoRoute(_)), "{hole}");
        let _source = local_source_towards(address("192.0.2.1")).unwrap_err();
    });
}
