//! What comes from a relay through its tunnel.

use super::{Scene, answer, at_customer, envelope::with_class, leg, tags, told};
use crate::{
    abi::{Flow, Role, RoleKey},
    cases::{
        Case, INGRESS,
        icmp::{
            message::{Kind, Message},
            router,
        },
        packet::Packet,
        world::World,
    },
    counters::Counter,
    flow::SEEN_SYN,
    tables::memory::MemoryTables,
};

pub(super) fn cases(scene: &Scene<'_>, cases: &mut Vec<Case>) {
    answers(scene, cases);
    legs(scene, cases);
    congestion(scene, cases);
}

/// A frame of the relay's, in its tunnel.
fn sent(s: &Scene<'_>, frame: &[u8]) -> Vec<u8> {
    s.outside.back().around(frame)
}

fn by_relay(s: &Scene<'_>, name: &str, tables: MemoryTables, frame: &[u8]) -> Case {
    s.case(name, tables, sent(s, frame)).role(Some(Role::Relay))
}

fn answers(s: &Scene<'_>, cases: &mut Vec<Case>) {
    let w = s.world;
    let data = answer(w, "A");
    let out = at_customer(&data).octets();
    let to_customer = &[Counter::Untunnelled, Counter::ToCustomer];
    let key = w.steered_key(w.mx[0]);
    let marked = Flow {
        last_seen_s: w.now_s,
        ..w.flow()
    };
    let syn_ack = |options: Vec<u8>| Packet {
        options,
        ..answer(w, "SA")
    };
    let mut unanswered = s.steered();
    unanswered.put_flow(key, w.new_flow());
    let answered = Flow {
        from_relay: SEEN_SYN,
        ..w.new_flow()
    };
    let tagged = Packet {
        tags: tags(),
        ..data.clone()
    };
    let once = Packet {
        tags: vec![[0x81, 0, 0, 7]],
        ..data.clone()
    };
    let mut behind = s.established();
    let mut flow = w.flow();
    flow.customer_path.tags = [tags()[0], tags()[1]];
    behind.put_flow(key, flow);
    let in_tags = Packet {
        tags: tags(),
        ..at_customer(&data)
    };
    let bare = Packet {
        payload: vec![],
        ..data.clone()
    };
    let error = Message {
        stations: data.stations,
        tags: vec![],
        from: router(w),
        to: w.customer,
        hops: 60,
        options: vec![],
        kind: Kind::Prohibited,
        quote: w.to_mx("A").octets()[14..].to_vec(),
    };
    let error_out = Message {
        stations: at_customer(&data).stations,
        hops: 59,
        ..error.clone()
    };
    let mut by_tags = s.established();
    by_tags.roles.insert(
        RoleKey {
            ifindex: INGRESS,
            outer: 200,
            inner: 7,
        },
        Role::Relay,
    );
    let stranger = Packet {
        to: w.customer,
        from: w.mx[1],
        ..data.clone()
    };
    let spent = Packet {
        hops: 1,
        ..data.clone()
    };
    cases.extend([
        by_relay(s, "an answer comes out", s.established(), &data.octets())
            .leaves(INGRESS, out.clone(), to_customer)
            .entry(key, marked),
        by_relay(
            s,
            "an answer comes out of tags",
            s.established(),
            &tagged.octets(),
        )
        .leaves(INGRESS, out.clone(), to_customer),
        by_relay(
            s,
            "an answer comes out of a tag",
            s.established(),
            &once.octets(),
        )
        .leaves(INGRESS, out.clone(), to_customer),
        by_relay(s, "an answer comes out into tags", behind, &data.octets()).leaves(
            INGRESS,
            in_tags.octets(),
            to_customer,
        ),
        by_relay(
            s,
            "an answer comes out where tags tell",
            by_tags,
            &tagged.octets(),
        )
        .role(None)
        .leaves(INGRESS, out.clone(), to_customer),
        s.case(
            "an answer comes out where the internet is",
            s.established(),
            sent(s, &data.octets()),
        )
        .role(Some(Role::Uplink))
        .leaves(INGRESS, out, to_customer)
        .entry(key, marked),
        by_relay(
            s,
            "a short answer is padded",
            s.established(),
            &bare.octets(),
        )
        .leaves(INGRESS, at_customer(&bare).padded(60), to_customer),
        by_relay(
            s,
            "a SYN-ACK says what fits in",
            unanswered,
            &syn_ack(told(1460)).octets(),
        )
        .leaves(
            INGRESS,
            at_customer(&syn_ack(told(s.most()))).padded(60),
            to_customer,
        )
        .entry(key, answered),
        by_relay(s, "an error comes out", s.established(), &error.octets()).leaves(
            INGRESS,
            error_out.octets(),
            &[Counter::Untunnelled, Counter::IcmpToCustomer],
        ),
        by_relay(
            s,
            "an answer to nobody",
            s.established(),
            &stranger.octets(),
        )
        .dropped(&[Counter::Untunnelled, Counter::ReplyWithoutEntry]),
        by_relay(
            s,
            "an answer whose hops run out is the kernel's",
            s.established(),
            &spent.octets(),
        )
        .opens(spent.octets(), &[Counter::Untunnelled, Counter::HopLimit]),
    ]);
}

fn legs(s: &Scene<'_>, cases: &mut Vec<Case>) {
    let w = s.world;
    let data = leg(w, "A");
    let out = [Counter::Untunnelled, Counter::CustomerEgress];
    let blocked = &[Counter::Untunnelled, Counter::SpoofBlocked];
    let syn = |options: Vec<u8>| Packet {
        options,
        payload: vec![],
        ..leg(w, "S")
    };
    let tagged = Packet {
        tags: tags(),
        ..data.clone()
    };
    let low = Packet {
        ports: [World::PORT, 25],
        ..data.clone()
    };
    let elsewhere = Packet {
        ports: [61_000, 443],
        ..data.clone()
    };
    cases.extend([
        by_relay(s, "a leg is let out", s.lent(), &data.octets()).opens(data.octets(), &out),
        by_relay(
            s,
            "a leg is let out with its tags",
            s.lent(),
            &tagged.octets(),
        )
        .opens(tagged.octets(), &out),
        by_relay(
            s,
            "a leg's SYN says what fits in",
            s.lent(),
            &syn(told(1460)).octets(),
        )
        .opens(syn(told(s.most())).padded(60), &out),
        s.case(
            "a leg is let out where the internet is",
            s.lent(),
            sent(s, &data.octets()),
        )
        .role(Some(Role::Uplink))
        .opens(data.octets(), &out),
        by_relay(
            s,
            "an address that is not lent",
            s.steered(),
            &data.octets(),
        )
        .dropped(blocked),
        by_relay(
            s,
            "a lent address from another port",
            s.lent(),
            &low.octets(),
        )
        .dropped(blocked),
        by_relay(
            s,
            "a lent address to another port",
            s.lent(),
            &elsewhere.octets(),
        )
        .dropped(blocked),
    ]);
}

/// RFC 6040 section 4.2.
fn congestion(s: &Scene<'_>, cases: &mut Vec<Case>) {
    let w = s.world;
    let data = answer(w, "A");
    let congested = |class: u8| {
        let mut frame = with_class(data.octets(), class);
        frame = sent(s, &frame);
        with_class(frame, class | 3)
    };
    let out = with_class(at_customer(&data).octets(), 0b0010_1011);
    let to_customer = &[Counter::Untunnelled, Counter::ToCustomer];
    let case = |name: &str, class: u8| {
        s.case(name, s.established(), congested(class))
            .role(Some(Role::Relay))
    };
    cases.extend([
        case("congestion is heard of, one way", 0b0010_1001).leaves(
            INGRESS,
            out.clone(),
            to_customer,
        ),
        case("congestion is heard of, the other way", 0b0010_1010).leaves(
            INGRESS,
            out.clone(),
            to_customer,
        ),
        case("congestion is heard of twice", 0b0010_1011).leaves(INGRESS, out, to_customer),
        case("congestion that nobody would hear of", 0b0010_1000)
            .dropped(&[Counter::TunnelRefused]),
    ]);
}
