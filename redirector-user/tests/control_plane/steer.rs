//! A pool that is steered to, and the customer's address lent to its relays.

use std::fs;

use rustix::process::Signal;

use crate::{command::said, lab::Lab};

const ADD: [&str; 7] = [
    "flag",
    "add",
    "192.0.2.10",
    "--reason",
    "spam run",
    "--egress",
    "customer",
];

/// The lab's configuration with its one pool steered to. Nobody greets on port 25 there.
fn steered(lab: &Lab) -> String {
    let text = lab.text();
    let text = text.replacen(
        "name = \"default\"",
        "name = \"default\"\nvia = \"steer\"",
        1,
    );
    text.replacen("port = 2525", "port = 25", 1)
}

#[test]
fn a_lent_address_reaches_the_relays_and_is_shown() {
    let mut lab = Lab::new();
    fs::write(lab.config(), steered(&lab)).unwrap();
    lab.start();
    lab.until_relay_is("down");
    let flag = lab.json(0, &ADD);
    assert_eq!(flag["egress"], "customer", "{flag}");
    let snapshot = lab.poll("").1;
    assert_eq!(snapshot["customers"][0]["egress"], "customer", "{snapshot}");
    assert_eq!(lab.json(0, &["status"])["pools"][0]["via"], "steer");
    let said = lab.outgate(&["status"]);
    assert!(
        said.out.contains("VIA") && said.out.contains("steer"),
        "{said:?}"
    );
    let said = lab.outgate(&["flag", "show", "1"]);
    assert!(said.out.contains("customer"), "{said:?}");

    // What is stored is read back.
    lab.end(Signal::KILL);
    lab.start();
    assert_eq!(lab.json(0, &["flag", "show", "1"])["egress"], "customer");
}

#[test]
fn a_pool_that_lends_addresses_must_stay_steered_to() {
    let mut lab = Lab::new();
    fs::write(lab.config(), steered(&lab)).unwrap();
    lab.start();
    lab.until_relay_is("down");
    lab.json(0, &ADD);
    lab.end(Signal::TERM);
    fs::write(lab.config(), lab.text()).unwrap();
    let mut command = lab.inside(env!("CARGO_BIN_EXE_outgated"));
    let said = said(command.arg("--config").arg(lab.config()));
    assert_eq!(said.code, 78, "{said:?}");
    let words = "pool default: via = \"rewrite\", but active flags with egress customer use it: 1; make it \
                 via = \"steer\", or lift them";
    assert!(said.err.contains(words), "{said:?}");
}
