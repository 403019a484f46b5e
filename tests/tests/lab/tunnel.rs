//! A relay behind a router, which is steered to through a tunnel.

use anyhow::{Context as _, Result, ensure};
use lab::{
    Family, Host,
    capture::{Capture, SETTLE, send_all},
    edge_end::{gateway, tunnelled},
    frames::{Datagram, Syn},
    gate::{Gate, Health},
    host::HOST_INTERFACE,
    message::Message,
    peers::{
        postfix::Postfix,
        swaks::{Submission, exchanger},
    },
    pool::Pool,
    relay::{Options, RelayNode},
    relay_host::{Ends, RelayHost},
    wait::until,
};

use crate::{RELAY, change_mode, flag, lab_up, start};

fn through(outside: Family) -> Options {
    Options {
        pool: Pool::tunnelled(outside),
        ..Options::default()
    }
}

const OWN_ADDRESS: &[&str] = &["--egress", "customer"];
/// Octets that the router takes to the relay's host: an Ethernet's.
const LINK_MTU: u16 = 1500;

#[test]
fn mail_goes_through_a_tunnel_over_ipv4() -> Result<()> {
    mail_goes_through("ogttunnel4", Family::V4)
}

#[test]
fn mail_goes_through_a_tunnel_over_ipv6() -> Result<()> {
    mail_goes_through("ogttunnel6", Family::V6)
}

/// Both customers' families, there and back, and the relay's own leg out and in.
fn mail_goes_through(prefix: &str, outside: Family) -> Result<()> {
    let lab = lab_up(prefix)?;
    let _router = lab.router_before(Host::Relay, LINK_MTU)?;
    let host = RelayHost::new(&lab);
    host.attach(&[Ends::of_lab(outside)], &[])?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let (gate, _relay) = start(&lab, &through(outside))?;
    let listed = gate.must(&["relay", "ls"])?.out;
    let far = Host::Relay.address(outside);
    ensure!(listed.contains(&format!("by tunnel to {far}")), "{listed}");
    for family in Family::ALL {
        flag(&gate, family, OWN_ADDRESS)?;
        let customer = Host::CustomerA.address(family);
        let to = exchanger(Host::Mx1, family);
        let near_customer = Capture::start(&lab.namespace(Host::CustomerA))?;
        let near_mx = Capture::start(&lab.namespace(Host::Mx1))?;
        // Long enough for whole segments, which would not fit if nobody had said so.
        let message = Message::of_octets(200_000);
        let outcome = Submission {
            from: Host::CustomerA,
            to,
            message: &message,
            tls: true,
        }
        .send(&lab)?
        .accepted()?;
        let certificate = outcome.certificate().context("no certificate")?;
        assert!(certificate.contains(RELAY), "{certificate}");
        let stored = mx.delivered(&message.token)?;
        assert_eq!(stored.preserves(&message), Ok(()), "{}", stored.text());
        assert!(stored.arrived_from(customer), "{}", stored.text());

        // Whoever opened a connection was told what fits, by either side's SYN.
        let most = tunnel_mtu(outside) - if customer.is_ipv4() { 40 } else { 60 };
        for (tap, from, to) in [
            (&near_customer, to.ip(), customer),
            (&near_mx, customer, to.ip()),
        ] {
            let said = sizes(tap, from, to);
            assert!(!said.is_empty(), "{from} to {to}");
            assert!(said.iter().all(|said| *said <= most), "{said:?}");
        }
        // Nothing of the outer header is left, and no octet is wrong.
        let came = near_customer.datagrams(to.ip(), customer);
        assert!(came.iter().all(|datagram| datagram.checksums_are_right));
    }
    for counter in [
        "tunnelled",
        "untunnelled",
        "customer_egress",
        "return_steered",
    ] {
        assert!(gate.counter(counter)? > 0, "{counter}");
    }
    for counter in [
        "spoof_blocked",
        "tunnel_refused",
        "tunnel_too_big",
        "internal_error",
    ] {
        assert_eq!(gate.counter(counter)?, 0, "{counter}");
    }
    Ok(())
}

/// Behind the kernel's own receive path, of segments that it has merged and has still to sum.
#[test]
fn mail_goes_through_a_tunnel_in_tc() -> Result<()> {
    let lab = lab_up("ogttunneltc")?;
    let _router = lab.router_before(Host::Relay, LINK_MTU)?;
    RelayHost::new(&lab).attach(&[Ends::of_lab(Family::V6)], &["--mode", "tcx"])?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let (mut gate, _relay) = start(&lab, &through(Family::V6))?;
    change_mode(&mut gate, "tcx")?;
    lab.offload(Host::CustomerA)?;
    for family in Family::ALL {
        flag(&gate, family, OWN_ADDRESS)?;
        let message = Message::of_octets(200_000);
        Submission {
            from: Host::CustomerA,
            to: exchanger(Host::Mx1, family),
            message: &message,
            tls: true,
        }
        .send(&lab)?
        .accepted()?;
        let stored = mx.delivered(&message.token)?;
        assert_eq!(stored.preserves(&message), Ok(()), "{}", stored.text());
        let customer = Host::CustomerA.address(family);
        assert!(stored.arrived_from(customer), "{}", stored.text());
    }
    for counter in [
        "tunnelled",
        "untunnelled",
        "customer_egress",
        "return_steered",
    ] {
        assert!(gate.counter(counter)? > 0, "{counter}");
    }
    assert_eq!(gate.counter("internal_error")?, 0);
    Ok(())
}

#[test]
fn probes_go_through_the_tunnel() -> Result<()> {
    let health = Health {
        probe_sources: &["192.0.2.224/28", "2001:db8:a:ffff::/64"],
        ..Health::default()
    };
    let lab = lab_up("ogttunprobe")?;
    let _router = lab.router_before(Host::Relay, LINK_MTU)?;
    let host = RelayHost::new(&lab);
    host.attach(&[Ends::of_lab(Family::V4)], &[])?;
    let options = through(Family::V4);
    let mut gate = Gate::start_with(&lab, &health, &[options.pool])?;
    let _relay = RelayNode::start(&lab, &options)?;
    gate.wait_for_relay()?;
    assert!(gate.counter("tunnelled")? > 0);
    // The relay greets whoever asks it directly; its tunnel has ended.
    host.detach()?;
    until("the relay to be down", SETTLE * 4, || {
        let status = gate.json(&["status"])?;
        let state = &status["pools"][0]["relays"][0]["state"];
        Ok((state == "down").then_some(()))
    })
}

#[test]
fn a_packet_that_does_not_fit_is_answered_and_a_forged_one_goes_nowhere() -> Result<()> {
    let lab = lab_up("ogttunbig")?;
    let router = lab.router_before(Host::Relay, LINK_MTU)?;
    let ends = Ends::of_lab(Family::V4);
    RelayHost::new(&lab).attach(&[ends], &[])?;
    let (gate, _relay) = start(&lab, &through(Family::V4))?;
    for family in Family::ALL {
        flag(&gate, family, OWN_ADDRESS)?;
        let customer = Host::CustomerA.address(family);
        let mx = Host::Mx1.address(family);
        let near_customer = Capture::start(&lab.namespace(Host::CustomerA))?;
        let near_mx = Capture::start(&lab.namespace(Host::Mx1))?;
        let source = (customer, 40_001).into();
        let syn = Syn {
            source_mac: lab.mac(Host::CustomerA, HOST_INTERFACE)?,
            destination_mac: lab.mac(Host::Edge, Host::CustomerA.edge_interface())?,
            tags: Vec::new(),
            source,
            destination: (mx, 25).into(),
            sequence: 1_000,
        };
        let headers = if customer.is_ipv4() { 44 } else { 64 };
        let most = usize::from(tunnel_mtu(Family::V4));
        let frames = [syn.with(&vec![b'x'; most + 1 - headers])];
        let before = gate.counter("tunnel_too_big")?;
        send_all(&lab.namespace(Host::CustomerA), HOST_INTERFACE, &frames)?;
        until("the customer to be told", SETTLE, || {
            let told = near_customer.datagrams(mx, customer);
            Ok(told.iter().any(Datagram::is_too_big).then_some(()))
        })?;
        assert_eq!(gate.counter("tunnel_too_big")?, before + 1);

        // Somebody in the tunnel takes another customer's address, and one takes the edge for a router.
        let bystander = Host::CustomerB.address(family);
        let stations = [gateway(&router)?, lab.mac(Host::Relay, HOST_INTERFACE)?];
        for (from, to, counter) in [
            ((bystander, 61_500), (mx, 25), "spoof_blocked"),
            ((mx, 40_000), (bystander, 80), "tunnel_refused"),
        ] {
            let before = gate.counter(counter)?;
            let forged = Syn {
                source: from.into(),
                destination: to.into(),
                ..syn.clone()
            };
            let frame = forged.frame();
            let packet = frame.get(14..).context("a packet")?;
            let forged = tunnelled(stations, ends.turned(), packet).context("a tunnel")?;
            send_all(&lab.namespace(Host::Relay), HOST_INTERFACE, &[forged])?;
            until("the forged packet to be counted", SETTLE, || {
                Ok((gate.counter(counter)? > before).then_some(()))
            })?;
        }
        assert!(near_mx.datagrams(bystander, mx).is_empty());
    }
    Ok(())
}

/// Octets of a packet that goes through, as outgated takes it for granted.
fn tunnel_mtu(outside: Family) -> u16 {
    match outside {
        Family::V4 => 1480,
        Family::V6 => 1460,
    }
}

/// What SYNs from one address to another say about the size of segments.
fn sizes(tap: &Capture, from: std::net::IpAddr, to: std::net::IpAddr) -> Vec<u16> {
    let datagrams = tap.datagrams(from, to);
    datagrams
        .iter()
        .filter_map(Datagram::segment_size)
        .collect()
}
