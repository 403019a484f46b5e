//! Treatment `walled`: what the customer's own programs make of it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::{
    Family, Host, Lab,
    gate::HELP_URL,
    message::Message,
    peers::{
        postfix::Postfix,
        swaks::{Submission, exchanger},
    },
    relay::Options,
    wait::until,
};

use crate::{connect, flag, lab_up, start};

#[test]
fn walled_mail_bounces_at_once_and_its_log_says_why() -> Result<()> {
    let lab = lab_up("wldbounce")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let operator = Postfix::start(&lab, Host::Mx2)?;
    let sender = Postfix::start_sender(&lab, Host::CustomerA, Host::Mx1)?;
    let (gate, relay) = start(&lab, &options())?;
    for (family, domain) in [
        (Family::V4, "v4.example.net"),
        (Family::V6, "v6.example.net"),
    ] {
        flag(&gate, family, &["--treatment", "walled"])?;
        let customer = Host::CustomerA.address(family);
        let flags = gate.json(&["flag", "ls"])?;
        let flags = flags.as_array().context("no flags")?;
        let id = flags.last().context("no flag")?["id"].clone();
        let said = format!(
            "550 5.7.1 mail from {customer} is blocked by Example Hosting: a test; see {HELP_URL} ref F{id}-"
        );

        let message = Message::awkward();
        for tls in [true, false] {
            let outcome = Submission {
                from: Host::CustomerA,
                to: exchanger(Host::Mx1, family),
                message: &message,
                tls,
            }
            .send(&lab)?;
            assert_ne!(outcome.code, 0, "{}", outcome.transcript);
            outcome.server_said(&said)?;
        }

        hand_over(&lab, domain)?;
        let log = until("Postfix to log the bounce", PATIENCE, || {
            let log = sender.log();
            let line = log
                .lines()
                .find(|line| line.contains(domain) && line.contains("status="));
            Ok(line.map(str::to_owned))
        })?;
        assert!(log.contains("status=bounced"), "{log}");
        assert!(log.contains(&said), "{log}");
        // The reference leads to the session, and to the customer.
        let (_, reference) = log.split_once(" ref ").context("no reference")?;
        let reference: String = reference
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
            .collect();
        let found = until("the relay to log the reference", PATIENCE, || {
            let log = relay.log();
            let line = log.lines().find(|line| line.contains(&reference));
            Ok(line.map(str::to_owned))
        })?;
        assert!(found.contains(&customer.to_string()), "{found}");

        // The operator can be asked.
        let mut asking = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        asking.reply()?;
        asking.expect(250, "EHLO customer-a.example.org")?;
        asking.expect(250, "MAIL FROM:<sender@example.org>")?;
        asking.expect(550, "RCPT TO:<recipient@example.net>")?;
        asking.expect(250, "RCPT TO:<abuse@example.net>")?;
        asking.expect(354, "DATA")?;
        let token = format!("about-{reference}");
        asking.expect(250, &format!("Subject: why?\r\n\r\n{token}\r\n."))?;
        let stored = operator.delivered(&token)?;
        assert!(stored.relayed_for(customer), "{}", stored.text());
    }
    assert_eq!(operator.mailbox()?.len(), 2);
    assert_eq!(mx.mailbox()?.len(), 0);
    for family in Family::ALL {
        let relay = Host::Relay.address(family).to_string();
        assert!(!mx.log().contains(&relay), "{}", mx.log());
    }
    Ok(())
}

/// The operator's mail server is mx2.
fn options() -> Options {
    let address = exchanger(Host::Mx2, Family::V6);
    Options {
        more: format!(
            "\n[operator_mail]\nmailboxes = [\"abuse@example.net\"]\ndeliver_to = \"{address}\"\n"
        ),
        ..Options::default()
    }
}

/// Hands the customer's own mail server a message for `domain`.
fn hand_over(lab: &Lab, domain: &str) -> Result<()> {
    let mut handed = connect(lab, Host::CustomerA, Host::CustomerA, Family::V4)?;
    handed.reply()?;
    handed.expect(250, "EHLO customer-a.example.org")?;
    handed.expect(250, "MAIL FROM:<sender@example.org>")?;
    handed.expect(250, &format!("RCPT TO:<recipient@{domain}>"))?;
    handed.expect(354, "DATA")?;
    handed.expect(250, "Subject: a test\r\n\r\nA line.\r\n.")?;
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(15);
