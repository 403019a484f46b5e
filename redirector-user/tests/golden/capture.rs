//! What the program shows of frames that it takes: every one of them, as it came, and no other.

use redirector_common::{
    abi::{
        Role,
        capture::{CAPTURE_OCTETS, CaptureOrder},
        trial::NO_COUNTER,
    },
    addr::Addr,
    cases::{Case, INGRESS, hex},
    counters::Counter,
    tables::Verdict,
};

use crate::{
    Golden, compare, everywhere,
    hook::Hook,
    kernel::{Kernel, monotonic_s},
};

/// Everything, for a while.
fn order(octets: u32) -> CaptureOrder {
    CaptureOrder {
        until_s: monotonic_s() + 600,
        octets,
        number: 7,
        ..CaptureOrder::default()
    }
}

#[test]
fn every_taken_frame_is_shown_as_it_came_and_judged_as_ever() {
    let mut golden = Golden::new();
    for (hook, role) in everywhere() {
        let mut kernel = Kernel::load(hook, role, false);
        for octets in [CAPTURE_OCTETS, 60] {
            kernel.ask(&order(octets));
            for index in golden.of_role(hook, role) {
                kernel.shown();
                let (case, host, ran) = golden.both(&mut kernel, index, |_| {});
                compare(hook, &case.name, &host, &ran);
                let (name, shown) = (format!("{hook:?}, {}", case.name), kernel.shown());
                if host.judged.verdict == Verdict::Pass {
                    assert_eq!(shown, [], "{name}");
                    continue;
                }
                // The case may have been run several times, for want of a second of its own.
                let (head, image) = shown.last().unwrap_or_else(|| panic!("{name}: not shown"));
                let judged = &host.judged;
                let verdict = Hook::Xdp.code(judged.verdict);
                assert_eq!(u32::from(head.verdict), verdict, "{name}");
                let counter = judged.counter.map_or(NO_COUNTER, Counter::index);
                assert_eq!(head.counter, counter, "{name}");
                assert_eq!(head.relay, judged.relay, "{name}");
                let flag_id = judged.policy.flag_id;
                assert_eq!(head.flag_id, flag_id, "{name}");
                assert_eq!((head.number, head.ifindex), (7, INGRESS), "{name}");
                assert_eq!(head.as_it_left, 0, "{name}");
                let length = u32::try_from(case.frame.len()).unwrap();
                assert_eq!(head.wire_octets, length, "{name}");
                assert_eq!(head.kept_octets, length.min(octets), "{name}");
                let kept = length.min(octets).try_into().unwrap();
                assert_eq!(hex(image), hex(&case.frame[..kept]), "{name}");
            }
        }
    }
}

#[test]
fn an_order_that_has_lapsed_or_is_about_others_shows_nothing() {
    let mut golden = Golden::new();
    let mut kernel = Kernel::load(Hook::Xdp, Some(Role::Customer), false);
    for (name, mask) in [
        ("drop, IPv4", u128::MAX << 8),
        ("drop, IPv6", u128::MAX << 80),
    ] {
        let at = golden.cases.iter().position(|case| case.name == name);
        let index = at.unwrap_or_else(|| panic!("no case {name}"));
        let network = |case: &Case, bits: u128| {
            // Of the octets of the frame, the customer's address is the source.
            let source = if case.frame[12] == 8 {
                let octets: [u8; 4] = case.frame[26..30].try_into().unwrap();
                Addr::V4(octets).mapped()
            } else {
                case.frame[22..38].try_into().unwrap()
            };
            (u128::from_be_bytes(source) & bits).to_be_bytes()
        };
        let case = golden.cases[index].clone();
        let around = CaptureOrder {
            network: network(&case, mask),
            mask: mask.to_be_bytes(),
            ..order(128)
        };
        let mut elsewhere = around;
        elsewhere.network[13] ^= 1;
        elsewhere.network[4] ^= 1;
        let lapsed = CaptureOrder {
            until_s: monotonic_s(),
            ..around
        };
        let none = CaptureOrder {
            until_s: 0,
            ..around
        };
        for (order, expected) in [
            (around, true),
            (elsewhere, false),
            (lapsed, false),
            (none, false),
        ] {
            kernel.ask(&order);
            kernel.shown();
            golden.both(&mut kernel, index, |_| {});
            assert_eq!(!kernel.shown().is_empty(), expected, "{name}: {order:?}");
        }
    }
}

#[test]
fn a_frame_that_is_dropped_is_not_shown_as_the_one_before_it() {
    let mut golden = Golden::new();
    let index = |golden: &Golden, name: &str| {
        let at = golden.cases.iter().position(|case| case.name == name);
        at.unwrap_or_else(|| panic!("no case {name}"))
    };
    // Kept, and then about nobody who was asked for; or let out of a tunnel, which nobody is shown.
    for (role, before, name) in [
        (Role::Customer, "a SYN is steered, IPv4", "drop, IPv6"),
        (
            Role::Relay,
            "tunnel over IPv6: a leg is let out, IPv6",
            "tunnel over IPv6: a tunnel in the tunnel, IPv6",
        ),
    ] {
        let mut kernel = Kernel::load(Hook::Xdp, Some(role), false);
        let [before, dropped] = [before, name].map(|name| index(&golden, name));
        // IPv6 alone: mapped, an IPv4 address begins with zeros.
        let mut asked = order(CAPTURE_OCTETS);
        asked.network[..2].copy_from_slice(&[0x20, 0x01]);
        asked.mask[..2].copy_from_slice(&[0xff; 2]);
        kernel.ask(&asked);
        kernel.shown();
        golden.both(&mut kernel, before, |_| {});
        assert_eq!(kernel.shown(), []);
        let (case, ..) = golden.both(&mut kernel, dropped, |_| {});
        let shown = kernel.shown();
        let (_, image) = shown.last().unwrap_or_else(|| panic!("{name}: not shown"));
        assert_eq!(hex(image), hex(&case.frame), "{name}");
    }
}

#[test]
fn what_finds_no_room_is_counted() {
    let mut golden = Golden::new();
    let mut kernel = Kernel::load(Hook::Xdp, Some(Role::Customer), false);
    let at = golden
        .cases
        .iter()
        .position(|case| case.name == "drop, IPv4");
    let (case, ..) = golden.both(&mut kernel, at.unwrap(), |_| {});
    kernel.ask(&order(CAPTURE_OCTETS));
    let mut frame = case.frame;
    frame.resize(3000, 0);
    let mut ran = 0;
    while kernel.lost() == 0 {
        kernel.run(&frame);
        ran += 1;
        assert!(ran < 2000, "a ring of a megabyte takes no end of them");
    }
    let shown = u64::try_from(kernel.shown().len()).unwrap();
    assert_eq!(shown + kernel.lost(), ran);
}
