//! What the real program has given up, and that it works without it.

use std::collections::HashSet;
use std::fs;

use crate::host::{free_address, require_root, wait_until};
use crate::postfix::make_certificate;
use crate::program::Home;

fn home(tables: &str) -> Home {
    let listen = free_address();
    let tables = format!(
        "[[authorised]]\nlisten = [\"{listen}\"]\nfrom = [\"192.0.2.0/24\"]\ndestination = \"so-original-dst\"\n{tables}"
    );
    Home::authorised(false, &tables)
}

/// Lines of /proc/PID/task/*/status that begin so; each thread has its own.
fn status(id: u32, names: &[&str]) -> HashSet<String> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).unwrap();
    let texts =
        tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("status")).ok());
    texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| names.iter().any(|name| line.starts_with(name)))
        .collect()
}

const NAMES: &[&str] = &[
    "NoNewPrivs:",
    "Seccomp:",
    "CapEff:",
    "CapPrm:",
    "CapInh:",
    "CapBnd:",
    "CapAmb:",
];

#[test]
fn every_thread_has_given_up_what_it_does_not_need() {
    require_root();
    let home = home("");
    let program = home.start();
    let none = "0000000000000000";
    let expected =
        ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"].map(|set| format!("{set}:\t{none}"));
    let expected: HashSet<String> = expected
        .into_iter()
        .chain(["NoNewPrivs:\t1".into(), "Seccomp:\t2".into()])
        .collect();
    assert_eq!(status(program.id(), NAMES), expected);
    let log = home.log();
    for measure in ["files", "capabilities", "system_calls"] {
        let said = log
            .lines()
            .find(|line| line.contains(&format!("measure=\"{measure}\"")));
        assert!(
            said.is_some_and(|line| line.contains("INFO")),
            "{measure}: {log}"
        );
    }
    assert!(program.stop().success());
}

#[test]
fn certificates_are_read_again_and_other_files_are_not() {
    let certificates = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    for directory in [&certificates, &elsewhere] {
        make_certificate(directory.path(), "relay-1.example.net");
    }
    let (named, other) = (certificates.path().display(), elsewhere.path().display());
    let home = home(&format!(
        "[tls]\ncertificate = \"{named}/certificate.pem\"\nkey = \"{named}/key.pem\"\n"
    ));
    let program = home.start();
    // Renewed by renaming, as certbot does.
    make_certificate(elsewhere.path(), "renewed.example.net");
    for name in ["certificate.pem", "key.pem"] {
        let new = certificates.path().join("new");
        fs::copy(elsewhere.path().join(name), &new).unwrap();
        fs::rename(&new, certificates.path().join(name)).unwrap();
    }
    program.hang_up();
    wait_until("the new certificate", || {
        home.log().contains("configuration read again")
    });
    // A directory that the configuration did not name when the relay started.
    let file = home.path("relay.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(&named.to_string(), &other.to_string())).unwrap();
    program.hang_up();
    wait_until("the refusal", || {
        let log = home.log();
        log.contains("the old one stays in force") && log.contains("Permission denied")
    });
    assert!(program.stop().success());
}

#[test]
fn what_the_configuration_switches_off_is_kept_and_said() {
    require_root();
    let home = home("[sandbox]\nfiles = false\ncapabilities = false\nsystem_calls = false\n");
    let program = home.start();
    let found = status(program.id(), &["NoNewPrivs:", "Seccomp:"]);
    let expected = ["NoNewPrivs:\t0", "Seccomp:\t0"].map(str::to_owned);
    assert_eq!(found, HashSet::from(expected));
    assert_eq!(
        home.log()
            .matches("sandbox switched off by the configuration")
            .count(),
        3
    );
    assert!(program.stop().success());
}
