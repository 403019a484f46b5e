//! The program behind the kernel's own receive path.

use anyhow::Result;
use lab::{
    Family, Host, Lab,
    capture::{Capture, SETTLE},
    dialogue::{End, end_of},
    gate::Gate,
    message::Message,
    peers::{
        postfix::Postfix,
        swaks::{Submission, exchanger},
    },
    pool::Pool,
    relay::{Options, RelayNode},
    wait::until,
};

use crate::{MX1, RELAY, change_mode, connect, flag, greeter, lab_up, start, unflag};

#[test]
fn behind_a_strangers_program_mail_is_diverted_as_well() -> Result<()> {
    let lab = lab_up("ogtbehind")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let mut gate = Gate::start_detached(&lab)?;
    let interface = Host::CustomerA.edge_interface();
    let stranger = lab.occupy(interface)?;
    let attach = |interface: &str, role: &str, mode: &str| {
        gate.outgate(&["attach", interface, "--role", role, "--mode", mode])
    };
    let refused = attach(interface, "customer", "native")?;
    assert_eq!(refused.code, 1, "{refused}");
    assert!(refused.err.contains(stranger), "{refused}");
    assert!(refused.err.contains("mode = \"tcx\""), "{refused}");
    let attached = attach(interface, "customer", "native,generic,tcx")?;
    assert_eq!(attached.code, 0, "{attached}");
    assert!(
        attached.out.contains("tcx (refused: native, generic)"),
        "{attached}"
    );
    for (host, role) in [(Host::Relay, "relay"), (Host::Mx1, "uplink")] {
        let attached = attach(host.edge_interface(), role, "native")?;
        assert_eq!(attached.code, 0, "{attached}");
    }
    let status = gate.json(&["status"])?;
    let shown = &status["interfaces"][0];
    assert_eq!(shown["mode"], "tcx", "{status:#}");
    assert_eq!(shown["refused"][0]["mode"], "native", "{status:#}");
    let reason = shown["refused"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(stranger), "{status:#}");

    let _relay = RelayNode::start(&lab, &Options::default())?;
    gate.wait_for_relay()?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        delivers(&lab, &mx, family, &Message::awkward())?;
    }
    gate.kill()?;
    assert_eq!(
        greeter(&lab, Host::CustomerA, Host::Mx1, Family::V4)?,
        RELAY
    );
    gate.launch()?;
    gate.wait_for_relay()?;
    let status = gate.json(&["status"])?;
    assert_eq!(status["interfaces"][0]["mode"], "tcx", "{status:#}");
    delivers(&lab, &mx, Family::V6, &Message::awkward())?;
    let (customer, uplink) = (interface, Host::Mx1.edge_interface());
    for interface in [customer, uplink] {
        gate.must(&["detach", interface])?;
    }
    let gone = greeter(&lab, Host::CustomerA, Host::Mx1, Family::V4)?;
    assert_eq!(gone, MX1, "detached");
    Ok(())
}

#[test]
fn what_a_card_would_have_summed_is_summed_right_in_tcx() -> Result<()> {
    partial_checksums("ogttcx", "tcx", Pool::REWRITE)
}

#[test]
fn what_a_card_would_have_summed_is_summed_right_in_clsact() -> Result<()> {
    partial_checksums("ogtclsact", "clsact", Pool::REWRITE)
}

#[test]
fn what_a_card_would_have_summed_is_steered_right() -> Result<()> {
    partial_checksums("ogttcxsteer", "tcx", Pool::STEER)
}

/// Customers, relay and exchanger leave checksums and segmentation to a card; the edge's own ends of the
/// wires have none, so whatever leaves there has been summed by the kernel, over what the program made.
fn partial_checksums(prefix: &str, mode: &str, pool: Pool) -> Result<()> {
    let lab = lab_up(prefix)?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let options = Options {
        pool,
        ..Options::default()
    };
    let (mut gate, _relay) = start(&lab, &options)?;
    change_mode(&mut gate, mode)?;
    for host in [Host::CustomerA, Host::Relay] {
        lab.offload(host)?;
    }
    for family in Family::ALL {
        let near_relay = Capture::start(&lab.namespace(Host::Relay))?;
        let near_customer = Capture::start(&lab.namespace(Host::CustomerA))?;
        let (customer, mx_address) = (Host::CustomerA.address(family), Host::Mx1.address(family));
        flag(&gate, family, &[])?;
        delivers(&lab, &mx, family, &Message::of_octets(1_000_000))?;
        let shown = if pool == Pool::REWRITE {
            pool.address(family)
        } else {
            mx_address
        };
        right(&near_relay, customer, shown, 500)?;
        right(&near_customer, mx_address, customer, 20)?;
        unflag(&gate, family)?;

        let near_customer = Capture::start(&lab.namespace(Host::CustomerA))?;
        flag(&gate, family, &["--action", "refuse", "--cut"])?;
        let mut client = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        assert_eq!(client.reply()?.code, 554);
        let end = client.reply().map_err(|error| end_of(&error));
        assert_eq!(end.err(), Some(Some(End::Closed)));
        drop(client);
        right(&near_customer, mx_address, customer, 2)?;
        unflag(&gate, family)?;

        let near_customer = Capture::start(&lab.namespace(Host::CustomerA))?;
        let mut older = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        older.reply()?;
        flag(&gate, family, &["--action", "reset", "--cut"])?;
        // Longer than a frame: the card would have made several of it.
        let long = format!("NOOP {}", "x".repeat(4000));
        let end = older.command(&long).map_err(|error| end_of(&error));
        assert_eq!(end.err(), Some(Some(End::Reset)));
        let refused =
            connect(&lab, Host::CustomerA, Host::Mx1, family).map_err(|error| end_of(&error));
        assert_eq!(refused.err(), Some(Some(End::Refused)));
        right(&near_customer, mx_address, customer, 3)?;
        unflag(&gate, family)?;
        assert_eq!(greeter(&lab, Host::CustomerB, Host::Mx1, family)?, MX1);
    }
    assert_eq!(gate.counter("internal_error")?, 0);
    Ok(())
}

/// Sends a message by the relay to the exchanger.
fn delivers(lab: &Lab, mx: &Postfix, family: Family, message: &Message) -> Result<()> {
    Submission {
        from: Host::CustomerA,
        to: exchanger(Host::Mx1, family),
        message,
        tls: true,
    }
    .send(lab)?
    .accepted()?;
    let stored = mx.delivered(&message.token)?;
    assert_eq!(stored.preserves(message), Ok(()));
    assert!(stored.relayed_for(Host::CustomerA.address(family)));
    Ok(())
}

/// At least so many datagrams went there, all with right checksums.
#[track_caller]
fn right(tap: &Capture, from: std::net::IpAddr, to: std::net::IpAddr, least: usize) -> Result<()> {
    let seen = until("the datagrams", SETTLE, || {
        let seen = tap.datagrams(from, to);
        Ok((seen.len() >= least).then_some(seen))
    })?;
    for datagram in &seen {
        assert!(datagram.checksums_are_right, "{datagram}");
    }
    Ok(())
}
