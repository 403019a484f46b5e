//! `[dns]`, `[routing]`, `[[route]]` and `[mta_sts]`.

use std::net::SocketAddr;
use std::time::Duration;

use relay::config::{Config, Domains, Families, NextHop, RouteTls};

use super::EXAMPLE;

/// The example with other tables at its end.
fn with(tables: &str) -> Result<Config, String> {
    let (before, _) = EXAMPLE.split_once("\n[dns]\n").unwrap();
    Config::parse(&format!("{before}\n{tables}")).map_err(|error| error.to_string())
}

#[test]
fn resolvers_routes_and_policies_are_read() {
    let config = with(
        "[dns]\nservers = [\"127.0.0.1\", \"[2001:db8::53]:5353\"]\ntrusted = [\"2001:db8::53\"]\ndeadline = \"3s\"\n\
         [routing]\nfamilies = \"ipv4\"\ntls_required_no = \"ignore\"\n\
         [[route]]\ndomain = \".Example.org\"\nto = [\"mx.example.net:587\"]\ntls = \"verify\"\n\
         [mta_sts]\noff = true\nauthorities = \"/etc/outgate/authorities.pem\"\n",
    )
    .unwrap();
    let servers: Vec<SocketAddr> = ["127.0.0.1:53", "[2001:db8::53]:5353"]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    assert_eq!(config.dns.servers, Some(servers));
    assert_eq!(config.dns.deadline, Duration::from_secs(3));
    assert_eq!(config.routing.families, Families::Ipv4Only);
    assert!(config.routing.ignores_tls_required_no);
    let [route] = &config.routing.routes[..] else {
        panic!("{:?}", config.routing);
    };
    assert!(matches!(&route.domains, Domains::Below(name) if name.as_str() == "example.org"));
    assert!(matches!(&route.to[..], [NextHop::Host { port: 587, .. }]));
    assert_eq!(route.tls, RouteTls::Verify);
    assert!(config.mta_sts.off);

    let nobody = with("[dns]\nservers = []\n").unwrap();
    assert_eq!(nobody.dns.servers, Some(vec![]));
    assert_eq!(with("").unwrap().dns.servers, None);
}

#[test]
fn mistakes_are_named() {
    for (tables, expected) in [
        (
            "[dns]\nservers = [\"localhost\"]\n",
            "dns.servers: localhost: must be ADDRESS",
        ),
        (
            "[dns]\nservers = [\"0.0.0.0\"]\n",
            "dns.servers: 0.0.0.0: must be",
        ),
        (
            "[dns]\ntrusted = [\"127.0.0.0/8\"]\n",
            "dns.trusted: 127.0.0.0/8: must be an address",
        ),
        (
            "[dns]\ndeadline = \"100ms\"\n",
            "dns.deadline: 100ms: must be between",
        ),
        ("[dns]\nserver = \"127.0.0.1\"\n", "dns.server: "),
        (
            "[routing]\nfamilies = \"both\"\n",
            "routing.families: both: must be",
        ),
        (
            "[routing]\ntls_required_no = \"maybe\"\n",
            "routing.tls_required_no: maybe: must be",
        ),
        (
            "[[route]]\ndomain = \"*.example\"\nto = [\"mx\"]\n",
            "route.domain: *.example: must be",
        ),
        (
            "[[route]]\ndomain = \"*\"\nto = []\n",
            "route.to: 0: must name",
        ),
        (
            "[[route]]\ndomain = \"*\"\nto = [\"192.0.2.1\"]\ntls = \"verify\"\n",
            "route.tls: verify: needs",
        ),
        (
            "[mta_sts]\nauthorities = \"ca.pem\"\n",
            "mta_sts.authorities: ca.pem: must be an absolute path",
        ),
    ] {
        let error = with(tables).map(|_| ()).unwrap_err();
        assert!(error.starts_with(expected), "{tables}{error}");
    }
}
