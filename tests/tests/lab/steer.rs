//! Steered connections, and mail that leaves the relay from the customer's own address.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use lab::{
    Family, Host, Lab,
    capture::{Capture, SETTLE, send},
    dialogue::{Dialogue, smtp},
    frames::{Datagram, Syn},
    gate::Gate,
    host::HOST_INTERFACE,
    message::Message,
    peers::{
        postfix::Postfix,
        swaks::{Submission, exchanger},
    },
    pool::Pool,
    relay::Options,
    wait::until,
};

use crate::{MX1, PATIENCE, RELAY, connect, flag, greeter, lab_up, start, unflag};

const STEER: Options = Options {
    rspamd: None,
    spill_dir: None,
    pool: Pool::STEER,
    memory_octets: None,
    more: String::new(),
};
const OWN_ADDRESS: &[&str] = &["--egress", "customer"];

/// The ports that the relay uses of a customer's address.
const LEG_PORTS: std::ops::RangeInclusive<u16> = 61_000..=65_535;

#[test]
fn the_exchanger_sees_the_customers_own_address_and_the_customer_nothing_strange() -> Result<()> {
    let lab = lab_up("ogtsteer")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let (gate, _relay) = start(&lab, &STEER)?;
    for family in Family::ALL {
        flag(&gate, family, OWN_ADDRESS)?;
        let customer = Host::CustomerA.address(family);
        let to = exchanger(Host::Mx1, family);
        let near_customer = Capture::start(&lab.namespace(Host::CustomerA))?;
        let near_mx = Capture::start(&lab.namespace(Host::Mx1))?;
        let message = Message::awkward();
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
        assert!(stored.arrived_by_tls(), "{}", stored.text());
        assert!(stored.relayed_for(customer), "{}", stored.text());
        let seen = format!("connect from unknown[{customer}]");
        assert!(mx.log().contains(&seen), "{}", mx.log());

        // The leg went to the exchanger, from the reserved ports. Nothing of it came near the customer,
        // so its kernel had nothing to answer with RST.
        let legs = segments(&near_mx, customer, to.ip());
        assert!(!legs.is_empty());
        assert!(
            legs.iter().all(|(from, _)| LEG_PORTS.contains(from)),
            "{legs:?}"
        );
        let own = [
            segments(&near_customer, customer, to.ip()),
            segments(&near_customer, to.ip(), customer),
        ]
        .concat();
        assert!(!own.is_empty());
        let stray = |&(from, to): &(u16, u16)| LEG_PORTS.contains(&from) || LEG_PORTS.contains(&to);
        assert!(!own.iter().any(stray), "{own:?}");
    }
    assert!(gate.counter("customer_egress")? > 0);
    assert!(gate.counter("return_steered")? > 0);
    assert_eq!(gate.counter("spoof_blocked")?, 0);
    Ok(())
}

#[test]
fn steered_mail_may_leave_from_the_relay_too() -> Result<()> {
    let lab = lab_up("ogtsteerpool")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let (gate, _relay) = start(&lab, &STEER)?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        let message = Message::awkward();
        Submission {
            from: Host::CustomerA,
            to: exchanger(Host::Mx1, family),
            message: &message,
            tls: true,
        }
        .send(&lab)?
        .accepted()?;
        let stored = mx.delivered(&message.token)?;
        assert!(
            stored.arrived_from(Host::Relay.address(family)),
            "{}",
            stored.text()
        );
        // A bystander may use the ports that the relay uses of others' addresses.
        let bystander = SocketAddr::new(Host::CustomerB.address(family), 61_500);
        let to = exchanger(Host::Mx1, family);
        let mut dialogue =
            Dialogue::open(&lab.namespace(Host::CustomerB), bystander, to, PATIENCE)?;
        assert!(dialogue.reply()?.text.starts_with(MX1));
    }
    Ok(())
}

#[test]
fn the_relay_borrows_an_address_for_mail_of_its_owner_alone() -> Result<()> {
    let lab = lab_up("ogtspoof")?;
    let (gate, _relay) = start(&lab, &STEER)?;
    for family in Family::ALL {
        flag(&gate, family, OWN_ADDRESS)?;
        let [a, b] = [Host::CustomerA, Host::CustomerB].map(|host| host.address(family));
        let mx = Host::Mx1.address(family);
        let wire = Capture::start(&lab.namespace(Host::Mx1))?;
        let forged = [
            ((a, 61_500), (mx, 80)),
            ((b, 61_501), (mx, 25)),
            // The customer's own ports.
            ((a, 40_000), (mx, 25)),
        ];
        for (source, destination) in forged {
            let before = gate.counter("spoof_blocked")?;
            from_relay(&lab, source.into(), destination.into())?;
            until("the forged frame to be counted", SETTLE, || {
                Ok((gate.counter("spoof_blocked")? > before).then_some(()))
            })?;
        }
        // What is allowed comes through, and what was sent before it would have come before it.
        from_relay(&lab, (a, 61_502).into(), smtp(mx))?;
        until("the allowed frame to arrive", SETTLE, || {
            let legs = segments(&wire, a, mx);
            Ok(legs.contains(&(61_502, 25)).then_some(()))
        })?;
        assert_eq!(segments(&wire, a, mx), [(61_502, 25)]);
        assert_eq!(segments(&wire, b, mx), []);
    }
    Ok(())
}

#[test]
fn a_steered_connection_outlives_its_flag() -> Result<()> {
    let lab = lab_up("ogtsteerend")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let (gate, _relay) = start(&lab, &STEER)?;
    for family in Family::ALL {
        flag(&gate, family, OWN_ADDRESS)?;
        let mut steered = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        assert!(steered.reply()?.text.starts_with(RELAY));
        // One leg is open when the flag ends, the other one only begins then.
        let mut begun = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        begun.reply()?;
        begun.expect(250, "EHLO client.example.org")?;
        begun.expect(250, "MAIL FROM:<sender@example.org>")?;
        begun.expect(250, "RCPT TO:<recipient@example.net>")?;
        unflag(&gate, family)?;
        assert_eq!(greeter(&lab, Host::CustomerA, Host::Mx1, family)?, MX1);

        begun.expect(250, "RSET")?;
        for dialogue in [&mut begun, &mut steered] {
            let message = Message::awkward();
            let reply = dialogue.transaction(&message.content)?;
            ensure!(reply.code == 250, "{}", dialogue.transcript());
            let stored = mx.delivered(&message.token)?;
            let customer = Host::CustomerA.address(family);
            assert!(stored.arrived_from(customer), "{}", stored.text());
            assert!(stored.relayed_for(customer), "{}", stored.text());
        }
    }
    Ok(())
}

#[test]
fn a_customers_own_address_needs_a_pool_that_steers() -> Result<()> {
    let lab = lab_up("ogtegress")?;
    let gate = Gate::start_detached(&lab)?;
    let address = Host::CustomerA.address(Family::V4).to_string();
    let refused = gate.outgate(
        &[
            &["flag", "add", &address, "--reason", "a test"],
            OWN_ADDRESS,
        ]
        .concat(),
    )?;
    assert_eq!(refused.code, 1, "{refused}");
    assert!(refused.err.contains("steer"), "{refused}");
    Ok(())
}

/// Source and destination ports of the TCP segments from one address to another.
fn segments(tap: &Capture, from: std::net::IpAddr, to: std::net::IpAddr) -> Vec<(u16, u16)> {
    tap.datagrams(from, to)
        .iter()
        .filter_map(Datagram::tcp)
        .map(|tcp| (tcp.src_port(), tcp.dst_port()))
        .collect()
}

/// A SYN out of the relay's interface, as a relay that was broken into would send it.
fn from_relay(lab: &Lab, source: SocketAddr, destination: SocketAddr) -> Result<()> {
    let syn = Syn {
        source_mac: lab.mac(Host::Relay, HOST_INTERFACE)?,
        destination_mac: lab.mac(Host::Edge, Host::Relay.edge_interface())?,
        tags: Vec::new(),
        source,
        destination,
        sequence: 1_000,
    };
    send(&lab.namespace(Host::Relay), HOST_INTERFACE, &syn.frame())
}
