//! `outgate audit`: what stands in the trail, what was done to it, and a copy of it that proves itself.

use std::{fs, path::Path};

use rustix::process::Signal;
use serde_json::Value;

use crate::{beneath::meddle_with_trail, command::Said, lab::Lab};

/// Flags one customer of each family, and lifts one flag.
fn worked() -> Lab {
    let lab = Lab::started();
    for target in ["192.0.2.10", "2001:db8:a:a::10"] {
        lab.json(
            0,
            &[
                "flag", "add", target, "--reason", "spam run", "--action", "drop",
            ],
        );
    }
    lab.json(
        0,
        &[
            "flag",
            "rm",
            "1",
            "--reason",
            "cleaned up",
            "--actor",
            "bob",
        ],
    );
    lab
}

fn verify(lab: &Lab, arguments: &[&str]) -> Said {
    lab.outgate(&[&["audit", "verify"], arguments].concat())
}

#[test]
fn the_trail_is_listed_by_what_it_is_about() {
    let lab = worked();
    let rows = |arguments: &[&str]| -> Vec<(String, String, String)> {
        let rows = lab.json(0, &[&["audit", "ls"], arguments].concat());
        let rows = rows.as_array().unwrap().iter();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        rows.map(|row| (text(row, "kind"), text(row, "actor"), text(row, "subject")))
            .collect()
    };
    let row = |kind: &str, actor: &str, subject: &str| {
        (kind.to_owned(), actor.to_owned(), subject.to_owned())
    };
    let of_first = [
        row("flag added", "tester", "flag:1"),
        row("flag activated", "outgated", "flag:1"),
        row("flag lifted", "bob", "flag:1"),
    ];
    assert_eq!(rows(&["--subject", "flag:1"]), of_first);
    assert_eq!(rows(&["--actor", "bob", "--since", "1h"]), of_first[2..]);
    assert_eq!(rows(&["--kind", "flag_added"]).len(), 2);
    assert_eq!(
        rows(&["--kind", "flag added", "-n", "1"]),
        [row("flag added", "tester", "flag:2")]
    );
    assert!(rows(&["--since", "2099-01-01T00:00:00Z"]).is_empty());
    let said = lab.outgate(&["audit", "ls", "--subject", "flag:1"]);
    assert!(said.out.contains("cleaned up"), "{said:?}");
    assert_eq!(lab.outgate(&["audit", "ls", "--since", "soon"]).code, 1);
}

#[test]
fn whatever_is_done_to_the_trail_is_found_with_its_writer_and_its_row() {
    let cases = [
        (
            "UPDATE audit SET actor = 'mallory' WHERE subject = 'flag:2' AND kind = 'flag added'",
            "it was changed",
        ),
        (
            "UPDATE audit SET payload = '{}' WHERE subject = 'flag:2' AND kind = 'flag added'",
            "its payload was changed",
        ),
        (
            "DELETE FROM audit WHERE subject = 'flag:1' AND kind = 'flag added'",
            "a row before it is missing",
        ),
        (
            "UPDATE audit SET seq = -seq WHERE seq IN (2, 3); UPDATE audit SET seq = 5 + seq WHERE seq < 0",
            "it does not follow",
        ),
    ];
    let lab = worked();
    let sound = lab.json(0, &["audit", "verify"]);
    let writer = sound["writers"][0]["writer"].as_str().unwrap();
    let shown = verify(&lab, &[]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(
        shown
            .out
            .contains(sound["writers"][0]["head"].as_str().unwrap()),
        "{shown:?}"
    );
    drop(lab);
    for (sql, expected) in cases {
        let lab = worked();
        meddle_with_trail(&lab.database(), sql);
        let said = verify(&lab, &[]);
        assert_eq!(said.code, 1, "{sql}: {said:?}");
        assert!(
            said.out.contains("BROKEN at row ") && said.out.contains(expected),
            "{sql}: {said:?}"
        );
        let proof = lab.json(1, &["audit", "verify"]);
        let broken = &proof["writers"][0];
        assert!(
            broken["writer"].as_str().unwrap().starts_with("outgated-"),
            "{sql}: {proof}"
        );
        assert!(
            broken["broken"]["seq"].as_i64().unwrap() > 0,
            "{sql}: {proof}"
        );
    }
    assert!(writer.starts_with("outgated-"), "{writer}");
}

#[test]
fn an_end_that_was_cut_off_is_noticed_by_whoever_kept_it() {
    let lab = worked();
    let proof = lab.json(0, &["audit", "verify"]);
    let head = proof["writers"][0]["head"].as_str().unwrap();
    let hash = head.rsplit(':').next().unwrap();
    let last = proof["writers"][0]["last"].as_i64().unwrap();
    // Rows that came later do not matter.
    lab.json(
        0,
        &[
            "flag",
            "add",
            "192.0.2.20",
            "--reason",
            "r",
            "--action",
            "drop",
        ],
    );
    assert_eq!(verify(&lab, &["--head", head, "--head", hash]).code, 0);
    meddle_with_trail(
        &lab.database(),
        &format!("DELETE FROM audit WHERE seq >= {last}"),
    );
    assert_eq!(
        verify(&lab, &[]).code,
        0,
        "nothing in a chain can show that"
    );
    for kept in [head, hash] {
        let said = verify(&lab, &["--head", kept]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(
            said.out.contains(&format!("no row has {kept} any more")),
            "{said:?}"
        );
    }
}

#[test]
fn an_export_proves_itself_without_a_controller() {
    let mut lab = worked();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (file, part) = (path("trail.jsonl"), path("part.jsonl"));
    lab.json(0, &["audit", "export", &text(&file)]);
    let out = lab.outgate(&["audit", "export", "--since", "1h", "-"]);
    assert_eq!(out.code, 0, "{out:?}");
    fs::write(&part, &out.out).unwrap();
    let viewed = lab.json(0, &["audit", "ls", "--kind", "viewed"]);
    assert_eq!(viewed.as_array().unwrap().len(), 2, "{viewed}");
    assert_eq!(
        (&viewed[0]["actor"], &viewed[0]["subject"]),
        (&"tester".into(), &"audit".into())
    );
    let head = lab.json(0, &["audit", "verify"])["writers"][0]["head"]
        .as_str()
        .unwrap()
        .to_owned();

    lab.end(Signal::TERM);
    for file in [&file, &part] {
        assert_eq!(verify(&lab, &["--file", &text(file)]).code, 0);
    }
    let said = verify(&lab, &["--file", &text(&file), "--head", &head]);
    assert_eq!(said.code, 1, "it was made before that head: {said:?}");

    let whole = fs::read_to_string(&file).unwrap();
    let changed = whole.replacen("\"tester\"", "\"mallory\"", 1);
    fs::write(path("changed.jsonl"), changed).unwrap();
    let said = verify(&lab, &["--file", &text(&path("changed.jsonl"))]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains(": it was changed"), "{said:?}");
    let lines: Vec<_> = whole.lines().collect();
    fs::write(path("cut.jsonl"), lines[..lines.len() - 2].join("\n")).unwrap();
    let said = verify(&lab, &["--file", &text(&path("cut.jsonl"))]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("the last line is missing"), "{said:?}");
    let said = verify(&lab, &["--file", &text(&path("none.jsonl"))]);
    assert_eq!(said.code, 1, "{said:?}");
}
