//! What a flag does to the customer's mail.

use anyhow::Result;
use lab::{
    Family, Host,
    gate::HELP_URL,
    message::Message,
    peers::{
        clamd::{self, Clamd},
        postfix::Postfix,
        rspamd::Rspamd,
        swaks::{Submission, exchanger},
    },
    relay::Options,
};

use crate::{MX1, RELAY, connect, flag, greeter, lab_up, start};

#[test]
fn a_flagged_customers_mail_is_filtered_and_delivered_unchanged() -> Result<()> {
    let lab = lab_up("ogtdivert")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let rspamd = Rspamd::start(&lab)?;
    let options = Options {
        rspamd: Some(rspamd.url()),
        ..Options::default()
    };
    let (gate, _relay) = start(&lab, &options)?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        for tls in [true, false] {
            let message = Message::awkward();
            let to = exchanger(Host::Mx1, family);
            Submission {
                from: Host::CustomerA,
                to,
                message: &message,
                tls,
            }
            .send(&lab)?
            .accepted()?;
            let stored = mx.delivered(&message.token)?;
            assert_eq!(stored.preserves(&message), Ok(()), "{}", stored.text());
            assert!(
                stored.arrived_from(Host::Relay.address(family)),
                "{}",
                stored.text()
            );
            assert!(
                stored.relayed_for(Host::CustomerA.address(family)),
                "{}",
                stored.text()
            );
            // Also when the customer stayed in clear text: the exchanger offers STARTTLS.
            assert!(stored.arrived_by_tls(), "{}", stored.text());

            let spam = Message::gtube();
            let refused = Submission {
                from: Host::CustomerA,
                to,
                message: &spam,
                tls,
            }
            .send(&lab)?;
            assert_ne!(refused.code, 0, "{}", refused.transcript);
            assert!(
                refused.server_said("550 5.7.1")?.contains("id="),
                "{}",
                refused.transcript
            );
            refused.server_said(HELP_URL)?;
            assert!(mx.find(&spam.token)?.is_none());
        }
    }
    assert!(rspamd.scanned() >= 4);
    assert_eq!(mx.mailbox()?.len(), 4);
    Ok(())
}

#[test]
fn malware_is_refused_by_its_name_and_never_arrives() -> Result<()> {
    let lab = lab_up("ogtvirus")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let clamd = Clamd::start(&lab)?;
    let options = Options {
        more: clamd.scanner(),
        ..Options::default()
    };
    let (gate, relay) = start(&lab, &options)?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        let send = |message: &Message, tls| {
            let submission = Submission {
                from: Host::CustomerA,
                to: exchanger(Host::Mx1, family),
                message,
                tls,
            };
            submission.send(&lab)
        };
        for (name, tls) in [("clam.exe", true), ("clam.zip", false)] {
            let malware = Message::with_attachment(name, &clamd.sample(name)?);
            let refused = send(&malware, tls)?;
            let reply = refused.server_said("550 5.7.1")?;
            assert!(reply.contains(clamd::SIGNATURE), "{reply}\n{}", relay.log());
            assert!(mx.find(&malware.token)?.is_none());
        }
        let clean = Message::with_attachment("note.txt", b"nothing to see\n");
        send(&clean, true)?.accepted()?;
        let stored = mx.delivered(&clean.token)?;
        assert_eq!(stored.preserves(&clean), Ok(()), "{}", clamd.log_tail());
    }
    assert_eq!(mx.mailbox()?.len(), 2);
    Ok(())
}

#[test]
fn a_large_message_passes_through_the_spill_file() -> Result<()> {
    let lab = lab_up("ogtlarge")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    flag(&gate, Family::V4, &[])?;
    let message = Message::of_octets(3_000_000);
    let to = exchanger(Host::Mx1, Family::V4);
    Submission {
        from: Host::CustomerA,
        to,
        message: &message,
        tls: true,
    }
    .send(&lab)?
    .accepted()?;
    assert_eq!(mx.delivered(&message.token)?.preserves(&message), Ok(()));
    Ok(())
}

#[test]
fn an_unreachable_destination_is_a_421_that_the_client_sees() -> Result<()> {
    let lab = lab_up("ogtdead")?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        // Nothing listens on mx2.
        let message = Message::awkward();
        let to = exchanger(Host::Mx2, family);
        let refused = Submission {
            from: Host::CustomerA,
            to,
            message: &message,
            tls: true,
        }
        .send(&lab)?;
        assert_ne!(refused.code, 0);
        refused.server_said("421 4.4.1")?;
    }
    Ok(())
}

#[test]
fn one_ipv6_address_flags_its_64_unless_exact() -> Result<()> {
    let lab = lab_up("ogtexact")?;
    let _mx = Postfix::start(&lab, Host::Mx1)?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    let neighbour: std::net::IpAddr = "2001:db8:a:a::11".parse()?;
    lab.add_address(Host::CustomerA, neighbour)?;
    let neighbours_greeter = || -> Result<String> {
        let namespace = lab.namespace(Host::CustomerA);
        let to = exchanger(Host::Mx1, Family::V6);
        let mut dialogue =
            lab::dialogue::Dialogue::open(&namespace, (neighbour, 0).into(), to, crate::PATIENCE)?;
        Ok(dialogue
            .reply()?
            .text
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned())
    };

    flag(&gate, Family::V6, &[])?;
    assert_eq!(
        greeter(&lab, Host::CustomerA, Host::Mx1, Family::V6)?,
        RELAY
    );
    assert_eq!(neighbours_greeter()?, RELAY);
    let flags = gate.json(&["flag", "ls"])?;
    assert_eq!(flags[0]["prefix"], "2001:db8:a:a::/64");
    crate::unflag(&gate, Family::V6)?;

    flag(&gate, Family::V6, &["--exact"])?;
    assert_eq!(
        greeter(&lab, Host::CustomerA, Host::Mx1, Family::V6)?,
        RELAY
    );
    assert_eq!(neighbours_greeter()?, MX1);
    let flags = gate.json(&["flag", "ls"])?;
    assert_eq!(flags[0]["prefix"], "2001:db8:a:a::10/128");
    Ok(())
}

#[test]
fn other_ports_of_a_flagged_customer_are_left_alone() -> Result<()> {
    let lab = lab_up("ogtports")?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    flag(&gate, Family::V4, &[])?;
    let listener = lab
        .namespace(Host::Mx1)
        .inside(|| Ok(std::net::TcpListener::bind("0.0.0.0:587")?))?;
    let customer = Host::CustomerA.address(Family::V4);
    let submission = std::net::SocketAddr::new(Host::Mx1.address(Family::V4), 587);
    let _dialogue = lab::dialogue::Dialogue::open(
        &lab.namespace(Host::CustomerA),
        (customer, 0).into(),
        submission,
        crate::PATIENCE,
    )?;
    assert_eq!(listener.accept()?.1.ip(), customer);
    assert!(
        connect(&lab, Host::CustomerA, Host::Mx1, Family::V4)?
            .reply()?
            .text
            .contains(RELAY)
    );
    assert_eq!(gate.counter("flow_opened")?, 1);
    Ok(())
}
