//! What programs rely on: exit statuses and the shapes of the JSON.

use anyhow::Result;
use lab::{
    Host,
    gate::{Gate, Health, RELAY_NAME, RELAY_PORT},
    pool::Pool,
    process::checked,
    relay::{Options, RelayNode},
    wait::until,
};
use serde_json::Value;

use crate::{lab_up, start};

#[test]
fn json_has_the_promised_shape() -> Result<()> {
    let lab = lab_up("ogtjson")?;
    let (gate, _relay) = start(&lab, &Options::default())?;
    let added = gate.json(&[
        "flag",
        "add",
        "192.0.2.10",
        "--reason",
        "a test",
        "--actor",
        "anna",
        "--for",
        "2h",
    ])?;
    for (key, value) in [
        ("prefix", "192.0.2.10/32"),
        ("action", "redirect"),
        ("pool", "default"),
        ("treatment", "filter"),
        ("egress", "pool"),
        ("reason", "a test"),
        ("actor", "anna"),
        ("state", "active"),
    ] {
        assert_eq!(added[key], value, "{key} in {added:#}");
    }
    for key in ["ticket", "ended_at", "ended_by"] {
        assert_eq!(added.get(key), Some(&Value::Null), "{key} in {added:#}");
    }
    assert!(
        added["id"].is_u64() && added["generation"].is_u64(),
        "{added:#}"
    );
    let shown = gate.json(&["flag", "show", "192.0.2.10"])?;
    assert_eq!(shown["id"], added["id"]);
    assert_eq!(shown["history"][0]["event"], "flag added", "{shown:#}");
    assert_eq!(shown["history"][0]["actor"], "anna", "{shown:#}");
    assert_eq!(
        gate.json(&["flag", "show", &added["id"].to_string()])?["prefix"],
        "192.0.2.10/32"
    );

    let status = gate.json(&["status"])?;
    assert_eq!(
        status["interfaces"].as_array().map(Vec::len),
        Some(5),
        "{status:#}"
    );
    assert_eq!(status["flags"]["active"], 1, "{status:#}");
    assert_eq!(status["flags"]["pending"], 0, "{status:#}");
    for key in ["generation", "flows", "flows_max", "heartbeat_age_s"] {
        assert!(status[key].is_u64(), "{key} in {status:#}");
    }
    let relay = &status["pools"][0]["relays"][0];
    assert_eq!(relay["name"], RELAY_NAME, "{status:#}");
    assert_eq!(relay["port"], RELAY_PORT, "{status:#}");
    assert_eq!(relay["state"], "up", "{status:#}");
    assert_eq!(relay["probed"], "direct", "{status:#}");
    assert_eq!(relay["trouble"], Value::Null, "{status:#}");
    assert!(
        relay["acknowledged"].as_u64() >= added["generation"].as_u64(),
        "{status:#}"
    );

    let counters = gate.json(&["counters"])?;
    let counters = counters.as_object().expect("an object of counters");
    assert!(
        counters.len() > 10 && counters.values().all(Value::is_u64),
        "{counters:?}"
    );

    gate.must(&[
        "flag",
        "rm",
        "192.0.2.10",
        "--reason",
        "over",
        "--actor",
        "ben",
    ])?;
    assert_eq!(gate.json(&["flag", "ls"])?, Value::Array(Vec::new()));
    let all = gate.json(&["flag", "ls", "--all"])?;
    assert_eq!(all[0]["state"], "ended", "{all:#}");
    assert_eq!(all[0]["ended_by"], "ben", "{all:#}");
    Ok(())
}

#[test]
fn exit_statuses_say_what_happened() -> Result<()> {
    let lab = lab_up("ogtexit")?;
    let mut gate = Gate::start(&lab)?;
    for (arguments, code) in [
        (&["status"][..], 0),
        // No reason given, no such command.
        (&["flag", "add", "192.0.2.10"], 1),
        (&["flog"], 1),
        (&["flag", "show", "192.0.2.10"], 2),
        (&["flag", "show", "4711"], 2),
        (&["flag", "rm", "192.0.2.10", "--reason", "none there"], 2),
        // Nobody's customer; a relay of ours is no customer either; and nothing lasts for ever.
        (&["flag", "add", "203.0.113.10", "--reason", "not ours"], 3),
        (&["flag", "add", "0.0.0.0/0", "--reason", "the internet"], 3),
        (
            &[
                "flag",
                "add",
                "192.0.2.10",
                "--reason",
                "too long",
                "--for",
                "91d",
            ],
            3,
        ),
    ] {
        let answer = gate.outgate(arguments)?;
        assert_eq!(
            answer.code,
            code,
            "outgate {}: {answer}",
            arguments.join(" ")
        );
        assert_eq!(
            answer.err.is_empty(),
            code == 0,
            "outgate {}: {answer}",
            arguments.join(" ")
        );
    }
    gate.stop()?;
    let nobody = gate.outgate(&["status"])?;
    assert_eq!(nobody.code, 1, "{nobody}");
    assert!(nobody.err.contains("outgated.sock"), "{nobody}");
    Ok(())
}

#[test]
fn a_redirect_that_its_relay_has_not_acknowledged_is_pending() -> Result<()> {
    let lab = lab_up("ogtpending")?;
    // Three failed checks take it out of rotation; that must last longer than `flag add` waits.
    let mut gate = Gate::start_with(
        &lab,
        &Health {
            interval: "3s",
            timeout: "2s",
            ..Health::default()
        },
        &[Pool::REWRITE],
    )?;
    let relay = RelayNode::start(&lab, &Options::default())?;
    gate.wait_for_relay()?;
    relay.freeze()?;
    let answer = gate.outgate(&["flag", "add", "192.0.2.10", "--reason", "a test", "-j"])?;
    relay.thaw()?;
    assert_eq!(answer.code, 4, "{answer}");
    assert!(
        answer.err.contains(RELAY_NAME) || answer.out.contains(RELAY_NAME),
        "{answer}"
    );
    until(
        "the flag to come into force",
        std::time::Duration::from_secs(15),
        || Ok((gate.json(&["flag", "ls"])?[0]["state"] == "active").then_some(())),
    )
}

#[test]
fn an_interface_with_another_program_is_left_alone() -> Result<()> {
    let lab = lab_up("ogtbusy")?;
    let stranger = lab.occupy("cust-a")?;
    let gate = Gate::start_detached(&lab)?;
    let attach = ["attach", "cust-a", "--role", "customer", "--mode", "native"];
    let busy = gate.outgate(&attach)?;
    assert_eq!(busy.code, 1, "{busy}");
    assert!(
        busy.err.contains("cust-a") && busy.err.contains(stranger),
        "whose program is it? {busy}"
    );
    assert_eq!(
        gate.json(&["status"])?["interfaces"],
        Value::Array(Vec::new())
    );
    let mut release = lab.namespace(Host::Edge).command("ip");
    checked(release.args(["link", "set", "dev", "cust-a", "xdpdrv", "off"]))?;
    gate.must(&attach)?;
    gate.must(&["detach", "cust-a"])?;
    lab.occupy("cust-a")?;
    Ok(())
}
