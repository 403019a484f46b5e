//! Frames with more tags than are followed, and tags that name no VLAN.

use std::{vec, vec::Vec};

use super::{
    super::{Case, INGRESS, packet::Packet, world::World},
    CHAIN, behind_tags, fragment_header, judged_by_policy_alone,
};
use crate::{
    abi::{Action, Role, RoleKey},
    counters::Counter,
    parse::ether::DEEP_TAGS,
};

pub(super) fn cases(w: &World, cases: &mut Vec<Case>) {
    let named = |name: &str, count: usize| std::format!("{name} behind {count} tags");
    let flagged = || w.flagged(Action::Redirect);
    let web = Packet {
        ports: [World::PORT, 443],
        ..w.to_mx("S")
    }
    .octets();
    let mut udp = w.to_mx("A").octets();
    udp[if w.customer.is_ipv4() { 23 } else { 20 }] = 17;
    let mut arp = w.to_mx("S").octets();
    arp[12..14].copy_from_slice(&[8, 6]);
    let mail = w.to_mx("S").octets();
    let long = if w.customer.is_ipv4() {
        Packet {
            between: vec![1; 40],
            ..w.to_mx("S")
        }
    } else {
        Packet {
            first: 60,
            between: vec![6, 0, 1, 4, 0, 0, 0, 0],
            ..w.to_mx("S")
        }
    };
    let part = if w.customer.is_ipv4() {
        Packet {
            fragment: (true, 0),
            ..w.to_mx("A")
        }
    } else {
        Packet {
            first: 44,
            between: fragment_header(6, 0, true),
            ..w.to_mx("A")
        }
    };
    for count in 3..=DEEPEST {
        let mut tags = [PRIORITY].repeat(count);
        tags[count - 1] = [0x88, 0xa8, 0, 9];
        let behind = |frame: &[u8]| behind_tags(frame, &tags);
        judged_by_policy_alone(w, &named("mail", count), &behind(&mail), CHAIN, cases);
        for (name, frame) in [
            ("another port", &web),
            ("another protocol", &udp),
            ("ARP", &arp),
        ] {
            cases.push(w.case(&named(name, count), flagged(), behind(frame)));
        }
        for (name, packet) in [("a long header", &long), ("a fragment", &part)] {
            let frame = behind(&packet.octets());
            let case = w.case(&named(name, count), flagged(), frame);
            cases.push(case.dropped(&[Counter::ChainDropped]));
        }
        let cut = behind(&mail)[..12 + 4 * count].to_vec();
        cases.push(w.case(&named("nothing", count), flagged(), cut));
        let cut = behind(&mail)[..12 + 4 * count + 2 + 16].to_vec();
        cases.push(w.case(&named("half a header", count), flagged(), cut));
        let forged = w.case(&named("a forged frame", count), w.tables(), behind(&web));
        let relay = Some(Role::Relay);
        let own = Packet {
            from: w.relay,
            to: w.mx[0],
            ..w.to_mx("S")
        };
        let own = behind(&own.octets());
        cases.extend([
            forged.role(relay).dropped(&[Counter::SpoofBlocked]),
            w.case(&named("a relay's own frame", count), flagged(), own)
                .role(relay),
            w.case(&named("the uplink's", count), flagged(), behind(&mail))
                .role(Some(Role::Uplink)),
        ]);
    }
    let bottomless = behind_tags(&web, &[PRIORITY].repeat(DEEPEST + 1));
    cases.extend([
        w.case("more tags than anybody has", w.tables(), bottomless.clone())
            .dropped(&[Counter::ChainDropped]),
        w.case("more tags than a relay has", w.tables(), bottomless)
            .role(Some(Role::Relay))
            .dropped(&[Counter::SpoofBlocked]),
    ]);
    by_vlan(w, &mail, cases);
}

/// Tags without a VLAN are no way around a role that VLANs give.
fn by_vlan(w: &World, mail: &[u8], cases: &mut Vec<Case>) {
    let mut tables = w.flagged(Action::Drop);
    for (outer, inner) in [(5, 0), (9, 7)] {
        let key = RoleKey {
            ifindex: INGRESS,
            outer,
            inner,
        };
        tables.roles.insert(key, Role::Customer);
    }
    let five = [0x81, 0, 0, 5];
    let [nine, seven] = [[0x88, 0xa8, 0, 9], [0x81, 0, 0xe0, 7]];
    let counted = [Counter::Dropped, Counter::ChainDropped];
    for (name, tags, counter) in [
        ("a VLAN", &[five][..], Some(counted[0])),
        (
            "a priority, then a VLAN",
            &[PRIORITY, five],
            Some(counted[0]),
        ),
        (
            "a VLAN, then a priority",
            &[five, PRIORITY],
            Some(counted[0]),
        ),
        ("two VLANs", &[nine, seven], Some(counted[0])),
        (
            "a priority before two VLANs",
            &[PRIORITY, nine, seven],
            Some(counted[1]),
        ),
        (
            "a priority between two VLANs",
            &[nine, PRIORITY, seven],
            Some(counted[1]),
        ),
        (
            "a VLAN behind priorities",
            &[PRIORITY, PRIORITY, PRIORITY, five],
            Some(counted[1]),
        ),
        ("another VLAN behind a priority", &[PRIORITY, seven], None),
        (
            "another VLAN behind priorities",
            &[PRIORITY, PRIORITY, seven],
            None,
        ),
    ] {
        let case = w
            .case(name, tables.clone(), behind_tags(mail, tags))
            .role(None);
        cases.push(match counter {
            Some(counter) => case.dropped(&[counter]),
            None => case,
        });
    }
}

/// A tag that is about priority alone.
const PRIORITY: [u8; 4] = [0x81, 0, 0xa0, 0];
/// Tags that are followed, at most.
const DEEPEST: usize = 2 + DEEP_TAGS;
