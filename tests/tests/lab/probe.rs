//! Relays probed by the way that customers take, and that way broken where a direct connection still works.

use std::{net::IpAddr, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Family, Host, Lab,
    capture::{Capture, SETTLE},
    dialogue::{End, end_of},
    frames::Datagram,
    gate::{Gate, Health},
    pool::Pool,
    relay::{Options, RelayNode},
    wait::until,
};
use serde_json::Value;

use crate::{RELAY, connect, flag, greeter, lab_up};

#[test]
fn a_relay_is_known_by_the_way_that_customers_take() -> Result<()> {
    follow("ogtprobe", Pool::REWRITE)
}

#[test]
fn a_relay_that_is_steered_to_is_known_by_it_too() -> Result<()> {
    follow("ogtprobest", Pool::STEER)
}

/// The way in order; then broken at the edge, then at the relay, and mended each time.
fn follow(prefix: &str, pool: Pool) -> Result<()> {
    let lab = lab_up(prefix)?;
    let (gate, _relay) = start(&lab, pool)?;
    let status = gate.json(&["status"])?;
    let known = &status["pools"][0]["relays"][0];
    assert_eq!(known["probed"], "data-path", "{known:#}");
    assert_eq!(known["trouble"], Value::Null, "{known:#}");
    let near_relay = Capture::start(&lab.namespace(Host::Relay))?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
        until("a probe to reach the relay", SETTLE, || {
            Ok(arrived(&near_relay, &pool, family).then_some(()))
        })?;
        let source = source(family).to_string();
        let refused = gate.outgate(&["flag", "add", &source, "--reason", "a test"])?;
        assert_eq!(refused.code, 3, "{refused}");
        assert!(refused.err.contains("health.probe_sources"), "{refused}");
    }
    assert_eq!(gate.counter("probe_unsent")?, 0);

    let towards_relay = Host::Relay.edge_interface();
    gate.must(&["detach", towards_relay])?;
    fails_closed(&lab, &gate, "no SYN-ACK")?;
    let config = gate.files().config.display().to_string();
    let doctor = gate.outgate(&["doctor", "--config", &config])?;
    assert_eq!(doctor.code, 1, "{doctor}");
    assert!(doctor.out.contains("greets with 220"), "{doctor}");
    assert!(
        doctor.out.contains("the way through the edge is at fault"),
        "{doctor}"
    );
    gate.must(&["attach", towards_relay, "--role", "relay"])?;
    serves(&lab, &gate)?;

    for family in Family::ALL {
        no_way_back(&lab, family, "add")?;
        let listener = pool.address(family).to_string();
        fails_closed(&lab, &gate, &listener)?;
        no_way_back(&lab, family, "del")?;
        serves(&lab, &gate)?;
    }
    Ok(())
}

#[test]
fn a_restart_finds_the_wire_and_another_configuration_takes_it_away() -> Result<()> {
    let lab = lab_up("ogtprobelife")?;
    let (mut gate, _relay) = start(&lab, Pool::REWRITE)?;
    let before = wire(&lab)?.context("no outgate-probe")?;
    for name in ["outgate-probe", "outgate-probe-x"] {
        for touch in [&["detach", name][..], &["attach", name, "--role", "uplink"]] {
            let refused = gate.outgate(touch)?;
            assert_eq!(refused.code, 3, "{refused}");
        }
    }
    gate.kill()?;
    gate.launch()?;
    gate.wait_for_relay()?;
    assert_eq!(wire(&lab)?, Some(before));

    // Somebody takes it away under a running controller.
    let edge = lab.namespace(Host::Edge);
    run(edge.command("ip").args(["link", "del", "outgate-probe"]))?;
    until("the wire to come back", Duration::from_secs(15), || {
        Ok(wire(&lab)?.filter(|now| *now != before).map(drop))
    })?;
    until(
        "the relay to be probed again",
        Duration::from_secs(15),
        || {
            let status = gate.json(&["status"])?;
            let relay = &status["pools"][0]["relays"][0];
            Ok((relay["state"] == "up" && relay["trouble"].is_null()).then_some(()))
        },
    )?;

    // Or only down, or the program off it: the relay is not to blame.
    let since = gate.json(&["status"])?["pools"][0]["relays"][0]["since"].clone();
    run(edge
        .command("ip")
        .args(["link", "set", "outgate-probe", "down"]))?;
    until("the wire to be up", Duration::from_secs(15), || {
        let shown = edge
            .command("ip")
            .args(["link", "show", "outgate-probe", "up"])
            .output()?;
        Ok((!shown.stdout.is_empty()).then_some(()))
    })?;
    std::fs::remove_file(lab.pinned()?.join("links/outgate-probe"))?;
    until("the program to be back", Duration::from_secs(15), || {
        let interfaces = gate.json(&["status"])?["interfaces"].to_string();
        Ok(interfaces.contains("outgate-probe").then_some(()))
    })?;
    let probes = gate.counter("to_customer")?;
    until("probes to come back", Duration::from_secs(15), || {
        Ok((gate.counter("to_customer")? > probes).then_some(()))
    })?;
    let relay = &gate.json(&["status"])?["pools"][0]["relays"][0];
    assert_eq!(
        (&relay["state"], &relay["since"]),
        (&"up".into(), &since),
        "{relay:#}"
    );

    gate.stop()?;
    gate.configure("\"192.0.2.224/28\", \"2001:db8:a:ffff::/64\"", "")?;
    gate.launch()?;
    gate.wait_for_relay()?;
    assert_eq!(wire(&lab)?, None);
    let status = gate.json(&["status"])?;
    assert_eq!(status["pools"][0]["relays"][0]["probed"], "direct");
    assert!(
        !status["interfaces"].to_string().contains("outgate-probe"),
        "{status:#}"
    );
    Ok(())
}

#[test]
fn the_privileges_of_the_unit_suffice() -> Result<()> {
    let lab = lab_up("ogtprobecaps")?;
    let (mut gate, _relay) = start(&lab, Pool::REWRITE)?;
    gate.stop()?;
    // As in deploy/systemd/outgated.service.
    gate.launch_confined("+bpf,+perfmon,+net_admin,+net_raw")?;
    gate.wait_for_relay()?;
    let status = gate.json(&["status"])?;
    assert_eq!(status["pools"][0]["relays"][0]["probed"], "data-path");
    Ok(())
}

#[test]
fn probes_are_nobodys_mail() -> Result<()> {
    let lab = lab_up("ogtprobemail")?;
    let (gate, _relay) = start(&lab, Pool::REWRITE)?;
    let opened = gate.counter("flow_opened")?;
    until("more probes", Duration::from_secs(15), || {
        Ok((gate.counter("flow_opened")? > opened + 10).then_some(()))
    })?;
    // A window of a second has ended since.
    let radar = gate.json(&["radar"])?;
    for source in ["192.0.2.225", "2001:db8:a:ffff"] {
        assert!(!radar.to_string().contains(source), "{radar:#}");
    }
    Ok(())
}

fn start(lab: &Lab, pool: Pool) -> Result<(Gate<'_>, RelayNode<'_>)> {
    let health = Health {
        probe_sources: &["192.0.2.224/28", "2001:db8:a:ffff::/64"],
        ..Health::default()
    };
    let mut gate = Gate::start_with(lab, &health, &[pool])?;
    let options = Options {
        pool,
        ..Options::default()
    };
    let relay = RelayNode::start(lab, &options)?;
    gate.wait_for_relay()?;
    Ok((gate, relay))
}

/// Where the one relay is probed from.
fn source(family: Family) -> IpAddr {
    match family {
        Family::V4 => [192, 0, 2, 225].into(),
        Family::V6 => [0x2001, 0xdb8, 0xa, 0xffff, 0, 0, 0, 1].into(),
    }
}

/// Whether a probe has come in as a customer's connection would.
fn arrived(tap: &Capture, pool: &Pool, family: Family) -> bool {
    let somewhere: IpAddr = match family {
        Family::V4 => [192, 0, 2, 25].into(),
        Family::V6 => [0x2001, 0xdb8, 0, 0, 0, 0, 0, 25].into(),
    };
    let (to, port) = match pool.via {
        lab::pool::Via::Rewrite => (pool.address(family), pool.port()),
        lab::pool::Via::Steer => (somewhere, 25),
    };
    let segments = tap.datagrams(source(family), to);
    let mut segments = segments.iter().filter_map(Datagram::tcp);
    segments.any(|tcp| tcp.dst_port() == port)
}

/// Waits until the relay is down for a reason with these words, and a flagged customer meets the failure policy.
fn fails_closed(lab: &Lab, gate: &Gate<'_>, words: &str) -> Result<()> {
    until("the relay to be down", Duration::from_secs(15), || {
        let status = gate.json(&["status"])?;
        let relay = &status["pools"][0]["relays"][0];
        Ok((relay["state"] == "down").then_some(()))
    })?;
    until("the reason", Duration::from_secs(15), || {
        let status = gate.must(&["status"])?.out;
        let told = status.contains(words) && status.contains("asked directly it greets");
        Ok(told.then_some(()))
    })?;
    let before = gate.counter("failed_closed")?;
    let attempt = connect(lab, Host::CustomerA, Host::Mx1, Family::V4);
    let ended = attempt.err().and_then(|error| end_of(&error));
    assert_eq!(ended, Some(End::Silence));
    assert!(gate.counter("failed_closed")? > before);
    Ok(())
}

fn serves(lab: &Lab, gate: &Gate<'_>) -> Result<()> {
    until("the relay to be up", Duration::from_secs(15), || {
        let status = gate.json(&["status"])?;
        let relay = &status["pools"][0]["relays"][0];
        Ok((relay["state"] == "up" && relay["trouble"].is_null()).then_some(()))
    })?;
    for family in Family::ALL {
        assert_eq!(greeter(lab, Host::CustomerA, Host::Mx1, family)?, RELAY);
    }
    Ok(())
}

/// The relay's host has no way to customers any more, or again one.
fn no_way_back(lab: &Lab, family: Family, verb: &str) -> Result<()> {
    let (option, customers) = match family {
        Family::V4 => ("-4", "192.0.2.0/24"),
        Family::V6 => ("-6", "2001:db8:a::/48"),
    };
    let relay = lab.namespace(Host::Relay);
    run(relay
        .command("ip")
        .args([option, "route", verb, "blackhole", customers]))
}

/// Index of the wire's end at the edge.
fn wire(lab: &Lab) -> Result<Option<u64>> {
    let edge = lab.namespace(Host::Edge);
    let shown = edge.command("ip").args(["-j", "link"]).output()?;
    let links: Value = serde_json::from_slice(&shown.stdout)?;
    let mut links = links.as_array().into_iter().flatten();
    let found = links.find(|link| link["ifname"] == "outgate-probe");
    Ok(found.and_then(|link| link["ifindex"].as_u64()))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
