//! What goes to a relay through its tunnel.

use super::{Scene, envelope::with_class, inside, leg, tags, told, told_oddly};
use crate::{
    abi::{Flow, L2Path, Role},
    cases::{
        Case, EGRESS,
        icmp::{
            message::{Kind, Message},
            router,
        },
        packet::Packet,
        world::{EDGE_MAC, RELAY_MAC, World, relay_path},
    },
    counters::Counter,
};

pub(super) fn cases(scene: &Scene<'_>, cases: &mut Vec<Case>) {
    opening(scene, cases);
    going_on(scene, cases);
    to_legs(scene, cases);
}

fn opening(s: &Scene<'_>, cases: &mut Vec<Case>) {
    let w = s.world;
    let opened = &[Counter::FlowOpened, Counter::Tunnelled, Counter::ToRelay];
    let syn = |options: Vec<u8>| Packet {
        options,
        ..w.to_mx("S")
    };
    let key = w.steered_key(w.mx[0]);
    let mut clamped = |name: &str, before: Vec<u8>, after: Vec<u8>| {
        let (before, after) = (syn(before), syn(after));
        let out = s.sealed(&inside(&after).octets());
        cases.push(
            s.case(name, s.steered(), before.octets())
                .leaves(EGRESS, out, opened)
                .entry(key, w.new_flow()),
        );
    };
    let most = s.most();
    clamped("a SYN says what fits in", told(1460), told(most));
    clamped("a SYN that says just that stays", told(most), told(most));
    clamped("a SYN that says less stays", told(536), told(536));
    clamped("a SYN that says nothing stays", vec![], vec![]);
    clamped(
        "a SYN says what fits in at an odd place",
        told_oddly(8960),
        told_oddly(most),
    );
    // Selective acknowledgements, a time stamp, a scale, and then the size.
    let late = |size: u16| {
        let mut options = vec![4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
        options.extend(told(size));
        options.resize(40, 0);
        options
    };
    clamped("a SYN says what fits in last", late(9000), late(most));
    let nothing = |size: u16| {
        let mut options = vec![1; 36];
        options.extend(told(size));
        options
    };
    clamped(
        "a SYN says what fits in behind nothing",
        nothing(1460),
        nothing(most),
    );
    for (name, options) in [
        ("a SYN whose option is cut off stays", vec![1, 1, 1, 2]),
        (
            "a SYN whose option has no length stays",
            vec![5, 0, 2, 4, 0xff, 0xff, 0, 0],
        ),
        (
            "a SYN whose option is longer than it may be stays",
            vec![2, 6, 0xff, 0xff, 0, 0, 0, 0],
        ),
        (
            "a SYN whose options have ended stays",
            vec![0, 0, 0, 0, 2, 4, 0xff, 0xff],
        ),
    ] {
        clamped(name, options.clone(), options);
    }

    let plain = syn(told(1460));
    let fits = syn(told(most));
    let tagged = Packet {
        tags: tags(),
        ..plain.clone()
    };
    let long = |packet: &Packet| w.behind_more(packet.clone());
    let both = [tags()[0], tags()[1]];
    let behind_tags = s.by_path(
        w.steered(),
        L2Path {
            tags: both,
            ..relay_path()
        },
    );
    let at_tagged = Packet {
        tags: tags(),
        ..inside(&fits)
    };
    let mut flow: Flow = w.new_flow();
    flow.customer_path.tags = both;
    cases.extend([
        s.case(
            "a frame takes the tags of the way",
            behind_tags,
            plain.octets(),
        )
        .leaves(EGRESS, s.sealed(&at_tagged.octets()), opened),
        s.case(
            "a frame leaves the customer's tags",
            s.steered(),
            tagged.octets(),
        )
        .leaves(EGRESS, s.sealed(&inside(&fits).octets()), opened)
        .entry(key, flow),
        s.case(
            "a SYN behind options goes in",
            s.steered(),
            long(&plain).octets(),
        )
        .leaves(EGRESS, s.sealed(&inside(&long(&fits)).octets()), opened),
    ]);
}

fn going_on(s: &Scene<'_>, cases: &mut Vec<Case>) {
    let w = s.world;
    let data = w.to_mx("A");
    let to_relay = &[Counter::Tunnelled, Counter::ToRelay];
    let marked = Flow {
        last_seen_s: w.now_s,
        ..w.flow()
    };
    // A host that tells of congestion, on a way that it prefers.
    let class = 0b0010_1010;
    let busy = with_class(data.octets(), class);
    let busy_out = with_class(inside(&data).octets(), class);
    let option = |flags| Packet {
        options: told(9000),
        ..w.to_mx(flags)
    };
    let padded = Packet {
        payload: vec![],
        ..data.clone()
    };
    let error = Message {
        stations: data.stations,
        tags: vec![],
        from: router(w),
        to: w.mx[0],
        hops: 60,
        options: vec![],
        kind: Kind::TimeExceeded,
        quote: super::answer(w, "A").octets()[14..].to_vec(),
    };
    let error_out = Message {
        stations: inside(&data).stations,
        hops: 59,
        ..error.clone()
    };
    let mut nowhere = s.established();
    if let Some(relay) = nowhere.relays.get_mut(&World::RELAY.into()) {
        relay.path4.ifindex = 0;
        relay.path6.ifindex = 0;
    }
    cases.extend([
        s.case("data goes in", s.established(), data.octets())
            .leaves(EGRESS, s.sealed(&inside(&data).octets()), to_relay)
            .entry(w.steered_key(w.mx[0]), marked),
        s.case(
            "the header outside has the class of the one inside",
            s.established(),
            busy,
        )
        .leaves(EGRESS, s.sealed(&busy_out), to_relay),
        s.case(
            "what is no SYN says what it likes",
            s.established(),
            option("A").octets(),
        )
        .leaves(EGRESS, s.sealed(&inside(&option("A")).octets()), to_relay),
        s.case(
            "padding stays behind the packet",
            s.established(),
            padded.padded(80),
        )
        .leaves(EGRESS, s.sealed(&inside(&padded).padded(80)), to_relay),
        s.case("an error goes in", s.established(), error.octets())
            .leaves(
                EGRESS,
                s.sealed(&error_out.octets()),
                &[Counter::Tunnelled, Counter::IcmpToRelay],
            ),
        s.case("no way to the tunnel's end", nowhere, data.octets())
            .dropped(&[Counter::PathUnknown]),
    ]);
}

/// What comes back from MXs to the relay's own legs.
fn to_legs(s: &Scene<'_>, cases: &mut Vec<Case>) {
    let w = s.world;
    let said = |options: Vec<u8>| Packet {
        stations: [EDGE_MAC, RELAY_MAC],
        from: w.mx[0],
        to: w.customer,
        ports: [25, 61_000],
        options,
        payload: vec![],
        ..w.to_mx("SA")
    };
    let error = Message {
        stations: [EDGE_MAC, RELAY_MAC],
        tags: vec![],
        from: router(w),
        to: w.customer,
        hops: 60,
        options: vec![],
        kind: Kind::Prohibited,
        quote: leg(w, "A").octets()[14..].to_vec(),
    };
    let error_out = Message {
        stations: inside(&leg(w, "A")).stations,
        hops: 59,
        ..error.clone()
    };
    cases.extend([
        s.case(
            "an answer to a leg goes in",
            s.lent(),
            said(told(1460)).octets(),
        )
        .role(Some(Role::Uplink))
        .leaves(
            EGRESS,
            s.sealed(&inside(&said(told(s.most()))).octets()),
            &[Counter::Tunnelled, Counter::ReturnSteered],
        ),
        s.case("an error about a leg goes in", s.lent(), error.octets())
            .role(Some(Role::Uplink))
            .leaves(
                EGRESS,
                s.sealed(&error_out.octets()),
                &[Counter::Tunnelled, Counter::IcmpReturnSteered],
            ),
    ]);
}
