//! `[spool]`: what the example says of its defaults is true, and mistakes name key and value.

use std::path::Path;

use relay::config::Config;

use super::{EXAMPLE, check};

#[test]
fn the_example_says_its_defaults() {
    let (before, table) = EXAMPLE.split_once("#[spool]").unwrap();
    let explicit: String = table
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let explicit = Config::parse(&format!("{before}[spool]{explicit}"));
    let explicit = explicit.unwrap().spool.unwrap();
    assert_eq!(explicit.dir, Path::new("/var/spool/outgate-relay"));
    let implied = format!("{before}[spool]\ndir = \"/var/spool/outgate-relay\"\n");
    let implied = Config::parse(&implied).unwrap().spool.unwrap();
    assert_eq!(format!("{implied:?}"), format!("{explicit:?}"));
    assert!(Config::parse(EXAMPLE).unwrap().spool.is_none());
}

#[test]
fn mistakes_are_named() {
    for (wrong, expected) in [
        ("", "spool: "),
        ("dir = \"spool\"", "spool.dir: spool: must be an absolute"),
        (
            "segment_octets = 100000",
            "spool.segment_octets: 100000: must be a multiple of 4096 between",
        ),
        (
            "segment_octets = 4096",
            "spool.segment_octets: 4096: must be a multiple of 4096 between",
        ),
        (
            "large_octets = 33554432",
            "spool.large_octets: 33554432: must be between 4096 and a quarter",
        ),
        (
            "max_octets = 200000000",
            "spool.max_octets: 200000000: must be at least four times",
        ),
        ("linger = \"1s\"", "spool.linger: 1s: must be between"),
        ("sync = false", "spool.sync: "),
    ] {
        let dir = match wrong {
            "" => "",
            _ if wrong.starts_with("dir") => "",
            _ => "dir = \"/var/spool/outgate-relay\"\n",
        };
        check("#[spool]", &format!("[spool]\n{dir}{wrong}"), expected);
    }
}
