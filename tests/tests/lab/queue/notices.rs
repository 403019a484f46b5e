//! What a sender is told of what cannot be delivered, in a mailbox of its own.

use anyhow::{Context as _, Result, ensure};
use lab::{
    Family, Host,
    peers::{postfix::Postfix, resolver::Resolver},
};

use super::{options, queue_from};
use crate::{connect, flag, lab_up, start};

#[test]
fn what_an_exchanger_refuses_is_told_to_the_sender_in_its_mailbox() -> Result<()> {
    let lab = lab_up("quedsn")?;
    // One that knows its mailboxes, and one with the sender's.
    let mx = Postfix::start_for(
        &lab,
        Host::Mx1,
        &["there.example.net"],
        "virtual_mailbox_maps = inline:{ known@there.example.net=inbox/ }\n",
    )?;
    let home = Postfix::start_for(&lab, Host::Mx2, &["home.example.net"], "")?;
    let [there4, there6] = Family::ALL.map(|family| Host::Mx1.address(family));
    let [home4, home6] = Family::ALL.map(|family| Host::Mx2.address(family));
    // The sender's domain vouches for the customer's addresses: nobody else is written to.
    let zone = format!(
        "there MX 10 mx-there\nmx-there A {there4}\nmx-there AAAA {there6}\n\
         home MX 10 mx-home\nmx-home A {home4}\nmx-home AAAA {home6}\n\
         home TXT \"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8:a::/48 -all\"\n"
    );
    let _resolver = Resolver::serve(&lab, Host::Relay, &zone)?;
    let (gate, relay) = start(&lab, &options(&lab))?;
    for family in Family::ALL {
        flag(&gate, family, &["--delivery", "queue"])?;
        let mut customer = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        let token = format!("refused-over-{}", family.name());
        let recipients = ["known@there.example.net", "unknown@there.example.net"];
        queue_from(&mut customer, SENDER, &recipients, &token)?;
        mx.delivered(&token).with_context(|| relay.log())?;
        // It quotes the header of the message, and so its token.
        let told = home.delivered(&token).with_context(|| relay.log())?;
        let text = told.text();
        for expected in [
            "Return-Path: <>",
            "report-type=delivery-status",
            "Final-Recipient: rfc822; unknown@there.example.net",
            "Action: failed",
            "Status: 5.1.1",
            "Remote-MTA: dns; ",
            "User unknown in virtual mailbox table",
        ] {
            ensure!(text.contains(expected), "no {expected:?} in\n{text}");
        }
        ensure!(!text.contains("Final-Recipient: rfc822; known@"), "{text}");
        ensure!(told.arrived_by_tls(), "{text}");
    }
    Ok(())
}

#[test]
fn a_sender_for_whom_nobody_vouches_is_not_written_to() -> Result<()> {
    let lab = lab_up("quenodsn")?;
    let mx = Postfix::start_for(
        &lab,
        Host::Mx1,
        &["there.example.net"],
        "virtual_mailbox_maps = inline:{ known@there.example.net=inbox/ }\n",
    )?;
    let home = Postfix::start_for(&lab, Host::Mx2, &["home.example.net"], "")?;
    let [home4, home6] = Family::ALL.map(|family| Host::Mx2.address(family));
    let zone = format!(
        "home MX 10 mx-home\nmx-home A {home4}\nmx-home AAAA {home6}\n\
         home TXT \"v=spf1 ip4:198.51.100.77 -all\"\n"
    );
    let _resolver = Resolver::serve(&lab, Host::Relay, &zone)?;
    let (gate, relay) = start(&lab, &options(&lab))?;
    for family in Family::ALL {
        flag(&gate, family, &["--delivery", "queue"])?;
        let mut customer = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        let token = format!("forged-over-{}", family.name());
        let recipients = ["known@there.example.net", "unknown@there.example.net"];
        let id = queue_from(&mut customer, SENDER, &recipients, &token)?;
        mx.delivered(&token).with_context(|| relay.log())?;
        // Both are done when the message is in the queue no more.
        lab::wait::until("the end of the message", super::PATIENCE, || {
            let jobs = relay.ask(&["queue", "ls", "-j", &id])?;
            Ok((jobs.trim() == "[]").then_some(()))
        })?;
    }
    ensure!(home.mailbox()?.is_empty(), "{}", relay.log());
    let stats = relay.ask(&["queue", "ls", "-j"])?;
    ensure!(stats.trim() == "[]", "{stats}");
    Ok(())
}

const SENDER: &str = "sender@home.example.net";
