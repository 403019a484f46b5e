//! `[[egress]]` and `[[socks5]]`: mistakes name key and value.

use relay::config::{Config, EgressPlace};

use super::EXAMPLE;

/// The example with these tables.
fn with(tables: &str) -> Result<Config, String> {
    Config::parse(&format!("{EXAMPLE}\n{tables}")).map_err(|invalid| invalid.to_string())
}

#[test]
fn what_the_example_explains_is_a_configuration() {
    let tables = EXAMPLE.split_once("#[[egress]]").unwrap().1;
    let tables = tables.split_once("#[[authorised]]").unwrap().0;
    let explained = tables.lines().filter_map(|line| line.strip_prefix('#'));
    let explained: Vec<&str> = explained.filter(|line| !line.starts_with(' ')).collect();
    let config = with(&format!("[[egress]]\n{}", explained.join("\n"))).unwrap();
    let pool = &config.egress.pools[0];
    assert_eq!((pool.endpoints.len(), pool.customers.len()), (3, 2));
    assert_eq!(pool.endpoints[0].weight, 3);
    assert_eq!(pool.endpoints[1].warm_up.unwrap().per_day, 500);
    let proxy = &config.egress.proxies[0].endpoints[0];
    let EgressPlace::Proxy { credentials, .. } = &proxy.place else {
        panic!("{proxy:?}");
    };
    assert_eq!(credentials.as_ref().unwrap().0, "relay");
}

#[test]
fn mistakes_name_key_and_value() {
    let pool = |fields: &str| format!("[[egress]]\nname = \"main\"\naddresses = [{{ {fields} }}]");
    let proxy = |fields: &str| format!("[[socks5]]\nname = \"main\"\nproxies = [{{ {fields} }}]");
    let address = "address = \"198.51.100.20\"";
    let listens = "address = \"198.51.100.30:1080\"";
    let cases = [
        (
            pool("address = \"224.0.0.1\""),
            "egress.addresses.address: 224.0.0.1: is a multicast",
        ),
        (
            pool(&format!("{address}, weight = 0")),
            "egress.addresses.weight: 0: must be between",
        ),
        (
            pool(&format!("{address}, ehlo = \"x\"")),
            "egress.addresses.ehlo: x: must be a fully",
        ),
        (
            pool(&format!(
                "{address}, warm_up = {{ per_day = 0, since = \"2026-11-01\" }}"
            )),
            "egress.addresses.warm_up.per_day: 0: must be at least 1",
        ),
        (
            pool(&format!(
                "{address}, warm_up = {{ per_day = 1, growth = 0.5, since = \"2026-11-01\" }}"
            )),
            "egress.addresses.warm_up.growth: 0.5: must be between",
        ),
        (
            pool(&format!(
                "{address}, warm_up = {{ per_day = 1, since = \"yesterday\" }}"
            )),
            "egress.addresses.warm_up.since: yesterday: must be the first day",
        ),
        (
            pool("address = \"x\""),
            "egress[0].addresses[0].address: \"x\": ",
        ),
        (
            pool(&format!("{address} }}, {{ {address}")),
            "egress.address: 198.51.100.20: stands twice",
        ),
        (
            pool(address).replace("main", "relay"),
            "egress.name: relay: must be",
        ),
        (
            format!(
                "{}\n{}",
                pool(address),
                pool("address = \"::\"").replace("main", "two")
            ),
            "egress.for: two: names no customers, as main does",
        ),
        (
            format!("{}\n{}", pool(address), proxy(listens)),
            "egress.name: main: is the name of two",
        ),
        (
            pool(address).replace("addresses", "for = [\"x\"]\naddresses"),
            "egress.for: x: must be a prefix",
        ),
        (
            "[[egress]]\nname = \"main\"\naddresses = []".into(),
            "egress.addresses: 0: must hold 1 to",
        ),
        (
            proxy("address = \"198.51.100.30:0\""),
            "socks5.proxies.address: 198.51.100.30:0: must be ADDRESS:PORT",
        ),
        (
            proxy(&format!("{listens}, user = \"x\"")),
            "socks5.proxies.password_file: x: must stand beside user",
        ),
        (
            proxy(&format!("{listens}, password_file = \"/x\"")),
            "socks5.proxies.user: /x: must stand beside password_file",
        ),
        (
            proxy(&format!("{listens}, user = \"x\", password_file = \"x\"")),
            "socks5.proxies.password_file: x: must be an absolute path",
        ),
    ];
    for (tables, expected) in cases {
        let error = with(&tables).unwrap_err();
        assert!(
            error.starts_with(expected),
            "{tables}\nexpected: {expected}\n     got: {error}"
        );
    }
}
