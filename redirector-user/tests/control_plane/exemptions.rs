//! Customers that nobody flags for a while: two people agree to it, and it ends by itself.

use serde_json::Value;

use crate::{
    lab::Lab,
    rules::{SPRAY, ruled, sees},
};

fn ask<'a>(target: &'a str, end: &[&'a str]) -> Vec<&'a str> {
    let words = [
        "exempt",
        "add",
        target,
        "--reference",
        "contract 17",
        "--reason",
        "a bank",
    ];
    [&words, end].concat()
}

fn approve(target: &str) -> [&str; 7] {
    [
        "exempt", "approve", target, "--reason", "checked", "--actor", "bob",
    ]
}

fn flag<'a>(target: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = [
        "flag", "add", target, "--reason", "spam run", "--action", "drop",
    ];
    [&words, more].concat()
}

#[track_caller]
fn refused(lab: &Lab, code: i32, arguments: &[&str], words: &str) {
    let said = lab.outgate(arguments);
    assert_eq!(said.code, code, "{arguments:?}: {said:?}");
    assert!(said.err.contains(words), "{arguments:?}: {said:?}");
}

fn told(lab: &Lab, kind: &str) -> Vec<Value> {
    let events = lab.json(0, &["events"]);
    let events = events.as_array().unwrap().iter();
    events
        .filter(|event| event["kind"] == kind)
        .cloned()
        .collect()
}

#[test]
fn an_exemption_protects_once_a_second_person_has_approved_it() {
    let mut lab = Lab::started();
    for (target, inside, wider) in [
        ("192.0.2.16/28", "192.0.2.20", "192.0.2.0/24"),
        ("2001:db8:a:a::10", "2001:db8:a:a::77", "2001:db8:a::/48"),
    ] {
        let asked = lab.json(0, &ask(target, &["--for", "30d"]));
        assert_eq!(asked["state"], "pending");
        // Until then it protects nobody.
        let before = lab.json(0, &flag(inside, &[]));
        refused(&lab, 3, &ask(target, &["--for", "1d"]), "already");
        let own = ["exempt", "approve", target, "--reason", "r"];
        refused(&lab, 3, &own, "tester has asked for exemption");
        let approved = lab.json(0, &approve(target));
        assert_eq!(
            (&approved["state"], &approved["approved_by"]),
            (&"active".into(), &"bob".into())
        );
        // What was there stays, and is named.
        assert_eq!(approved["flags"][0], before["id"]);
        lab.json(0, &["flag", "rm", inside, "--reason", "exempt now"]);
        let until = approved["until"].as_str().unwrap();
        for whom in [inside, wider] {
            refused(&lab, 3, &flag(whom, &[]), until);
            refused(&lab, 3, &flag(whom, &[]), "reference contract 17");
        }
        let batch = format!(
            r#"{{"flags": [{{"target": "{inside}", "reason": "r", "actor": "a", "action": "drop"}}]}}"#
        );
        let (_, batch) = lab.http("POST /v1/flags/batch", &batch);
        assert!(batch.to_string().contains("contract 17"), "{batch}");
        assert_eq!(lab.json(0, &["why", inside])["verdict"], "pass");
        // What takes nothing from the customer is allowed, and so is what a person insists on.
        lab.json(
            0,
            &[
                "flag", "add", inside, "--reason", "r", "--action", "observe",
            ],
        );
        let insists = lab.json(
            0,
            &flag(inside, &["--despite-exemption", "a court says so"]),
        );
        assert_eq!(insists["despite_exemption"], "a court says so");
        assert_eq!(lab.json(0, &["why", inside])["verdict"], "drop");
        let id = insists["id"].to_string();
        let shown = lab.json(0, &["flag", "show", &id]);
        let trail = &shown["history"][0]["detail"];
        assert_eq!(trail["despite_exemption"], "a court says so");
        lab.json(0, &["flag", "rm", &id, "--reason", "settled"]);
    }
    lab.end(rustix::process::Signal::KILL);
    lab.start();
    refused(&lab, 3, &flag("192.0.2.20", &[]), "exempt until");
    let listed = lab.outgate(&["exempt", "ls"]);
    for words in [
        "192.0.2.16/28",
        "2001:db8:a:a::/64",
        "active",
        "contract 17",
        "bob",
    ] {
        assert!(listed.out.contains(words), "{words}: {listed:?}");
    }
    let lift = [
        "exempt",
        "lift",
        "192.0.2.16/28",
        "--reason",
        "contract ended",
    ];
    assert_eq!(lab.json(0, &lift)["state"], "ended");
    refused(&lab, 2, &lift, "is not exempt");
    lab.json(0, &flag("192.0.2.20", &[]));
    let shown = lab.json(0, &["exempt", "show", "1"]);
    let history = shown["history"].as_array().unwrap();
    let history: Vec<_> = history.iter().map(|row| row["event"].clone()).collect();
    assert_eq!(
        history,
        ["exemption asked", "exemption approved", "exemption lifted"]
    );
    for kind in ["exemption_asked", "exemption_approved"] {
        assert_eq!(told(&lab, kind).len(), 2, "{kind}");
    }
    assert_eq!(told(&lab, "exemption_lifted").len(), 1);
}

#[test]
fn an_exemption_ends_by_itself() {
    let lab = Lab::started();
    lab.json(0, &ask("192.0.2.10", &["--for", "3s"]));
    lab.json(0, &approve("192.0.2.10"));
    lab.until("it ends", |lab| told(lab, "exemption_ended").len() == 1);
    let ended = lab.json(0, &["exempt", "show", "1"]);
    assert_eq!(
        (&ended["state"], &ended["ended_by"]),
        (&"ended".into(), &"outgated".into())
    );
    lab.json(0, &flag("192.0.2.10", &[]));
    let open = lab.json(0, &["exempt", "ls"]);
    assert_eq!(open.as_array().unwrap().len(), 0);
    let all = lab.json(0, &["exempt", "ls", "--all"]);
    assert_eq!(all.as_array().unwrap().len(), 1);
}

#[test]
fn what_cannot_be_an_exemption_is_refused() {
    let lab = Lab::started();
    for (code, target, end, words) in [
        (3, "203.0.113.1", ["--for", "1d"], "in no customer prefix"),
        (3, "192.0.2.1", ["--for", "367d"], "at most 366d"),
        (1, "192.0.2.1", ["--until", "1999-01-01"], "over already"),
        (1, "192.0.2.1", ["--until", "soon"], "allowed are a day"),
        (
            1,
            "192.0.2.1/24",
            ["--for", "1d"],
            "the prefix is 192.0.2.0/24",
        ),
    ] {
        refused(&lab, code, &ask(target, &end), words);
    }
    refused(&lab, 1, &ask("192.0.2.1", &[]), "--until");
}

#[test]
fn rules_go_on_counting_and_say_that_it_is_exempt() {
    let lab = ruled(SPRAY);
    lab.json(0, &ask("192.0.2.10", &["--for", "1h"]));
    lab.json(0, &approve("192.0.2.10"));
    lab.until("a rule is held back", |lab| {
        sees(lab, 200);
        !told(lab, "rule_held_back").is_empty()
    });
    let held = &told(&lab, "rule_held_back")[0];
    let why = held["detail"]["held_back_by"].as_str().unwrap();
    assert!(why.starts_with("exempt until"), "{why}");
    let flags = lab.json(0, &["flag", "ls", "--all"]);
    assert_eq!(flags.as_array().unwrap().len(), 0, "{flags:#}");
    let radar = lab.json(0, &["radar", "show", "192.0.2.10"]);
    let said = radar["exempt"].as_str().unwrap();
    assert!(said.contains("contract 17"), "{said}");
    let list = lab.outgate(&["radar"]);
    assert!(list.out.contains("exempt;"), "{list:?}");
}
