use std::collections::BTreeSet;

use super::*;
use crate::edge::interface::Xdp;

fn sound_host() -> Host {
    Host {
        release: String::from("6.12.3-amd64"),
        pin_dir: String::from("/sys/fs/bpf/outgate"),
        pin_dir_is_bpffs: true,
        jit: Some(true),
        forwards4: Some(true),
        forwards6: Some(true),
        missing_capabilities: Vec::new(),
        uses_ipv6: true,
    }
}

#[track_caller]
fn check(findings: &[Finding], level: Level, about: &str, words: &str) {
    let found = findings
        .iter()
        .any(|one| one.level == level && one.about == about && one.found.contains(words));
    assert!(
        found,
        "no {level:?} about {about} with {words:?}: {findings:#?}"
    );
}

#[test]
fn a_sound_host_has_only_good_findings() {
    let findings = host(&sound_host());
    assert!(
        findings.iter().all(|one| one.level == Level::Good),
        "{findings:#?}"
    );
}

#[test]
fn each_thing_about_the_host_that_hurts_is_named() {
    type Damage = fn(&mut Host);
    let cases: [(Damage, Level, &str, &str); 7] = [
        (
            |host| host.release = "5.15.0".into(),
            Level::Fault,
            "kernel",
            "5.15.0",
        ),
        (
            |host| host.release = "strange".into(),
            Level::Fault,
            "kernel",
            "strange",
        ),
        (
            |host| host.jit = Some(false),
            Level::Fault,
            "kernel",
            "interpreted",
        ),
        (
            |host| host.pin_dir_is_bpffs = false,
            Level::Fault,
            "pin directory",
            "not on a BPF file system",
        ),
        (
            |host| host.missing_capabilities = vec!["CAP_BPF"],
            Level::Warning,
            "privileges",
            "CAP_BPF",
        ),
        (
            |host| host.forwards4 = Some(false),
            Level::Warning,
            "forwarding",
            "IPv4",
        ),
        (
            |host| host.forwards6 = Some(false),
            Level::Warning,
            "forwarding",
            "IPv6",
        ),
    ];
    for (damage, level, about, words) in cases {
        let mut damaged = sound_host();
        damage(&mut damaged);
        let findings = host(&damaged);
        check(&findings, level, about, words);
        assert!(
            findings
                .iter()
                .all(|one| one.level == Level::Good || one.remedy.is_some()),
            "a finding without a remedy: {findings:#?}"
        );
    }
}

#[test]
fn ipv6_forwarding_matters_only_where_there_is_ipv6() {
    let host_without = Host {
        forwards6: Some(false),
        uses_ipv6: false,
        ..sound_host()
    };
    assert!(
        host(&host_without)
            .iter()
            .all(|one| one.level == Level::Good)
    );
}

#[test]
fn each_thing_about_an_interface_that_hurts_is_named() {
    let configured = Interface {
        name: String::from("eth0"),
        role: Role::Customer,
        modes: AttachMode::Native.into(),
    };
    let ours = Attachment {
        interface: String::from("eth0"),
        ifindex: 7,
        role: String::from("customer"),
        mode: AttachMode::Native,
        program_id: 42,
        refused: Vec::new(),
    };
    let link = Link {
        index: 7,
        name: String::from("eth0"),
        mac: Some([2; 6]),
        vlan: None,
        xdp: Some(Xdp {
            program_id: 42,
            native: true,
        }),
        running: true,
        mtu: 1500,
        veth: false,
    };
    let judged = |link: &Link, offloads: &[&str]| {
        let offloads: BTreeSet<String> = offloads.iter().map(|name| (*name).to_owned()).collect();
        let seen = Seen {
            link: Ok(Some(link.clone())),
            offloads: Some(offloads),
        };
        interface(&configured, &seen, Some(&ours))
    };
    let sound = judged(&link, &["tx-checksum-ip-generic"]);
    check(&sound, Level::Good, "eth0", "attached as customer, native");
    assert_eq!(sound.len(), 1, "{sound:#?}");

    check(
        &judged(
            &Link {
                running: false,
                ..link.clone()
            },
            &[],
        ),
        Level::Fault,
        "eth0",
        "down",
    );
    check(
        &judged(
            &Link {
                mtu: 9000,
                ..link.clone()
            },
            &[],
        ),
        Level::Warning,
        "eth0",
        "9000",
    );
    check(
        &judged(
            &Link {
                veth: true,
                ..link.clone()
            },
            &[],
        ),
        Level::Warning,
        "eth0",
        "veth",
    );
    check(
        &judged(
            &Link {
                xdp: None,
                ..link.clone()
            },
            &[],
        ),
        Level::Warning,
        "eth0",
        "no program",
    );
    let foreign = Link {
        xdp: Some(Xdp {
            program_id: 43,
            native: true,
        }),
        ..link.clone()
    };
    check(&judged(&foreign, &[]), Level::Warning, "eth0", "program 43");
    for (harmful, ..) in HARMFUL {
        check(&judged(&link, &[harmful]), Level::Warning, "eth0", harmful);
    }
    let veth = Link { veth: true, ..link };
    check(
        &judged(&veth, &[]),
        Level::Warning,
        "eth0",
        "tx-checksumming",
    );
    // In tc none of that hurts, and the other program is a neighbour.
    let in_tc = Attachment {
        mode: AttachMode::Tcx,
        ..ours.clone()
    };
    let seen = Seen {
        link: Ok(Some(Link {
            veth: true,
            mtu: 9000,
            ..foreign
        })),
        offloads: Some(BTreeSet::from([String::from("rx-vlan-hw-parse")])),
    };
    let findings = interface(&configured, &seen, Some(&in_tc));
    check(&findings, Level::Good, "eth0", "tcx, behind XDP program 43");
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let gone = Seen {
        link: Ok(None),
        offloads: None,
    };
    check(
        &interface(&configured, &gone, None),
        Level::Fault,
        "eth0",
        "no such interface",
    );
}

#[test]
fn a_relay_may_stand_beyond_the_uplink_unless_it_is_steered_to() {
    let text = |via: &str, port: u16, third_party: bool| {
        format!(
            "operator = \"o\"\nhelp_url = \"https://o\"\ncustomer_prefixes = [\"192.0.2.0/24\"]\n\
             [[interface]]\nname = \"up0\"\nrole = \"uplink\"\n\
             [[pool]]\nname = \"p\"\nvia = \"{via}\"\non_failure = \"closed\"\nthird_party = {third_party}\n\
             [[pool.relay]]\nname = \"r\"\naddress = [\"203.0.113.9\"]\nport = {port}\n"
        )
    };
    let judged = |text: String| {
        let config = Config::parse(std::path::Path::new("o.toml"), &text).unwrap();
        let way = Way {
            address: "203.0.113.9".parse().unwrap(),
            interface: Ok(String::from("up0")),
            probe: Err(String::from("no banner")),
        };
        relay(&config, "r", &way)
    };
    let own = judged(text("rewrite", 2525, false));
    check(&own, Level::Good, "relay r", "beyond the uplink");
    let remedies = |findings: &[Finding]| {
        let remedies = findings.iter().filter_map(|one| one.remedy.clone());
        remedies.collect::<Vec<_>>().join("; ")
    };
    assert!(remedies(&own).contains("start outgate-relay"));
    let third = judged(text("rewrite", 587, true));
    assert!(remedies(&third).contains("whoever runs it"));
    let steered = judged(text("steer", 25, false));
    check(&steered, Level::Fault, "relay r", "another role");
}
