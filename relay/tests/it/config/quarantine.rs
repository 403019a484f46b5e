//! `[quarantine]` and `[privacy]`: their defaults, what they need beside them, and mistakes in them.

use std::path::Path;

use relay::config::Config;

use super::{EXAMPLE, left_out};

const NEEDED: &str = "[spool]\ndir = \"/var/spool/outgate-relay\"\n";

fn parse(table: &str) -> Result<Config, String> {
    let text = format!("{EXAMPLE}\n{NEEDED}{table}");
    Config::parse(&text).map_err(|error| error.to_string())
}

#[test]
fn what_the_example_says_about_the_quarantine_is_true() {
    let table = left_out("[quarantine]");
    let explicit = parse(&table).unwrap().quarantine.unwrap();
    let recipients = table.lines().find(|line| line.starts_with("recipients"));
    let implied = format!("[quarantine]\n{}\n", recipients.unwrap());
    let implied = parse(&implied).unwrap().quarantine.unwrap();
    assert_eq!(implied, explicit);
    assert_eq!(implied.dir, Path::new("/var/lib/outgate-relay/quarantine"));
    assert_eq!(implied.recipients.len(), 1);
    let example = Config::parse(EXAMPLE).unwrap();
    assert!(example.quarantine.is_none() && example.privacy.redact);
}

#[test]
fn mistakes_are_named() {
    for (wrong, expected) in [
        (
            "store = \"s3://bucket/x\"",
            "quarantine.store: s3://bucket/x: must be a directory of this host",
        ),
        (
            "store = \"file:///\"",
            "quarantine.store: file:///: must be",
        ),
        (
            "store = \"file://relative\"",
            "quarantine.store: file://relative: must be",
        ),
        (
            "recipients = [\"age1x\"]",
            "quarantine.recipients: age1x: not a recipient of age",
        ),
        (
            "max_octets = 1000",
            "quarantine.max_octets: 1000: must be at least",
        ),
        (
            "max_records = 0",
            "quarantine.max_records: 0: must be between 1 and",
        ),
        (
            "per_customer_per_hour = 0",
            "quarantine.per_customer_per_hour: 0: must be at least 1",
        ),
        (
            "bodies_days = 0",
            "quarantine.bodies_days: 0: must be between",
        ),
        (
            "bodies_days = 100",
            "quarantine.metadata_days: 90: must not be less than bodies_days (100)",
        ),
        (
            "metadata_days = 500",
            "quarantine.audit_days: 400: must not be less than metadata_days (500)",
        ),
        ("tier = \"body\"", "quarantine.tier: "),
    ] {
        let error = parse(&format!("[quarantine]\n{wrong}\n")).unwrap_err();
        assert!(error.starts_with(expected), "{wrong}: {error}");
    }
    let without_spool = Config::parse(&format!("{EXAMPLE}\n[quarantine]\n"));
    let error = without_spool.unwrap_err().to_string();
    assert!(
        error.contains("quarantine: without [spool]: needs [spool]"),
        "{error}"
    );
    let hold = EXAMPLE.replace("# spam = \"reject+keep\"", "spam = \"keep\"");
    let error = Config::parse(&hold).unwrap_err().to_string();
    assert!(
        error.contains("\"hold\"") && error.contains("\"reject+keep\""),
        "{error}"
    );
}
