//! Parts that die, and disks that are full.

use std::time::Duration;

use anyhow::Result;
use lab::{
    Family, Host,
    dialogue::{End, end_of},
    message::Message,
    peers::{
        postfix::Postfix,
        swaks::{Submission, exchanger},
    },
    relay::Options,
    wait::until,
};

use crate::{MX1, RELAY, connect, flag, greeter, lab_up, start};

#[test]
fn traffic_outlives_the_controller_and_the_flags_do_too() -> Result<()> {
    let lab = lab_up("ogtkill")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let (mut gate, _relay) = start(&lab, &Options::default())?;
    flag(&gate, Family::V4, &["--ticket", "AB-2"])?;
    let mut open = connect(&lab, Host::CustomerA, Host::Mx1, Family::V4)?;
    open.reply()?;
    gate.kill()?;

    assert_eq!(gate.outgate(&["status"])?.code, 1);
    assert_eq!(
        open.transaction(&Message::awkward().content)?.code,
        250,
        "{}",
        open.transcript()
    );
    assert_eq!(
        greeter(&lab, Host::CustomerA, Host::Mx1, Family::V4)?,
        RELAY
    );
    assert_eq!(greeter(&lab, Host::CustomerB, Host::Mx1, Family::V4)?, MX1);

    gate.launch()?;
    gate.wait_for_relay()?;
    let flags = gate.json(&["flag", "ls"])?;
    assert_eq!(flags[0]["prefix"], "192.0.2.10/32", "{flags:#}");
    assert_eq!(flags[0]["ticket"], "AB-2", "{flags:#}");
    assert_eq!(flags[0]["state"], "active", "{flags:#}");
    let message = Message::awkward();
    let to = exchanger(Host::Mx1, Family::V4);
    Submission {
        from: Host::CustomerA,
        to,
        message: &message,
        tls: true,
    }
    .send(&lab)?
    .accepted()?;
    assert!(
        mx.delivered(&message.token)?
            .relayed_for(Host::CustomerA.address(Family::V4))
    );
    Ok(())
}

#[test]
fn a_relay_without_its_controller_serves_from_its_cache() -> Result<()> {
    let lab = lab_up("ogtcache")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let (mut gate, mut relay) = start(&lab, &Options::default())?;
    flag(&gate, Family::V6, &[])?;
    gate.kill()?;
    relay.kill()?;
    relay.launch()?;
    let message = Message::awkward();
    let to = exchanger(Host::Mx1, Family::V6);
    Submission {
        from: Host::CustomerA,
        to,
        message: &message,
        tls: true,
    }
    .send(&lab)?
    .accepted()?;
    assert!(
        mx.delivered(&message.token)?
            .relayed_for(Host::CustomerA.address(Family::V6))
    );
    Ok(())
}

#[test]
fn a_dead_relay_closes_its_pool_until_it_is_back() -> Result<()> {
    let lab = lab_up("ogtclosed")?;
    let _mx = Postfix::start(&lab, Host::Mx1)?;
    let (gate, mut relay) = start(&lab, &Options::default())?;
    flag(&gate, Family::V4, &[])?;
    relay.kill()?;
    until("the relay to be down", Duration::from_secs(15), || {
        let status = gate.json(&["status"])?;
        Ok((status["pools"][0]["relays"][0]["state"] == "down").then_some(()))
    })?;
    let attempt = connect(&lab, Host::CustomerA, Host::Mx1, Family::V4);
    assert_eq!(
        attempt.map_err(|error| end_of(&error)).unwrap_err(),
        Some(End::Silence)
    );
    assert!(gate.counter("failed_closed")? > 0);
    assert_eq!(greeter(&lab, Host::CustomerB, Host::Mx1, Family::V4)?, MX1);

    relay.launch()?;
    until(
        "the customer to meet the relay again",
        Duration::from_secs(15),
        || {
            let greeter = greeter(&lab, Host::CustomerA, Host::Mx1, Family::V4);
            Ok(greeter.ok().filter(|greeter| greeter == RELAY))
        },
    )?;
    Ok(())
}

#[test]
fn a_full_disk_defers_and_delivers_nothing() -> Result<()> {
    let lab = lab_up("ogtfull")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let spill_dir = lab.small_disk("small", 65_536)?;
    let options = Options {
        spill_dir: Some(spill_dir),
        memory_octets: Some(4_096),
        ..Options::default()
    };
    let (gate, _relay) = start(&lab, &options)?;
    flag(&gate, Family::V4, &[])?;
    let to = exchanger(Host::Mx1, Family::V4);
    let large = Message::of_octets(300_000);
    let refused = Submission {
        from: Host::CustomerA,
        to,
        message: &large,
        tls: true,
    }
    .send(&lab)?;
    assert_ne!(refused.code, 0, "{}", refused.transcript);
    refused.server_said("452 4.3.1")?;

    // What fits still passes, and proves that the exchanger would have had time for the other.
    let small = Message::of_octets(20_000);
    Submission {
        from: Host::CustomerA,
        to,
        message: &small,
        tls: true,
    }
    .send(&lab)?
    .accepted()?;
    assert_eq!(mx.delivered(&small.token)?.preserves(&small), Ok(()));
    assert_eq!(mx.mailbox()?.len(), 1);
    Ok(())
}
