//! What nobody can flag: the operator's own servers, relays and the edge.

use std::fs;

use rustix::process::Signal;

use crate::lab::Lab;

const PROTECTED: &str = r#"
[[protected]]
prefix = "192.0.2.25/32"
why = "our own MX"

[[protected]]
prefix = "2001:db8:a:25::/64"
why = "our own MX"
"#;

fn protect(lab: &Lab) {
    fs::write(lab.config(), lab.text() + PROTECTED).unwrap();
}

fn flag<'a>(target: &'a str, action: &'a str) -> Vec<&'a str> {
    vec!["flag", "add", target, "--reason", "r", "--action", action]
}

#[test]
fn what_is_protected_is_never_flagged_and_stays_free_in_a_wider_flag() {
    let mut lab = Lab::new();
    protect(&lab);
    lab.start();
    for (target, around, other) in [
        ("192.0.2.25", "192.0.2.0/24", "192.0.2.26"),
        ("2001:db8:a:25::25", "2001:db8:a::/48", "2001:db8:a:26::25"),
    ] {
        for more in [&[][..], &["--despite-exemption", "really"]] {
            let said = lab.outgate(&[&flag(target, "drop"), more].concat());
            assert_eq!(said.code, 3, "{said:?}");
            assert!(
                said.err.contains("is our own MX: nobody can flag it"),
                "{said:?}"
            );
        }
        let wide = lab.json(0, &flag(around, "drop"));
        assert_eq!(wide["spared"][0]["why"], "our own MX", "{wide:#}");
        let why = lab.json(0, &["why", target]);
        assert_eq!(
            (&why["verdict"], &why["action"]),
            (&"pass".into(), &"pass".into())
        );
        let explained = why["explanation"].as_str().unwrap();
        assert!(
            explained.contains("is protected (it is our own MX)"),
            "{explained}"
        );
        assert_eq!(lab.json(0, &["why", other])["verdict"], "drop");
        let said = lab.outgate(&flag(around, "reset"));
        assert!(said.out.contains("stays free: it is protected"), "{said:?}");
    }
    // Whatever was flagged around it, and lifted again.
    lab.json(0, &["flag", "rm", "192.0.2.0/24", "--reason", "r"]);
    assert_eq!(lab.json(0, &["why", "192.0.2.25"])["verdict"], "pass");
}

#[test]
fn relays_are_protected_by_themselves() {
    let mut lab = Lab::new();
    let text = lab
        .text()
        .replace("\"192.0.2.0/24\"", "\"192.0.2.0/24\", \"198.51.100.0/24\"");
    fs::write(lab.config(), text).unwrap();
    lab.start();
    for (address, what) in [
        ("198.51.100.2", "the listener of relay-1"),
        ("198.51.100.1", "this edge's own address"),
    ] {
        let said = lab.outgate(&flag(address, "drop"));
        assert_eq!(said.code, 3, "{said:?}");
        assert!(said.err.contains(what), "{said:?}");
    }
    let wide = lab.json(0, &flag("198.51.100.0/24", "drop"));
    assert_eq!(wide["spared"].as_array().unwrap().len(), 2, "{wide:#}");
    assert_eq!(lab.json(0, &["why", "198.51.100.2"])["verdict"], "pass");
    assert_eq!(lab.json(0, &["why", "198.51.100.3"])["verdict"], "drop");
}

#[test]
fn what_was_flagged_before_it_is_protected_is_freed_at_the_start() {
    let mut lab = Lab::started();
    lab.json(0, &flag("192.0.2.25", "drop"));
    lab.json(0, &flag("2001:db8:a:25::25", "drop"));
    lab.json(0, &flag("192.0.2.26", "drop"));
    lab.end(Signal::TERM);
    protect(&lab);
    lab.start();
    for (id, target) in [("1", "192.0.2.25"), ("2", "2001:db8:a:25::25")] {
        let flag = lab.json(0, &["flag", "show", id]);
        assert_eq!(
            (&flag["state"], &flag["ended_by"]),
            (&"ended".into(), &"outgated".into())
        );
        let reason = flag["ended_reason"].as_str().unwrap();
        assert!(reason.starts_with("protected: "), "{reason}");
        assert_eq!(lab.json(0, &["why", target])["verdict"], "pass");
    }
    assert_eq!(lab.json(0, &["why", "192.0.2.26"])["verdict"], "drop");
    let events = lab.json(0, &["events"]);
    let lifted = events.as_array().unwrap().iter();
    let lifted = lifted.filter(|event| event["kind"] == "flag_lifted");
    assert_eq!(lifted.count(), 2);
    assert!(
        lab.logged()
            .contains("outgated.toml protects its prefix now")
    );
}
