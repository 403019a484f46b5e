//! Scanners that the example leaves out, and mistakes in them.

use relay::config::{ClamdAddress, Config, ScannerConfig};
use relay_proto::verdict::OnError;

use super::{EXAMPLE, check};

/// The example with another scanner.
fn with(scanner: &str) -> String {
    let table = "\n[[scanner]]\n";
    EXAMPLE.replacen(table, &format!("{table}{scanner}{table}"), 1)
}

#[test]
fn clamd_is_at_a_socket_or_an_address() {
    let clamd = super::left_out("[[scanner]]");
    let defaults = "kind = \"clamd\"\nsocket = \"/run/clamav/clamd.ctl\"";
    for text in [EXAMPLE.to_owned() + &clamd, with(defaults)] {
        let config = Config::parse(&text).unwrap();
        let found = config.scanners.iter().find_map(|scanner| match scanner {
            ScannerConfig::Clamd {
                address,
                deadline,
                on_error,
            } => Some((address, deadline.as_secs(), *on_error)),
            _ => None,
        });
        let socket = ClamdAddress::Unix("/run/clamav/clamd.ctl".into());
        assert_eq!(found, Some((&socket, 30, OnError::Defer)));
    }
    for address in ["127.0.0.1:3310", "[2001:db8::1]:3310"] {
        let text = with(&format!("kind = \"clamd\"\naddress = \"{address}\""));
        let config = Config::parse(&text).unwrap();
        let at = ClamdAddress::Tcp(address.parse().unwrap());
        assert!(format!("{:?}", config.scanners).contains(&format!("{at:?}")));
    }
}

#[test]
fn spam_passes_a_scanner_that_is_away_within_a_bound() {
    let without = EXAMPLE.replacen("\non_error = \"limit\"\n", "\n", 1);
    assert_ne!(without, EXAMPLE);
    for text in [EXAMPLE, &without] {
        let config = Config::parse(text).unwrap();
        let found = config.scanners.iter().find_map(|scanner| match scanner {
            ScannerConfig::Rspamd { on_error, .. } => Some(*on_error),
            _ => None,
        });
        assert_eq!(found, Some(OnError::Limit));
    }
}

#[test]
fn mistakes_in_scanners_are_named() {
    for (lines, expected) in [
        (
            "kind = \"clamd\"",
            "scanner.socket: absent: must be there for clamd",
        ),
        (
            "kind = \"clamd\"\nsocket = \"clamd.ctl\"",
            "scanner.socket: clamd.ctl: must be an absolute path",
        ),
        (
            "kind = \"clamd\"\naddress = \"localhost:3310\"",
            "scanner.address: localhost:3310: must be ADDRESS:PORT",
        ),
        (
            "kind = \"clamd\"\naddress = \"127.0.0.1:3310\"\nsocket = \"/run/clamd\"",
            "scanner.address: 127.0.0.1:3310: cannot stand beside socket",
        ),
        (
            "kind = \"clamd\"\nsocket = \"/run/clamd\"\non_error = \"shut\"",
            "scanner.on_error: shut: must be",
        ),
        (
            "kind = \"clamd\"\nsocket = \"/run/clamd\"\ndeadline = \"3m\"",
            "scanner.deadline: 3m: must be between",
        ),
        (
            "kind = \"clamd\"\nsockets = 5",
            "scanner[0]: [[scanner]]: unknown field `sockets`",
        ),
    ] {
        let error = Config::parse(&with(lines)).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{lines}\n{error}");
    }
    check(
        "# neutral_at = 6.0",
        "neutral_at = nan",
        "scanner.neutral_at: NaN: must be a number",
    );
    check(
        "# per_point = 0.5",
        "per_point = 11.0",
        "scanner.per_point: 11: must be 0 to 10",
    );
}
