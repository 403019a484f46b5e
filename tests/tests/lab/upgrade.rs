//! Interfaces that go and come back, and controllers that are replaced under traffic.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Family, Host, Lab, capture::SETTLE, message::Message, peers::postfix::Postfix, relay::Options,
    wait::until,
};

use crate::{MX1, RELAY, change_mode, connect, flag, greeter, lab_up, start};

#[test]
fn an_interface_that_comes_back_is_attached_again() -> Result<()> {
    comes_back("ogtback", "native")
}

#[test]
fn and_in_tcx() -> Result<()> {
    comes_back("ogtbacktcx", "tcx")
}

fn comes_back(prefix: &str, mode: &str) -> Result<()> {
    let lab = lab_up(prefix)?;
    let _mx = Postfix::start(&lab, Host::Mx1)?;
    let (mut gate, _relay) = start(&lab, &Options::default())?;
    change_mode(&mut gate, mode)?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
    }
    let name = Host::CustomerA.edge_interface();
    for _ in 0..2 {
        lab.unplug(Host::CustomerA)?;
        until("the interface to be missed", SETTLE, || {
            let status = gate.json(&["status"])?;
            let missing = &status["missing"];
            let told = missing[0]["interface"] == name && missing[0]["role"] == "customer";
            Ok((told && missing[1].is_null()).then_some(()))
        })?;
        let shown = gate.must(&["status"])?.out;
        ensure!(
            shown.contains(&format!("{name} (customer) has NO program")),
            "{shown}"
        );

        lab.plug_in(Host::CustomerA)?;
        // Long before the next look at what nobody has told.
        until("the interface to be attached", SETTLE, || {
            let status = gate.json(&["status"])?;
            let missing = status["missing"].as_array().context("no list")?;
            Ok(missing.is_empty().then_some(()))
        })?;
        for family in Family::ALL {
            assert_eq!(greeter(&lab, Host::CustomerA, Host::Mx1, family)?, RELAY);
        }
        assert_eq!(greeter(&lab, Host::CustomerB, Host::Mx1, Family::V4)?, MX1);
    }
    Ok(())
}

#[test]
fn no_connection_notices_that_the_controller_dies_and_is_replaced() -> Result<()> {
    replaced_under_traffic("ogtlives", "native")
}

#[test]
fn nor_in_tcx() -> Result<()> {
    replaced_under_traffic("ogtlivestcx", "tcx")
}

/// Short connections one after the other, and a long one in the middle of its data, while the controller is
/// killed and started, and each start replaces the program on every interface.
fn replaced_under_traffic(prefix: &str, mode: &str) -> Result<()> {
    let lab = lab_up(prefix)?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let (mut gate, _relay) = start(&lab, &Options::default())?;
    change_mode(&mut gate, mode)?;
    for family in Family::ALL {
        flag(&gate, family, &[])?;
    }
    let (stop, connections) = (AtomicBool::new(false), AtomicU32::new(0));
    let mut programs = vec![programs_of(&gate)?];
    let message = Message::of_octets(500_000);
    let reply = thread::scope(|scope| {
        let streams = Family::ALL.map(|family| {
            let (lab, stop, connections) = (&lab, &stop, &connections);
            scope.spawn(move || stream(lab, family, stop, connections))
        });
        let outcome = (|| {
            let mut long = connect(&lab, Host::CustomerA, Host::Mx1, Family::V4)?;
            ensure!(long.reply()?.text.starts_with(RELAY));
            long.begin_data()?;
            let parts = message
                .content
                .chunks(message.content.len().div_ceil(2 * ROUNDS));
            for (nth, part) in parts.enumerate() {
                if nth % 2 == 0 {
                    gate.kill()?;
                    some_more(&connections)?;
                    gate.launch()?;
                    some_more(&connections)?;
                    programs.push(programs_of(&gate)?);
                }
                long.send_data(part)?;
            }
            long.command(".")
        })();
        stop.store(true, Ordering::Relaxed);
        for stream in streams {
            let ended = stream
                .join()
                .map_err(|_panic| anyhow::anyhow!("a stream panicked"));
            ended??;
        }
        outcome
    })?;
    assert_eq!(reply.code, 250, "{reply:?}");
    let stored = mx.delivered(&message.token)?;
    assert_eq!(stored.preserves(&message), Ok(()));
    assert!(stored.relayed_for(Host::CustomerA.address(Family::V4)));
    assert_eq!(programs.len(), ROUNDS + 1);
    for pair in programs.windows(2) {
        let all_new = pair[1].iter().all(|program| !pair[0].contains(program));
        assert!(all_new, "not replaced: {programs:?}");
    }
    Ok(())
}

/// Connects until it is told to stop; every connection must be answered by the relay.
fn stream(lab: &Lab, family: Family, stop: &AtomicBool, connections: &AtomicU32) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let nth = connections.fetch_add(1, Ordering::Relaxed);
        let mut short = connect(lab, Host::CustomerA, Host::Mx1, family)
            .with_context(|| format!("connection {nth}"))?;
        let greeting = short.reply().with_context(|| format!("connection {nth}"))?;
        ensure!(
            greeting.text.starts_with(RELAY),
            "connection {nth}: {greeting:?}"
        );
        short.expect(250, "EHLO client.example.org")?;
        short.expect(221, "QUIT")?;
    }
    Ok(())
}

/// Waits for a few more connections, so that there are some in every state of the controller.
fn some_more(connections: &AtomicU32) -> Result<()> {
    let before = connections.load(Ordering::Relaxed);
    until("more connections", SETTLE, || {
        let now = connections.load(Ordering::Relaxed);
        Ok((now >= before + SOME).then_some(()))
    })
}

fn programs_of(gate: &lab::gate::Gate<'_>) -> Result<Vec<u64>> {
    let status = gate.json(&["status"])?;
    let interfaces = status["interfaces"].as_array().context("no interfaces")?;
    let ids = interfaces
        .iter()
        .map(|interface| interface["program_id"].as_u64());
    ids.collect::<Option<_>>().context("no program")
}

/// How often the controller dies.
const ROUNDS: usize = 4;
/// Connections between two events.
const SOME: u32 = 6;
