//! End to end: the binaries, the kernel and real mail software, in network namespaces.
//!
//! Each test has a lab of its own. It needs root and the packages that `cargo xtask setup`
//! installs; a test that cannot run fails.

use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::{
    Family, Host, Lab,
    binaries::Binaries,
    dialogue::{Dialogue, any_port, smtp},
    gate::{Gate, INTERFACES},
    relay::{Options, RelayNode},
};

mod actions;
mod bare;
mod behaviour;
mod capture;
mod cli;
mod clients;
mod configuration;
mod diversion;
mod events;
mod failure;
mod hidden;
mod icmp;
mod import;
mod live;
mod nothing_lost;
mod origin;
mod pools;
mod pressure;
mod probe;
mod queue;
mod radar;
mod refusal;
mod relay_host;
mod rules;
mod scanners;
mod servers;
mod smuggling;
mod steer;
mod submission;
mod tags;
mod tc;
mod tunnel;
mod upgrade;
mod verifiers;
mod walled;

/// A lab with nothing in it. Its prefix is the test's own, so that tests run side by side and a
/// killed one is cleaned up by its next run.
fn lab_up(prefix: &str) -> Result<Lab> {
    Lab::up(prefix, Binaries::beside_this_executable()?)
}

/// Controller and relay, ready for mail.
fn start<'lab>(lab: &'lab Lab, options: &Options) -> Result<(Gate<'lab>, RelayNode<'lab>)> {
    let mut gate = Gate::start_with_pools(lab, &[options.pool])?;
    let relay = RelayNode::start(lab, options)?;
    gate.wait_for_relay()?;
    Ok((gate, relay))
}

/// Starts the controller again, with every interface in another mode.
fn change_mode(gate: &mut Gate<'_>, mode: &str) -> Result<()> {
    gate.stop()?;
    gate.configure("mode = \"native\"", &format!("mode = \"{mode}\""))?;
    gate.launch()?;
    gate.wait_for_relay()?;
    let status = gate.json(&["status"])?;
    let interfaces = status["interfaces"].as_array().context("no interfaces")?;
    anyhow::ensure!(
        interfaces.len() == INTERFACES.len()
            && interfaces.iter().all(|interface| interface["mode"] == mode),
        "{status:#}"
    );
    Ok(())
}

/// Opens a connection to port 25 of `to`; an error of the socket is returned as it is.
fn connect(lab: &Lab, from: Host, to: Host, family: Family) -> Result<Dialogue> {
    Dialogue::open(
        &lab.namespace(from),
        any_port(from.address(family)),
        smtp(to.address(family)),
        PATIENCE,
    )
}

/// Who answers on port 25 of `to`: the name in the greeting.
fn greeter(lab: &Lab, from: Host, to: Host, family: Family) -> Result<String> {
    let greeting = connect(lab, from, to, family)?.reply()?;
    Ok(greeting
        .text
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned())
}

/// Flags customer-a's address of that family; the flag must be in force when this returns.
fn flag(gate: &Gate<'_>, family: Family, more: &[&str]) -> Result<()> {
    let address = Host::CustomerA.address(family).to_string();
    gate.must(&[&["flag", "add", &address, "--reason", "a test"], more].concat())?;
    Ok(())
}

/// Lifts that flag.
fn unflag(gate: &Gate<'_>, family: Family) -> Result<()> {
    let address = Host::CustomerA.address(family).to_string();
    gate.must(&["flag", "rm", &address, "--reason", "the test is over"])?;
    Ok(())
}

/// How the relay greets.
const RELAY: &str = "relay-1.example.net";
/// How Postfix on mx1 greets.
const MX1: &str = "mx1.example.net";
/// Long against every answer, short against a stuck test.
const PATIENCE: Duration = Duration::from_secs(5);
