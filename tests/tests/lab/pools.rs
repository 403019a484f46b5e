//! Pools: a third party's relay beyond the uplink, draining, and the loss of one relay of three.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use anyhow::Result;
use lab::{
    Family, Host, Lab,
    dialogue::{Dialogue, End, any_port, end_of},
    gate::{Gate, Health},
    message::Message,
    peers::{
        postfix::Postfix,
        swaks::{Submission, exchanger},
    },
    pool::Pool,
    relay::{Options, RelayNode},
    wait::until,
};

use crate::{MX1, PATIENCE, connect, flag, greeter, lab_up};

#[test]
fn a_third_partys_relay_beyond_the_uplink_serves_a_diverted_customer() -> Result<()> {
    let lab = lab_up("ogtthird")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let _filter = Postfix::start_filter(&lab, Host::Mx2, Host::Mx1)?;
    let mut gate = Gate::start_with(&lab, &Health::PATIENT, &[Pool::THIRD_PARTY])?;
    gate.wait_for_relay()?;
    for family in Family::ALL {
        // Nobody acknowledges it, and it is in force all the same.
        flag(&gate, family, &[])?;
        for tls in [true, false] {
            let message = Message::awkward();
            Submission {
                from: Host::CustomerA,
                to: exchanger(Host::Mx1, family),
                message: &message,
                tls,
            }
            .send(&lab)?
            .accepted()?;
            let stored = mx.delivered(&message.token)?;
            let text = stored.text();
            assert_eq!(stored.preserves(&message), Ok(()), "{text}");
            assert!(stored.arrived_from(Host::Mx2.address(Family::V4)), "{text}");
            let customer = Host::CustomerA.address(family);
            let literal = match customer {
                IpAddr::V4(v4) => format!("[{v4}]"),
                IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
            };
            assert!(text.contains(&literal), "{text}");
        }
        // Bystanders meet the exchanger itself, and may use the filter's listener, too.
        assert_eq!(greeter(&lab, Host::CustomerB, Host::Mx1, family)?, MX1);
        let listener = (Pool::THIRD_PARTY.address(family), 587).into();
        let mut direct = Dialogue::open(
            &lab.namespace(Host::CustomerB),
            any_port(Host::CustomerB.address(family)),
            listener,
            PATIENCE,
        )?;
        let greeting = direct.reply()?;
        assert!(greeting.text.starts_with(FILTER), "{}", greeting.text);
    }
    assert_eq!(gate.counter("flow_opened")?, 4);
    assert_eq!(gate.counter("reply_without_entry")?, 0);

    // What was learnt of where it stands outlives the controller, and an open connection the restart.
    let mut open = connect(&lab, Host::CustomerA, Host::Mx1, Family::V6)?;
    assert!(open.reply()?.text.starts_with(FILTER));
    gate.kill()?;
    gate.launch()?;
    assert_eq!(
        open.transaction(&Message::awkward().content)?.code,
        250,
        "{}",
        open.transcript()
    );
    let config = gate.files().config.display().to_string();
    let found = gate.outgate(&["doctor", "--config", &config])?;
    assert!(found.out.contains("beyond the uplink"), "{found}");
    Ok(())
}

#[test]
fn a_drained_relay_keeps_its_connections_and_takes_no_new_ones() -> Result<()> {
    let lab = lab_up("ogtdrain")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let (mut gate, _relays) = three_relays(&lab)?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
    }
    let meets = |family| greeter(&lab, Host::CustomerA, Host::Mx1, family);
    let drain =
        |gate: &Gate<'_>, relay: &str| gate.must(&["relay", "drain", relay, "--reason", "a test"]);
    for family in Family::ALL {
        let first = meets(family)?;
        let name = first.trim_end_matches(".example.net");
        let mut open = connect(&lab, Host::CustomerA, Host::Mx1, family)?;
        open.reply()?;
        let said = drain(&gate, name)?.out;
        assert!(said.contains("new ones go to relay-"), "{said}");
        assert_ne!(meets(family)?, first);
        let message = Message::awkward();
        let reply = open.transaction(&message.content)?;
        assert_eq!(reply.code, 250, "{}", open.transcript());
        let stored = mx.delivered(&message.token)?;
        assert!(stored.text().contains(&first), "{}", stored.text());

        // Over a restart, too.
        gate.stop()?;
        gate.launch()?;
        let pools = gate.json(&["relay", "ls"])?;
        let relays = pools[0]["relays"].as_array().cloned().unwrap_or_default();
        let drained = relays.iter().find(|relay| relay["name"] == name);
        let drained = drained.map(|relay| relay["drained"]["reason"].clone());
        assert_eq!(drained, Some("a test".into()), "{pools:#}");
        assert_ne!(meets(family)?, first);

        gate.must(&["relay", "resume", name, "--reason", "the test is over"])?;
        gate.wait_for_relay()?;
        until("the customer to meet its relay again", LIMIT, || {
            Ok((meets(family)? == first).then_some(()))
        })?;
    }

    let mut said = String::new();
    for pool in Pool::SHARED {
        said = drain(&gate, pool.relay)?.out;
    }
    assert!(
        said.contains("WARNING: pool default has no relay left"),
        "{said}"
    );
    for family in Family::ALL {
        let attempt = connect(&lab, Host::CustomerA, Host::Mx1, family);
        assert_eq!(
            attempt.map_err(|error| end_of(&error)).unwrap_err(),
            Some(End::Silence)
        );
        assert_eq!(greeter(&lab, Host::CustomerB, Host::Mx1, family)?, MX1);
    }
    assert!(gate.counter("failed_closed")? > 0);
    for (arguments, code) in [
        (&["relay", "drain", "relay-1", "--reason", " "], 3),
        (&["relay", "resume", "relay-9", "--reason", "r"], 2),
    ] {
        let refused = gate.outgate(arguments)?;
        assert_eq!(refused.code, code, "{refused}");
    }
    gate.must(&["relay", "resume", "relay-1", "--reason", "r"])?;
    let twice = gate.outgate(&["relay", "resume", "relay-1", "--reason", "r"])?;
    assert_eq!(twice.code, 2, "{twice}");
    let unknown = gate.outgate(&["relay", "drain", "relay-9", "--reason", "a test"])?;
    assert_eq!(unknown.code, 2, "{unknown}");
    assert!(
        unknown.err.contains("relay-1, relay-2, relay-3"),
        "{unknown}"
    );
    Ok(())
}

#[test]
fn the_loss_of_one_of_three_relays_moves_only_its_share() -> Result<()> {
    let lab = lab_up("ogtloss")?;
    let _mx = Postfix::start(&lab, Host::Mx1)?;
    let (gate, mut relays) = three_relays(&lab)?;
    let customers = customers(&lab)?;
    for prefix in [NETWORK4, NETWORK6] {
        gate.must(&["flag", "add", prefix, "--reason", "a test"])?;
    }
    let before = meet(&lab, &customers)?;
    let mut shares = BTreeMap::new();
    for relay in before.values() {
        *shares.entry(relay.clone()).or_insert(0) += 1;
    }
    assert_eq!(shares.len(), 3, "{shares:?}");

    let lost = greeting_name(&Pool::SHARED[1]);
    relays[1].kill()?;
    wait_for(&gate, 1, "down")?;
    let during = meet(&lab, &customers)?;
    let mut spread = BTreeMap::new();
    for (customer, relay) in &before {
        let now = &during[customer];
        if *relay == lost {
            *spread.entry(now.clone()).or_insert(0) += 1;
        } else {
            assert_eq!(now, relay, "{customer}");
        }
    }
    assert_eq!(spread.len(), 2, "{spread:?}");
    assert!(!spread.contains_key(&lost), "{spread:?}");

    relays[1].launch()?;
    wait_for(&gate, 1, "up")?;
    assert_eq!(meet(&lab, &customers)?, before);
    Ok(())
}

/// Three relays of one pool, ready for mail.
fn three_relays(lab: &Lab) -> Result<(Gate<'_>, Vec<RelayNode<'_>>)> {
    let mut gate = Gate::start_with_pools(lab, &Pool::SHARED)?;
    let relays = Pool::SHARED.map(|pool| {
        let options = Options {
            pool,
            ..Options::default()
        };
        RelayNode::start(lab, &options)
    });
    let relays = relays.into_iter().collect::<Result<_>>()?;
    gate.wait_for_relay()?;
    Ok((gate, relays))
}

/// Gives customer-a's host many customers' addresses, IPv4 and IPv6; of the latter each in a /64 of its own.
fn customers(lab: &Lab) -> Result<Vec<IpAddr>> {
    let mut customers: Vec<IpAddr> = Vec::new();
    for number in 0..CUSTOMERS {
        // The first and the last address of a wire's /29 are nobody's.
        customers.push([192, 0, 2, 129 + number / 6 * 8 + number % 6].into());
        let network = 0x100 + u16::from(number);
        customers.push(Ipv6Addr::new(0x2001, 0xdb8, 0xa, network, 0, 0, 0, 1).into());
    }
    for customer in &customers {
        lab.add_address(Host::CustomerA, *customer)?;
    }
    for prefix in [NETWORK4, NETWORK6] {
        lab.route(prefix, Host::CustomerA)?;
    }
    Ok(customers)
}

/// Which relay each customer meets.
fn meet(lab: &Lab, customers: &[IpAddr]) -> Result<BTreeMap<IpAddr, String>> {
    let namespace = lab.namespace(Host::CustomerA);
    let mut met = BTreeMap::new();
    for customer in customers {
        let family = if customer.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        };
        let to = exchanger(Host::Mx1, family);
        let mut dialogue = Dialogue::open(&namespace, any_port(*customer), to, PATIENCE)?;
        let greeting = dialogue.reply()?.text;
        let name = greeting.split(' ').next().unwrap_or_default();
        met.insert(*customer, name.to_owned());
    }
    Ok(met)
}

/// Waits until a relay of the first pool is in this state, and in rotation accordingly.
fn wait_for(gate: &Gate<'_>, relay: usize, state: &str) -> Result<()> {
    until(&format!("the relay to be {state}"), LIMIT, || {
        let status = gate.json(&["status"])?;
        let relay = &status["pools"][0]["relays"][relay];
        Ok((relay["state"] == state && relay["in_rotation"] == (state == "up")).then_some(()))
    })
}

fn greeting_name(pool: &Pool) -> String {
    format!("{}.example.net", pool.relay)
}

/// Customers of each family.
const CUSTOMERS: u8 = 24;
const NETWORK4: &str = "192.0.2.128/26";
const NETWORK6: &str = "2001:db8:a:100::/56";
/// How Postfix on mx2 greets.
const FILTER: &str = "mx2.example.net";
const LIMIT: Duration = Duration::from_secs(20);
