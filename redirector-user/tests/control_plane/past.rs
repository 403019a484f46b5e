//! What was in force once, told from the store of record.

use serde_json::Value;

use crate::lab::Lab;

fn add(lab: &Lab, target: &str, action: &str) -> Value {
    let arguments = [
        "flag", "add", target, "--reason", "spam run", "--action", action,
    ];
    lab.json(0, &arguments)
}

fn lift(lab: &Lab, target: &str) -> Value {
    lab.json(0, &["flag", "rm", target, "--reason", "cleaned up"])
}

fn then(lab: &Lab, source: &str, at: &Value) -> Value {
    lab.json(0, &["why", source, "--at", at.as_str().unwrap()])
}

#[test]
fn a_complaint_about_last_week_is_answered_by_who_was_flagged_then() {
    let mut lab = Lab::started();
    for (source, narrow, wide) in [
        ("192.0.2.10", "192.0.2.10/32", "192.0.2.0/28"),
        ("2001:db8:a:a::10", "2001:db8:a:a::/64", "2001:db8:a::/48"),
    ] {
        let outer = add(&lab, wide, "observe");
        let inner = add(&lab, narrow, "drop");
        let before = then(&lab, source, &outer["created_at"]);
        assert!(before["flag"].is_null(), "{before:#}");

        let both = then(&lab, source, &inner["activated_at"]);
        assert_eq!(
            (&both["flag"]["id"], &both["behind"][0]["id"]),
            (&inner["id"], &outer["id"]),
            "{both:#}"
        );
        let ended = lift(&lab, narrow);
        // From the moment of its end it is not in force; a moment before it was.
        let after = then(&lab, source, &ended["ended_at"]);
        assert_eq!(after["flag"]["id"], outer["id"], "{after:#}");
        let still = then(&lab, source, &inner["activated_at"]);
        assert_eq!(still["flag"]["id"], inner["id"]);
        let said = still["explanation"].as_str().unwrap();
        assert!(
            said.contains("drop") && said.contains("cleaned up"),
            "{said}"
        );

        // What has ended stands beside what would happen now.
        let now = lab.json(0, &["why", source]);
        assert_eq!(
            (&now["rule"], &now["past"][0]["id"]),
            (&wide.into(), &inner["id"]),
            "{now:#}"
        );
    }
    // It outlives the controller's memory.
    let remembered = lab.json(0, &["why", "192.0.2.10"])["past"][0].clone();
    lab.end(rustix::process::Signal::KILL);
    lab.start();
    let told = then(&lab, "192.0.2.10", &remembered["activated_at"]);
    assert_eq!(told["flag"]["id"], remembered["id"]);
}

#[test]
fn a_moment_that_is_none_is_refused_with_what_would_be_one() {
    let lab = Lab::started();
    for (at, expected) in [
        ("yesterday", "not a time"),
        ("2999-01-01T00:00:00Z", "has not come yet"),
    ] {
        let said = lab.outgate(&["why", "192.0.2.10", "--at", at]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains(expected), "{said:?}");
    }
    let nobody = lab.outgate(&["why", "192.0.2.10", "--at", "1h"]);
    assert_eq!(nobody.code, 0, "{nobody:?}");
    assert!(nobody.out.contains("no flag was in force"), "{nobody:?}");
}

#[test]
fn whose_it_was_is_told_beside_it() {
    let lab = Lab::started();
    for key in ["C-1", "C-2"] {
        lab.json(0, &["customer", "add", key, "--name", "Example Ltd"]);
    }
    for (prefix, source) in [
        ("192.0.2.64/28", "192.0.2.70"),
        ("2001:db8:a:a::/64", "2001:db8:a:a::7"),
    ] {
        lab.json(0, &["assign", prefix, "C-1"]);
        let flag = add(&lab, source, "drop");
        lab.json(0, &["assign", prefix, "C-2"]);
        let once = then(&lab, source, &flag["activated_at"]);
        assert_eq!(
            (&once["flag"]["id"], &once["assignment"]["customer"]),
            (&flag["id"], &"C-1".into()),
            "{once:#}"
        );
        let now = lab.json(0, &["why", source]);
        assert_eq!(
            (&now["assignment"]["customer"], &now["past"][0]["id"]),
            (&"C-2".into(), &flag["id"]),
            "{now:#}"
        );
        let said = lab.outgate(&["why", source]);
        assert!(said.out.contains("is customer C-2's"), "{said:?}");
    }
    assert!(lab.json(0, &["why", "192.0.2.10"])["assignment"].is_null());
}
