//! What the binaries say about a configuration or a right that is missing. No lab is needed.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::Result;
use lab::binaries::Binaries;

/// What a program printed.
fn words(output: &Output) -> String {
    [output.stdout.as_slice(), output.stderr.as_slice()]
        .concat()
        .escape_ascii()
        .to_string()
}

fn check(program: &Path, config: &Path) -> Result<Output> {
    Ok(Command::new(program)
        .arg("--config")
        .arg(config)
        .arg("--check")
        .output()?)
}

#[test]
fn a_malformed_configuration_names_file_key_and_value() -> Result<()> {
    let binaries = Binaries::beside_this_executable()?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("bad.toml");
    for (program, text, key, value) in [
        (
            binaries.outgated()?,
            OUTGATED.replace("\"closed\"", "\"ajar\""),
            "on_failure",
            "ajar",
        ),
        (
            binaries.outgated()?,
            OUTGATED.replace("192.0.2.0/24", "192.0.2.0/33"),
            "customer_prefixes",
            "192.0.2.0/33",
        ),
        (
            binaries.outgated()?,
            OUTGATED.replace("help_url", "help_urn"),
            "help_urn",
            "help_url",
        ),
        (
            binaries.relay()?,
            RELAY.replace("127.0.0.1:2525", "127.0.0.1"),
            "listen",
            "127.0.0.1",
        ),
        (
            binaries.relay()?,
            RELAY.replace("\"builtin\"", "\"oracle\""),
            "kind",
            "oracle",
        ),
    ] {
        fs::write(&path, &text)?;
        let output = check(&program, &path)?;
        let words = words(&output);
        assert_eq!(
            output.status.code(),
            Some(78),
            "{}: {words}",
            program.display()
        );
        for expected in ["bad.toml", key, value] {
            assert!(words.contains(expected), "{expected} is not in: {words}");
        }
    }
    for (program, text) in [(binaries.outgated()?, OUTGATED), (binaries.relay()?, RELAY)] {
        fs::write(&path, text)?;
        let output = check(&program, &path)?;
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}: {}",
            program.display(),
            words(&output)
        );
    }
    Ok(())
}

#[test]
fn a_missing_privilege_is_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("outgated.toml");
    // Root may make the store before it finds what it may not do: a directory of its own, or another
    // version's store would stand there.
    let state_dir = dir.path().display().to_string();
    fs::write(&path, OUTGATED.replace("/nonexistent", &state_dir))?;
    let output = Command::new("setpriv")
        .args([
            "--bounding-set=-all",
            "--inh-caps=-all",
            "--ambient-caps=-all",
        ])
        .arg(Binaries::beside_this_executable()?.outgated()?)
        .arg("--config")
        .arg(&path)
        .output()?;
    // It may make the directory before it finds that it may not make maps.
    if Path::new(PIN_DIR).exists() {
        fs::remove_dir_all(PIN_DIR)?;
    }
    let words = words(&output);
    assert_eq!(output.status.code(), Some(77), "{words}");
    assert!(
        words.contains("CAP_BPF") || words.contains("CAP_NET_ADMIN"),
        "{words}"
    );
    Ok(())
}

/// As in the configurations below.
const PIN_DIR: &str = "/sys/fs/bpf/outgate-lab-none";

const OUTGATED: &str = r#"
operator = "Example Hosting"
help_url = "https://abuse.example.net/smtp"
socket = "/nonexistent/outgated.sock"
state_dir = "/nonexistent"
customer_prefixes = ["192.0.2.0/24"]
[edge]
pin_dir = "/sys/fs/bpf/outgate-lab-none"
[[pool]]
name = "default"
via = "rewrite"
on_failure = "closed"
[[pool.relay]]
name = "relay-1"
address = ["198.51.100.2"]
port = 2525
[health]
interval = "2s"
timeout = "1s"
"#;

const RELAY: &str = r#"
name = "relay-1"
operator = "Example Hosting"
hostname = "relay-1.example.net"
help_url = "https://abuse.example.net/smtp"
listen = ["127.0.0.1:2525"]
[controller]
socket = "/nonexistent/outgated.sock"
cache = "/nonexistent/snapshot.json"
[origin]
pin_dir = "/sys/fs/bpf/outgate-lab-none"
[message]
spill_dir = "/tmp"
[[scanner]]
kind = "builtin"
"#;
