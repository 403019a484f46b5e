//! Scanners that the example leaves out, and mistakes in them.

use relay::config::{Config, Listed, ProgramAddress, ScannerConfig};
use relay_proto::verdict::{Concern, OnError};

use super::{EXAMPLE, check};

/// The example with another scanner.
fn with(scanner: &str) -> String {
    let table = "\n[[scanner]]\n";
    EXAMPLE.replacen(table, &format!("{table}{scanner}{table}"), 1)
}

/// The table of this kind that the example leaves out, with its defaults.
fn left_out(kind: &str) -> String {
    let head = format!("\n#[[scanner]]\n#kind = \"{kind}\"\n");
    let (_, rest) = EXAMPLE.split_once(&head).expect("the example has it");
    let lines = rest.lines().map_while(|line| line.strip_prefix('#'));
    let settings = lines.filter(|line| !line.starts_with(' '));
    let head = head.replace('#', "");
    settings.fold(head, |text, line| text + line + "\n")
}

#[test]
fn clamd_is_at_a_socket_or_an_address() {
    let clamd = left_out("clamd");
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
        let socket = ProgramAddress::Unix("/run/clamav/clamd.ctl".into());
        assert_eq!(found, Some((&socket, 30, OnError::Defer)));
    }
    for address in ["127.0.0.1:3310", "[2001:db8::1]:3310"] {
        let text = with(&format!("kind = \"clamd\"\naddress = \"{address}\""));
        let config = Config::parse(&text).unwrap();
        let at = ProgramAddress::Tcp(address.parse().unwrap());
        assert!(format!("{:?}", config.scanners).contains(&format!("{at:?}")));
    }
}

#[test]
fn a_milter_finds_spam_unless_it_is_said_to_find_malware() {
    let spam = "kind = \"milter\"\naddress = \"[::1]:8891\"";
    let malware = left_out("milter");
    let socket = ProgramAddress::Unix("/run/clamav/clamav-milter.ctl".into());
    let tcp = ProgramAddress::Tcp("[::1]:8891".parse().unwrap());
    for (text, address, finds, on_error) in [
        (
            EXAMPLE.to_owned() + &malware,
            socket,
            Concern::Malware,
            OnError::Defer,
        ),
        (with(spam), tcp, Concern::Spam, OnError::Limit),
    ] {
        let config = Config::parse(&text).unwrap();
        let found = config.scanners.iter().find_map(|scanner| match scanner {
            ScannerConfig::Milter {
                address,
                finds,
                deadline,
                on_error,
            } => Some((address.clone(), *finds, deadline.as_secs(), *on_error)),
            _ => None,
        });
        assert_eq!(found, Some((address, finds, 30, on_error)));
    }
}

#[test]
fn lists_are_asked_only_by_who_writes_them_down() {
    let asks = |scanner: &ScannerConfig| {
        matches!(scanner, ScannerConfig::Dnsbl(_) | ScannerConfig::Uribl(_))
    };
    assert!(!Config::parse(EXAMPLE).unwrap().scanners.iter().any(asks));
    let text = EXAMPLE.to_owned() + &left_out("dnsbl") + &left_out("uribl");
    let config = Config::parse(&text).unwrap();
    let mut found = Vec::new();
    for scanner in &config.scanners {
        let (zones, deadline, on_error) = match scanner {
            ScannerConfig::Dnsbl(config) => (&config.zones, config.deadline, config.on_error),
            ScannerConfig::Uribl(config) => {
                assert_eq!(config.hosts_max, 30);
                (&config.zones, config.deadline, config.on_error)
            }
            _ => continue,
        };
        assert_eq!((deadline.as_secs(), on_error), (5, OnError::Open));
        for zone in zones {
            found.push((zone.name.as_str().to_owned(), zone.means, zone.addresses));
        }
    }
    let spam = Listed::Found(Concern::Spam);
    let expected = [
        ("zen.dnsbl.example", spam, false),
        ("zen.dnsbl.example", Listed::LogOdds(1.0), false),
        ("dbl.dnsbl.example", spam, false),
        ("multi.dnsbl.example", Listed::LogOdds(3.0), true),
    ];
    assert_eq!(
        found,
        expected.map(|(name, means, addresses)| (name.to_owned(), means, addresses))
    );

    let nobody = text.replacen("#servers = [", "servers = [] #[", 1);
    assert_ne!(nobody, text);
    let error = Config::parse(&nobody).unwrap_err().to_string();
    assert!(
        error.starts_with("dns.servers: []: must name a resolver"),
        "{error}"
    );
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
        (
            "kind = \"milter\"",
            "scanner.socket: absent: must be there for a milter",
        ),
        (
            "kind = \"milter\"\nsocket = \"/run/m\"\nfinds = \"ham\"",
            "scanner.finds: ham: must be",
        ),
        (
            "kind = \"dnsbl\"\nzones = []",
            "scanner.zones: 0: must name 1 to 16 lists",
        ),
        (
            "kind = \"dnsbl\"\nzones = [{ name = \"a b\", hits = \"127.0.0.2\", log_odds = 1.0 }]",
            "scanner.zones.name: a b: must be the domain of a list",
        ),
        (
            "kind = \"dnsbl\"\nzones = [{ name = \"l.example\", log_odds = 1.0 }]",
            "scanner.zones.hits: l.example: must say which answers are hits",
        ),
        (
            "kind = \"dnsbl\"\nzones = [{ name = \"l.example\", bits = 0, log_odds = 1.0 }]",
            "scanner.zones.hits: l.example: must say which answers are hits",
        ),
        (
            "kind = \"dnsbl\"\nzones = [{ name = \"l.example\", hits = \"127.0.0.2\", bits = 4, log_odds = 1.0 }]",
            "scanner.zones.hits: 127.0.0.2: cannot stand beside bits",
        ),
        (
            "kind = \"dnsbl\"\nzones = [{ name = \"l.example\", hits = \"127.0.0.9-127.0.0.2\", log_odds = 1.0 }]",
            "scanner.zones.hits: 127.0.0.9-127.0.0.2: must be addresses of 127.0.0.0/8",
        ),
        (
            "kind = \"dnsbl\"\nzones = [{ name = \"l.example\", hits = \"192.0.2.1\", log_odds = 1.0 }]",
            "scanner.zones.hits: 192.0.2.1: must be addresses of 127.0.0.0/8",
        ),
        (
            "kind = \"dnsbl\"\nzones = [{ name = \"l.example\", hits = \"127.0.0.2\" }]",
            "scanner.zones: l.example: must have either log_odds",
        ),
        (
            "kind = \"dnsbl\"\nzones = [{ name = \"l.example\", hits = \"127.0.0.2\", log_odds = inf }]",
            "scanner.zones.log_odds: inf: must be -20 to 20",
        ),
        (
            "kind = \"dnsbl\"\nzones = [{ name = \"l.example\", hits = \"127.0.0.2\", log_odds = 1.0, addresses = true }]",
            "scanner.zones.addresses: l.example: is for lists of domains",
        ),
        (
            "kind = \"uribl\"\nhosts_max = 101\nzones = [{ name = \"l.example\", bits = 2, log_odds = 1.0 }]",
            "scanner.hosts_max: 101: must be 1 to 100",
        ),
    ] {
        let error = Config::parse(&with(lines)).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{lines}\n{error}");
    }
    check(
        "# neutral_at = 4.5",
        "neutral_at = nan",
        "scanner.neutral_at: NaN: must be a number",
    );
    check(
        "# per_point = 0.65",
        "per_point = 11.0",
        "scanner.per_point: 11: must be 0 to 10",
    );
    check(
        "# clears_by = 0.0",
        "clears_by = -1.0",
        "scanner.clears_by: -1: must be 0 to 12",
    );
}
