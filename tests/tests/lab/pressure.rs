//! A flow table without room.

use std::{net::IpAddr, time::Duration};

use anyhow::Result;
use lab::{
    Family, Host, Lab,
    capture::send_all,
    dialogue::{End, end_of, smtp},
    frames::Syn,
    gate::Gate,
    host::HOST_INTERFACE,
    peers::postfix::Postfix,
    relay::{Options, RelayNode},
    wait::until,
};

use crate::{MX1, connect, greeter, lab_up};

#[test]
fn a_full_flow_table_follows_the_failure_policy_and_is_said() -> Result<()> {
    let lab = lab_up("ogtfulltab")?;
    let _mx = Postfix::start(&lab, Host::Mx1)?;
    // The smallest table, and customers that may open as much as they like.
    let lines = "flows_max = 1024\nsyn_rate = 1000000\nsyn_burst = 1000000";
    let mut gate = Gate::start_with_edge(&lab, lines)?;
    let _relay = RelayNode::start(&lab, &Options::default())?;
    gate.wait_for_relay()?;
    for prefix in ["192.0.2.8/29", "2001:db8:a:a::/64"] {
        gate.must(&["flag", "add", prefix, "--reason", "a test"])?;
    }
    let attempt = |family| connect(&lab, Host::CustomerA, Host::Mx1, family);
    for family in Family::ALL {
        let dropped = gate.counter("failed_closed")?;
        while_full(&lab, &gate, family, "a connection to be dropped", || {
            let end = attempt(family).map_err(|error| end_of(&error)).err();
            Ok(end == Some(Some(End::Silence)))
        })?;
        assert!(gate.counter("failed_closed")? > dropped);
    }
    let log = || std::fs::read_to_string(&gate.files().log);
    until("the table to be said to be full", LIMIT, || {
        Ok(log()?
            .contains("no room for a flow; raise edge.flows_max")
            .then_some(()))
    })?;

    gate.configure("on_failure = \"closed\"", "on_failure = \"open\"")?;
    gate.stop()?;
    gate.launch()?;
    for family in Family::ALL {
        while_full(&lab, &gate, family, "a connection to pass", || {
            Ok(greeter(&lab, Host::CustomerA, Host::Mx1, family)? == MX1)
        })?;
        assert_eq!(greeter(&lab, Host::CustomerB, Host::Mx1, family)?, MX1);
    }
    assert!(gate.counter("failed_open")? >= 2);

    gate.configure("on_failure = \"open\"", "on_failure = \"refuse\"")?;
    gate.stop()?;
    gate.launch()?;
    for family in Family::ALL {
        while_full(&lab, &gate, family, "a connection to be refused", || {
            Ok(attempt(family)?.reply()?.code == 421)
        })?;
    }
    Ok(())
}

/// Fills the table and looks, until what is looked for is so: between the two a sweep may have made room.
fn while_full(
    lab: &Lab,
    gate: &Gate<'_>,
    family: Family,
    what: &str,
    look: impl Fn() -> Result<bool>,
) -> Result<()> {
    until(what, LIMIT, || {
        fill(lab, gate, family)?;
        Ok(look()?.then_some(()))
    })
}

/// Opens connections in a neighbour's name, who completes none, until there is no room.
fn fill(lab: &Lab, gate: &Gate<'_>, family: Family) -> Result<()> {
    let customer = lab.namespace(Host::CustomerA);
    let source_mac = lab.mac(Host::CustomerA, HOST_INTERFACE)?;
    let destination_mac = lab.mac(Host::Edge, Host::CustomerA.edge_interface())?;
    let neighbour: IpAddr = match family {
        Family::V4 => "192.0.2.11".parse()?,
        Family::V6 => "2001:db8:a:a::99".parse()?,
    };
    let before = gate.counter("flow_table_full")?;
    let mut ports = 1_024..u16::MAX;
    until("the flow table to be full", LIMIT, || {
        let syns = ports.by_ref().take(1_100).map(|port| Syn {
            source_mac,
            destination_mac,
            tags: Vec::new(),
            source: (neighbour, port).into(),
            destination: smtp(Host::Mx1.address(family)),
            sequence: 1_000,
        });
        let frames: Vec<_> = syns.map(|syn| syn.frame()).collect();
        send_all(&customer, HOST_INTERFACE, &frames)?;
        Ok((gate.counter("flow_table_full")? > before).then_some(()))
    })
}

const LIMIT: Duration = Duration::from_secs(20);
