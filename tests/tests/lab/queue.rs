//! Mail that the relay's queue takes: real exchangers behind a validating resolver, crashes and full disks.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::{
    Family, Host, Lab,
    dialogue::Dialogue,
    message::Stored,
    peers::{postfix::Postfix, resolver::Resolver},
    relay::{Options, RelayNode},
    wait::until,
};
use serde_json::Value;

use crate::{RELAY, connect, flag, lab_up, start};

mod notices;
mod null_mx;
mod policies;
mod retries;

#[test]
fn queued_mail_goes_by_its_recipients_exchangers_where_the_destination_is_away() -> Result<()> {
    let lab = lab_up("quemx")?;
    let mx = Postfix::start(&lab, Host::Mx2)?;
    let _resolver = Resolver::start(&lab, Host::Relay, Host::Mx2)?;
    let (gate, relay) = start(&lab, &options(&lab))?;
    for family in Family::ALL {
        flag(&gate, family, &["--delivery", "queue"])?;
        // Nobody is on mx1, which the customer has chosen.
        let mut customer = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        let token = format!("queued-over-{}", family.name());
        let recipients = [
            "one@v4.example.net",
            "two@v6.example.net",
            "three@v4.example.net",
        ];
        let id = queue(&mut customer, &recipients, &token)?;
        let stored = until("a copy for each domain", PATIENCE, || {
            let mailbox = mx.mailbox()?;
            let copies = mailbox.into_iter().filter(|it| it.holds(&token));
            let copies: Vec<_> = copies.collect();
            // Postfix keeps one for each recipient.
            Ok((copies.len() == 3).then_some(copies))
        })
        .with_context(|| relay.log())?;
        for copy in stored {
            ensure!(
                copy.relayed_for(Host::CustomerA.address(family)),
                "{}",
                copy.text()
            );
            ensure!(
                copy.outgate_id() == Some(id.clone()),
                "{id}: {}",
                copy.text()
            );
            ensure!(copy.arrived_by_tls(), "{}", copy.text());
        }
    }
    Ok(())
}

#[test]
fn what_was_acknowledged_survives_a_crash_of_the_relay() -> Result<()> {
    let lab = lab_up("quecrash")?;
    let options = Options {
        more: spool_table(&lab.dir().join("spool").display().to_string())
            + "\n[dns]\nservers = []\n",
        ..Options::default()
    };
    let (gate, mut relay) = start(&lab, &options)?;
    flag(&gate, Family::V4, &["--delivery", "queue"])?;
    let mut customer = connect(&lab, Host::CustomerA, Host::Mx1, Family::V4)?;
    queue(
        &mut customer,
        &["recipient@example.net"],
        "before-the-crash",
    )?;
    relay.kill()?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    relay.launch()?;
    let stored = mx
        .delivered("before-the-crash")
        .with_context(|| relay.log())?;
    ensure!(
        stored.relayed_for(Host::CustomerA.address(Family::V4)),
        "{}",
        stored.text()
    );
    Ok(())
}

#[test]
fn a_full_spool_is_the_senders_to_wait_for() -> Result<()> {
    let lab = lab_up("quefull")?;
    let spool = lab.small_disk("spool", 6 << 20)?;
    let options = Options {
        more: spool_table(&spool.display().to_string()),
        ..Options::default()
    };
    let (gate, relay) = start(&lab, &options)?;
    flag(&gate, Family::V4, &["--delivery", "queue"])?;
    let mut customer = connect(&lab, Host::CustomerA, Host::Mx1, Family::V4)?;
    let greeting = customer.reply()?;
    ensure!(greeting.text.starts_with(RELAY), "{greeting:?}");
    // More than there is room for, in messages that lie in a segment each.
    let content = format!(
        "Subject: large\r\n\r\n{}",
        "a line of text\r\n".repeat(12_000)
    );
    let refused = (0..60).find_map(|_| match customer.transaction(content.as_bytes()) {
        Ok(reply) if reply.code == 250 => None,
        other => Some(other),
    });
    let refused = refused.context("never full")??;
    ensure!(refused.code == 452, "{refused:?}\n{}", relay.log());
    ensure!(refused.text.starts_with("4.3.1 "), "{refused:?}");

    // What it has, it still delivers.
    let mx = Postfix::start(&lab, Host::Mx1)?;
    drop((customer, mx));
    Ok(())
}

/// A spool in the lab's directory, and the resolver of the relay's own host.
fn options(lab: &Lab) -> Options {
    let spool = lab.dir().join("spool");
    let spool = spool_table(&spool.display().to_string());
    Options {
        more: format!("{spool}\n[dns]\nservers = [\"127.0.0.1:53\"]\n"),
        ..Options::default()
    }
}

fn spool_table(dir: &str) -> String {
    format!(
        "\n[spool]\ndir = {dir:?}\nsegment_octets = 1048576\nlarge_octets = 262144\nmax_octets = 67108864\n"
    )
}

/// The same, for what is tried again: as soon as the configuration allows.
fn impatient(lab: &Lab) -> Options {
    let mut options = options(lab);
    options
        .more
        .push_str("\n[queue]\nfirst_retry = \"10s\"\nlongest_retry = \"10s\"\n");
    options
}

/// Sends a message that the relay must queue; its name in the queue. Its sender is of a domain that the resolver knows: about
/// others it would ask the roots, which nobody answers for here.
fn queue(customer: &mut Dialogue, recipients: &[&str], token: &str) -> Result<String> {
    queue_from(customer, "sender@example.net", recipients, token)
}

/// The same, of another sender.
fn queue_from(
    customer: &mut Dialogue,
    sender: &str,
    recipients: &[&str],
    token: &str,
) -> Result<String> {
    customer.reply()?;
    customer.expect(250, "EHLO customer-a.example.org")?;
    customer.expect(250, &format!("MAIL FROM:<{sender}>"))?;
    for recipient in recipients {
        customer.expect(250, &format!("RCPT TO:<{recipient}>"))?;
    }
    customer.expect(354, "DATA")?;
    let reply = customer.expect(250, &format!("Subject: {token}\r\n\r\n{token}\r\n."))?;
    let id = reply.text.strip_prefix("2.0.0 queued as ");
    id.map(str::to_owned)
        .with_context(|| format!("{reply:?}\n{}", customer.transcript()))
}

/// Waits until a message was tried in vain; why, as the queue says it.
fn deferred(relay: &RelayNode<'_>, id: &str) -> Result<String> {
    let reason = until("an attempt in vain", PATIENCE, || {
        let jobs: Value = serde_json::from_str(&relay.ask(&["queue", "ls", "-j", id])?)?;
        Ok(jobs[0]["reason"].as_str().map(str::to_owned))
    });
    reason.with_context(|| relay.log())
}

/// Waits until a message that was tried in vain has been delivered after all.
fn delivered_later(relay: &RelayNode<'_>, mx: &Postfix, token: &str) -> Result<Stored> {
    let stored = until("a later attempt", RETRY_PATIENCE, || mx.find(token));
    stored.with_context(|| format!("{}\n{}", relay.log(), mx.log()))
}

const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than two pauses of the schedule.
const RETRY_PATIENCE: Duration = Duration::from_secs(40);
