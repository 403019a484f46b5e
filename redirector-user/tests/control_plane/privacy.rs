//! `outgate privacy`: a customer's own, handed out and erased.

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{command::said, lab::Lab};

/// Tells of a message of a customer that somebody has released.
fn released(lab: &Lab, customer: &str, seq: u64) {
    let happening = json!({
        "kind": "released", "record": format!("r{seq}"), "by": "desk", "reason": format!("{customer} wants it"),
    });
    let event = json!({
        "seq": seq, "at": "2026-03-01T12:00:00Z", "customer": customer, "flag_id": seq, "happening": happening,
    });
    let batch = json!({ "epoch": "a", "events": [event] });
    let (status, said) = lab.http("POST /v1/relays/relay-1/events", &batch.to_string());
    assert_eq!(status, 200, "{said}");
}

fn flag(lab: &Lab, customer: &str) -> u64 {
    let reason = format!("complaint about {customer}");
    let flag = lab.json(
        0,
        &[
            "flag", "add", customer, "--reason", &reason, "--action", "drop", "--ticket", "T-1",
        ],
    );
    flag["id"].as_u64().unwrap()
}

fn count(held: &Value, table: &str) -> usize {
    held["held"][table].as_array().unwrap().len()
}

#[test]
fn a_customer_is_handed_out_and_erased_and_the_trail_still_verifies() {
    let lab = Lab::started();
    for (seq, customer) in [(1, "192.0.2.10"), (2, "2001:db8:a:a::10")] {
        let id = flag(&lab, customer).to_string();
        released(&lab, customer, seq);
        let erase = [
            "privacy",
            "erase",
            "--customer",
            customer,
            "--reason",
            "ticket 4711",
            "--yes",
        ];
        let said = lab.outgate(&erase);
        assert_eq!(said.code, 3, "{said:?}");
        assert!(
            said.err
                .contains(&format!("in force: {id}; lift them first")),
            "{said:?}"
        );
        lab.json(
            0,
            &[
                "flag",
                "rm",
                &id,
                "--reason",
                &format!("{customer} has called"),
            ],
        );

        let export = ["privacy", "export", "--customer", customer];
        let held = lab.json(0, &export);
        // Added, in force, released, lifted; all of them in the trail, too, with that the flag may be wrong
        // and that somebody looks.
        assert_eq!(
            ["flags", "events", "trail"].map(|table| count(&held, table)),
            [1, 4, 6],
            "{held}"
        );
        assert_eq!(
            held["held"]["flags"][0]["reason"],
            format!("complaint about {customer}")
        );
        let viewed = lab.json(0, &["audit", "ls", "--kind", "viewed", "-n", "1"]);
        assert_eq!(
            (&viewed[0]["actor"], &viewed[0]["subject"]),
            (&"tester".into(), &"privacy".into())
        );

        let said = lab.outgate(&erase[..6]);
        assert_eq!(said.code, 3, "nobody is asked who is no terminal: {said:?}");
        assert!(said.err.contains("say --yes"), "{said:?}");
        let gone = lab.json(0, &erase);
        assert_eq!(
            (&gone["flags"], &gone["events"], &gone["trail"]),
            (&1.into(), &4.into(), &6.into()),
            "{gone}"
        );

        let proof = lab.json(0, &["audit", "verify"]);
        assert_eq!(proof["writers"][0]["erased"], 6 * seq, "{proof}");
        assert!(lab.outgate(&["audit", "verify"]).out.contains("ERASED"));
        let erased = lab.json(0, &["audit", "ls", "--kind", "erased", "-n", "1"]);
        assert_eq!(
            (&erased[0]["actor"], &erased[0]["payload"]["gone"]["events"]),
            (&"tester".into(), &4.into())
        );
        assert!(
            !erased.to_string().contains(customer),
            "who and how many, not what: {erased}"
        );
        let shown = lab.outgate(&["flag", "show", &id]);
        assert_eq!(shown.code, 0, "{shown:?}");
        assert!(
            shown.out.contains("(erased)") && !shown.out.contains("complaint"),
            "{shown:?}"
        );
        assert!(
            lab.outgate(&["audit", "ls", "--subject", &format!("flag:{id}")])
                .out
                .contains("(erased)")
        );
        let held = lab.json(0, &export);
        assert_eq!(
            ["events", "trail"].map(|table| count(&held, table)),
            [0, 1],
            "{held}"
        );
    }
    let file = lab.config().with_file_name("held.json");
    let said = lab.outgate(&[
        "privacy",
        "export",
        "--customer",
        "192.0.2.0/24",
        file.to_str().unwrap(),
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    let held: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(count(&held, "flags"), 1, "{held}");
}

#[test]
fn others_are_not_touched_and_refusals_say_what_to_do() {
    let lab = Lab::started();
    flag(&lab, "192.0.2.0/28");
    let id = flag(&lab, "192.0.2.10").to_string();
    lab.json(0, &["flag", "rm", &id, "--reason", "over"]);
    let erase = |customer: &'static str, reason: &'static str| {
        lab.outgate(&[
            "privacy",
            "erase",
            "--customer",
            customer,
            "--reason",
            reason,
            "--yes",
        ])
    };
    for (code, customer, reason, expected) in [
        (3, "192.0.2.0/24", "r", "in force: 1; lift them first"),
        (3, "192.0.2.10", " ", "erasing needs a reason"),
        (1, "no body", "r", "neither an address nor a prefix"),
        (2, "nobody", "r", "nor the key of a customer"),
        (1, "192.0.2.10/24", "r", "the prefix is 192.0.2.0/24"),
    ] {
        let said = erase(customer, reason);
        assert_eq!(said.code, code, "{customer}: {said:?}");
        assert!(said.err.contains(expected), "{customer}: {said:?}");
    }
    // The wider flag is about others, too.
    assert_eq!(erase("192.0.2.10", "r").code, 0);
    let shown = lab.json(0, &["flag", "show", "1"]);
    assert_eq!(
        (&shown["state"], &shown["reason"]),
        (&"active".into(), &"complaint about 192.0.2.0/28".into())
    );
    assert_eq!(lab.json(0, &["why", "192.0.2.10"])["verdict"], "drop");
}

#[test]
fn a_customer_is_known_by_its_key_while_it_has_its_prefixes() {
    let lab = Lab::started();
    for key in ["C-1", "C-2"] {
        let contact = format!("abuse@{key}.example");
        let add = ["customer", "add", key, "--name", "Example Ltd", "--contact"];
        lab.json(0, &[&add[..], &[&contact]].concat());
    }
    let mut flags = Vec::new();
    for (prefix, host) in [
        ("192.0.2.64/28", "192.0.2.70"),
        ("2001:db8:a:a::/64", "2001:db8:a:a::7"),
    ] {
        lab.json(0, &["assign", prefix, "C-1"]);
        let id = flag(&lab, host).to_string();
        lab.json(0, &["flag", "rm", &id, "--reason", "C-1 has called"]);
        flags.push(id);
        let exempt = ["exempt", "add", host, "--for", "30d", "--reference", "T-9"];
        let asked = lab.json(0, &[&exempt[..], &["--reason", "a bank"]].concat());
        let asked = asked["id"].to_string();
        lab.json(0, &["exempt", "lift", &asked, "--reason", "not any more"]);
        // Another one's from now on, and what comes then is his.
        lab.json(0, &["assign", prefix, "C-2"]);
        let other = flag(&lab, host).to_string();
        lab.json(0, &["flag", "rm", &other, "--reason", "C-2 has called"]);
        flags.push(other);
    }
    let export = |key: &str| lab.json(0, &["privacy", "export", "--customer", key]);
    let tables = ["flags", "exemptions", "customers", "assignments"];
    let held = export("C-1");
    assert_eq!(
        tables.map(|table| count(&held, table)),
        [2, 2, 1, 2],
        "{held:#}"
    );
    assert_eq!(held["held"]["customers"][0]["contact"], "abuse@C-1.example");
    assert!(!held.to_string().contains("C-2 has called"), "{held:#}");

    let word = ["--reason", "ticket 4711", "--yes"];
    let erase = [&["privacy", "erase", "--customer", "C-1"], &word[..]].concat();
    let gone = lab.json(0, &erase);
    assert_eq!(
        tables.map(|table| gone[table].as_u64().unwrap()),
        [2, 2, 1, 2],
        "{gone:#}"
    );
    let held = export("C-1");
    assert!(
        held["held"]["customers"][0]["contact"].is_null(),
        "{held:#}"
    );
    assert!(!held.to_string().contains("a bank"), "{held:#}");
    for (id, expected) in flags
        .iter()
        .zip(["(erased)", "C-2 has called"].iter().cycle())
    {
        let shown = lab.json(0, &["flag", "show", id]);
        assert_eq!(shown["ended_reason"], *expected, "{shown:#}");
    }
    lab.json(0, &["audit", "verify"]);
}

#[test]
fn flags_are_added_while_a_long_trail_is_looked_through() {
    let mut lab = Lab::started();
    let id = flag(&lab, "192.0.2.10").to_string();
    lab.json(0, &["flag", "rm", &id, "--reason", "over"]);
    assert_eq!(lab.end(rustix::process::Signal::TERM), Some(0));
    // Another controller's trail of years, of which every row is read.
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600000)
        INSERT INTO audit (writer, seq, at_us, actor, kind, subject, payload, salt, payload_hash, prev_hash, hash)
        SELECT 'outgated-before', i, i, 'a', 'viewed', 'privacy', '{\"customer\":\"198.51.100.7\",\"i\":' || i || '}', 's', 'p',
            'h' || (i - 1), 'h' || i FROM n";
    let write =
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()";
    let mut python = Command::new("python3");
    let done = said(python.args(["-c", write]).arg(lab.database()).arg(rows));
    assert_eq!(done.code, 0, "{done:?}");
    lab.start();
    let mut erase = lab.inside(env!("CARGO_BIN_EXE_outgate"));
    erase
        .env("OUTGATE_SOCKET", lab.socket())
        .env("USER", "tester")
        .args([
            "privacy",
            "erase",
            "--customer",
            "192.0.2.10",
            "--reason",
            "ticket 4711",
            "--yes",
        ]);
    let mut erase = erase.stdout(Stdio::null()).spawn().unwrap();
    let mut added = 0;
    let status = loop {
        if let Some(status) = erase.try_wait().unwrap() {
            break status;
        }
        let prefix = format!("192.0.2.{}", 100 + added % 100);
        let request =
            json!({ "target": prefix, "action": "drop", "reason": "r", "actor": "tester" });
        let (code, answer) = lab.http("POST /v1/flags", &request.to_string());
        assert_eq!(code, 201, "{answer}");
        added += 1;
    };
    assert!(status.success());
    // One or two come before the look has begun; whoever had to wait for its end would be the last.
    assert!(
        added >= 10,
        "{added} flags while the trail was looked through"
    );
    let erased = lab.json(0, &["audit", "ls", "--kind", "erased", "-n", "1"]);
    assert_eq!(erased[0]["payload"]["gone"]["flags"], 1, "{erased}");
}
