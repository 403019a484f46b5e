use super::*;

fn route(domain: &str, to: &[&str], tls: Option<&str>) -> RawRoute {
    RawRoute {
        domain: domain.into(),
        to: to.iter().map(ToString::to_string).collect(),
        tls: tls.map(str::to_owned),
        send_proxy: None,
    }
}

#[test]
fn the_most_specific_route_counts() {
    let routes = ["*", ".example", "b.example", ".b.example"]
        .map(|domain| route(domain, &["mx.example.net"], None));
    let routing = Routing::check(RawRouting::default(), routes.into()).unwrap();
    for (domain, expected) in [
        ("a.example", 1),
        ("b.example", 2),
        ("x.b.example", 3),
        ("x.y.b.example", 3),
        ("xb.example", 1),
        ("example", 0),
        ("notexample", 0),
    ] {
        let found = routing.to(&DnsName::new(domain).unwrap());
        assert_eq!(found, Some(&routing.routes[expected]), "{domain}");
    }
    let none = Routing::default();
    assert_eq!(none.to(&DnsName::new("a.example").unwrap()), None);
}

#[test]
fn servers_are_named_or_addressed() {
    let host = |name: &str, port| NextHop::Host {
        name: DnsName::new(name).unwrap(),
        port,
    };
    for (text, expected) in [
        ("MX.example.net", host("mx.example.net", 25)),
        ("mx.example.net:587", host("mx.example.net", 587)),
        (
            "192.0.2.1",
            NextHop::Address("192.0.2.1:25".parse().unwrap()),
        ),
        (
            "192.0.2.1:26",
            NextHop::Address("192.0.2.1:26".parse().unwrap()),
        ),
        (
            "[2001:db8::1]",
            NextHop::Address("[2001:db8::1]:25".parse().unwrap()),
        ),
        (
            "2001:db8::1",
            NextHop::Address("[2001:db8::1]:25".parse().unwrap()),
        ),
        (
            "[2001:db8::1]:587",
            NextHop::Address("[2001:db8::1]:587".parse().unwrap()),
        ),
    ] {
        assert_eq!(next_hop(text).as_ref(), Ok(&expected), "{text}");
    }
    for text in [
        "",
        ":25",
        "mx:0",
        "mx:x",
        "mx:65536",
        "0.0.0.0",
        "224.0.0.1:25",
        "a b",
        "192.0.2.1:0",
    ] {
        assert!(next_hop(text).is_err(), "{text}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (raw, key) in [
        (route("a..b", &["mx.example"], None), "route.domain"),
        (route("*.example", &["mx.example"], None), "route.domain"),
        (route("a.example", &[], None), "route.to"),
        (
            route("a.example", &["mx.example"], Some("dane")),
            "route.tls",
        ),
        (
            route("a.example", &["192.0.2.1"], Some("verify")),
            "route.tls",
        ),
    ] {
        assert_eq!(FixedRoute::try_from(raw).unwrap_err().key, key);
    }
    for version in ["v1", "2", "", "yes"] {
        let raw = RawRoute {
            send_proxy: Some(version.into()),
            ..route("a.example", &["mx.example"], None)
        };
        let error = FixedRoute::try_from(raw).unwrap_err();
        assert_eq!(error.key, "route.send_proxy", "{version}");
    }
    let twice = ["a.example", "A.example"].map(|domain| route(domain, &["mx.example"], None));
    let error = Routing::check(RawRouting::default(), twice.into()).unwrap_err();
    assert_eq!(error.key, "route.domain");
    assert_eq!(families(Some("any")).unwrap_err().key, "routing.families");
}
