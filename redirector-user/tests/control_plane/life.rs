//! Stopping, crashing and starting again.

use std::fs;

use rustix::process::Signal;

use crate::lab::Lab;

#[test]
fn what_is_in_force_outlives_the_controller() {
    let mut lab = Lab::started();
    lab.until_relay_is("up");
    lab.json(
        0,
        &[
            "flag",
            "add",
            "192.0.2.20",
            "--reason",
            "r",
            "--action",
            "drop",
        ],
    );
    lab.json(4, &["flag", "add", "192.0.2.10", "--reason", "r"]);
    lab.acknowledge();
    let before = lab.json(0, &["status"]);
    for (signal, code) in [(Signal::TERM, Some(0)), (Signal::KILL, None)] {
        let ended = lab.end(signal);
        assert!(ended == code, "{signal:?}: {ended:?}\n{}", lab.logged());
        assert!(
            fs::exists(lab.pinned().join("links/cust0")).unwrap(),
            "the program stays on its interface"
        );
        lab.start();
        // The relay has not asked again, and no probe has ended: it is believed to be what it was.
        let why = lab.json(0, &["why", "192.0.2.10"]);
        assert_eq!(
            (&why["verdict"], &why["relay_name"]),
            (&"redirect".into(), &"relay-1".into()),
            "{why}"
        );
        assert_eq!(lab.json(0, &["why", "192.0.2.20"])["verdict"], "drop");
        let after = lab.json(0, &["status"]);
        assert_eq!(after["generation"], before["generation"]);
        assert_eq!(after["flags"], before["flags"]);
        assert_eq!(after["interfaces"][0]["interface"], "cust0");
    }
}

#[test]
fn a_flag_that_expired_while_nobody_looked_is_ended_at_the_start() {
    let mut lab = Lab::started();
    lab.json(
        0,
        &[
            "flag",
            "add",
            "192.0.2.10",
            "--reason",
            "short",
            "--action",
            "drop",
            "--for",
            "1s",
        ],
    );
    lab.end(Signal::KILL);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    lab.start();
    lab.until("the flag has ended", |lab| {
        lab.json(0, &["flag", "show", "1"])["state"] == "ended"
    });
    // The store has it first, then the kernel.
    lab.until("the kernel lets it pass", |lab| {
        lab.json(0, &["why", "192.0.2.10"])["verdict"] == "pass"
    });
}

#[test]
fn a_pool_that_flags_still_use_cannot_be_taken_out_of_the_configuration() {
    let mut lab = Lab::started();
    lab.until_relay_is("up");
    lab.json(4, &["flag", "add", "192.0.2.10", "--reason", "r"]);
    lab.end(Signal::TERM);
    fs::write(
        lab.config(),
        lab.text()
            .replace("name = \"default\"", "name = \"renamed\""),
    )
    .unwrap();
    let mut command = lab.inside(env!("CARGO_BIN_EXE_outgated"));
    let said = crate::command::said(command.arg("--config").arg(lab.config()));
    assert_eq!(said.code, 78, "{said:?}");
    assert!(
        said.err
            .contains("pool default: not configured, but active flags use it: 1"),
        "{said:?}"
    );
}

#[test]
fn interfaces_are_attached_by_the_configuration_and_by_hand() {
    let lab = Lab::started();
    let interfaces = || lab.json(0, &["status"])["interfaces"].clone();
    let names = |interfaces: &serde_json::Value| -> Vec<String> {
        interfaces
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["interface"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&interfaces()), ["cust0", "relay0"]);
    lab.json(0, &["detach", "cust0"]);
    assert_eq!(names(&interfaces()), ["relay0"]);
    // The configuration would attach it again every few seconds; a person's word stands above it.
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(names(&interfaces()), ["relay0"]);
    let said = lab.outgate(&["why", "192.0.2.10"]);
    assert!(
        said.out.contains("the program is on no customer interface"),
        "{said:?}"
    );
    let attached = lab.json(
        0,
        &["attach", "cust0", "--role", "customer", "--mode", "generic"],
    );
    assert_eq!(
        (&attached["interface"], &attached["role"]),
        (&"cust0".into(), &"customer".into())
    );
    assert_eq!(attached["mode"], "generic");
    assert_eq!(interfaces()[0], attached);
}
