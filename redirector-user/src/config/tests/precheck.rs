//! `[precheck]`.

use super::*;
use crate::{config::Precheck, precheck::Fqdn};

#[test]
fn who_is_asked_is_this_hosts_resolver_and_no_list_unless_it_is_said() {
    let with = |keys: &str| parse(&format!("{WHOLE}\n[precheck]\n{keys}"));
    let usual = Precheck {
        resolvers: Vec::new(),
        lists: Vec::new(),
        stranger: String::from("nobody@example.com"),
    };
    assert_eq!(parse(WHOLE).unwrap().precheck, usual);
    assert_eq!(with("").unwrap().precheck, usual);
    let keys = "resolvers = [\"127.0.0.1\", \"[::1]:5353\"]\nlists = [\"Zen.Example.\"]\nstranger = \"x@example.net\"";
    let other = Precheck {
        resolvers: vec![
            "127.0.0.1:53".parse().unwrap(),
            "[::1]:5353".parse().unwrap(),
        ],
        lists: vec![Fqdn::new("zen.example").unwrap()],
        stranger: String::from("x@example.net"),
    };
    assert_eq!(with(keys).unwrap().precheck, other);
    for (keys, expected) in [
        (
            "resolvers = [\"::1\", \"localhost\"]",
            "precheck.resolvers[1]: \"localhost\": not a resolver; allowed is ADDRESS or ADDRESS:PORT, as 127.0.0.1 or [::1]:5353",
        ),
        (
            "lists = [\"zen\"]",
            "precheck.lists[0]: \"zen\": not the name of a list in the DNS; allowed is a full name, as zen.example",
        ),
        (
            "stranger = \"a b@example.net\"",
            "precheck.stranger: \"a b@example.net\": not a mailbox; allowed is one that no customer takes mail for, as nobody@example.com",
        ),
    ] {
        assert_eq!(with(keys).unwrap_err(), format!("o.toml: {expected}"));
    }
}
