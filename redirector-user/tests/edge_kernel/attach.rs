//! Attaching, replacing, detaching, and what other programs and interfaces do meanwhile.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use redirector_common::abi::{Action, Policy, Role};
use redirector_user::{
    edge::{AttachMode, Blame, Edge, EdgeError},
    reconcile::MapOp,
};

use crate::bench::{Elsewhere, PinDir, address, ip, ip_shows, isolated, veth};

#[test]
fn the_program_is_attached_replaced_and_detached() {
    isolated(|| {
        veth("cust0", "far0");
        let pins = PinDir::new();
        let mut edge = pins.open();
        let first = edge
            .attach("cust0", Role::Customer, AttachMode::Native)
            .unwrap();
        assert_eq!(
            (first.role.as_str(), first.mode),
            ("customer", AttachMode::Native)
        );
        assert_eq!(edge.attachments().unwrap(), std::slice::from_ref(&first));
        assert!(shown("cust0").contains(&format!("prog/xdp id {}", first.program_id)));

        let second = edge
            .attach("cust0", Role::Relay, AttachMode::Native)
            .unwrap();
        assert_ne!(
            second.program_id, first.program_id,
            "another instance runs now"
        );
        assert_eq!(second.role, "relay");
        assert_eq!(edge.attachments().unwrap(), std::slice::from_ref(&second));
        assert!(shown("cust0").contains(&format!("prog/xdp id {}", second.program_id)));

        edge.detach("cust0").unwrap();
        assert_eq!(edge.attachments().unwrap(), []);
        assert!(!shown("cust0").contains("xdp"), "{}", shown("cust0"));
        let error = edge.detach("cust0").unwrap_err();
        assert!(matches!(error, EdgeError::NotAttached { .. }), "{error}");
    });
}

#[test]
fn the_mode_can_change() {
    isolated(|| {
        veth("cust0", "far0");
        let pins = PinDir::new();
        let mut edge = pins.open();
        edge.attach("cust0", Role::Customer, AttachMode::Native)
            .unwrap();
        let generic = edge
            .attach("cust0", Role::Customer, AttachMode::Generic)
            .unwrap();
        assert_eq!(generic.mode, AttachMode::Generic);
        assert_eq!(edge.attachments().unwrap(), [generic]);
        assert!(shown("cust0").contains("xdpgeneric"));
    });
}

#[test]
fn a_refused_mode_leaves_the_one_before() {
    isolated(|| {
        let pins = PinDir::new();
        let mut edge = pins.open();
        edge.attach("lo", Role::Customer, AttachMode::Generic)
            .unwrap();
        let error = edge
            .attach("lo", Role::Relay, AttachMode::Native)
            .unwrap_err();
        assert!(error.to_string().contains("EOPNOTSUPP"), "{error}");
        assert!(error.to_string().contains("--mode generic"), "{error}");
        assert_eq!(error.blame(), Blame::Host);
        let left = edge.attachments().unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].mode, AttachMode::Generic);
        assert_eq!(left[0].role, "customer");
    });
}

#[test]
fn an_mtu_that_is_too_large_is_named() {
    isolated(|| {
        veth("cust0", "far0");
        ip("link set cust0 mtu 9000");
        ip("link set far0 mtu 9000");
        let pins = PinDir::new();
        let mut edge = pins.open();
        let error = edge
            .attach("cust0", Role::Customer, AttachMode::Native)
            .unwrap_err();
        let EdgeError::AttachRefused {
            interface,
            mode,
            reason,
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!((interface.as_str(), *mode), ("cust0", AttachMode::Native));
        assert!(
            reason.contains("MTU") && reason.contains("ERANGE"),
            "{reason}"
        );
        assert_eq!(edge.attachments().unwrap(), [], "nothing is left half-way");
    });
}

#[test]
fn a_vlan_like_name_can_be_pinned() {
    isolated(|| {
        veth("cust0.100", "far0");
        let pins = PinDir::new();
        let mut edge = pins.open();
        let attached = edge
            .attach("cust0.100", Role::Customer, AttachMode::Native)
            .unwrap();
        assert_eq!(edge.attachments().unwrap(), [attached]);
        edge.detach("cust0.100").unwrap();
        assert_eq!(edge.attachments().unwrap(), []);
    });
}

#[test]
fn attachments_survive_the_controller() {
    isolated(|| {
        veth("cust0", "far0");
        veth("relay0", "far1");
        let pins = PinDir::new();
        let mut edge = pins.open();
        let customer = edge
            .attach("cust0", Role::Customer, AttachMode::Native)
            .unwrap();
        let relay = edge
            .attach("relay0", Role::Relay, AttachMode::Generic)
            .unwrap();
        edge.apply(&[MapOp::SetGeneration(42)]).unwrap();
        drop(edge);
        assert!(
            shown("cust0").contains("prog/xdp"),
            "nobody needs the controller"
        );

        let mut edge = pins.open();
        assert_eq!(edge.attachments().unwrap(), [customer.clone(), relay]);
        assert_eq!(edge.actual().unwrap().generation, 42);
        let again = edge
            .attach("cust0", Role::Customer, AttachMode::Native)
            .unwrap();
        assert_ne!(
            again.program_id, customer.program_id,
            "an upgrade replaces the instance"
        );
    });
}

#[test]
fn a_busy_interface_says_whose_it_is() {
    isolated(|| {
        veth("cust0", "far0");
        let (theirs, ours) = (PinDir::new(), PinDir::new());
        let other = theirs
            .open()
            .attach("cust0", Role::Uplink, AttachMode::Native)
            .unwrap();
        let error = ours
            .open()
            .attach("cust0", Role::Customer, AttachMode::Native)
            .unwrap_err();
        let EdgeError::Busy {
            interface,
            program_id,
            program_name,
            beside,
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!(interface, "cust0");
        assert!(error.to_string().contains(beside.name()), "{error}");
        assert_eq!(*program_id, other.program_id);
        assert_eq!(program_name, "outgate_xdp");
        assert_eq!(error.blame(), Blame::Operator);
        assert_eq!(
            theirs.open().attachments().unwrap(),
            [other],
            "and is left alone"
        );
        assert_eq!(ours.open().attachments().unwrap(), []);
    });
}

#[test]
fn an_interface_made_anew_is_not_the_old_one() {
    isolated(|| {
        veth("cust0", "far0");
        let pins = PinDir::new();
        let mut edge = pins.open();
        let before = edge
            .attach("cust0", Role::Customer, AttachMode::Native)
            .unwrap();
        ip("link delete cust0");
        assert_eq!(edge.attachments().unwrap(), []);
        veth("cust0", "far0");
        assert_eq!(edge.attachments().unwrap(), []);
        let after = edge
            .attach("cust0", Role::Customer, AttachMode::Native)
            .unwrap();
        assert_ne!(after.ifindex, before.ifindex);
        assert_eq!(edge.attachments().unwrap(), [after]);
    });
}

#[test]
fn an_unknown_interface_is_named() {
    isolated(|| {
        let pins = PinDir::new();
        let error = pins
            .open()
            .attach("nix0", Role::Customer, AttachMode::Native)
            .unwrap_err();
        assert!(matches!(&error, EdgeError::NoSuchInterface { interface } if interface == "nix0"));
    });
}

#[test]
fn the_role_reaches_the_kernel() {
    isolated(|| {
        let customer = Elsewhere::new();
        customer.wire("cust0", &["192.0.2.1/24"], &["192.0.2.10/24"]);
        let pins = PinDir::new();
        let mut edge = pins.open();
        let drop_all = Policy {
            action: Action::Drop as u8,
            prefix_len: 32,
            ..Policy::default()
        };
        edge.apply(&[
            MapOp::PutCustomer("192.0.2.0/24".parse().unwrap()),
            MapOp::PutPolicy("192.0.2.10/32".parse().unwrap(), drop_all),
        ])
        .unwrap();
        edge.heartbeat().unwrap();

        // Nobody listens: whatever reaches our kernel is answered with a reset.
        edge.attach("cust0", Role::Uplink, AttachMode::Native)
            .unwrap();
        assert_eq!(connect(&customer), io::ErrorKind::ConnectionRefused);
        assert_eq!(dropped(&edge), 0);

        edge.attach("cust0", Role::Customer, AttachMode::Native)
            .unwrap();
        assert_eq!(connect(&customer), io::ErrorKind::TimedOut);
        assert!(dropped(&edge) > 0, "and counted");
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

fn dropped(edge: &Edge) -> u64 {
    edge.counters().unwrap()["dropped"]
}

fn shown(interface: &str) -> String {
    ip_shows(&format!("link show dev {interface}"))
}
