//! Refusals: exit codes, HTTP statuses, and words that say what to do next.

use std::{fs, process::Command};

use crate::{command::said, lab::Lab};

#[test]
fn refusals_have_their_exit_code_and_say_what_is_allowed() {
    let lab = Lab::started();
    lab.json(
        0,
        &[
            "flag",
            "add",
            "192.0.2.0/28",
            "--reason",
            "r",
            "--action",
            "observe",
        ],
    );
    let reason = ["--reason", "spam run"];
    let add = |target: &'static str, more: &[&'static str]| {
        [&["flag", "add", target], &reason[..], more].concat()
    };
    let rm = |target: &'static str| [&["flag", "rm", target], &reason[..]].concat();
    let cases = [
        (
            3,
            add("203.0.113.10", &[]),
            "is not a customer: the customer prefixes are 192.0.2.0/24, 2001:db8:a::/48",
        ),
        (
            3,
            add("192.0.0.0/16", &[]),
            "wider than the customer prefix 192.0.2.0/24",
        ),
        (
            3,
            add("192.0.2.10", &["--for", "91d"]),
            "a flag lives at most 90d",
        ),
        (
            1,
            add("192.0.2.10", &["--for", "ever"]),
            "--for ever needs --review, the time after which somebody is to look at the flag again",
        ),
        (
            1,
            add("192.0.2.10", &["--review", "30d"]),
            "only a flag that stands for ever is reviewed",
        ),
        (2, vec!["flag", "history", "192.0.2.99"], "never was"),
        (
            3,
            vec!["flag", "approve", "1", "--reason", "r", "--actor", "bob"],
            "nobody has asked for it to stand for ever",
        ),
        (
            2,
            vec!["exempt", "lift", "192.0.2.10", "--reason", "r"],
            "`outgate exempt ls` lists who is",
        ),
        (
            3,
            vec!["flag", "add", "192.0.2.10", "--reason", ""],
            "a flag needs a reason",
        ),
        (1, add("192.0.2.10/24", &[]), "the prefix is 192.0.2.0/24"),
        (
            1,
            add("192.0.2.10", &["--pool", "gone"]),
            "configured are: default",
        ),
        (
            1,
            add("192.0.2.10", &["--egress", "customer"]),
            "egress customer: needs a pool that is via = \"steer\", and default is via = \"rewrite\"; configure \
             a pool that is",
        ),
        (
            1,
            add("192.0.2.10", &["--egress", "tor"]),
            "allowed are pool, customer, socks5, pool+customer",
        ),
        (
            1,
            add("192.0.2.10", &["--action", "throttle"]),
            "allowed are pass, observe, limit, redirect, refuse, reset and drop",
        ),
        (
            1,
            add("192.0.2.10", &["--action", "limit"]),
            "allowed is a whole number of connections per s, min or h",
        ),
        (
            1,
            add("192.0.2.10", &["--action", "drop", "--rate", "2/s"]),
            "rate belongs to action limit, not drop",
        ),
        (1, vec!["flag", "add", "192.0.2.10"], "--reason"),
        (1, vec!["flags"], "flag"),
        (2, rm("192.0.2.99"), "is not flagged"),
        (2, rm("77"), "no flag 77"),
        (
            2,
            rm("192.0.2.3"),
            "flag 1 on 192.0.2.0/28 covers it: `outgate flag rm 1`",
        ),
        (
            2,
            vec!["flag", "show", "192.0.2.99"],
            "is not flagged and never was",
        ),
        (2, vec!["flag", "show", "77"], "no flag 77"),
        (
            1,
            vec!["why", "192.0.2.1", "2001:db8::1"],
            "two addresses of one family",
        ),
        (1, vec!["detach", "lo"], "not attached"),
        (
            1,
            vec!["attach", "nothere0", "--role", "uplink"],
            "no such interface",
        ),
        (
            1,
            vec!["attach", "../cust0", "--role", "uplink"],
            "not a name",
        ),
    ];
    for (code, arguments, words) in cases {
        let said = lab.outgate(&arguments);
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
        assert!(said.err.contains(words), "{arguments:?}: {said:?}");
        assert_eq!(said.out, "", "{arguments:?}");
    }
    assert_eq!(
        lab.json(0, &["flag", "ls"]).as_array().unwrap().len(),
        1,
        "nothing refused was stored"
    );
    assert_eq!(lab.outgate(&["--help"]).code, 0);
    assert_eq!(lab.outgate(&["--version"]).code, 0);
}

#[test]
fn http_errors_are_json_with_a_status_and_a_kind() {
    let lab = Lab::started();
    let flag = r#"{"target":"203.0.113.1","reason":"r","actor":"a"}"#;
    let cases = [
        ("GET /v1/nothing", "", 404, "not_found"),
        ("PUT /v1/flags", "", 405, "usage"),
        ("GET /v1/flags/9", "", 404, "not_found"),
        ("GET /v1/flags/x", "", 422, "usage"),
        ("GET /v1/flags?everything=1", "", 422, "usage"),
        ("POST /v1/flags", "{", 422, "usage"),
        (
            "POST /v1/flags",
            r#"{"target":"192.0.2.1","colour":"red"}"#,
            422,
            "usage",
        ),
        ("POST /v1/flags", flag, 409, "guard"),
        ("DELETE /v1/flags/1", "", 409, "guard"),
        ("DELETE /v1/flags/1?reason=r&actor=a", "", 404, "not_found"),
        ("GET /v1/relays/relay-9/snapshot", "", 404, "not_found"),
        ("GET /v1/why?source=somebody", "", 422, "usage"),
        ("GET /v1/radar?limit=0", "", 422, "usage"),
        ("GET /v1/radar?window=soon", "", 422, "usage"),
        ("GET /v1/radar/somebody", "", 422, "usage"),
        ("GET /v1/radar/192.0.2.77", "", 404, "not_found"),
    ];
    for (request, body, status, kind) in cases {
        let (got, answer) = lab.http(request, body);
        assert_eq!(
            (got, &answer["error"]["kind"]),
            (status, &kind.into()),
            "{request}: {answer}"
        );
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
    }
    let long = format!(
        r#"{{"target":"192.0.2.1","reason":"{}"}}"#,
        "x".repeat(20_000)
    );
    assert_eq!(lab.http("POST /v1/flags", &long).0, 413);
}

#[test]
fn nobody_listening_is_told_with_what_to_do() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outgate"));
    let said = said(command.args(["--socket", "/nonexistent/outgated.sock", "status"]));
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("/nonexistent/outgated.sock") && said.err.contains("is outgated running"),
        "{said:?}"
    );
}

#[test]
fn a_bad_configuration_names_file_key_and_value_and_exits_78() {
    let lab = Lab::new();
    let check = |text: &str| {
        fs::write(lab.config(), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_outgated"));
        said(command.arg("--config").arg(lab.config()).arg("--check"))
    };
    assert_eq!(check(&lab.text()).code, 0);
    let said = check(&lab.text().replace("port = 2525", "port = 0"));
    let expected = "outgated.toml: pool[0].relay[0].port: 0: out of range; allowed are 1 to 65535";
    assert_eq!(said.code, 78);
    assert!(said.err.contains(expected), "{said:?}");
}

#[test]
fn missing_privileges_name_the_capabilities_and_exit_77() {
    for missing in ["-all", "-net_admin,-sys_admin", "-bpf,-sys_admin"] {
        let lab = Lab::new();
        let mut command = lab.inside("setpriv");
        command
            .arg(format!("--bounding-set={missing}"))
            .arg("--inh-caps=-all");
        command.args([env!("CARGO_BIN_EXE_outgated"), "--config"]);
        let said = said(command.arg(lab.config()));
        assert_eq!(said.code, 77, "{missing}: {said:?}");
        assert!(
            said.err.contains("CAP_BPF") && said.err.contains("CAP_NET_ADMIN"),
            "{said:?}"
        );
    }
}

#[test]
fn a_second_controller_does_not_start_beside_the_first() {
    let lab = Lab::started();
    let mut second = lab.inside(env!("CARGO_BIN_EXE_outgated"));
    let said = said(second.arg("--config").arg(lab.config()));
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.err.contains("another outgated runs on this state_dir"),
        "{said:?}"
    );
    assert_eq!(lab.outgate(&["status"]).code, 0, "the first goes on");
}
