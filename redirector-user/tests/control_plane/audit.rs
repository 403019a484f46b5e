//! `outgate audit`: what stands in the trail, what was done to it, and a copy of it that proves itself.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use redirector_user::store::{
    Store,
    audit::{Entry, Kind},
};
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

/// What a controller did that ran so many days ago.
fn days_ago(file: &Path, days: u32) {
    sqlx::any::install_default_drivers();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let at = SystemTime::now() - days * Duration::from_secs(24 * 3600);
    runtime.block_on(async {
        let store = Store::open(file).await.unwrap();
        let entry = Entry {
            at: at.try_into().unwrap(),
            actor: String::from("alice"),
            kind: Kind::Viewed,
            subject: String::from("audit"),
            payload: serde_json::json!({ "what": "long ago" }),
        };
        store.record(entry).await.unwrap();
        store.close().await;
    });
}

#[test]
fn what_is_older_than_it_is_kept_goes_and_the_rest_proves_itself() {
    let mut lab = Lab::new();
    for days in [500, 450, 402, 398] {
        days_ago(&lab.database(), days);
    }
    let text = lab.text();
    fs::write(lab.config(), format!("{text}\n[audit]\nkeep = \"ever\"\n")).unwrap();
    lab.start();
    let proof = |lab: &Lab| lab.json(0, &["audit", "verify"])["writers"][0].clone();
    let head_at = |lab: &Lab, seq: i64| {
        let rows = lab.json(0, &["audit", "ls", "-n", "1000"]);
        let rows = rows.as_array().unwrap().clone();
        let row = rows.iter().find(|row| row["seq"] == seq).unwrap();
        format!(
            "{}:{seq}:{}",
            row["writer"].as_str().unwrap(),
            row["hash"].as_str().unwrap()
        )
    };
    let add = [
        "flag",
        "add",
        "2001:db8:a:a::10",
        "--reason",
        "r",
        "--action",
        "drop",
    ];
    lab.json(0, &add);
    assert_eq!(proof(&lab)["first"], 1);
    let heads = [2, 3, 4].map(|seq| head_at(&lab, seq));
    lab.end(Signal::TERM);

    // With the default, 400 days.
    fs::write(lab.config(), text).unwrap();
    lab.start();
    lab.until("the oldest rows go", |lab| proof(lab)["first"] == 4);
    let rows = lab.json(0, &["audit", "ls", "--kind", "trail_pruned"]);
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows:#}");
    assert_eq!(
        (&rows[0]["actor"], &rows[0]["subject"]),
        (
            &"outgated".into(),
            &format!("audit:{}", heads[1]).as_str().into()
        )
    );
    let shown = lab.json(0, &["flag", "show", "2001:db8:a:a::10"]);
    assert_eq!(shown["history"][0]["event"], "flag added");
    // Heads of what is left, and of where it begins, are met; one of a row that has gone cannot be.
    assert_eq!(
        verify(&lab, &["--head", &heads[1], "--head", &heads[2]]).code,
        0
    );
    let said = verify(&lab, &["--head", &heads[0]]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.out.contains("its chain begins with row 4, because"),
        "{said:?}"
    );
    // An export of it proves itself, too, and one whose beginning was cut off does not.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trail.jsonl");
    let path = file.to_str().unwrap();
    lab.json(0, &["audit", "export", path]);
    assert_eq!(verify(&lab, &["--file", path]).code, 0);
    let whole = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let cut = [&lines[..1], &lines[2..]].concat().join("\n");
    let rows = lines.len() - 2;
    let cut = cut.replace(
        &format!("\"rows\":{rows}"),
        &format!("\"rows\":{}", rows - 1),
    );
    fs::write(&file, cut).unwrap();
    let said = verify(&lab, &["--file", path]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("a row before it is missing"), "{said:?}");

    // Over a restart; and what is done to it is found as ever.
    lab.end(Signal::KILL);
    lab.start();
    lab.until("it is verified", |lab| {
        lab.logged().contains("audit trail verified")
    });
    assert_eq!(proof(&lab)["first"], 4);
    meddle_with_trail(&lab.database(), "DELETE FROM audit WHERE seq = 4");
    let said = verify(&lab, &[]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.out
            .contains("BROKEN at row 5: a row before it is missing"),
        "{said:?}"
    );
}
