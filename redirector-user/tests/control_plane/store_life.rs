//! Copies of the store, a store that is damaged, and what is in force meanwhile.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;

use crate::{
    beneath::{meddle, policies},
    command::{Said, said},
    lab::Lab,
};

/// Runs `outgated` to its end.
fn refused(lab: &Lab) -> Said {
    let mut command = lab.inside(env!("CARGO_BIN_EXE_outgated"));
    said(command.arg("--config").arg(lab.config()))
}

fn drop_flag(lab: &Lab, target: &str) {
    lab.json(
        0,
        &["flag", "add", target, "--reason", "r", "--action", "drop"],
    );
}

/// Has copies made by itself, into a directory of its own.
fn with_backups(lab: &Lab) -> PathBuf {
    let directory = lab.config().parent().unwrap().join("backups");
    fs::create_dir(&directory).unwrap();
    let more = format!(
        "\n[store]\nbackup_directory = \"{}\"\nbackup_keep = 2\n",
        directory.display()
    );
    fs::write(lab.config(), lab.text() + &more).unwrap();
    directory
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn metrics(lab: &Lab) -> String {
    let mut curl = Command::new("curl");
    let curl = curl.args(["--silent", "--unix-socket"]).arg(lab.socket());
    said(curl.arg("http://outgated/metrics")).out
}

#[test]
fn a_damaged_store_is_set_aside_and_what_is_in_force_stays() {
    let mut lab = Lab::new();
    let backups = with_backups(&lab);
    lab.start();
    drop_flag(&lab, "192.0.2.10");
    drop_flag(&lab, "2001:db8:a:a::10");
    let made = lab.json(0, &["store", "backup"]);
    let backup = made["file"].as_str().unwrap().to_owned();
    assert!(backup.starts_with(backups.to_str().unwrap()), "{made}");
    drop_flag(&lab, "192.0.2.11");
    lab.end(Signal::TERM);
    let before = policies(&lab);
    assert_eq!(before.len(), 3, "{before:?}");

    let database = lab.database();
    let mut octets = fs::read(&database).unwrap();
    let length = octets.len();
    octets[length / 2..length / 2 + 8192].fill(0xa5);
    fs::write(&database, &octets).unwrap();
    for start in ["first", "second"] {
        let said = refused(&lab);
        assert_eq!(said.code, 65, "{start}: {said:?}");
        let command = format!("outgate store restore {backup}");
        for part in [
            "outgate.db.corrupt-",
            &command,
            "The kernel was not touched",
        ] {
            assert!(
                said.err.contains(part),
                "{start}: {part} is not in {said:?}"
            );
        }
        assert!(!database.exists(), "{start}");
        assert_eq!(
            policies(&lab),
            before,
            "{start}: the kernel holds what it held"
        );
    }
    let state = database.parent().unwrap();
    let aside = names(state)
        .into_iter()
        .find(|name| name.contains(".corrupt-"))
        .unwrap();
    assert_eq!(
        fs::read(state.join(aside)).unwrap(),
        octets,
        "it is evidence"
    );

    let config = lab.config();
    let restore = [
        "store",
        "restore",
        &backup,
        "--config",
        config.to_str().unwrap(),
    ];
    assert_eq!(lab.json(0, &restore)["flags"], 2);
    lab.start();
    for (customer, verdict) in [
        ("192.0.2.10", "drop"),
        ("192.0.2.11", "pass"),
        ("2001:db8:a:a::10", "drop"),
    ] {
        assert_eq!(
            lab.json(0, &["why", customer])["verdict"],
            verdict,
            "{customer}"
        );
    }
    assert_eq!(lab.outgate(&["audit", "verify"]).code, 0);
    let said = lab.outgate(&restore);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(
        said.err
            .contains("another outgated runs on this state_dir; stop it first"),
        "{said:?}"
    );
}

#[test]
fn copies_are_made_by_themselves_checked_and_counted() {
    let mut lab = Lab::new();
    let backups = with_backups(&lab);
    fs::write(backups.join("mine.txt"), "").unwrap();
    lab.start();
    lab.until("a first copy", |_| {
        names(&backups).iter().any(|name| name.ends_with(".db"))
    });
    lab.until("its age is told", |lab| {
        metrics(lab).contains("outgated_store_backup_age_seconds")
    });
    drop_flag(&lab, "192.0.2.10");
    let by_hand = backups.parent().unwrap().join("by-hand.db");
    let by_hand = by_hand.to_str().unwrap();
    lab.json(0, &["store", "backup", by_hand]);
    let said = lab.outgate(&["store", "backup", by_hand]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(
        said.err.contains("there is such a file already"),
        "{said:?}"
    );
    for file in [None, Some(by_hand)] {
        let said = lab.outgate(
            &["store", "check"]
                .into_iter()
                .chain(file)
                .collect::<Vec<_>>(),
        );
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.out.contains("sound"), "{said:?}");
    }
    let rows = lab.json(0, &["audit", "ls", "--kind", "store backed up"]);
    let actors: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["actor"].as_str().unwrap())
        .collect();
    assert_eq!(actors, ["outgated", "tester"]);
    // Once a day: a start does not make another.
    lab.end(Signal::TERM);
    lab.start();
    lab.until("its age is told again", |lab| {
        metrics(lab).contains("outgated_store_backup_age_seconds")
    });
    assert_eq!(names(&backups).len(), 2);

    // Where it cannot be written, people hear of it.
    lab.end(Signal::TERM);
    fs::remove_dir_all(&backups).unwrap();
    lab.start();
    lab.until("the failure is an event", |lab| {
        let events = lab.json(0, &["events", "--kind", "backup_failed"]);
        events
            .as_array()
            .unwrap()
            .iter()
            .any(|event| event["kind"] == "backup_failed")
    });
    lab.until("and is counted", |lab| {
        metrics(lab).contains("outgated_store_backup_failures_total 1")
    });
}

#[test]
fn a_store_of_a_newer_version_or_changed_by_hand_is_refused() {
    let mut lab = Lab::started();
    drop_flag(&lab, "192.0.2.10");
    lab.end(Signal::TERM);
    let before = policies(&lab);
    for (sql, expected) in [
        (
            "DROP TRIGGER audit_is_never_deleted",
            "trigger audit_is_never_deleted is missing",
        ),
        (
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9999, 'later', 1, x'00', 0)",
            "written by a newer outgated: its schema has step 9999",
        ),
    ] {
        meddle(&lab.database(), sql);
        let said = refused(&lab);
        assert_eq!(said.code, 65, "{said:?}");
        assert!(said.err.contains(expected), "{said:?}");
        assert_eq!(policies(&lab), before);
        assert!(lab.database().exists(), "its rows are sound");
    }
}
