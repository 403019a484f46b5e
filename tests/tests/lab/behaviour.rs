//! What customers may do, and what becomes of those that do more, or whose mail nobody wants: heard by their own servers,
//! remembered by a relay that is killed, shown by the controller.

use std::{collections::BTreeSet, fs, net::IpAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use lab::{
    Family, Host, Lab,
    gate::{Gate, HELP_URL},
    message::Message,
    peers::{
        postfix::Postfix,
        swaks::{Outcome, Submission, exchanger},
    },
    relay::Options,
    wait::until,
};
use serde_json::Value;

use crate::{connect, flag, lab_up, start};

/// Where the customer's own server sends what is for this domain, by that family.
const DOMAINS: [(Family, &str); 2] = [
    (Family::V4, "v4.example.net"),
    (Family::V6, "v6.example.net"),
];
/// A site's program, as PHP names it.
const SITE: &str = "X-PHP-Originating-Script";

#[test]
fn a_limit_is_heard_by_the_customers_server_and_outlives_a_crash_of_the_relay() -> Result<()> {
    let lab = lab_up("ogtlimits")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let sender = Postfix::start_sender(&lab, Host::CustomerA, Host::Mx1)?;
    let options = Options {
        more: String::from("\n[behaviour.named_limits.small]\nmessages_per_day = 2\n"),
        ..Options::default()
    };
    let (mut gate, mut relay) = start(&lab, &options)?;
    let kept = state(&lab, &options, "behaviour.records");
    for (family, domain) in DOMAINS {
        flag(&gate, family, &["--limits", "small"])?;
        let shown = gate.json(&["flag", "show", &address(family)])?;
        assert_eq!(shown["limits"], "small", "{shown}");
        for _ in 0..2 {
            let message = Message::of_octets(500);
            hand(&lab, &sender, domain, &message)?;
            mx.delivered(&message.token)?;
        }
        let before = fs::read(&kept).ok();
        hand(&lab, &sender, domain, &Message::of_octets(500))?;
        let log = logged(&sender, domain, "status=deferred")?;
        assert!(log.contains(&refusal(family)), "{log}");
        // Whatever is written from now on knows of both messages.
        until("the limit to be on disk", PATIENCE, || {
            let now = fs::read(&kept).ok();
            Ok((now.is_some() && now != before).then_some(()))
        })?;
    }

    relay.kill()?;
    relay.launch()?;
    gate.wait_for_relay()?;
    for family in Family::ALL {
        send(&lab, Host::CustomerA, family, &Message::of_octets(500))?
            .server_said(&refusal(family))?;
        // A customer with as much mail, and a flag that does not name these limits, is served.
        let neighbour = Host::CustomerB.address(family).to_string();
        gate.must(&["flag", "add", &neighbour, "--reason", "a test"])?;
        for _ in 0..3 {
            let message = Message::of_octets(500);
            let sent = send(&lab, Host::CustomerB, family, &message)?.accepted()?;
            sent.server_said("220 relay-1.example.net ")?;
            mx.delivered(&message.token)?;
        }
    }
    assert_eq!(mx.mailbox()?.len(), 2 * (2 + 3));

    let told = events(&gate, "limit_hit", 2)?;
    let whom: BTreeSet<IpAddr> = told.iter().filter_map(customer).collect();
    assert_eq!(whom.len(), 2, "{told:?}");
    for event in told {
        assert_eq!(event["detail"]["limit"], "messages_per_day", "{event}");
        assert_eq!(event["detail"]["allowed"], 2.0, "{event}");
    }
    Ok(())
}

#[test]
fn a_bad_site_of_a_shared_host_is_locked_and_the_others_mail_goes_on() -> Result<()> {
    let lab = lab_up("ogtsites")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let sender = Postfix::start_sender(&lab, Host::CustomerA, Host::Mx1)?;
    let options = Options {
        more: format!("\n[[identity]]\nby = \"header\"\nheader = \"{SITE}\"\n"),
        ..Options::default()
    };
    let (mut gate, mut relay) = start(&lab, &options)?;
    for (family, domain) in DOMAINS {
        flag(&gate, family, &[])?;
        let of = address(family);
        let lock = [
            "identity",
            "lock",
            BAD,
            "--customer",
            &of,
            "--reason",
            "spam, ticket 4711",
        ];
        relay.ask(&lock)?;
        hand(&lab, &sender, domain, &of_site(BAD))?;
        let log = logged(&sender, domain, "status=bounced")?;
        assert!(log.contains(&locked(family)), "{log}");
        let good = of_site(GOOD);
        hand(&lab, &sender, domain, &good)?;
        mx.delivered(&good.token)?;
    }

    relay.kill()?;
    relay.launch()?;
    gate.wait_for_relay()?;
    for family in Family::ALL {
        send(&lab, Host::CustomerA, family, &of_site(BAD))?.server_said(&locked(family))?;
        let good = of_site(GOOD);
        send(&lab, Host::CustomerA, family, &good)?.accepted()?;
        mx.delivered(&good.token)?;
        relay.ask(&["identity", "unlock", BAD, "--customer", &address(family)])?;
        let cleaned = of_site(BAD);
        send(&lab, Host::CustomerA, family, &cleaned)?.accepted()?;
        mx.delivered(&cleaned.token)?;
    }
    assert_eq!(mx.mailbox()?.len(), 2 * 3);
    Ok(())
}

#[test]
fn who_writes_to_people_that_the_mx_does_not_know_is_shown_by_the_controller() -> Result<()> {
    let lab = lab_up("ogtunknown")?;
    let known = "virtual_mailbox_maps = inline:{ recipient@example.net=inbox/ }\n";
    let mx = Postfix::start_for(&lab, Host::Mx1, &["example.net"], known)?;
    let options = Options {
        more: String::from("\n[behaviour]\nanswers_min = 10\nunknown_share = 0.5\n"),
        ..Options::default()
    };
    let (mut gate, mut relay) = start(&lab, &options)?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        let mut customer = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        customer.reply()?;
        customer.expect(250, "EHLO customer-a.example.org")?;
        customer.expect(250, "MAIL FROM:<sender@example.org>")?;
        for number in 0..6 {
            let unknown = customer.expect(550, &format!("RCPT TO:<nobody{number}@example.net>"))?;
            assert!(unknown.text.starts_with("5.1.1 "), "{unknown:?}");
        }
        for _ in 0..4 {
            customer.expect(250, "RCPT TO:<recipient@example.net>")?;
        }
        let refused = customer.expect(550, "DATA")?;
        let key = key(family);
        let figures =
            format!("6 of 10 recipients that {key} wrote to in the last hour do not exist");
        assert!(refused.text.contains(&figures), "{refused:?}");
        assert!(refused.text.contains(HELP_URL), "{refused:?}");
    }
    assert_eq!(mx.mailbox()?.len(), 0);

    // Figures are told once a minute, and by a relay that ends.
    relay.stop()?;
    relay.launch()?;
    gate.wait_for_relay()?;
    for event in events(&gate, "rates", 2)? {
        let share = event["detail"]["unknown_share"].as_f64();
        let share = share.with_context(|| event.to_string())?;
        assert!((share - 0.6).abs() < 0.01, "{event}");
    }
    for event in events(&gate, "verdict", 2)? {
        assert_eq!(event["detail"]["concern"], "spam", "{event}");
        let reasons = event["detail"]["reasons"].to_string();
        assert!(reasons.contains("do not exist"), "{event}");
    }
    let table = gate.must(&["events"])?.to_string();
    assert!(table.contains("do not exist"), "{table}");
    Ok(())
}

/// Events of a kind from both of the customer's addresses, in the controller's words.
fn events(gate: &Gate<'_>, kind: &str, count: usize) -> Result<Vec<Value>> {
    until(&format!("events of kind {kind}"), PATIENCE, || {
        let events = gate.json(&["events", "--kind", kind])?;
        let events = events.as_array().context("no list")?;
        let whom: BTreeSet<_> = events.iter().filter_map(customer).collect();
        Ok((whom.len() >= count).then(|| events.clone()))
    })
}

/// Whom an event is about.
fn customer(event: &Value) -> Option<IpAddr> {
    let prefix = event["customer"].as_str()?;
    prefix.split('/').next()?.parse().ok()
}

fn address(family: Family) -> String {
    Host::CustomerA.address(family).to_string()
}

/// The customer as the relay counts it: hosts rotate inside of a /64.
fn key(family: Family) -> String {
    match family {
        Family::V4 => address(family),
        Family::V6 => String::from("2001:db8:a:a::/64"),
    }
}

fn refusal(family: Family) -> String {
    let key = key(family);
    format!(
        "451 4.7.1 {key} sent more than 2 messages in a day (limit messages_per_day), try again in "
    )
}

fn locked(family: Family) -> String {
    let key = key(family);
    format!("550 5.7.1 identity {BAD} on {key} is locked: spam, ticket 4711; see {HELP_URL}")
}

fn of_site(site: &str) -> Message {
    let message = Message::of_octets(500);
    Message {
        content: [format!("{SITE}: {site}\r\n").as_bytes(), &message.content].concat(),
        token: message.token,
    }
}

fn hand(lab: &Lab, sender: &Postfix, domain: &str, message: &Message) -> Result<()> {
    sender.hand(lab, &format!("recipient@{domain}"), &message.content)
}

fn send(lab: &Lab, from: Host, family: Family, message: &Message) -> Result<Outcome> {
    let to = exchanger(Host::Mx1, family);
    let tls = true;
    Submission {
        from,
        to,
        message,
        tls,
    }
    .send(lab)
}

/// The line in which a customer's server says what became of its mail.
fn logged(sender: &Postfix, domain: &str, status: &str) -> Result<String> {
    until(&format!("{status} for {domain}"), PATIENCE, || {
        let log = sender.log();
        let mut lines = log.lines();
        let line = lines.find(|line| line.contains(domain) && line.contains(status));
        Ok(line.map(str::to_owned))
    })
}

/// A file of the relay's.
fn state(lab: &Lab, options: &Options, name: &str) -> PathBuf {
    let directory = format!("{}.state", options.pool.relay);
    lab.dir().join(directory).join(name)
}

const BAD: &str = "1001:bad.php";
const GOOD: &str = "1002:good.php";
const PATIENCE: Duration = Duration::from_secs(20);
