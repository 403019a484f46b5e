//! `[submission]`: its defaults, what it needs beside it, and mistakes in it.

use relay::config::Config;

use super::{EXAMPLE, left_out};

const NEEDED: &str = "[spool]\ndir = \"/var/spool/outgate-relay\"\n";

fn parse(table: &str) -> Result<Config, String> {
    let text = format!("{EXAMPLE}\n{NEEDED}{table}");
    Config::parse(&text).map_err(|error| error.to_string())
}

#[test]
fn what_the_example_says_about_submission_is_true() {
    let explicit = parse(&left_out("[submission]"))
        .unwrap()
        .submission
        .unwrap();
    let mut implied = String::new();
    for line in left_out("[submission]").lines() {
        if ["[", "listen", "name"]
            .iter()
            .any(|it| line.starts_with(it))
        {
            implied += &format!("{line}\n");
        }
    }
    let implied = parse(&implied).unwrap().submission.unwrap();
    assert_eq!(format!("{implied:?}"), format!("{explicit:?}"));
    assert_eq!((explicit.listen.len(), explicit.listen_tls.len()), (2, 2));
    assert_eq!(explicit.name.as_deref(), Some("submit.example.net"));
    assert!(parse("").unwrap().submission.is_none());
}

#[test]
fn submission_alone_is_a_relay() {
    let listen = EXAMPLE.replacen("\nlisten = ", "\n# listen = ", 1);
    let text = format!("{listen}\n{NEEDED}{}", left_out("[submission]"));
    let config = Config::parse(&text).unwrap();
    assert!(config.rewritten.is_none() && config.submission.is_some());
    let error = Config::parse(&listen).unwrap_err().to_string();
    assert!(error.contains("[[authorised]] or [submission]"), "{error}");
}

#[test]
fn mistakes_are_named() {
    let cases = [
        (
            "listen = []",
            "submission.listen: []: must name at least one",
        ),
        (
            "listen = [\"587\"]",
            "submission.listen: 587: must be ADDRESS:PORT",
        ),
        (
            "listen = [\"198.51.100.2:2525\"]",
            "submission.listen: 198.51.100.2:2525: is another listener, too",
        ),
        (
            "listen = [\"198.51.100.2:587\"]\nlisten_tls = [\"198.51.100.2:587\"]",
            "submission.listen_tls: 198.51.100.2:587: is another listener, too",
        ),
        (
            "connections = 0",
            "submission.connections: 0: must be between 1 and 20000",
        ),
        (
            "connections = 5\nconnections_per_address = 6",
            "submission.connections_per_address: 6: must be between 1 and 5",
        ),
        (
            "failures_per_address_per_hour = 0",
            "submission.failures_per_address_per_hour: 0: must be between 1 and 3600",
        ),
        (
            "failures_per_user_per_hour = 3601",
            "submission.failures_per_user_per_hour: 3601: must be",
        ),
        (
            "name = \"submit\"",
            "submission.name: submit: must be a fully qualified",
        ),
        ("users = []", "submission.users: users: unknown field"),
    ];
    for (lines, expected) in cases {
        let listen = match lines.starts_with("listen") {
            true => "",
            false => "listen = [\"198.51.100.2:587\"]\n",
        };
        let error = parse(&format!("[submission]\n{listen}{lines}\n")).unwrap_err();
        assert!(error.starts_with(expected), "{lines}: {error}");
    }
}

#[test]
fn it_needs_a_spool_and_ways_to_domains() {
    let text = format!("{EXAMPLE}\n{}", left_out("[submission]"));
    let error = Config::parse(&text).unwrap_err().to_string();
    assert!(
        error.starts_with("spool: absent: must be there beside [submission]"),
        "{error}"
    );
    let nobody = EXAMPLE.replacen(
        "#servers = [\"127.0.0.1\", \"[::1]:53\"]",
        "servers = []",
        1,
    );
    assert_ne!(nobody, EXAMPLE);
    let text = format!("{nobody}\n{NEEDED}{}", left_out("[submission]"));
    let error = Config::parse(&text).unwrap_err().to_string();
    assert!(
        error.starts_with("dns.servers: absent: must name a resolver"),
        "{error}"
    );
    let routed = format!("{text}[[route]]\ndomain = \"*\"\nto = [\"192.0.2.1\"]\n");
    assert!(Config::parse(&routed).is_ok());
}

#[test]
fn a_port_is_one_listeners() {
    let acme = left_out("[acme]").replace(":80\"", ":587\"");
    let error = parse(&(acme + &left_out("[submission]"))).unwrap_err();
    let expected = "submission.listen: 198.51.100.2:587: is another listener, too";
    assert!(error.starts_with(expected), "{error}");
}
