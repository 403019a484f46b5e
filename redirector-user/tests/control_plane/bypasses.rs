//! Destinations that nobody is redirected away from.

use rustix::process::Signal;
use serde_json::Value;

use crate::lab::Lab;

fn add<'a>(destination: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["bypass", "add", destination, "--why", "smarthost"], more].concat()
}

#[track_caller]
fn refused(lab: &Lab, code: i32, arguments: &[&str], words: &str) {
    let said = lab.outgate(arguments);
    assert_eq!(said.code, code, "{arguments:?}: {said:?}");
    assert!(said.err.contains(words), "{arguments:?}: {said:?}");
}

fn counter(lab: &Lab, source: &str, destination: &str) -> Value {
    lab.json(0, &["why", source, destination])["counter"].clone()
}

/// A lab in which two customers are redirected, and one of each family is dropped.
fn flagged() -> Lab {
    let lab = Lab::started();
    lab.until_relay_is("up");
    for target in ["192.0.2.10", "2001:db8:a:a::10"] {
        lab.json(4, &["flag", "add", target, "--reason", "spam run"]);
    }
    for target in ["192.0.2.20", "2001:db8:a:b::10"] {
        lab.json(
            0,
            &["flag", "add", target, "--reason", "r", "--action", "drop"],
        );
    }
    lab.acknowledge();
    lab.until("redirects are in force", |lab| {
        lab.json(0, &["status"])["flags"]["pending"] == 0
    });
    lab
}

#[test]
fn nobody_is_redirected_away_from_a_bypass_and_everything_else_stays() {
    let mut lab = flagged();
    let cases = [
        (
            "192.0.2.10",
            "192.0.2.20",
            "203.0.113.0/28",
            "203.0.113.5",
            "203.0.113.99",
        ),
        (
            "2001:db8:a:a::10",
            "2001:db8:a:b::10",
            "2001:db8:b::25",
            "2001:db8:b::25",
            "2001:db8:b::26",
        ),
    ];
    for (redirected, dropped, bypass, spared, other) in cases {
        assert_ne!(counter(&lab, redirected, spared), "bypassed");
        let added = lab.json(0, &add(bypass, &["--for", "ever"]));
        assert_eq!(
            (&added["state"], &added["until"]),
            (&"active".into(), &Value::Null)
        );
        // In the kernel, in the same breath.
        let why = lab.json(0, &["why", redirected, spared]);
        assert_eq!(
            (&why["verdict"], &why["counter"]),
            (&"pass".into(), &"bypassed".into())
        );
        let explained = why["explanation"].as_str().unwrap();
        assert!(
            explained.contains("nobody is redirected away from there (bypass"),
            "{explained}"
        );
        assert!(explained.contains("smarthost"), "{explained}");
        assert_ne!(counter(&lab, redirected, other), "bypassed");
        assert_eq!(counter(&lab, dropped, spared), "dropped");
        refused(&lab, 3, &add(bypass, &[]), "already");
    }
    lab.end(Signal::KILL);
    lab.start();
    for (redirected, _, bypass, spared, _) in cases {
        assert_eq!(counter(&lab, redirected, spared), "bypassed");
        let lift = ["bypass", "lift", bypass, "--reason", "moved"];
        assert_eq!(lab.json(0, &lift)["state"], "ended");
        assert_ne!(counter(&lab, redirected, spared), "bypassed");
        refused(&lab, 2, &lift, "has no bypass");
    }
    let all = lab.json(0, &["bypass", "ls", "--all"]);
    assert_eq!(all.as_array().unwrap().len(), 2);
    let events = lab.json(0, &["events"]);
    let events = events.as_array().unwrap();
    for kind in ["bypass_added", "bypass_lifted"] {
        let told = events.iter().filter(|event| event["kind"] == kind);
        assert_eq!(told.count(), 2, "{kind}");
    }
}

#[test]
fn a_bypass_ends_by_itself() {
    let lab = flagged();
    lab.json(0, &add("203.0.113.25", &["--for", "3s"]));
    let listed = lab.outgate(&["bypass", "ls"]);
    assert!(listed.out.contains("203.0.113.25/32"), "{listed:?}");
    lab.until("it ends", |lab| {
        let open = lab.json(0, &["bypass", "ls"]);
        open.as_array().unwrap().is_empty()
    });
    let all = lab.json(0, &["bypass", "ls", "--all"]);
    assert_eq!(
        (&all[0]["state"], &all[0]["ended_by"]),
        (&"ended".into(), &"outgated".into())
    );
    lab.until("the kernel knows", |lab| {
        counter(lab, "192.0.2.10", "203.0.113.25") != "bypassed"
    });
}

#[test]
fn what_cannot_be_a_bypass_is_refused() {
    let lab = Lab::started();
    refused(&lab, 3, &add("0.0.0.0/0", &[]), "at most a /8");
    refused(&lab, 3, &add("2000::/3", &[]), "at most a /16");
    refused(
        &lab,
        1,
        &add("203.0.113.1/24", &[]),
        "the prefix is 203.0.113.0/24",
    );
    refused(
        &lab,
        1,
        &add("203.0.113.1", &["--for", "soon"]),
        "neither a duration",
    );
    refused(
        &lab,
        3,
        &["bypass", "add", "203.0.113.1", "--why", ""],
        "needs its reason",
    );
    refused(
        &lab,
        2,
        &["bypass", "lift", "7", "--reason", "r"],
        "no bypass 7 stands",
    );
}
