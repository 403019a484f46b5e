//! `[listings]`.

use std::{num::NonZeroU32, time::Duration};

use super::*;
use crate::{
    config::{Listings, Zone},
    dnsbl::Family,
    precheck::Fqdn,
};

#[test]
fn nobody_is_asked_unless_a_list_is_named() {
    let with = |keys: &str| parse(&format!("{WHOLE}\n[listings]\n{keys}"));
    let hours = |hours: u64| Duration::from_secs(3600 * hours);
    let usual = Listings {
        zones: Vec::new(),
        resolvers: Vec::new(),
        rate: NonZeroU32::new(5).unwrap(),
        sweep: hours(24),
        watch: hours(1),
        confirm: Duration::from_secs(600),
        keep: Some(hours(24 * 400)),
    };
    assert_eq!(parse(WHOLE).unwrap().listings, usual);
    assert_eq!(with("").unwrap().listings, usual);
    let keys = "resolvers = [\"[::1]:5353\"]\nrate = 100\nsweep = \"2d\"\nwatch = \"30m\"\nconfirm = \"90s\"\nkeep = \"ever\"
        [[listings.zone]]\nname = \"Zen.Example.\"\nfamilies = [\"ipv6\", \"ipv4\"]\ncounts = [\"127.0.0.2\", \"127.0.0.4/30\"]
        [[listings.zone]]\nname = \"four.example\"";
    let counts = |text: &str| text.parse().unwrap();
    let other = Listings {
        zones: vec![
            Zone {
                name: Fqdn::new("zen.example").unwrap(),
                families: Family::ALL.into(),
                counts: vec![counts("127.0.0.2/32"), counts("127.0.0.4/30")],
            },
            Zone {
                name: Fqdn::new("four.example").unwrap(),
                families: [Family::V4].into(),
                counts: vec![counts("127.0.0.0/8")],
            },
        ],
        resolvers: vec!["[::1]:5353".parse().unwrap()],
        rate: NonZeroU32::new(100).unwrap(),
        sweep: hours(48),
        watch: Duration::from_secs(1800),
        confirm: Duration::from_secs(90),
        keep: None,
    };
    assert_eq!(with(keys).unwrap().listings, other);
}

#[test]
fn what_no_list_could_be_is_named() {
    let zone = |keys: &str| format!("[[listings.zone]]\nname = \"zen.example\"\n{keys}");
    let answers = "not answers of a list; allowed are prefixes and addresses in 127.0.0.0/8 but not in 127.255.255.0/24, by which \
                   lists say that they do not answer";
    for (keys, expected) in [
        (
            String::from("resolvers = [\"localhost\"]"),
            String::from(
                "listings.resolvers[0]: \"localhost\": not a resolver; allowed is ADDRESS or ADDRESS:PORT, as 127.0.0.1 or \
                 [::1]:5353",
            ),
        ),
        (
            String::from("rate = 0"),
            String::from("listings.rate: 0: out of range; allowed are 1 to 10000"),
        ),
        (
            String::from("watch = \"0s\""),
            String::from(
                "listings.watch: \"0s\": not a time; allowed are 1s to 60d, as \"90s\", \"1h\" or \"2d\"",
            ),
        ),
        (
            String::from("keep = \"1h\""),
            String::from(
                "listings.keep: \"1h\": not a time; allowed are 24h to 3660d, as \"90s\", \"1h\" or \"2d\", and \"ever\"",
            ),
        ),
        (
            String::from("[[listings.zone]]\nname = \"zen\""),
            String::from(
                "listings.zone[0].name: \"zen\": not the name of a list in the DNS; allowed is a full name, as zen.example",
            ),
        ),
        (
            zone("[[listings.zone]]\nname = \"ZEN.example\""),
            String::from("listings.zone[1].name: \"ZEN.example\": named twice; one entry per list"),
        ),
        (
            zone("families = [\"ipv5\"]"),
            String::from("listings.zone[0].families: \"ipv5\": unknown; allowed are ipv4 and ipv6"),
        ),
        (
            zone("counts = [\"127.255.255.254\"]"),
            format!("listings.zone[0].counts[0]: \"127.255.255.254\": {answers}"),
        ),
        (
            zone("counts = [\"10.0.0.0/8\"]"),
            format!("listings.zone[0].counts[0]: \"10.0.0.0/8\": {answers}"),
        ),
    ] {
        let error = parse(&format!("{WHOLE}\n[listings]\n{keys}")).unwrap_err();
        assert_eq!(error, format!("o.toml: {expected}"));
    }
}
