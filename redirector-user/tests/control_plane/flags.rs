//! A flag from its first word to its end.

use crate::lab::Lab;

#[test]
fn a_flag_is_in_force_when_the_command_returns_and_gone_when_it_is_lifted() {
    let lab = Lab::started();
    let flag = lab.json(
        0,
        &[
            "flag",
            "add",
            "192.0.2.10",
            "--reason",
            "spam run",
            "--action",
            "drop",
            "--ticket",
            "T-1",
        ],
    );
    assert_eq!(flag["prefix"], "192.0.2.10/32");
    assert_eq!(
        (&flag["action"], &flag["state"]),
        (&"drop".into(), &"active".into())
    );
    assert_eq!(
        (&flag["actor"], &flag["ticket"]),
        (&"tester".into(), &"T-1".into())
    );
    assert!(flag["ended_at"].is_null() && flag["pool"].is_null());

    // The kernel's maps say so, in the same breath.
    let why = lab.json(0, &["why", "192.0.2.10"]);
    assert_eq!(
        (&why["verdict"], &why["rule"]),
        (&"drop".into(), &"192.0.2.10/32".into())
    );
    assert_eq!(
        (&why["flag_id"], &why["flag"]["reason"]),
        (&flag["id"], &"spam run".into())
    );
    assert_eq!(lab.json(0, &["why", "192.0.2.11"])["verdict"], "pass");
    let counts = lab.json(0, &["status"]);
    assert_eq!(
        (&counts["flags"]["active"], &counts["flags"]["pending"]),
        (&1.into(), &0.into())
    );

    let ended = lab.json(0, &["flag", "rm", "192.0.2.10", "--reason", "cleaned up"]);
    assert_eq!(
        (&ended["state"], &ended["ended_by"]),
        (&"ended".into(), &"tester".into())
    );
    assert_eq!(lab.json(0, &["why", "192.0.2.10"])["verdict"], "pass");
    assert_eq!(lab.json(0, &["flag", "ls"]).as_array().unwrap().len(), 0);
    assert_eq!(
        lab.json(0, &["flag", "ls", "--all"])
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let shown = lab.json(0, &["flag", "show", "192.0.2.10"]);
    let events: Vec<_> = shown["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["event"].clone())
        .collect();
    assert_eq!(events, ["flag added", "flag activated", "flag lifted"]);
}

#[test]
fn one_ipv6_address_flags_its_subnet_unless_exact() {
    let lab = Lab::started();
    let add = |extra: &[&str]| {
        let flag = [
            "flag",
            "add",
            "2001:db8:a:a::10",
            "--reason",
            "spam run",
            "--action",
            "drop",
        ];
        lab.json(0, &[&flag, extra].concat())
    };
    assert_eq!(add(&[])["prefix"], "2001:db8:a:a::/64");
    assert_eq!(add(&["--exact"])["prefix"], "2001:db8:a:a::10/128");
    assert_eq!(
        lab.json(0, &["why", "2001:db8:a:a::10"])["rule"],
        "2001:db8:a:a::10/128"
    );
    assert_eq!(
        lab.json(0, &["why", "2001:db8:a:a::11"])["rule"],
        "2001:db8:a:a::/64"
    );
    assert_eq!(
        lab.json(0, &["flag", "show", "2001:db8:a:a::10", "--exact"])["id"],
        2
    );
    assert_eq!(lab.json(0, &["flag", "show", "2001:db8:a:a::10"])["id"], 1);
    lab.json(0, &["flag", "rm", "2001:db8:a:a::10", "--reason", "clean"]);
    let said = lab.outgate(&["flag", "rm", "2001:db8:a:a::10", "--reason", "clean"]);
    assert!(
        said.code == 2 && said.err.contains("say --exact"),
        "{said:?}"
    );
    lab.json(
        0,
        &[
            "flag",
            "rm",
            "2001:db8:a:a::10",
            "--exact",
            "--reason",
            "clean",
        ],
    );
    assert_eq!(lab.json(0, &["why", "2001:db8:a:a::10"])["verdict"], "pass");
}

#[test]
fn a_second_flag_replaces_the_first() {
    let lab = Lab::started();
    let add = |action| {
        lab.json(
            0,
            &[
                "flag",
                "add",
                "192.0.2.10",
                "--reason",
                "r",
                "--action",
                action,
            ],
        )
    };
    let first = add("observe");
    let second = add("drop");
    assert_eq!(second["replaces"], first["id"]);
    assert_eq!(lab.json(0, &["why", "192.0.2.10"])["verdict"], "drop");
    let shown = lab.json(0, &["flag", "show", "1"]);
    assert_eq!(
        (&shown["state"], &shown["ended_reason"]),
        (&"ended".into(), &"replaced by flag 2".into())
    );
    let said = lab.outgate(&[
        "flag",
        "add",
        "192.0.2.10",
        "--reason",
        "r",
        "--action",
        "reset",
    ]);
    assert!(said.out.contains("replaces flag 2"), "{said:?}");
}

#[test]
fn a_limit_keeps_its_rate_and_burst() {
    let lab = Lab::started();
    let limit = ["--action", "limit", "--rate", "120/min", "--burst", "1"];
    let add = ["flag", "add", "192.0.2.10", "--reason", "r"];
    let added = lab.json(0, &[&add[..], &limit].concat());
    assert_eq!(
        (&added["rate"], &added["burst"], &added["pool"]),
        (&"2/s".into(), &1.into(), &serde_json::Value::Null)
    );
    let why = lab.json(0, &["why", "192.0.2.10"]);
    assert_eq!(
        (&why["verdict"], &why["counter"], &why["action"]),
        (&"pass".into(), &"limit_passed".into(), &"limit".into())
    );
    let listed = lab.outgate(&["flag", "ls"]);
    assert!(listed.out.contains("limit to 2/s, burst 1"), "{listed:?}");
    let trail = lab.json(0, &["flag", "show", "1"])["history"][0]["detail"].clone();
    assert_eq!(
        (&trail["rate"], &trail["burst"]),
        (&"2/s".into(), &1.into()),
        "{trail:#}"
    );
}

#[test]
fn a_flag_expires_by_itself() {
    let lab = Lab::started();
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
            "2s",
        ],
    );
    assert_eq!(lab.json(0, &["why", "192.0.2.10"])["verdict"], "drop");
    lab.until("the flag ends", |lab| {
        lab.json(0, &["flag", "show", "1"])["state"] == "ended"
    });
    let shown = lab.json(0, &["flag", "show", "1"]);
    assert_eq!(shown["ended_by"], "outgated");
    let last = shown["history"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["event"], &last["actor"]),
        (&"flag expired".into(), &"outgated".into())
    );
    assert_eq!(lab.json(0, &["why", "192.0.2.10"])["verdict"], "pass");
}

#[test]
fn what_people_read_says_what_matters() {
    let lab = Lab::started();
    lab.json(
        0,
        &[
            "flag",
            "add",
            "192.0.2.10",
            "--reason",
            "spam run",
            "--action",
            "drop",
        ],
    );
    let plain = |arguments: &[&str]| {
        let said = lab.outgate(arguments);
        assert_eq!(said.code, 0, "{said:?}");
        assert!(
            !said.out.contains('\u{1b}'),
            "colour without a terminal: {said:?}"
        );
        said.out
    };
    let shows = |text: String, words: &[&str]| {
        for word in words {
            assert!(text.contains(word), "{word:?} is not in:\n{text}");
        }
    };
    shows(
        plain(&["status"]),
        &[
            "cust0",
            "customer",
            "native",
            "relay-1",
            "198.51.100.2:2525",
            "1 active",
        ],
    );
    shows(
        plain(&["flag", "ls"]),
        &[
            "192.0.2.10/32",
            "drop",
            "active",
            "(in 6 d 23 h)",
            "tester",
            "spam run",
        ],
    );
    shows(
        plain(&["flag", "show", "192.0.2.10"]),
        &["spam run", "flag activated", "outgated"],
    );
    shows(
        plain(&["why", "192.0.2.10"]),
        &[
            "is dropped",
            "flag 1 on 192.0.2.10/32",
            "spam run",
            "counted as dropped",
        ],
    );
    shows(
        plain(&["why", "192.0.2.11"]),
        &[
            "passes",
            "no flag covers 192.0.2.11, a customer in 192.0.2.0/24",
        ],
    );
    shows(plain(&["counters"]), &["to_relay", "dropped", "unflagged"]);
}
