//! The configuration file: the example is right, and mistakes are named.

use std::path::Path;
use std::process::Command;

use relay::config::{Config, ScannerConfig};

mod acme;
mod authorised;
mod egress;
mod names;
mod operator;
mod peers;
mod quarantine;
mod reports;
mod scanners;
mod spool;
mod submission;

const EXAMPLE: &str = include_str!("../../../deploy/relay.toml");

/// A table that the example leaves out, as it would stand in force.
fn left_out(table: &str) -> String {
    let (_, rest) = EXAMPLE
        .split_once(&format!("\n#{table}\n"))
        .expect("the example has it");
    let lines = rest.lines().map_while(|line| line.strip_prefix('#'));
    let settings = lines.filter(|line| !line.starts_with(' '));
    settings.fold(format!("{table}\n"), |text, line| text + line + "\n")
}

#[test]
fn the_example_is_a_configuration() {
    let config = Config::parse(EXAMPLE).unwrap();
    assert_eq!(config.name, "relay-1");
    assert_eq!(config.rewritten.unwrap().listen.len(), 2);
    assert!(config.transparent.is_empty());
    assert!(config.splice.approved.is_empty());
    let journal = Path::new("/var/lib/outgate-relay/learnt.journal");
    assert_eq!(config.splice.learnt, journal);
    assert!(matches!(
        config.scanners[..],
        [ScannerConfig::Builtin, ScannerConfig::Rspamd { .. }]
    ));
}

#[test]
fn what_the_example_says_about_defaults_is_true() {
    let explicit: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting)
                if setting.contains(" = ") && !setting.contains("/etc/outgate/relay.") =>
            {
                setting
            }
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_ne!(explicit, EXAMPLE);
    let (implied, explicit) = (
        Config::parse(EXAMPLE).unwrap(),
        Config::parse(&explicit).unwrap(),
    );
    assert_eq!(format!("{implied:?}"), format!("{explicit:?}"));
}

/// Replaces a line of the example by another, and tells what the program says about it.
#[track_caller]
fn check(line: &str, wrong: &str, expected: &str) {
    assert!(EXAMPLE.contains(line), "{line:?} is not in the example");
    let error = Config::parse(&EXAMPLE.replacen(line, wrong, 1))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(expected),
        "{wrong:?}\nexpected: {expected}\n     got: {error}"
    );
}

#[test]
fn a_mistake_names_key_and_value() {
    check(
        "# state_dir = \"/var/lib/outgate-relay\"",
        "state_dir = \"lib\"",
        "state_dir: lib: must be an absolute path",
    );
    check(
        "name = \"relay-1\"",
        "name = \"relay 1\"",
        "name: relay 1: must be 1 to 64",
    );
    check(
        "operator = \"Example Hosting\"",
        "operator = \"A (B)\"",
        "operator: A (B): must be",
    );
    check(
        "hostname = \"relay-1.example.net\"",
        "hostname = \"relay\"",
        "hostname: relay: must be",
    );
    check(
        "help_url = \"https:",
        "help_url = \"ftp:",
        "help_url: ftp://abuse.example.net/smtp: must",
    );
    check(
        "[\"198.51.100.2:2525\", ",
        "[\"198.51.100.2\", ",
        "listen: 198.51.100.2: must be",
    );
    check(
        "listen = [\"198.51.100.2:2525\", \"[2001:db8:2::2]:2525\"]",
        "listen = []",
        "listen: []:",
    );
    check(
        "# transparent = []",
        "transparent = [\"198.51.100.2:25\"]",
        "transparent: 198.51.100.2:25: must be 0.0.0.0:25 or [::]:25",
    );
    check(
        "# transparent = []",
        "transparent = [\"0.0.0.0:2525\"]",
        "transparent: 0.0.0.0:2525: must be",
    );
    check(
        "# approved = []",
        "approved = [\"203.0.113.7\", \"mx\"]",
        "splice.approved: mx: must be an address or prefix",
    );
    check(
        "# approved = []",
        "approved = [\"::/0\"]",
        "splice.approved: ::/0: would splice everything",
    );
    check(
        "# max_octets = 1073741824",
        "max_octets = 65535",
        "splice.max_octets: 65535: must be at least 65536",
    );
    check(
        "# max_duration = \"1h\"",
        "max_duration = \"59s\"",
        "splice.max_duration: 59s: must be between 60s and",
    );
    check(
        "# idle = \"11m\"",
        "idle = \"0s\"",
        "splice.idle: 0s: must be between 1s and",
    );
    check(
        "# sessions_per_customer = 20",
        "sessions_per_customer = 0",
        "splice.sessions_per_customer: 0: must be",
    );
    check(
        "# delay_after = \"0s\"",
        "delay_after = \"1m\"",
        "notifications.delay_after: 1m: must be 0s, which is never, or between 600s",
    );
    check(
        "# from = \"mailer-daemon@relay-1.example.net\"",
        "from = \"mailer-daemon\"",
        "notifications.from: mailer-daemon: must be a mailbox",
    );
    check(
        "# per_domain_per_hour = 100",
        "per_domain_per_hour = 0",
        "notifications.per_domain_per_hour: 0: must be between",
    );
    check(
        "# learnt_per_customer = 20",
        "learnt_per_customer = 1001",
        "splice.learnt_per_customer: 1001: must be at most 1000",
    );
    check(
        "# learnt = \"/var",
        "learnt = \"var",
        "splice.learnt: var/lib/outgate-relay/learnt.journal: must be",
    );
    check(
        "# log = \"info\"",
        "log = \"relay=loud\"",
        "log: relay=loud: ",
    );
    check(
        "# log_format = \"text\"",
        "log_format = \"xml\"",
        "log_format: xml: must be",
    );
    check(
        "cache = \"/var",
        "cache = \"var",
        "controller.cache: var/lib/outgate-relay/snapshot.json: must be",
    );
    check(
        "# max_octets = 52428800",
        "max_octets = 10",
        "message.max_octets: 10: must be",
    );
    check(
        "# max_octets = 52428800",
        "max_octets = \"50M\"",
        "message.max_octets: \"50M\": invalid type",
    );
    check(
        "# memory_octets = 262144",
        "memory_octets = 99999999999",
        "message.memory_octets: 99999999999:",
    );
    check(
        "# connections = 1000",
        "connections = 0",
        "limits.connections: 0: must be",
    );
    check(
        "# connections = 1000",
        "connections = 10",
        "limits.connections_per_customer: 50: must be",
    );
    check(
        "# connections = 1000",
        "conections = 10",
        "limits.conections: conections: unknown field",
    );
    check(
        "# drain = \"30s\"",
        "drain = \"soon\"",
        "limits.drain: soon: must be between",
    );
    check(
        "deadline = \"10s\"",
        "deadline = \"10m\"",
        "scanner.deadline: 10m: must be between",
    );
    check(
        "on_error = \"limit\"",
        "on_error = \"shut\"",
        "scanner.on_error: shut: must be",
    );
    check(
        "url = \"http:",
        "url = \"https:",
        "scanner.url: https://127.0.0.1:11333/checkv2: must be",
    );
    check(
        "kind = \"builtin\"",
        "kind = \"magic\"",
        "scanner[0].kind: ",
    );
    check(
        "# malware = \"reject+keep\"",
        "malware = \"disinfect\"",
        "verdict.malware: disinfect: must be",
    );
    check(
        "# spam_log_odds = 7.0",
        "spam_log_odds = nan",
        "verdict.spam_log_odds: NaN: must be a number above 0",
    );
    check(
        "# unscanned_per_hour = 20",
        "unscanned_per_hour = 0",
        "verdict.unscanned_per_hour: 0: must be at least 1",
    );
    check(
        "# tier = \"body\"",
        "tier = \"subject\"",
        "verdict.tier: subject: must be",
    );
    for (line, wrong, expected) in [
        ("pause = \"0s\"", "pause = \"1m\"", "pause: 1m: must be"),
        (
            "early_talk = \"defer\"",
            "early_talk = \"shout\"",
            "early_talk: shout: must be",
        ),
        (
            "max_duration = \"2h\"",
            "max_duration = \"1m\"",
            "max_duration: 1m: must be",
        ),
        (
            "max_line_octets = 1048576",
            "max_line_octets = 998",
            "max_line_octets: 998: must be 0",
        ),
        (
            "max_received = 100",
            "max_received = 1",
            "max_received: 1: must be 0",
        ),
        (
            "stressed_at = 80",
            "stressed_at = 0",
            "stressed_at: 0: must be between",
        ),
        (
            "max_messages = 5000",
            "max_messages = 5001",
            "max_messages: 5001: must be between 1 and",
        ),
        (
            "max_recipients = 100",
            "max_recipients = 99",
            "max_recipients: 99: must be between 100",
        ),
    ] {
        check(&format!("# {line}"), wrong, &format!("session.{expected}"));
    }
    check("name = \"relay-1\"", "name = relay-1", "line 15: relay-1: ");
}

#[test]
fn one_kind_of_listener_is_enough() {
    let listen = "listen = [\"198.51.100.2:2525\", \"[2001:db8:2::2]:2525\"]\n";
    let transparent = "transparent = [\"0.0.0.0:25\", \"[::]:25\"]\n";
    let origin = "[origin]\n";
    let pin_dir = "pin_dir = \"/sys/fs/bpf/outgate\"\n";
    for line in [listen, origin, pin_dir] {
        assert!(EXAMPLE.contains(line), "{line}");
    }
    let steered = EXAMPLE
        .replace(listen, transparent)
        .replace(origin, "")
        .replace(pin_dir, "");
    let config = Config::parse(&steered).unwrap();
    assert!(config.rewritten.is_none());
    assert_eq!(config.transparent.len(), 2);

    let without_origin = steered.replace(transparent, listen);
    let error = Config::parse(&without_origin).unwrap_err().to_string();
    assert!(
        error.starts_with("origin.pin_dir: absent: must stand beside listen"),
        "{error}"
    );
}

#[test]
fn the_program_names_the_file_too_and_exits_78() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("relay.toml");
    let run = |text: &str| {
        std::fs::write(&file, text).unwrap();
        program(&file, &["--check"])
    };
    assert_eq!(run(EXAMPLE), (Some(0), String::new()));
    let wrong = EXAMPLE.replace("name = \"relay-1\"", "name = \"\"");
    let (code, error) = run(&wrong);
    assert_eq!(code, Some(78), "{error}");
    assert!(
        error.starts_with(&format!(
            "outgate-relay: {}: name: : must be",
            file.display()
        )),
        "{error}"
    );

    let with_tls = EXAMPLE.replace(
        "[message]",
        "[tls]\ncertificate = \"/nonexistent\"\nkey = \"/nonexistent\"\n[message]",
    );
    let (code, error) = run(&with_tls);
    assert_eq!(code, Some(78), "{error}");
    assert!(
        error.contains("relay.toml: tls.certificate: /nonexistent: "),
        "{error}"
    );

    let (code, error) = program(&directory.path().join("absent"), &[]);
    assert_eq!(code, Some(78), "{error}");
}

fn program(config: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_outgate-relay"))
        .arg("--config")
        .arg(config)
        .args(arguments)
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}
