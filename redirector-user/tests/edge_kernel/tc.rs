//! Attaching behind the kernel's own receive path: tcx, clsact, and the order in which modes are tried.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use redirector_common::abi::{Action, Policy, Role};
use redirector_user::{
    edge::{AttachMode, Edge, EdgeError, Ladder},
    reconcile::MapOp,
};

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::bench::{Elsewhere, PinDir, address, ip, ip_shows, isolated, veth};

const IN_TC: [AttachMode; 2] = [AttachMode::Tcx, AttachMode::Clsact];

#[test]
fn the_program_is_attached_replaced_and_detached_in_tc() {
    for mode in IN_TC {
        isolated(move || {
            veth("cust0", "far0");
            let pins = PinDir::new();
            let mut edge = pins.open();
            let first = edge.attach("cust0", Role::Customer, mode).unwrap();
            assert_eq!((first.role.as_str(), first.mode), ("customer", mode));
            assert_eq!(edge.attachments().unwrap(), std::slice::from_ref(&first));
            assert!(!shown("cust0").contains("xdp"), "{}", shown("cust0"));

            // The next controller finds and replaces it.
            drop(edge);
            let mut edge = pins.open();
            assert_eq!(edge.attachments().unwrap(), std::slice::from_ref(&first));
            let second = edge.attach("cust0", Role::Relay, mode).unwrap();
            assert_ne!(second.program_id, first.program_id);
            assert_eq!(edge.attachments().unwrap(), std::slice::from_ref(&second));
            assert_eq!(second.role, "relay");

            edge.detach("cust0").unwrap();
            assert_eq!(edge.attachments().unwrap(), []);
            let error = edge.detach("cust0").unwrap_err();
            assert!(matches!(error, EdgeError::NotAttached { .. }), "{error}");
        });
    }
}

#[test]
fn every_mode_can_follow_every_other() {
    isolated(|| {
        veth("cust0", "far0");
        let pins = PinDir::new();
        let mut edge = pins.open();
        let [n, g, t, c] = AttachMode::ALL;
        // Each of the twelve changes once.
        for mode in [n, g, t, g, c, g, n, t, c, t, n, c, n] {
            let attached = edge.attach("cust0", Role::Customer, mode).unwrap();
            assert_eq!(attached.mode, mode);
            assert_eq!(edge.attachments().unwrap(), [attached], "{mode:?}");
            assert_eq!(shown("cust0").contains("xdp"), mode.is_xdp());
        }
    });
}

#[test]
fn modes_are_tried_in_their_order_and_refusals_told() {
    isolated(|| {
        let pins = PinDir::new();
        let mut edge = pins.open();
        // The loopback has no native XDP.
        let ladder = ladder(&[AttachMode::Native, AttachMode::Tcx, AttachMode::Generic]);
        let got = edge.attach("lo", Role::Customer, ladder.clone()).unwrap();
        assert_eq!(got.mode, AttachMode::Tcx);
        let [refused] = got.refused.as_slice() else {
            panic!("{got:?}");
        };
        assert_eq!(refused.mode, AttachMode::Native);
        assert!(refused.reason.contains("EOPNOTSUPP"), "{refused:?}");
        // What is there is kept, and replaced.
        let again = edge.attach("lo", Role::Customer, ladder).unwrap();
        assert_eq!((again.mode, again.refused.len()), (AttachMode::Tcx, 0));
        assert_ne!(again.program_id, got.program_id);
    });
}

#[test]
fn when_every_mode_is_refused_each_reason_is_told() {
    isolated(|| {
        let (theirs, ours) = (PinDir::new(), PinDir::new());
        let other = theirs
            .open()
            .attach("lo", Role::Uplink, AttachMode::Generic)
            .unwrap();
        let ladder = ladder(&[AttachMode::Native, AttachMode::Generic]);
        let mut edge = ours.open();
        let error = edge.attach("lo", Role::Customer, ladder).unwrap_err();
        assert!(
            matches!(&error, EdgeError::EveryModeRefused { refused, .. } if refused.len() == 2)
        );
        let said = error.to_string();
        assert!(said.contains(&other.program_id.to_string()), "{said}");
        assert!(said.contains("mode = \"tcx\""), "{said}");
        assert_eq!(edge.attachments().unwrap(), []);
    });
}

#[test]
fn strangers_are_left_alone_and_come_behind() {
    for mode in IN_TC {
        isolated(move || {
            veth("cust0", "far0");
            let theirs = [PinDir::new(), PinDir::new()];
            let ours = PinDir::new();
            let in_xdp = theirs[0]
                .open()
                .attach("cust0", Role::Uplink, AttachMode::Native)
                .unwrap();
            let in_tcx = theirs[1]
                .open()
                .attach("cust0", Role::Uplink, AttachMode::Tcx)
                .unwrap();
            let mut edge = ours.open();
            let attached = edge.attach("cust0", Role::Customer, mode).unwrap();
            assert_eq!(edge.attachments().unwrap(), std::slice::from_ref(&attached));
            edge.detach("cust0").unwrap();
            for (pins, attached) in theirs.iter().zip([in_xdp, in_tcx]) {
                assert_eq!(pins.open().attachments().unwrap(), [attached]);
            }
        });
    }
}

#[test]
fn one_place_has_one_filter() {
    isolated(|| {
        veth("cust0", "far0");
        let (theirs, ours) = (PinDir::new(), PinDir::new());
        let other = theirs
            .open()
            .attach("cust0", Role::Uplink, AttachMode::Clsact)
            .unwrap();
        let mut edge = ours.open();
        let error = edge
            .attach("cust0", Role::Customer, AttachMode::Clsact)
            .unwrap_err();
        let place =
            "another filter has priority 1 and handle 0x4f47 (`tc filter show dev IFACE ingress`)";
        assert!(error.to_string().contains(place), "{error}");
        assert_eq!(theirs.open().attachments().unwrap(), [other]);
        assert_eq!(edge.attachments().unwrap(), []);
    });
}

#[test]
fn an_interface_made_anew_has_no_program_in_tc() {
    for mode in IN_TC {
        isolated(move || {
            veth("cust0", "far0");
            let pins = PinDir::new();
            let mut edge = pins.open();
            let before = edge.attach("cust0", Role::Customer, mode).unwrap();
            ip("link delete cust0");
            assert_eq!(edge.attachments().unwrap(), []);
            veth("cust0", "far0");
            assert_eq!(edge.attachments().unwrap(), []);
            let after = edge.attach("cust0", Role::Customer, mode).unwrap();
            assert_ne!(after.ifindex, before.ifindex);
            assert_eq!(edge.attachments().unwrap(), [after]);
        });
    }
}

#[test]
fn the_program_judges_in_tc() {
    for mode in IN_TC {
        isolated(move || {
            let customer = Elsewhere::new();
            customer.wire("cust0", &["192.0.2.1/24"], &["192.0.2.10/24"]);
            let pins = PinDir::new();
            let mut edge = pins.open();
            let policy = |action: Action| {
                let policy = Policy {
                    action: action as u8,
                    prefix_len: 32,
                    ..Policy::default()
                };
                MapOp::PutPolicy("192.0.2.10/32".parse().unwrap(), policy)
            };
            let prefix = MapOp::PutCustomer("192.0.2.0/24".parse().unwrap());
            edge.apply(&[prefix, policy(Action::Drop)]).unwrap();
            edge.heartbeat().unwrap();
            // Nobody listens: whatever reaches our kernel is answered with a reset.
            edge.attach("cust0", Role::Customer, mode).unwrap();
            assert_eq!(connect(&customer), io::ErrorKind::TimedOut);
            assert!(counted(&edge, "dropped") > 0);
            edge.apply(&[policy(Action::Reset)]).unwrap();
            assert_eq!(connect(&customer), io::ErrorKind::ConnectionRefused);
            assert_eq!(counted(&edge, "reset"), 1);
            edge.apply(&[policy(Action::Observe)]).unwrap();
            assert_eq!(connect(&customer), io::ErrorKind::ConnectionRefused);
            assert_eq!(counted(&edge, "observed"), 1);
        });
    }
}

/// Of root's powers the service has only these: nothing may need CAP_SYS_ADMIN.
#[test]
fn the_powers_of_the_service_suffice_in_every_mode() {
    isolated(|| {
        veth("cust0", "far0");
        let pins = PinDir::new();
        let needed = CapabilitySet::BPF | CapabilitySet::PERFMON | CapabilitySet::NET_ADMIN;
        let sets = CapabilitySets {
            effective: needed,
            permitted: needed,
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, sets).unwrap();
        for mode in AttachMode::ALL {
            pins.open().attach("cust0", Role::Customer, mode).unwrap();
            let again = pins.open().attach("cust0", Role::Relay, mode).unwrap();
            assert_eq!(pins.open().attachments().unwrap(), [again]);
        }
        pins.open().detach("cust0").unwrap();
        assert_eq!(pins.open().attachments().unwrap(), []);
    });
}

fn connect(customer: &Elsewhere) -> io::ErrorKind {
    let mail = SocketAddr::new(address("192.0.2.1"), 25);
    customer.run(move || {
        TcpStream::connect_timeout(&mail, Duration::from_millis(500))
            .unwrap_err()
            .kind()
    })
}

fn counted(edge: &Edge, counter: &str) -> u64 {
    edge.counters().unwrap()[counter]
}

fn ladder(modes: &[AttachMode]) -> Ladder {
    Ladder::new(modes.to_vec()).unwrap()
}

fn shown(interface: &str) -> String {
    ip_shows(&format!("link show dev {interface}"))
}
