//! A policy as a file: applied, applied again, changed, and pruned within its own origin.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::lab::Lab;

impl Lab {
    fn policy(&self, text: &str) -> PathBuf {
        let path = self.config().with_file_name("policy.toml");
        fs::write(&path, text).unwrap();
        path
    }

    #[track_caller]
    fn apply(&self, code: i32, text: &str, more: &[&str]) -> Value {
        let path = self.policy(text);
        let apply = ["apply", "-f", path.to_str().unwrap()];
        self.json(code, &[&apply[..], more].concat())
    }
}

const FIRST: &str = r#"origin = "policy"

[[customer]]
id = "C-1"
name = "Example Ltd"

[[assignment]]
prefix = "192.0.2.64/29"
customer = "C-1"

[[assignment]]
prefix = "2001:db8:a:a::/64"
customer = "C-1"

[[flag]]
prefix = "192.0.2.70"
reason = "spam run"
action = "drop"

[[flag]]
prefix = "2001:db8:a:a::10"
reason = "spam run"
action = "drop"
"#;

const SECOND: &str = r#"origin = "policy"

[[customer]]
id = "C-2"
contact = "abuse@customer.example"

[[assignment]]
prefix = "192.0.2.64/29"
customer = "C-2"

[[flag]]
prefix = "192.0.2.71"
reason = "spam run"
action = "reset"
"#;

fn signs(changes: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let changes = changes.as_array().unwrap().iter();
    changes
        .map(|change| (text(&change["sign"]), text(&change["what"])))
        .collect()
}

#[test]
fn a_policy_is_what_stands_under_its_origin() {
    let lab = Lab::started();
    let add = [
        "flag",
        "add",
        "192.0.2.200",
        "--reason",
        "r",
        "--action",
        "drop",
    ];
    lab.json(0, &add);
    let generation = lab.json(0, &["status"])["generation"].clone();
    let differs = signs(&lab.apply(0, FIRST, &["--diff"]));
    let expected = [
        ("add", "C-1"),
        ("add", "192.0.2.64/29"),
        ("add", "2001:db8:a:a::/64"),
        ("add", "192.0.2.70/32"),
        ("add", "2001:db8:a:a::/64"),
    ];
    assert_eq!(
        differs,
        expected.map(|(sign, what)| (sign.to_owned(), what.to_owned()))
    );
    assert_eq!(lab.apply(0, FIRST, &["--dry-run"])["flags"], 2);
    assert_eq!(lab.json(0, &["status"])["generation"], generation);

    lab.apply(0, FIRST, &[]);
    for host in ["192.0.2.70", "2001:db8:a:a::11"] {
        assert_eq!(lab.json(0, &["why", host])["verdict"], "drop");
        let flag = lab.json(0, &["flag", "show", host]);
        assert_eq!(
            (&flag["customer"], &flag["origin"]),
            (&"C-1".into(), &"policy".into())
        );
    }
    // The same once more changes nothing.
    let generation = lab.json(0, &["status"])["generation"].clone();
    let again = lab.apply(0, FIRST, &[]);
    assert_eq!(
        (&again["unchanged"], &again["generation"]),
        (&2.into(), &Value::Null)
    );
    assert_eq!(lab.json(0, &["status"])["generation"], generation);
    assert!(signs(&lab.apply(0, FIRST, &["--diff"])).is_empty());

    let said = lab.outgate(&[
        "apply",
        "-f",
        lab.policy(SECOND).to_str().unwrap(),
        "--diff",
    ]);
    for line in [
        "+ customer C-2  abuse@customer.example  (line 3)",
        "- customer C-1  Example Ltd",
        "~ assignment 192.0.2.64/29  C-1  =>  C-2  (line 7)",
        "- assignment 2001:db8:a:a::/64  C-1",
        "+ flag 192.0.2.71/32  reset, for 168 h: spam run  (line 11)",
    ] {
        assert!(
            said.out.lines().any(|heard| heard == line),
            "{line:?} is not in: {}",
            said.out
        );
    }
    assert_eq!(said.code, 0);
    lab.apply(0, SECOND, &[]);
    for (host, verdict) in [("192.0.2.71", "tx"), ("192.0.2.200", "drop")] {
        assert_eq!(lab.json(0, &["why", host])["verdict"], verdict, "{host}");
    }
    assert_eq!(lab.json(0, &["why", "192.0.2.70"])["rule"], Value::Null);
    let ended = lab.json(0, &["flag", "show", "192.0.2.70"]);
    assert_eq!(ended["ended_reason"], "reassigned to C-2");
    assert_eq!(lab.outgate(&["customer", "show", "C-1"]).code, 2);
    assert_eq!(
        lab.json(0, &["who", "192.0.2.71"])["assignment"]["customer"],
        "C-2"
    );

    // An empty file of the origin takes back what it brought, and nothing else.
    lab.apply(0, "origin = \"policy\"\n", &[]);
    let left = lab.json(0, &["flag", "ls"]);
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!(left[0]["prefix"], "192.0.2.200/32");
    assert!(
        lab.json(0, &["assign", "ls"])
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn what_others_hold_is_left_alone_unless_it_is_taken_over() {
    let lab = Lab::started();
    for target in ["192.0.2.70", "2001:db8:a:a::10"] {
        let add = [
            "flag", "add", target, "--reason", "by hand", "--action", "observe",
        ];
        lab.json(0, &add);
    }
    lab.json(0, &["customer", "add", "C-9"]);
    lab.json(0, &["assign", "192.0.2.64/29", "C-9"]);
    let applied = lab.apply(4, FIRST, &[]);
    assert_eq!(applied["conflicts"], 3, "{applied:#}");
    assert_eq!(
        applied["changes"][0]["held_by"],
        "no origin: made one by one"
    );
    for host in ["192.0.2.70", "2001:db8:a:a::10"] {
        assert_eq!(lab.json(0, &["flag", "show", host])["reason"], "by hand");
    }
    assert_eq!(
        lab.json(0, &["who", "192.0.2.70"])["assignment"]["customer"],
        "C-9"
    );
    let taken = lab.apply(0, FIRST, &["--take-over"]);
    assert_eq!(taken["conflicts"], 0);
    for host in ["192.0.2.70", "2001:db8:a:a::10"] {
        let flag = lab.json(0, &["flag", "show", host]);
        assert_eq!(
            (&flag["reason"], &flag["origin"]),
            (&"spam run".into(), &"policy".into())
        );
    }
    assert_eq!(
        lab.json(0, &["who", "192.0.2.70"])["assignment"]["customer"],
        "C-1"
    );
    let bad = lab.outgate(&["apply", "-f", "/nowhere"]);
    assert_eq!(bad.code, 1);
}
