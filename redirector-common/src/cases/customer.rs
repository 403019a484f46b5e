//! Frames from the customer, all of whose headers are in sight.

use std::{format, vec, vec::Vec};

use super::{
    Case, EGRESS, INGRESS,
    packet::Packet,
    world::{CUSTOMER_MAC, EDGE_MAC, FLOWS_MAX, World, policy, pool, relay_path},
};
use crate::{
    abi::{
        Action, Bucket, Flow, L2Path, NO_RELAY, NO_RELAY_SHORT, OnFailure, Policy, Role, RoleKey,
    },
    addr::Addr,
    counters::Counter,
    flow::{CANDIDATES, Connection, SEEN_ACK, SEEN_FIN, SEEN_RST, SEEN_SYN},
    tables::memory::MemoryTables,
};

pub(super) fn cases(world: &World, cases: &mut Vec<Case>) {
    bystanders(world, cases);
    actions(world, cases);
    opening(world, cases);
    ports(world, cases);
    going_on(world, cases);
    failing(world, cases);
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
    let three_tags = Packet {
        tags: vec![[0x81, 0, 0, 5]; 3],
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
        w.case(
            "a third tag is nothing to us",
            flagged(),
            three_tags.octets(),
        ),
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
    let long = Packet {
        between: long_between(w),
        ..with_first(w, w.to_mx("S"))
    };
    let padding = |tags: usize| {
        if w.customer.is_ipv4() {
            60 + 4 * tags
        } else {
            0
        }
    };
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
            reset(&w.to_mx("S"), "RA", [0, 0x0102_0305]).octets(),
            resets,
        ),
        w.case(
            "reset of data takes its number",
            w.flagged(Action::Reset),
            data.octets(),
        )
        .answered(
            reset(&data, "R", [0x0506_0708, 0]).padded(padding(0)),
            resets,
        ),
        w.case(
            "reset of a FIN without ACK counts text and FIN",
            w.flagged(Action::Reset),
            fin.octets(),
        )
        .answered(
            reset(&fin, "RA", [0, 0x0102_0304 + 16 + 1]).padded(padding(0)),
            resets,
        ),
        w.case(
            "reset keeps the tags",
            w.flagged(Action::Reset),
            tagged.octets(),
        )
        .answered(reset(&tagged, "RA", [0, 0x0102_0305]).octets(), resets),
        w.case(
            "reset leaves options and extension headers out",
            w.flagged(Action::Reset),
            long.octets(),
        )
        .answered(
            reset(&long, "RA", [0, 0x0102_0305]).padded(padding(0)),
            resets,
        ),
        w.case(
            "reset never answers an RST",
            w.flagged(Action::Reset),
            w.to_mx("R").octets(),
        )
        .dropped(resets),
    ]);
}

/// IPv4 options, or IPv6 extension headers: hop-by-hop, routing and destination options.
fn long_between(w: &World) -> Vec<u8> {
    if w.customer.is_ipv4() {
        // Timestamp option (RFC 791) with room for one, and an end.
        return vec![68, 8, 5, 0, 0, 0, 0, 0, 1, 1, 1, 0];
    }
    let mut chain = vec![43, 0, 1, 4, 0, 0, 0, 0];
    chain.extend([60, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    chain.extend([6, 0, 1, 4, 0, 0, 0, 0]);
    chain
}

fn with_first(w: &World, packet: Packet) -> Packet {
    Packet {
        first: 0,
        between: long_between(w),
        ..packet
    }
}

fn new_flow(w: &World) -> Flow {
    Flow {
        created_s: w.now_s,
        last_seen_s: w.now_s,
        from_customer: SEEN_SYN,
        from_relay: 0,
        ..w.flow()
    }
}

fn opening(w: &World, cases: &mut Vec<Case>) {
    let opened = &[Counter::FlowOpened, Counter::ToRelay];
    let syn = w.to_mx("S");
    let long = with_first(w, w.to_mx("S"));
    let half_open = {
        let mut tables = w.flagged(Action::Redirect);
        tables.put_flow(w.key(World::PORT), new_flow(w));
        tables
    };
    let ended = |from_customer, from_relay| {
        let mut tables = w.flagged(Action::Redirect);
        tables.put_flow(
            w.key(World::PORT),
            Flow {
                from_customer,
                from_relay,
                ..w.flow()
            },
        );
        tables
    };
    let mut limited = w.flagged(Action::Redirect);
    limited.buckets.insert(
        Addr::from(w.customer).customer_key(),
        Bucket {
            // A moment ahead, so that no time has passed on a real clock either.
            updated_ns: limited.now_ns + 2_000_000_000,
            millitokens: 999,
            ..Bucket::default()
        },
    );
    let mut limited_reopening = ended(SEEN_FIN, SEEN_FIN);
    limited_reopening.buckets.clone_from(&limited.buckets);
    let mut refilled = w.flagged(Action::Redirect);
    refilled.buckets.insert(
        Addr::from(w.customer).customer_key(),
        Bucket {
            updated_ns: refilled.now_ns - 1_000_000_000,
            ..Bucket::default()
        },
    );
    let mut raced = w.flagged(Action::Redirect);
    raced.next_insert_races = true;
    let reopened = &[Counter::FlowReopened, Counter::ToRelay];
    let out = || w.at_relay(&w.to_mx("S")).octets();
    let case = |name: &str, tables: MemoryTables| w.case(name, tables, w.to_mx("S").octets());
    cases.extend([
        case("a SYN is diverted", w.flagged(Action::Redirect))
            .leaves(EGRESS, out(), opened)
            .entry(w.key(World::PORT), new_flow(w)),
        w.case(
            "a SYN behind options is diverted",
            w.flagged(Action::Redirect),
            long.octets(),
        )
        .leaves(EGRESS, w.at_relay(&long).octets(), opened)
        .entry(w.key(World::PORT), new_flow(w)),
        case("a repeated SYN goes by its entry", half_open)
            .leaves(EGRESS, out(), &[Counter::ToRelay])
            .entry(w.key(World::PORT), new_flow(w)),
        case(
            "a SYN reopens a closed entry",
            ended(SEEN_SYN | SEEN_FIN, SEEN_SYN | SEEN_FIN),
        )
        .leaves(EGRESS, out(), reopened)
        .entry(w.key(World::PORT), new_flow(w)),
        case("a SYN reopens a reset entry", ended(SEEN_SYN, SEEN_RST))
            .leaves(EGRESS, out(), reopened)
            .entry(w.key(World::PORT), new_flow(w)),
        case(
            "a SYN within a live connection goes by its entry",
            w.diverted(),
        )
        .leaves(EGRESS, out(), &[Counter::ToRelay])
        .entry(
            w.key(World::PORT),
            Flow {
                last_seen_s: w.now_s,
                ..w.flow()
            },
        ),
        case("a SYN above the rate is dropped", limited).dropped(&[Counter::SynLimited]),
        case(
            "a SYN that would reopen is limited as well",
            limited_reopening,
        )
        .dropped(&[Counter::SynLimited]),
        case("tokens come back with time", refilled).leaves(EGRESS, out(), opened),
        case("the loser of a race comes again", raced)
            .dropped(&[Counter::FlowRaced])
            .host_only(),
        w.case(
            "a SYN whose hops run out is the kernel's",
            w.flagged(Action::Redirect),
            Packet { hops: 1, ..syn }.octets(),
        )
        .counts(&[Counter::HopLimit]),
    ]);
}

fn ports(w: &World, cases: &mut Vec<Case>) {
    let second = Packet {
        to: w.mx[1],
        ..w.to_mx("S")
    };
    let second_data = Packet {
        to: w.mx[1],
        ..w.to_mx("A")
    };
    let shown = |packet: &Packet| {
        let mut shown = w.at_relay(packet);
        shown.ports[0] = w.second_port;
        shown.octets()
    };
    let second_dst = Addr::from(w.mx[1]).mapped();
    let second_flow = Flow {
        original_dst: second_dst,
        ..w.flow()
    };
    let mut both = w.diverted();
    both.put_flow(w.key(w.second_port), second_flow);
    let mut closing = w.flagged(Action::Redirect);
    closing.put_flow(
        w.key(World::PORT),
        Flow {
            from_customer: SEEN_FIN,
            from_relay: SEEN_FIN,
            ..w.flow()
        },
    );
    let mut behind_free = w.flagged(Action::Redirect);
    behind_free.put_flow(w.key(w.second_port), second_flow);
    let mut exhausted = w.flagged(Action::Redirect);
    let customer = Addr::from(w.customer).mapped();
    let connection = Connection {
        customer: &customer,
        port_be: World::PORT.to_be_bytes(),
        original_dst: &second_dst,
    };
    for nth in 0..CANDIDATES {
        exhausted.put_flow(
            w.key(u16::from_be_bytes(connection.candidate(nth))),
            w.flow(),
        );
    }
    let mut full = w.flagged(Action::Redirect);
    for port in 0..FLOWS_MAX {
        full.put_flow(w.key(u16::try_from(port).expect("few")), w.flow());
    }
    let changed = &[Counter::FlowOpened, Counter::PortChanged, Counter::ToRelay];
    cases.extend([
        w.case(
            "a second connection from one port is shown another",
            w.diverted(),
            second.octets(),
        )
        .leaves(EGRESS, shown(&second), changed)
        .entry(
            w.key(w.second_port),
            Flow {
                original_dst: second_dst,
                ..new_flow(w)
            },
        ),
        w.case(
            "another destination does not reopen a closed entry",
            closing,
            second.octets(),
        )
        .leaves(EGRESS, shown(&second), changed),
        w.case(
            "the second connection's data finds its entry",
            both,
            second_data.octets(),
        )
        .leaves(EGRESS, shown(&second_data), &[Counter::ToRelay]),
        w.case(
            "a repeated SYN finds its entry behind a freed one",
            behind_free,
            second.octets(),
        )
        .leaves(EGRESS, shown(&second), &[Counter::ToRelay]),
        w.case("all candidates taken", exhausted, second.octets())
            .dropped(&[Counter::CandidatesExhausted, Counter::FailedClosed]),
        w.case("no room for an entry", full, w.to_mx("S").octets())
            .dropped(&[Counter::FlowTableFull, Counter::FailedClosed]),
    ]);
}

fn going_on(w: &World, cases: &mut Vec<Case>) {
    let data = w.to_mx("A");
    let out = w.at_relay(&data).octets();
    let to_relay = &[Counter::ToRelay];
    let marked = Flow {
        last_seen_s: w.now_s,
        ..w.flow()
    };
    let with = |tables: MemoryTables, action, grace_s: i32| {
        let grace_until_s = if grace_s == 0 {
            0
        } else {
            w.now_s.saturating_add_signed(grace_s)
        };
        let mut tables = tables;
        tables.hosts.insert(
            w.customer.into(),
            Policy {
                grace_until_s,
                ..policy(action)
            },
        );
        tables
    };
    let fin = Packet {
        flags: "FA",
        ..data.clone()
    };
    let rst = Packet {
        flags: "RA",
        ..data.clone()
    };
    let orphan = Packet {
        stations: [CUSTOMER_MAC, EDGE_MAC],
        from: w.mx[0],
        to: w.customer,
        ports: [25, World::PORT],
        hops: 64,
        ident: 0,
        flags: "R",
        numbers: [0x0506_0708, 0],
        window: 0,
        payload: Vec::new(),
        ..data.clone()
    };
    let orphan = orphan.padded(if w.customer.is_ipv4() { 60 } else { 0 });
    let case = |name: &str, tables: MemoryTables| w.case(name, tables, data.octets());
    cases.extend([
        case("data follows its entry", w.diverted())
            .leaves(EGRESS, out.clone(), to_relay)
            .entry(w.key(World::PORT), marked),
        w.case("a FIN is remembered", w.diverted(), fin.octets())
            .leaves(EGRESS, w.at_relay(&fin).octets(), to_relay)
            .entry(
                w.key(World::PORT),
                Flow {
                    from_customer: SEEN_SYN | SEEN_ACK | SEEN_FIN,
                    ..marked
                },
            ),
        w.case("an RST is remembered", w.diverted(), rst.octets())
            .leaves(EGRESS, w.at_relay(&rst).octets(), to_relay)
            .entry(
                w.key(World::PORT),
                Flow {
                    from_customer: SEEN_SYN | SEEN_ACK | SEEN_RST,
                    ..marked
                },
            ),
        w.case(
            "data whose hops run out is the kernel's",
            w.diverted(),
            Packet {
                hops: 1,
                ..data.clone()
            }
            .octets(),
        )
        .counts(&[Counter::HopLimit]),
        case(
            "data under a lifted redirect keeps its relay",
            with(w.diverted(), Action::Linger, 0),
        )
        .leaves(EGRESS, out.clone(), to_relay),
        w.case(
            "a SYN under a lifted redirect is free",
            with(w.diverted(), Action::Linger, 0),
            w.to_mx("S").octets(),
        )
        .counts(&[Counter::Unflagged]),
        case(
            "other data under a lifted redirect is free",
            w.flagged(Action::Linger),
        )
        .counts(&[Counter::Unflagged]),
        case(
            "older data has grace",
            with(w.tables(), Action::Redirect, 60),
        )
        .counts(&[Counter::Grace]),
        case("grace ends", with(w.tables(), Action::Redirect, -1))
            .answered(orphan.clone(), &[Counter::Orphan]),
        case(
            "without grace older data is cut",
            w.flagged(Action::Redirect),
        )
        .answered(orphan, &[Counter::Orphan]),
        w.case(
            "an orphaned RST is not answered",
            w.flagged(Action::Redirect),
            w.to_mx("R").octets(),
        )
        .dropped(&[Counter::Orphan]),
        case("reset has grace", with(w.tables(), Action::Reset, 60)).counts(&[Counter::Grace]),
        case("drop has grace", with(w.tables(), Action::Drop, 60)).counts(&[Counter::Grace]),
        case(
            "within drop's grace data keeps its relay",
            with(w.diverted(), Action::Drop, 60),
        )
        .leaves(EGRESS, out.clone(), to_relay),
        case(
            "within observe's grace data keeps its relay",
            with(w.diverted(), Action::Observe, 60),
        )
        .leaves(EGRESS, out, to_relay),
        case(
            "after it data is observed",
            with(w.diverted(), Action::Observe, 0),
        )
        .counts(&[Counter::Observed]),
    ]);
}

fn failing(w: &World, cases: &mut Vec<Case>) {
    let open = |mut tables: MemoryTables| {
        tables.pools.insert(0, pool(OnFailure::Open));
        tables
    };
    let emptied = |mut tables: MemoryTables| {
        tables.slots.insert(0, NO_RELAY);
        tables
    };
    let stale = |mut tables: MemoryTables| {
        tables.settings.heartbeat_s = w.now_s - 302;
        tables
    };
    let pathless = |mut tables: MemoryTables| {
        tables
            .relays
            .insert(World::RELAY.into(), w.relay_record(L2Path::default()));
        tables
    };
    let bucket = |relays, open_until_s| Bucket {
        relays,
        open_until_s,
        ..Bucket::default()
    };
    let remembered = |mut tables: MemoryTables, bucket| {
        tables
            .buckets
            .insert(Addr::from(w.customer).customer_key(), bucket);
        tables
    };
    let flagged = || w.flagged(Action::Redirect);
    let mut poolless = emptied(flagged());
    poolless.pools.clear();
    let mut deaf = flagged();
    deaf.relays.insert(
        World::RELAY.into(),
        World {
            relay: other_family(w),
            ..*w
        }
        .relay_record(relay_path()),
    );
    let mut confined = w.diverted();
    confined.devices.remove(&EGRESS);
    let mut moved = w.diverted();
    moved.slots.insert(0, 4);
    moved.relays.insert(4, w.relay_record(relay_path()));
    let closed = &[Counter::FailedClosed];
    let syn = |name: &str, tables: MemoryTables| w.case(name, tables, w.to_mx("S").octets());
    let data = |name: &str, tables: MemoryTables| w.case(name, tables, w.to_mx("A").octets());
    let out = || w.at_relay(&w.to_mx("A")).octets();
    cases.extend([
        syn("no relay, closed", emptied(flagged())).dropped(closed),
        syn("no relay, open", open(emptied(flagged()))).counts(&[Counter::FailedOpen]),
        syn("no relay and no pool is closed", poolless).dropped(closed),
        syn("a relay that does not listen on the family is none", deaf).dropped(closed),
        syn(
            "a relay that nobody knows the way to is none",
            pathless(flagged()),
        )
        .dropped(closed),
        syn("a stale heartbeat, closed", stale(flagged()))
            .dropped(&[Counter::HeartbeatStale, Counter::FailedClosed]),
        syn("a stale heartbeat, open", open(stale(flagged())))
            .counts(&[Counter::HeartbeatStale, Counter::FailedOpen]),
        data(
            "a stale heartbeat leaves connections alone",
            stale(w.diverted()),
        )
        .leaves(EGRESS, out(), &[Counter::ToRelay]),
        data(
            "what failed open may go on",
            remembered(flagged(), bucket([NO_RELAY_SHORT; 2], w.now_s + 60)),
        )
        .counts(&[Counter::Grace]),
        data(
            "data finds the relay of the latest connections",
            remembered(
                emptied(w.diverted()),
                bucket([World::RELAY, NO_RELAY_SHORT], 0),
            ),
        )
        .leaves(EGRESS, out(), &[Counter::ToRelay]),
        data(
            "data finds the relay before that",
            remembered(emptied(w.diverted()), bucket([4, World::RELAY], 0)),
        )
        .leaves(EGRESS, out(), &[Counter::ToRelay]),
        data(
            "data of a connection whose way is lost is dropped",
            pathless(w.diverted()),
        )
        .dropped(&[Counter::PathUnknown]),
        data(
            "a frame leaves by a listed interface or not at all",
            confined,
        )
        .dropped(&[Counter::InternalError]),
    ]);
}

fn other_family(w: &World) -> std::net::IpAddr {
    if w.customer.is_ipv4() {
        World::v6(w.now_s).relay
    } else {
        World::v4(w.now_s).relay
    }
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
            let mut flow = new_flow(w);
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
