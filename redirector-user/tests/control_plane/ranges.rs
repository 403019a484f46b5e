//! Announced prefixes of which nobody has thought.

use std::fs;

use crate::lab::Lab;

#[test]
fn announced_prefixes_without_a_policy_are_named() {
    let lab = Lab::started();
    let directory = tempfile::tempdir().unwrap();
    let lines = directory.path().join("announced.txt");
    let netbox = directory.path().join("netbox.json");
    fs::write(
        &lines,
        "192.0.2.0/28\n2001:db8:a::/48  # rack 7\n198.51.100.0/24\n",
    )
    .unwrap();
    fs::write(
        &netbox,
        r#"{"results": [{"prefix": "192.0.2.0/28"}, {"prefix": "2001:db8:a::/48"}, {"prefix": "198.51.100.0/24"}]}"#,
    )
    .unwrap();
    let (lines, netbox) = (lines.to_str().unwrap(), netbox.to_str().unwrap());

    let gaps = lab.json(4, &["range", "gaps", lines]);
    assert_eq!(gaps, lab.json(4, &["range", "gaps", netbox]));
    assert_eq!(gaps.as_array().unwrap().len(), 3, "{gaps:#}");
    assert_eq!(
        (&gaps[0]["prefix"], &gaps[0]["left"][0], &gaps[0]["covered"]),
        (&"192.0.2.0/28".into(), &"192.0.2.0/28".into(), &0.0.into())
    );
    // Nobody there is a customer, so nobody there can be flagged.
    assert_eq!(
        (&gaps[1]["prefix"], &gaps[1]["customers"]),
        (&"198.51.100.0/24".into(), &false.into())
    );

    let add = |target: &str| {
        let arguments = ["--reason", "new range", "--action", "observe"];
        lab.json(0, &[&["flag", "add", target], &arguments[..]].concat())
    };
    add("192.0.2.0/29");
    add("2001:db8:a::/48");
    let gaps = lab.json(4, &["range", "gaps", lines]);
    assert_eq!(
        (&gaps[0]["left"], &gaps[0]["covered"]),
        (&serde_json::json!(["192.0.2.8/29"]), &0.5.into()),
        "{gaps:#}"
    );
    assert_eq!(gaps.as_array().unwrap().len(), 2, "{gaps:#}");
    add("192.0.2.8/29");
    fs::write(lines, "192.0.2.0/28\n2001:db8:a::/48\n").unwrap();
    let said = lab.outgate(&["range", "gaps", lines]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("all 2 announced"), "{said:?}");
}

#[test]
fn a_file_that_is_none_is_refused_by_line() {
    let lab = Lab::started();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("announced.txt");
    let path = file.to_str().unwrap();
    for (content, expected) in [
        (&b"192.0.2.0/24\n192.0.2.1/24\n"[..], "line 2"),
        (b"\xff\xfe1\0", "not UTF-8"),
        (b"192.0.2.0/24\n\0\0", "line 2"),
        (b"", "no prefix"),
    ] {
        fs::write(&file, content).unwrap();
        let said = lab.outgate(&["range", "gaps", path]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(
            said.err.contains(expected) && said.err.contains(path),
            "{said:?}"
        );
    }
}

#[test]
fn a_new_prefix_has_a_default_and_the_most_specific_wins() {
    let lab = Lab::started();
    for (range, host, other) in [
        ("192.0.2.0/26", "192.0.2.10", "192.0.2.11"),
        ("2001:db8:a::/48", "2001:db8:a:a::10", "2001:db8:a:b::10"),
    ] {
        let word = ["--reason", "new range", "--review", "90d"];
        let added = lab.json(0, &[&["range", "add", range], &word[..]].concat());
        assert_eq!(
            (&added["action"], &added["approval"], &added["state"]),
            (&"observe".into(), &"pending".into(), &"active".into())
        );
        let flag = ["flag", "add", host, "--reason", "spam", "--action", "drop"];
        let narrow = lab.json(0, &flag);
        let why = |source: &str| lab.json(0, &["why", source])["flag_id"].clone();
        assert_eq!(
            (why(host), why(other)),
            (narrow["id"].clone(), added["id"].clone())
        );
        let approve = [
            "flag", "approve", range, "--reason", "agreed", "--actor", "berta",
        ];
        assert_eq!(lab.json(0, &approve)["approval"], "approved");
    }
    let ranges = lab.json(0, &["range", "ls"]);
    let prefixes: Vec<_> = ranges
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["prefix"])
        .collect();
    assert_eq!(prefixes, ["192.0.2.0/26", "2001:db8:a::/48"], "{ranges:#}");
    let said = lab.outgate(&["range", "add", "203.0.113.0/24", "--reason", "not ours"]);
    assert_eq!(said.code, 3, "{said:?}");
}
