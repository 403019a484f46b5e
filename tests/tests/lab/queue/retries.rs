//! What is not taken at once: servers that are away, that want to be asked twice, and others in their place.

use anyhow::{Context as _, Result, ensure};
use lab::{
    Family, Host,
    peers::{greylist::Greylist, postfix::Postfix, resolver::Resolver},
};

use super::{deferred, delivered_later, impatient, queue};
use crate::{connect, flag, lab_up, start};

#[test]
fn mail_waits_for_an_exchanger_that_is_down() -> Result<()> {
    let lab = lab_up("quedown")?;
    let mut options = impatient(&lab);
    // Nobody knows another server than the one that the customer has chosen.
    options.more = options.more.replace("\"127.0.0.1:53\"", "");
    let (gate, relay) = start(&lab, &options)?;
    let mut waiting = Vec::new();
    for family in Family::ALL {
        flag(&gate, family, &["--delivery", "queue"])?;
        let mut customer = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        let token = format!("waits-over-{}", family.name());
        let id = queue(&mut customer, &["recipient@example.net"], &token)?;
        deferred(&relay, &id)?;
        waiting.push((family, token));
    }
    let mx = Postfix::start(&lab, Host::Mx1)?;
    for (family, token) in waiting {
        let stored = delivered_later(&relay, &mx, &token)?;
        let customer = Host::CustomerA.address(family);
        ensure!(stored.relayed_for(customer), "{}", stored.text());
        ensure!(stored.arrived_by_tls(), "{}", stored.text());
    }
    ensure!(mx.mailbox()?.len() == 2, "more than one copy of each");
    Ok(())
}

#[test]
fn a_greylisting_exchanger_takes_a_later_attempt() -> Result<()> {
    let lab = lab_up("quegrey")?;
    let _greylist = Greylist::start(&lab, Host::Mx1, 5)?;
    let mx = Postfix::start_for(&lab, Host::Mx1, &["example.net"], &Greylist::main_cf())?;
    let mut options = impatient(&lab);
    options.more = options.more.replace("\"127.0.0.1:53\"", "");
    let (gate, relay) = start(&lab, &options)?;
    for family in Family::ALL {
        flag(&gate, family, &["--delivery", "queue"])?;
        let mut customer = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        let token = format!("greylisted-over-{}", family.name());
        let recipient = format!("{}@example.net", family.name());
        let id = queue(&mut customer, &[&recipient], &token)?;
        // The server's own words are what a person reads.
        let reason = deferred(&relay, &id)?;
        ensure!(reason.contains("reylisted"), "{reason}");
        delivered_later(&relay, &mx, &token)?;
    }
    let log = mx.log();
    ensure!(
        log.matches("Recipient address rejected: Greylisted")
            .count()
            >= 2,
        "{log}"
    );
    ensure!(mx.mailbox()?.len() == 2, "more than one copy of each");
    Ok(())
}

#[test]
fn the_second_exchanger_is_taken_where_the_first_is_down() -> Result<()> {
    let lab = lab_up("quesecond")?;
    let mx = Postfix::start_for(&lab, Host::Mx2, &["two.example.net"], "")?;
    let [first4, first6] = Family::ALL.map(|family| Host::Mx1.address(family));
    let [second4, second6] = Family::ALL.map(|family| Host::Mx2.address(family));
    let zone = format!(
        "two MX 10 first\ntwo MX 20 second\n\
         first A {first4}\nfirst AAAA {first6}\nsecond A {second4}\nsecond AAAA {second6}\n"
    );
    let _resolver = Resolver::serve(&lab, Host::Relay, &zone)?;
    let (gate, relay) = start(&lab, &super::options(&lab))?;
    for family in Family::ALL {
        flag(&gate, family, &["--delivery", "queue"])?;
        let mut customer = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        let token = format!("second-over-{}", family.name());
        queue(&mut customer, &["recipient@two.example.net"], &token)?;
        // Within the first attempt: nothing is put off.
        let stored = mx.delivered(&token).with_context(|| relay.log())?;
        ensure!(
            stored.relayed_for(Host::CustomerA.address(family)),
            "{}",
            stored.text()
        );
        ensure!(!relay.log().contains("deferred"), "{}", relay.log());
    }
    Ok(())
}

#[test]
fn an_exchanger_of_ipv6_alone_is_reached_for_customers_of_either_family() -> Result<()> {
    let lab = lab_up("quesix")?;
    let mx = Postfix::start_for(&lab, Host::Mx2, &["six.example.net"], "")?;
    let zone = format!(
        "six MX 10 mx-six\nmx-six AAAA {}\n",
        Host::Mx2.address(Family::V6)
    );
    let _resolver = Resolver::serve(&lab, Host::Relay, &zone)?;
    let (gate, relay) = start(&lab, &super::options(&lab))?;
    for family in Family::ALL {
        flag(&gate, family, &["--delivery", "queue"])?;
        let mut customer = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        let token = format!("six-over-{}", family.name());
        queue(&mut customer, &["recipient@six.example.net"], &token)?;
        let stored = mx.delivered(&token).with_context(|| relay.log())?;
        ensure!(
            stored.arrived_from(Host::Relay.address(Family::V6)),
            "{}",
            stored.text()
        );
        ensure!(
            stored.relayed_for(Host::CustomerA.address(family)),
            "{}",
            stored.text()
        );
    }
    Ok(())
}
