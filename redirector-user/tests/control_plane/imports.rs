//! Files under an origin: what they touch, what they leave alone, and how much they may change.

use std::{fmt::Write as _, fs, path::PathBuf};

use serde_json::Value;

use crate::lab::Lab;

impl Lab {
    fn written(&self, name: &str, text: &str) -> PathBuf {
        let path = self.config().with_file_name(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Imports flags under an origin.
    #[track_caller]
    fn flags_of(&self, code: i32, origin: &str, text: &str, more: &[&str]) -> Value {
        let path = self.written("flags", text);
        let import = ["flag", "import", path.to_str().unwrap(), "--origin", origin];
        self.json(code, &[&import[..], more].concat())
    }
}

#[test]
fn an_origin_touches_its_own_and_prunes_its_own() {
    let lab = Lab::started();
    let by_hand = [
        "flag",
        "add",
        "192.0.2.1",
        "--reason",
        "by hand",
        "--action",
        "drop",
    ];
    lab.json(0, &by_hand);
    let first = "prefix,reason,action\n192.0.2.2,spam,drop\n2001:db8:a:a::2,spam,drop\n192.0.2.3,spam,drop\n";
    lab.flags_of(0, "billing", first, &["--prune"]);
    let generation = lab.json(0, &["status"])["generation"].clone();
    let again = lab.flags_of(0, "billing", first, &["--prune"]);
    assert_eq!(
        (&again["unchanged"], &again["first"]),
        (&3.into(), &Value::Null)
    );
    assert_eq!(lab.json(0, &["status"])["generation"], generation);

    // JSON is the same; another origin's rows, and a person's, are left alone.
    let json = r#"[{"prefix": "192.0.2.1", "reason": "spam", "action": "drop"},
        {"prefix": "192.0.2.2", "reason": "more spam", "action": "drop"},
        {"prefix": "2001:db8:a:a::2", "reason": "spam", "action": "drop"}]"#;
    let differs = lab.flags_of(0, "billing", json, &["--prune", "--diff"]);
    let signs: Vec<_> = differs
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            (
                change["sign"].as_str().unwrap(),
                change["what"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("conflict", "192.0.2.1/32"),
        ("change", "192.0.2.2/32"),
        ("remove", "192.0.2.3/32"),
    ];
    assert_eq!(signs, expected);
    assert_eq!(lab.json(0, &["status"])["generation"], generation);
    let done = lab.flags_of(4, "billing", json, &["--prune"]);
    let counts =
        ["replaced", "unchanged", "lifted", "conflicts"].map(|name| done[name].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1, 1]);
    let lifted = lab.json(0, &["flag", "show", "192.0.2.3"]);
    assert_eq!(
        (&lifted["ended_by"], &lifted["ended_reason"]),
        (
            &"tester".into(),
            &"not in the file of origin billing any more".into()
        )
    );
    assert_eq!(
        lab.json(0, &["flag", "show", "192.0.2.1"])["reason"],
        "by hand"
    );

    let other = lab.flags_of(4, "abuse", json, &[]);
    assert_eq!(other["conflicts"], 1, "{other:#}");
    let other = lab.flags_of(0, "abuse", "prefix,reason\n", &["--prune"]);
    assert_eq!(other["lifted"], 0);
    assert_eq!(lab.json(0, &["flag", "ls"]).as_array().unwrap().len(), 3);
    let path = lab.written("flags", first);
    let heard = lab.outgate(&["flag", "import", path.to_str().unwrap(), "--prune"]);
    assert_eq!(heard.code, 1, "{heard:?}");
    assert!(heard.err.contains("--origin"), "{heard:?}");
}

#[test]
fn a_file_that_changes_too_much_is_refused_with_the_figures() {
    let lab = Lab::started();
    let many = |hosts: u32, six: bool| {
        let mut text = String::from("prefix,reason,action\n");
        for host in 1..=hosts {
            let host = match six {
                true => format!("2001:db8:a:{host:x}::/64"),
                false => format!("192.0.2.{host}"),
            };
            writeln!(text, "{host},r,drop").unwrap();
        }
        lab.written(if six { "six" } else { "four" }, &text)
    };
    for (path, said) in [
        (
            many(13, false),
            "13 of the 256 addresses of 192.0.2.0/24, where 12 may",
        ),
        (many(51, true), "51 customers, where 50 may"),
    ] {
        let import = ["flag", "import", path.to_str().unwrap()];
        let heard = lab.outgate(&import);
        assert_eq!(heard.code, 3, "{heard:?}");
        assert!(heard.err.contains(said), "{said:?} is not in {heard:?}");
        assert!(heard.err.contains("--override-guard"), "{heard:?}");
        let judged = lab.outgate(&[&import[..], &["--dry-run"]].concat());
        assert_eq!(judged.code, 3, "{judged:?}");
        assert!(judged.out.contains("nothing was changed"), "{judged:?}");
        let heard = lab.outgate(&[&import[..], &["--diff"]].concat());
        assert_eq!(heard.code, 0, "{heard:?}");
        assert!(heard.out.starts_with("+ flag "), "{heard:?}");
        assert!(lab.json(0, &["flag", "ls"]).as_array().unwrap().is_empty());
    }
    // What belongs to one customer is one customer.
    lab.json(0, &["customer", "add", "C-1"]);
    lab.json(0, &["assign", "2001:db8:a::/48", "C-1"]);
    let path = many(51, true);
    lab.json(0, &["flag", "import", path.to_str().unwrap()]);
    let path = many(13, false);
    let import = [
        "flag",
        "import",
        path.to_str().unwrap(),
        "--override-guard",
        "ticket 4711",
    ];
    lab.json(0, &import);
    assert_eq!(lab.json(0, &["why", "192.0.2.13"])["verdict"], "drop");
    let logged = lab.logged();
    assert!(logged.contains("a guard was overridden"), "{logged}");
    assert!(logged.contains("ticket 4711"), "{logged}");
}

#[test]
fn the_bounds_are_configured() {
    let mut lab = Lab::new();
    let text = format!(
        "{}\n[guards]\nimport_percent = 100\nimport_customers = 1\n",
        lab.text()
    );
    fs::write(lab.config(), text).unwrap();
    lab.start();
    let path = lab.written("flags", "prefix,reason,action\n192.0.2.0/24,r,drop\n");
    lab.json(0, &["flag", "import", path.to_str().unwrap()]);
    let path = lab.written(
        "flags",
        "prefix,reason,action\n192.0.2.1,r,drop\n2001:db8:a:a::1,r,drop\n",
    );
    let heard = lab.outgate(&["flag", "import", path.to_str().unwrap()]);
    assert_eq!(heard.code, 3, "{heard:?}");
    assert!(heard.err.contains("2 customers, where 1 may"), "{heard:?}");
}

#[test]
fn assignments_come_from_netbox_and_end_flags_when_they_change() {
    let lab = Lab::started();
    let export = |four: &str, six: &str| {
        let text = format!(
            r#"{{"count": 3, "next": null, "results": [
            {{"prefix": "192.0.2.64/29", "tenant": {{"name": "Example Ltd", "slug": "{four}"}}, "status": {{"value": "active"}}}},
            {{"address": "2001:db8:a:a::10/64", "tenant": {{"name": "Example Ltd", "slug": "{six}"}}, "status": {{"value": "active"}}}},
            {{"prefix": "192.0.2.128/25", "tenant": null, "status": {{"value": "active"}}}}]}}"#
        );
        lab.written("netbox.json", &text)
    };
    let take = |path: PathBuf, more: &[&str]| {
        let import = [
            "assign",
            "import",
            path.to_str().unwrap(),
            "--origin",
            "netbox",
            "--prune",
        ];
        lab.json(0, &[&import[..], more].concat())
    };
    let done = take(export("one", "two"), &[]);
    let counts = ["assignments", "reassigned", "customers", "ended"]
        .map(|name| done[name].as_u64().unwrap());
    assert_eq!(counts, [2, 2, 2, 0]);
    assert_eq!(done["skipped"]["without a tenant"], 1);
    let again = take(export("one", "two"), &[]);
    assert_eq!(
        (&again["reassigned"], &again["generation"]),
        (&0.into(), &Value::Null)
    );
    let hosts = ["192.0.2.70", "2001:db8:a:a::10"];
    for host in hosts {
        lab.json(
            0,
            &["flag", "add", host, "--reason", "r", "--action", "drop"],
        );
    }
    let differs = take(export("three", "two"), &["--diff"]);
    let change = &differs.as_array().unwrap()[1];
    assert_eq!(
        (&change["before"], &change["after"]),
        (&"one".into(), &"three".into()),
        "{differs:#}"
    );
    let done = take(export("three", "two"), &[]);
    assert_eq!(
        (&done["reassigned"], &done["ended"]),
        (&1.into(), &1.into())
    );
    let [four, six] = hosts.map(|host| lab.json(0, &["flag", "show", host]));
    assert_eq!(four["ended_reason"], "reassigned to three");
    assert_eq!(
        (&six["state"], &six["customer"]),
        (&"active".into(), &"two".into())
    );
    assert_eq!(lab.json(0, &["why", "192.0.2.70"])["rule"], Value::Null);
    // A table of our own under another origin leaves that alone.
    let path = lab.written(
        "ipam.csv",
        "prefix,customer,name\n192.0.2.64/29,C-1,Example\n192.0.2.8/29,C-1,\n",
    );
    let import = [
        "assign",
        "import",
        path.to_str().unwrap(),
        "--origin",
        "ipam",
    ];
    let done = lab.json(4, &import);
    assert_eq!(
        (&done["conflicts"], &done["reassigned"]),
        (&1.into(), &1.into())
    );
    assert_eq!(done["changes"][0]["held_by"], "netbox");
    assert_eq!(
        lab.json(0, &["who", "192.0.2.64"])["assignment"]["customer"],
        "three"
    );
    // Many prefixes that change hands are more than a file may do.
    let other = lab.written("netbox.json", r#"{"results": []}"#);
    let import = [
        "assign",
        "import",
        other.to_str().unwrap(),
        "--origin",
        "netbox",
        "--prune",
    ];
    lab.json(0, &import);
    let wide = lab.written("ipam.csv", "prefix,customer\n192.0.2.0/24,C-1\n");
    lab.json(
        0,
        &[
            "assign",
            "import",
            wide.to_str().unwrap(),
            "--origin",
            "wide",
        ],
    );
    let wide = lab.written("ipam.csv", "prefix,customer\n192.0.2.0/24,C-2\n");
    let heard = lab.outgate(&[
        "assign",
        "import",
        wide.to_str().unwrap(),
        "--origin",
        "wide",
    ]);
    assert_eq!(heard.code, 3, "{heard:?}");
    assert!(
        heard
            .err
            .contains("256 of the 256 addresses of 192.0.2.0/24"),
        "{heard:?}"
    );
}
