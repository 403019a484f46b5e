//! Customers' servers that verify whom they speak to: they would defer for ever on the relay's own certificate.

use std::time::Duration;

use anyhow::Result;
use lab::{
    Family, Host,
    message::Message,
    peers::{postfix::Postfix, resolver::Resolver},
    relay::Options,
    wait::until,
};

use crate::{flag, lab_up, start, unflag};

#[test]
fn a_sender_with_dane_is_told_no_lie() -> Result<()> {
    let lab = lab_up("ogtdane")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let resolver = Resolver::start(&lab, Host::CustomerA, Host::Mx1)?;
    let sender = Postfix::start_verifier(&lab, Host::CustomerA, &resolver)?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    for family in Family::ALL {
        let recipient = match family {
            Family::V4 => "recipient@v4.example.net",
            Family::V6 => "recipient@v6.example.net",
        };
        // Nobody is in between: the certificate is the one that the signed zone names.
        let message = Message::awkward();
        sender.hand(&lab, recipient, &message.content)?;
        mx.delivered(&message.token)?;
        assert_eq!(verified(&sender, family), 1, "{}", sender.log());

        flag(&gate, family, &[])?;
        let message = Message::awkward();
        sender.hand(&lab, recipient, &message.content)?;
        deferred(&sender, family)?;
        assert!(mx.find(&message.token)?.is_none());
        assert_eq!(verified(&sender, family), 1, "{}", sender.log());

        unflag(&gate, family)?;
        mx.delivered(&message.token)?;
    }
    Ok(())
}

/// Waits until the sender has found the certificate to be another's.
fn deferred(sender: &Postfix, family: Family) -> Result<()> {
    let exchanger = exchanger(family);
    until(
        "the message to be deferred",
        Duration::from_secs(15),
        || {
            let log = sender.log();
            let mut lines = log.lines();
            let line =
                lines.find(|line| line.contains(exchanger) && line.contains("status=deferred"));
            Ok(line.map(|line| assert!(line.contains("Server certificate not"), "{line}")))
        },
    )
}

/// How many handshakes the sender ended by verifying the exchanger's certificate by its TLSA record.
fn verified(sender: &Postfix, family: Family) -> usize {
    let line = format!(
        "Verified TLS connection established to {}",
        exchanger(family)
    );
    sender
        .log()
        .lines()
        .filter(|log| log.contains(&line))
        .count()
}

fn exchanger(family: Family) -> &'static str {
    match family {
        Family::V4 => "mx-v4.example.net[",
        Family::V6 => "mx-v6.example.net[",
    }
}
