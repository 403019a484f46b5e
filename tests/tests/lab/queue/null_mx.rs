//! Domains that say that they take no mail (RFC 7505): nobody is asked, and the sender hears of it at once.

use anyhow::{Context as _, Result, ensure};
use lab::{
    Family, Host,
    peers::{postfix::Postfix, resolver::Resolver},
    wait::until,
};

use super::{PATIENCE, options, queue_from};
use crate::{connect, flag, lab_up, start};

#[test]
fn a_domain_that_takes_no_mail_is_not_asked_and_its_sender_is_told() -> Result<()> {
    let lab = lab_up("quenull")?;
    // It would take the mail, it is what the customer has chosen, and the domain's own address is its address: who
    // tried would succeed.
    let mx = Postfix::start_for(
        &lab,
        Host::Mx1,
        &["nowhere.example.net", "mixed.example.net"],
        "",
    )?;
    let home = Postfix::start_for(
        &lab,
        Host::Mx2,
        &["home.example.net", "forged.example.net"],
        "",
    )?;
    let [there4, there6] = Family::ALL.map(|family| Host::Mx1.address(family));
    let [home4, home6] = Family::ALL.map(|family| Host::Mx2.address(family));
    let zone = format!(
        "nowhere MX 0 .\nnowhere A {there4}\nnowhere AAAA {there6}\n\
         mixed MX 0 .\nmixed MX 10 mx-there\nmx-there A {there4}\nmx-there AAAA {there6}\n\
         home MX 10 mx-home\nforged MX 10 mx-home\nmx-home A {home4}\nmx-home AAAA {home6}\n\
         home TXT \"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8:a::/48 -all\"\n\
         forged TXT \"v=spf1 ip4:198.51.100.77 -all\"\n"
    );
    let _resolver = Resolver::serve(&lab, Host::Relay, &zone)?;
    let (gate, relay) = start(&lab, &options(&lab))?;
    let mut told_so_far = 0;
    for family in Family::ALL {
        flag(&gate, family, &["--delivery", "queue"])?;
        let mut customer = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        let token = format!("null-over-{}", family.name());
        // Beside another server a null MX is a mistake, and that one counts.
        let recipients = ["one@nowhere.example.net", "two@mixed.example.net"];
        queue_from(
            &mut customer,
            "sender@home.example.net",
            &recipients,
            &token,
        )?;
        mx.delivered(&token).with_context(|| relay.log())?;
        let told = home.delivered(&token).with_context(|| relay.log())?;
        let text = told.text();
        for expected in [
            "Return-Path: <>",
            "Final-Recipient: rfc822; one@nowhere.example.net",
            "Action: failed",
            "Status: 5.1.10",
            "(null MX)",
        ] {
            ensure!(text.contains(expected), "no {expected:?} in\n{text}");
        }
        // No server has said so.
        for unexpected in ["two@mixed", "Remote-MTA", "Diagnostic-Code: smtp"] {
            ensure!(!text.contains(unexpected), "{unexpected:?} in\n{text}");
        }
        told_so_far += 1;

        // Nobody vouches for this one, so nobody is written to.
        let mut customer = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        let sender = "sender@forged.example.net";
        let id = queue_from(&mut customer, sender, &recipients[..1], &token)?;
        until("the end of the message", PATIENCE, || {
            let jobs = relay.ask(&["queue", "ls", "-j", &id])?;
            Ok((jobs.trim() == "[]").then_some(()))
        })?;
        ensure!(home.mailbox()?.len() == told_so_far, "{}", relay.log());
    }
    for copy in mx.mailbox()? {
        let text = copy.text();
        ensure!(!text.contains("one@nowhere.example.net"), "{text}");
    }
    Ok(())
}
