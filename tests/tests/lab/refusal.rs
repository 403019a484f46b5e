//! Connections that the edge answers itself: action `refuse`, and pools that fail to it.

use std::time::Duration;

use anyhow::Result;
use lab::{
    Family, Host,
    capture::send,
    dialogue::{End, end_of, smtp},
    frames::Syn,
    gate::{Gate, HELP_URL},
    host::HOST_INTERFACE,
    message::Message,
    peers::{
        postfix::Postfix,
        swaks::{Submission, exchanger},
    },
    relay::Options,
    wait::until,
};

use crate::{MX1, connect, flag, greeter, lab_up, start, unflag};

#[test]
fn refuse_tells_real_clients_why() -> Result<()> {
    let lab = lab_up("ogtrefuse")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let sender = Postfix::start_sender(&lab, Host::CustomerA, Host::Mx1)?;
    let gate = Gate::start(&lab)?;
    for (family, domain, said) in [
        (Family::V4, "v4.example.net", "192.0.2.10"),
        (
            Family::V6,
            "v6.example.net",
            "2001:0db8:000a:000a:0000:0000:0000:0010",
        ),
    ] {
        let text = format!("554 5.7.1 Example Hosting: mail from {said}");
        flag(&gate, family, &["--action", "refuse", "--cut"])?;
        let mut client = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        let greeting = client.reply()?;
        assert_eq!(greeting.code, 554);
        assert!(greeting.text.contains(HELP_URL), "{greeting:?}");
        let after = client.reply().map_err(|error| end_of(&error));
        assert_eq!(after.unwrap_err(), Some(End::Closed));

        let message = Message::awkward();
        let outcome = Submission {
            from: Host::CustomerA,
            to: exchanger(Host::Mx1, family),
            message: &message,
            tls: false,
        }
        .send(&lab)?;
        assert_ne!(outcome.code, 0, "{}", outcome.transcript);
        assert!(outcome.transcript.contains(&text), "{}", outcome.transcript);

        let mut handed = connect(&lab, Host::CustomerA, Host::CustomerA, Family::V4)?;
        handed.reply()?;
        handed.expect(250, "EHLO customer-a.example.org")?;
        handed.expect(250, "MAIL FROM:<sender@example.org>")?;
        handed.expect(250, &format!("RCPT TO:<recipient@{domain}>"))?;
        handed.expect(354, "DATA")?;
        handed.expect(250, "Subject: a test\r\n\r\nA line.\r\n.")?;
        until(
            "Postfix to log the refusal",
            Duration::from_secs(15),
            || {
                let log = sender.log();
                let line = log
                    .lines()
                    .find(|line| line.contains(domain) && line.contains("status="));
                let Some(line) = line else {
                    return Ok(None);
                };
                // It tries again later (smtp_skip_5xx_greeting), and says why.
                assert!(line.contains("status=deferred"), "{line}");
                assert!(line.contains(&text), "{line}");
                Ok(Some(()))
            },
        )?;
        for counter in ["refuse_handshake", "refused", "refuse_closing"] {
            assert!(gate.counter(counter)? > 0, "{counter}");
        }
        let why = gate.json(&["why", &Host::CustomerA.address(family).to_string()])?;
        assert_eq!(why["counter"], "refuse_handshake", "{why:#}");
        assert_eq!(greeter(&lab, Host::CustomerB, Host::Mx1, family)?, MX1);
        unflag(&gate, family)?;
        assert_eq!(greeter(&lab, Host::CustomerA, Host::Mx1, family)?, MX1);
    }
    assert_eq!(mx.mailbox()?.len(), 0);
    Ok(())
}

#[test]
fn a_refused_connection_is_closed_and_a_flood_leaves_no_flow() -> Result<()> {
    let lab = lab_up("ogtflood")?;
    let _mx = Postfix::start(&lab, Host::Mx1)?;
    let gate = Gate::start(&lab)?;
    let customer = lab.namespace(Host::CustomerA);
    let source_mac = lab.mac(Host::CustomerA, HOST_INTERFACE)?;
    let destination_mac = lab.mac(Host::Edge, Host::CustomerA.edge_interface())?;
    for family in Family::ALL {
        flag(&gate, family, &["--action", "refuse", "--cut"])?;
        // A client that talks at once, and one that leaves at once.
        let mut eager = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        assert_eq!(eager.command("EHLO eager.example.org")?.code, 554);
        drop(connect(&lab, Host::CustomerA, Host::Mx1, family)?);

        let before = gate.counter("refuse_handshake")?;
        for port in 0..FLOOD {
            let syn = Syn {
                source_mac,
                destination_mac,
                tags: Vec::new(),
                source: (Host::CustomerA.address(family), 20_000 + port).into(),
                destination: smtp(Host::Mx1.address(family)),
                sequence: 1_000,
            };
            send(&customer, HOST_INTERFACE, &syn.frame())?;
        }
        until("the flood to be answered", Duration::from_secs(5), || {
            let answered = gate.counter("refuse_handshake")? - before;
            Ok((answered >= u64::from(FLOOD)).then_some(()))
        })?;
        assert_eq!(gate.counter("flow_opened")?, 0);
    }
    // Nobody is left waiting for anything.
    let sockets = customer
        .command("ss")
        .args(["-Htn", "state", "connected", "( dport = :25 )"])
        .output()?;
    let sockets = String::from_utf8_lossy(&sockets.stdout).into_owned();
    assert!(
        sockets.lines().all(|line| line.contains("TIME-WAIT")),
        "{sockets}"
    );
    Ok(())
}

#[test]
fn a_pool_that_fails_to_refuse_says_421() -> Result<()> {
    let lab = lab_up("ogt421")?;
    let _mx = Postfix::start(&lab, Host::Mx1)?;
    let (mut gate, mut relay) = start(&lab, &Options::default())?;
    gate.stop()?;
    gate.configure("on_failure = \"closed\"", "on_failure = \"refuse\"")?;
    gate.configure(
        "[health]",
        "[refuse]\nunavailable = \"no relay for %ip%\"\n\n[health]",
    )?;
    gate.launch()?;
    gate.wait_for_relay()?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
    }
    relay.kill()?;
    until("the relay to be down", Duration::from_secs(15), || {
        let status = gate.json(&["status"])?;
        Ok((status["pools"][0]["relays"][0]["state"] == "down").then_some(()))
    })?;
    for (family, said) in [
        (Family::V4, "4.3.2 no relay for 192.0.2.10"),
        (
            Family::V6,
            "4.3.2 no relay for 2001:0db8:000a:000a:0000:0000:0000:0010",
        ),
    ] {
        let mut client = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        let greeting = client.reply()?;
        assert_eq!((greeting.code, greeting.text.trim_end()), (421, said));
        assert_eq!(greeter(&lab, Host::CustomerB, Host::Mx1, family)?, MX1);
    }
    assert!(gate.counter("failed_refused")? >= 2);
    assert!(gate.counter("deferred")? >= 2);
    let why = gate.json(&["why", "192.0.2.10"])?;
    assert_eq!(why["counter"], "failed_refused", "{why:#}");
    Ok(())
}

/// SYNs of a flood, from as many ports.
const FLOOD: u16 = 300;
