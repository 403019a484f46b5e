//! `outgate doctor`: what it sees of a real host, with and without a controller.

use serde_json::Value;

use crate::{command::said, lab::Lab};

#[test]
fn the_doctor_names_what_hurts_and_ends_with_1_only_for_faults() {
    let mut lab = Lab::started();
    lab.until_relay_is("up");
    let config = lab.config();
    let config = config.to_str().unwrap();

    let findings = lab.json(0, &["doctor", "--config", config]);
    check(&findings, "good", "controller", "answers");
    check(&findings, "good", "cust0", "attached as customer, native");
    check(&findings, "warning", "cust0", "veth");
    // Asked of the driver over netlink: a veth takes tags off by itself.
    check(&findings, "warning", "cust0", "rx-vlan-hw-parse");
    check(
        &findings,
        "good",
        "relay relay-1",
        "198.51.100.2 is reached by relay0",
    );
    check(&findings, "good", "relay relay-1", "greets with 220");
    check(&findings, "warning", "forwarding", "IPv4 is not forwarded");

    lab.silence_relay();
    let findings = lab.json(1, &["doctor", "--config", config]);
    check(&findings, "fault", "relay relay-1", "198.51.100.2");

    lab.end(rustix::process::Signal::TERM);
    let findings = lab.json(1, &["doctor", "--config", config]);
    check(&findings, "warning", "controller", "does not answer");
    check(&findings, "warning", "cust0", "does not name as its own");

    for change in ["link set cust0 down", "link delete relay0"] {
        let done = said(lab.inside("ip").args(change.split(' ')));
        assert_eq!(done.code, 0, "{done:?}");
    }
    let findings = lab.json(1, &["doctor", "--config", config]);
    check(&findings, "fault", "cust0", "down");
    check(&findings, "fault", "relay0", "no such interface");
    check(&findings, "fault", "relay relay-1", "no route");

    let said = lab.outgate(&["doctor", "--config", "/nonexistent.toml"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("/nonexistent.toml"), "{said:?}");
}

#[track_caller]
fn check(findings: &Value, level: &str, about: &str, words: &str) {
    let found = findings.as_array().unwrap().iter().any(|finding| {
        finding["level"] == level
            && finding["about"] == about
            && finding["found"].as_str().unwrap().contains(words)
    });
    assert!(
        found,
        "no {level} about {about} with {words:?}: {findings:#}"
    );
}
