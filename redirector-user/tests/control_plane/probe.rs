//! What keeps a controller from starting that is to probe through the data path.

use std::fs;

use rustix::process::Signal;

use crate::{command::said, lab::Lab};

/// The configuration with addresses kept for probes.
fn reserving(lab: &Lab) -> String {
    lab.text().replace(
        "[health]\n",
        "[health]\nprobe_sources = [\"192.0.2.224/28\"]\n",
    )
}

#[test]
fn without_packet_sockets_nothing_can_be_probed_from_there() {
    let lab = Lab::new();
    fs::write(lab.config(), reserving(&lab)).unwrap();
    let mut command = lab.inside("setpriv");
    command
        .args(["--bounding-set=-net_raw", "--inh-caps=-all"])
        .args([env!("CARGO_BIN_EXE_outgated"), "--config"]);
    let said = said(command.arg(lab.config()));
    assert_eq!(said.code, 77, "{said:?}");
    assert!(said.err.contains("CAP_NET_RAW"), "{said:?}");
}

#[test]
fn another_interface_of_the_name_is_left_alone() {
    let lab = Lab::new();
    fs::write(lab.config(), reserving(&lab)).unwrap();
    let edge = ["link", "add", "outgate-probe", "type", "bridge"];
    assert_eq!(said(lab.inside("ip").args(edge)).code, 0);
    let mut command = lab.inside(env!("CARGO_BIN_EXE_outgated"));
    let refused = said(command.arg("--config").arg(lab.config()));
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("that is no veth"), "{refused:?}");
    let there = said(lab.inside("ip").args(["link", "show", "outgate-probe"]));
    assert_eq!(there.code, 0, "{there:?}");
}

#[test]
fn addresses_that_are_flagged_cannot_be_kept_for_probes() {
    let mut lab = Lab::started();
    let flag = [
        "flag",
        "add",
        "192.0.2.230",
        "--reason",
        "r",
        "--action",
        "drop",
    ];
    lab.json(0, &flag);
    lab.end(Signal::TERM);
    fs::write(lab.config(), reserving(&lab)).unwrap();
    let mut command = lab.inside(env!("CARGO_BIN_EXE_outgated"));
    let said = said(command.arg("--config").arg(lab.config()));
    assert_eq!(said.code, 78, "{said:?}");
    assert!(
        said.err
            .contains("health.probe_sources: 192.0.2.224/28: active flags lie in it: 1"),
        "{said:?}"
    );
}
