//! What looks like a relay's tunnel and is none, or carries what no relay sends.

use std::net::IpAddr;

use smoltcp::wire::Ipv4Packet;

use super::{Scene, answer, envelope::Ends};
use crate::{
    abi::Role,
    cases::{
        Case,
        icmp::{
            message::{Kind, Message},
            router,
        },
        packet::Packet,
    },
    counters::Counter,
};

pub(super) fn cases(scene: &Scene<'_>, cases: &mut Vec<Case>) {
    others(scene, cases);
    outside(scene, cases);
    inside(scene, cases);
}

/// The next address.
fn beside(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) + 1).into()),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) + 1).into()),
    }
}

/// Tunnels of others pass untouched.
fn others(s: &Scene<'_>, cases: &mut Vec<Case>) {
    let frame = answer(s.world, "A").octets();
    let Ends(near, far) = s.outside;
    for (name, ends) in [
        ("from another end", Ends(beside(far), near)),
        ("to another end", Ends(far, beside(near))),
        ("from our end to the relay's", s.outside),
    ] {
        for role in [Role::Relay, Role::Uplink, Role::Customer] {
            let name = format!("{name}, {}", role.name());
            let frame = ends.around(&frame);
            cases.push(s.case(&name, s.established(), frame).role(Some(role)));
        }
    }
    let name = "from a customer by the relay's name";
    let frame = s.outside.back().around(&frame);
    cases.push(s.case(name, s.established(), frame));
}

/// A header that no relay makes.
fn outside(s: &Scene<'_>, cases: &mut Vec<Case>) {
    let frame = s.outside.back().around(&answer(s.world, "A").octets());
    let v4 = s.outside.0.is_ipv4();
    let l3 = 14;
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = frame.clone();
        change(&mut frame);
        if v4 {
            Ipv4Packet::new_unchecked(&mut frame[l3..]).fill_checksum();
        }
        frame
    };
    let length_at = l3 + if v4 { 3 } else { 5 };
    let inner = l3 + s.outside.octets();
    let mut refused = vec![
        ("a header that says less", changed(&|f| f[length_at] -= 1)),
        ("a header that says more", changed(&|f| f[length_at] += 1)),
        (
            "a frame that is cut off",
            changed(&|f| f.truncate(f.len() - 1)),
        ),
        ("a packet of no version", changed(&|f| f[inner] = 0x05)),
        (
            "a packet of the other version",
            changed(&|f| f[inner] ^= 0x20),
        ),
        (
            "a packet that is cut off",
            changed(&|f| f.truncate(inner + 10)),
        ),
    ];
    if v4 {
        // An option of four octets, and a length that has them.
        let with_options = changed(&|f| {
            f.splice(l3 + 20..l3 + 20, [1, 1, 1, 0]);
            f[l3] = 0x46;
            f[length_at] += 4;
        });
        refused.extend([
            ("a header with options", with_options),
            ("a first part", changed(&|f| f[l3 + 6] = 0x20)),
            ("a last part", changed(&|f| f[l3 + 7] = 0x10)),
        ]);
    } else {
        let behind = |first: u8, header: [u8; 8]| {
            changed(&|f| {
                let carried = f[l3 + 6];
                f[l3 + 6] = first;
                f.splice(l3 + 40..l3 + 40, header);
                f[l3 + 40] = carried;
                f[length_at] += 8;
            })
        };
        refused.extend([
            (
                "a header with options",
                behind(60, [0, 0, 1, 4, 0, 0, 0, 0]),
            ),
            ("a first part", behind(44, [0, 0, 0, 1, 0, 0, 0, 1])),
        ]);
    }
    for (name, frame) in refused {
        for role in [Role::Relay, Role::Uplink] {
            let name = format!("{name}, {}", role.name());
            cases.push(
                s.case(&name, s.established(), frame.clone())
                    .role(Some(role))
                    .dropped(&[Counter::TunnelRefused]),
            );
        }
    }
}

/// What steering has no use for ends here, whoever may have put it into the tunnel.
fn inside(s: &Scene<'_>, cases: &mut Vec<Case>) {
    let w = s.world;
    let answer = answer(w, "A");
    let twice = s.outside.back().around(&answer.octets());
    let web = Packet {
        from: w.relay,
        ports: [40_000, 443],
        ..answer.clone()
    };
    let mut datagram = answer.octets();
    let (protocol_at, udp) = if w.customer.is_ipv4() {
        (14 + 9, 17)
    } else {
        (14 + 6, 17)
    };
    datagram[protocol_at] = udp;
    let echo = Message {
        stations: answer.stations,
        tags: vec![],
        from: router(w),
        to: w.customer,
        hops: 60,
        options: vec![],
        kind: Kind::Echo,
        quote: b"are you there?".to_vec(),
    };
    let mut short = answer.octets();
    short.truncate(14 + if w.customer.is_ipv4() { 28 } else { 48 });
    if w.customer.is_ipv4() {
        short[14 + 3] = 28;
        short[14 + 2] = 0;
    } else {
        short[14 + 5] = 8;
        short[14 + 4] = 0;
    }
    let opened = [Counter::Untunnelled, Counter::TunnelRefused];
    let broken = [
        Counter::Untunnelled,
        Counter::Malformed,
        Counter::TunnelRefused,
    ];
    let mut refused = vec![
        // One level is taken off, and then only if it is the last.
        ("a tunnel in the tunnel", twice, &opened[1..]),
        ("the relay's own business", web.octets(), &opened[..]),
        ("a datagram", datagram, &opened),
        ("an echo", echo.octets(), &opened),
        ("a packet without its header", short, &broken),
    ];
    if !w.customer.is_ipv4() {
        let behind = w.behind_more(answer);
        refused.push(("a segment behind a chain", behind.octets(), &opened));
    }
    for (name, frame, counters) in refused {
        cases.push(
            s.case(name, s.established(), s.outside.back().around(&frame))
                .role(Some(Role::Relay))
                .dropped(counters),
        );
    }
}
