//! Frames from the customer under each action, and by each way.

use std::{format, vec, vec::Vec};

use super::{
    Case, EGRESS, INGRESS,
    packet::Packet,
    world::{CUSTOMER_MAC, EDGE_MAC, World, policy, relay_path},
};
use crate::{
    abi::{Action, Flow, L2Path, Policy, Role, RoleKey},
    counters::Counter,
};

pub(super) fn cases(world: &World, cases: &mut Vec<Case>) {
    bystanders(world, cases);
    actions(world, cases);
    links(world, cases);
}

fn bystanders(w: &World, cases: &mut Vec<Case>) {
    let web = Packet {
        ports: [World::PORT, 443],
        ..w.to_mx("S")
    };
    let group = Packet {
        stations: [[0xff; 6], CUSTOMER_MAC],
        ..w.to_mx("S")
    };
    let mut udp = w.to_mx("A").octets();
    udp[if w.customer.is_ipv4() { 23 } else { 20 }] = 17;
    let mut arp = w.to_mx("S").octets();
    arp[12..14].copy_from_slice(&[8, 6]);
    let flagged = || w.flagged(Action::Redirect);
    cases.extend([
        w.case(
            "mail of an unflagged customer passes",
            w.tables(),
            w.to_mx("S").octets(),
        )
        .counts(&[Counter::Unflagged]),
        w.case(
            "another port of a flagged customer passes",
            flagged(),
            web.octets(),
        ),
        w.case(
            "another protocol of a flagged customer passes",
            flagged(),
            udp,
        ),
        w.case("ARP of a flagged customer passes", flagged(), arp),
        w.case("a group frame passes", flagged(), group.octets()),
        w.case("the uplink is left alone", flagged(), w.to_mx("S").octets())
            .role(Some(Role::Uplink)),
        w.case(
            "an interface without a role is left alone",
            flagged(),
            w.to_mx("S").octets(),
        )
        .role(None),
    ]);
}

fn actions(w: &World, cases: &mut Vec<Case>) {
    let prefix = |action| {
        let mut tables = w.tables();
        tables
            .prefixes
            .insert((w.network.0.into(), w.network.1), policy(action));
        tables
    };
    let mut exempt = prefix(Action::Drop);
    exempt.hosts.insert(w.customer.into(), policy(Action::Pass));
    let mut nested = prefix(Action::Pass);
    nested
        .prefixes
        .insert((w.network.0.into(), w.network.1 - 4), policy(Action::Drop));
    let mut unknown = w.tables();
    unknown.hosts.insert(
        w.customer.into(),
        Policy {
            action: 99,
            ..policy(Action::Pass)
        },
    );
    let syn = || w.to_mx("S").octets();
    let reset = |before: &Packet, flags, numbers| Packet {
        stations: [CUSTOMER_MAC, EDGE_MAC],
        from: before.to,
        to: before.from,
        ports: [25, World::PORT],
        hops: 64,
        between: Vec::new(),
        ident: 0,
        flags,
        numbers,
        window: 0,
        payload: Vec::new(),
        ..before.clone()
    };
    let fin = Packet {
        flags: "F",
        ..w.to_mx("A")
    };
    let data = w.to_mx("A");
    let tagged = Packet {
        tags: vec![[0x88, 0xa8, 0, 9], [0x81, 0, 0, 7]],
        ..w.to_mx("S")
    };
    let long = w.behind_more(w.to_mx("S"));
    let resets = &[Counter::Reset];
    cases.extend([
        w.case("pass", w.flagged(Action::Pass), syn())
            .counts(&[Counter::Passed]),
        w.case("observe", w.flagged(Action::Observe), syn())
            .counts(&[Counter::Observed]),
        w.case("drop", w.flagged(Action::Drop), syn())
            .dropped(&[Counter::Dropped]),
        w.case("a prefix's policy holds", prefix(Action::Drop), syn())
            .dropped(&[Counter::Dropped]),
        w.case("a host's policy beats its prefix's", exempt, syn())
            .counts(&[Counter::Passed]),
        w.case("the longest prefix wins", nested, syn())
            .counts(&[Counter::Passed]),
        w.case("an unknown action is nobody's leave", unknown, syn())
            .dropped(&[Counter::InternalError]),
        w.case(
            "reset of a SYN acknowledges it",
            w.flagged(Action::Reset),
            syn(),
        )
        .answered(
            reset(&w.to_mx("S"), "RA", [0, 0x0102_0305]).padded(60),
            resets,
        ),
        w.case(
            "reset of data takes its number",
            w.flagged(Action::Reset),
            data.octets(),
        )
        .answered(reset(&data, "R", [0x0506_0708, 0]).padded(60), resets),
        w.case(
            "reset of a FIN without ACK counts text and FIN",
            w.flagged(Action::Reset),
            fin.octets(),
        )
        .answered(
            reset(&fin, "RA", [0, 0x0102_0304 + 16 + 1]).padded(60),
            resets,
        ),
        w.case(
            "reset keeps the tags",
            w.flagged(Action::Reset),
            tagged.octets(),
        )
        .answered(reset(&tagged, "RA", [0, 0x0102_0305]).padded(68), resets),
        w.case(
            "reset leaves options and extension headers out",
            w.flagged(Action::Reset),
            long.octets(),
        )
        .answered(reset(&long, "RA", [0, 0x0102_0305]).padded(60), resets),
        w.case(
            "reset never answers an RST",
            w.flagged(Action::Reset),
            w.to_mx("R").octets(),
        )
        .dropped(resets),
    ]);
}

fn links(w: &World, cases: &mut Vec<Case>) {
    let tags = [
        vec![],
        vec![[0x81, 0, 0x20, 100]],
        vec![[0x88, 0xa8, 0, 200], [0x81, 0, 0, 7]],
    ];
    for (index, before) in tags.iter().enumerate() {
        for after in &tags {
            let path = L2Path {
                tags: path_tags(after),
                ..relay_path()
            };
            let mut tables = w.flagged(Action::Redirect);
            tables
                .relays
                .insert(World::RELAY.into(), w.relay_record(path));
            let syn = Packet {
                tags: before.clone(),
                ..w.to_mx("S")
            };
            let out = Packet {
                tags: after.clone(),
                ..w.at_relay(&syn)
            };
            let name = format!("{index} tags to {}", after.len());
            let mut flow = w.new_flow();
            flow.customer_path.tags = path_tags(before);
            cases.push(
                w.case(&name, tables, syn.octets())
                    .leaves(
                        EGRESS,
                        out.octets(),
                        &[Counter::FlowOpened, Counter::ToRelay],
                    )
                    .entry(w.key(World::PORT), flow),
            );
        }
    }
    let tagged = Packet {
        tags: tags[2].clone(),
        ..w.to_mx("A")
    };
    let mut moved = Flow {
        last_seen_s: w.now_s,
        ..w.flow()
    };
    moved.customer_path.tags = path_tags(&tags[2]);
    let mut by_tags = w.flagged(Action::Drop);
    by_tags.roles.insert(
        RoleKey {
            ifindex: INGRESS,
            outer: 200,
            inner: 7,
        },
        Role::Customer,
    );
    cases.extend([
        w.case(
            "a customer that moves is followed",
            w.diverted(),
            tagged.octets(),
        )
        .leaves(EGRESS, w.at_relay(&tagged).octets(), &[Counter::ToRelay])
        .entry(w.key(World::PORT), moved),
        w.case("tags give a role", by_tags.clone(), tagged.octets())
            .role(None)
            .dropped(&[Counter::Dropped]),
        w.case("other tags do not", by_tags, w.to_mx("A").octets())
            .role(None),
    ]);
}

fn path_tags(tags: &[[u8; 4]]) -> [[u8; 4]; 2] {
    let at = |index| tags.get(index).copied().unwrap_or_default();
    [at(0), at(1)]
}
