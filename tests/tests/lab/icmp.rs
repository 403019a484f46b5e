//! Small links and refusals beyond the edge: ICMP errors about diverted connections reach whom they are for.

mod exchanger;

use std::{io, process::Command};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Family, Host, Lab,
    capture::{Capture, SETTLE},
    message::Message,
    netns::Namespace,
    peers::{
        postfix::Postfix,
        swaks::{Submission, exchanger},
    },
    pool::Pool,
    process::checked,
    relay::Options,
    wait::until,
};

use self::exchanger::{Exchanger, LAST_WORDS};
use crate::{connect, flag, lab_up, start};

#[test]
fn a_small_link_before_a_customer_is_known_to_its_relay() -> Result<()> {
    long_answers_arrive(&lab_up("icmpcust")?, Options::default())
}

#[test]
fn a_small_link_before_a_customer_is_known_to_a_relay_that_is_steered_to() -> Result<()> {
    long_answers_arrive(&lab_up("icmpsteer")?, steer())
}

#[test]
fn a_small_link_before_the_relay_is_known_to_the_customer() -> Result<()> {
    let lab = lab_up("icmprelay")?;
    let router = lab.router_before(Host::Relay, MTU)?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        let customer = lab.namespace(Host::CustomerA);
        let to = exchanger(Host::Mx1, family);
        let before = gate.counter("icmp_to_customer")?;
        deliver(&lab, &mx, family)?;
        // As if the MX were behind the link. That there is a relay is none of the customer's business.
        assert_eq!(mtu(&customer, to.ip())?, Some(MTU), "{family:?}");
        assert_eq!(mtu(&customer, Host::Relay.address(family))?, None);
        assert!(gate.counter("icmp_to_customer")? > before);
        assert_eq!(mtu(&router, to.ip())?, None);
    }
    assert_eq!(gate.counter("icmp_without_entry")?, 0);
    Ok(())
}

#[test]
fn a_small_link_before_an_exchanger_is_known_to_the_relay_that_borrows_an_address() -> Result<()> {
    let lab = lab_up("icmpleg")?;
    lab.router_before(Host::Mx1, MTU)?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let (gate, _relay) = start(&lab, &steer())?;
    for family in Family::ALL {
        flag(&gate, family, &["--egress", "customer"])?;
        let before = gate.counter("icmp_return_steered")?;
        let stored_from = deliver(&lab, &mx, family)?;
        ensure!(stored_from == Host::CustomerA, "it borrowed no address");
        let to = exchanger(Host::Mx1, family).ip();
        assert_eq!(
            mtu(&lab.namespace(Host::Relay), to)?,
            Some(MTU),
            "{family:?}"
        );
        assert!(gate.counter("icmp_return_steered")? > before);
        // The customer's kernel never hears of it.
        assert_eq!(mtu(&lab.namespace(Host::CustomerA), to)?, None);
    }
    Ok(())
}

#[test]
fn a_relays_refusal_by_icmp_is_the_exchangers_to_the_customer() -> Result<()> {
    let lab = lab_up("icmprefuse")?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        let customer = Host::CustomerA.address(family);
        nft(&lab.namespace(Host::Relay), &refusal(family, customer))?;
        let wire = Capture::start(&lab.namespace(Host::CustomerA))?;
        let before = gate.counter("icmp_to_customer")?;
        let refused = connect(&lab, Host::CustomerA, Host::Mx1, family);
        let error = refused.err().context("it was not refused")?;
        assert_eq!(errno(&error), Some(prohibited(family)), "{error:#}");
        let (mx, relay) = (Host::Mx1.address(family), Host::Relay.address(family));
        until("the exchanger's word", SETTLE, || {
            Ok((!wire.datagrams(mx, customer).is_empty()).then_some(()))
        })?;
        assert!(wire.datagrams(relay, customer).is_empty());
        assert!(gate.counter("icmp_to_customer")? > before);
    }
    assert_eq!(gate.counter("icmp_without_entry")?, 0);
    Ok(())
}

/// What an exchanger says at length reaches a customer behind a small link, through the relay.
fn long_answers_arrive(lab: &Lab, options: Options) -> Result<()> {
    lab.router_before(Host::CustomerA, MTU)?;
    let _exchanger = Exchanger::start(lab, Host::Mx1)?;
    let (gate, _relay) = start(lab, &options)?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        let before = gate.counter("icmp_to_relay")?;
        let mut dialogue = connect(lab, Host::CustomerA, Host::Mx1, family)?;
        dialogue.reply()?;
        dialogue.expect(250, "EHLO client.example.org")?;
        dialogue.expect(250, "MAIL FROM:<sender@example.org>")?;
        let answer = dialogue.expect(250, "RCPT TO:<recipient@example.net>")?;
        assert!(answer.text.ends_with(LAST_WORDS), "{}", answer.text);
        let customer = Host::CustomerA.address(family);
        assert_eq!(
            mtu(&lab.namespace(Host::Relay), customer)?,
            Some(MTU),
            "{family:?}"
        );
        assert!(gate.counter("icmp_to_relay")? > before);
    }
    Ok(())
}

/// Delivers more than fits into a congestion window; returns whose address it came from.
fn deliver(lab: &Lab, mx: &Postfix, family: Family) -> Result<Host> {
    let message = Message::of_octets(200_000);
    Submission {
        from: Host::CustomerA,
        to: exchanger(Host::Mx1, family),
        message: &message,
        tls: true,
    }
    .send(lab)?
    .accepted()?;
    let stored = mx.delivered(&message.token)?;
    ensure!(stored.preserves(&message) == Ok(()), "{}", stored.text());
    [Host::CustomerA, Host::Relay]
        .into_iter()
        .find(|host| stored.arrived_from(host.address(family)))
        .context("it came from nobody")
}

/// The path MTU that a kernel has learnt.
fn mtu(namespace: &Namespace, to: std::net::IpAddr) -> Result<Option<u16>> {
    let mut ip = namespace.command("ip");
    let shown = checked(ip.args(["-j", "route", "get", &to.to_string()]))?;
    let routes: serde_json::Value = serde_json::from_slice(&shown.stdout)?;
    let learnt = routes[0]["metrics"][0]["mtu"].as_u64();
    Ok(learnt.map(u16::try_from).transpose()?)
}

fn nft(namespace: &Namespace, rules: &str) -> Result<()> {
    let mut nft: Command = namespace.command("nft");
    checked(nft.arg(rules))?;
    Ok(())
}

/// A firewall of the relay's host that will not have this customer.
fn refusal(family: Family, customer: std::net::IpAddr) -> String {
    let (table, ip, icmp) = match family {
        Family::V4 => ("ip", "ip", "icmp"),
        Family::V6 => ("ip6", "ip6", "icmpv6"),
    };
    format!(
        "add table {table} refuse; \
         add chain {table} refuse input {{ type filter hook input priority 0; }}; \
         add rule {table} refuse input {ip} saddr {customer} tcp dport 2525 reject with {icmp} type admin-prohibited"
    )
}

/// The error that a socket gets of it.
fn prohibited(family: Family) -> i32 {
    match family {
        Family::V4 => rustix::io::Errno::HOSTUNREACH.raw_os_error(),
        Family::V6 => rustix::io::Errno::ACCESS.raw_os_error(),
    }
}

fn errno(error: &anyhow::Error) -> Option<i32> {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error())
}

fn steer() -> Options {
    Options {
        pool: Pool::STEER,
        ..Options::default()
    }
}

/// What a small link takes: the least that IPv6 may have.
const MTU: u16 = 1280;
