//! The way to a domain, by a real resolver that validates.

use std::net::SocketAddr;

use relay::outbound::requirement::Demand;
use relay::routing::{Route, RouteError, Router};
use relay_proto::address::{Domain, ForwardPath};

use crate::gate::{Gate, Options};
use crate::host::wait_until;
use crate::namespace::{self, MX, STRANGER};
use crate::resolver::Resolver;

const SIGNED: &str = "\
two.example.net. MX 20 b.example.net.
two.example.net. MX 10 a.example.net.
same.example.net. MX 5 b.example.net.
same.example.net. MX 5 a.example.net.
a.example.net. A 203.0.113.10
a.example.net. AAAA 2001:db8:b:1::10
b.example.net. A 203.0.113.99
implicit.example.net. A 203.0.113.10
null.example.net. MX 0 .
text.example.net. TXT \"no server at all\"
xn--bcher-kva.example.net. MX 1 a.example.net.
dead.example.net. MX 1 nobody.example.net.
local.example.net. MX 1 lo.example.net.
lo.example.net. A 127.0.0.1
alias.example.net. CNAME two.example.net.
mxalias.example.net. MX 1 toa.example.net.
toa.example.net. CNAME a.example.net.
ours.example.net. MX 5 a.example.net.
ours.example.net. MX 10 relay-1.example.net.
ours.example.net. MX 20 b.example.net.
onlyours.example.net. MX 10 relay-1.example.net.
relay-1.example.net. A 198.51.100.2
dane.example.net. MX 1 c.example.net.
c.example.net. A 203.0.113.99
_25._tcp.c.example.net. TLSA 3 1 1 0000000000000000000000000000000000000000000000000000000000000000
away.example. NS ns.away.example.
ns.away.example. A 198.51.100.77
";

#[test]
fn routes_follow_the_dns() {
    scene("routes", "", async |router, _resolver| {
        let two = route(&router, "two.example.net", None).await.unwrap();
        assert_eq!(
            told(&two),
            [
                "a.example.net: [2001:db8:b:1::10]:25 203.0.113.10:25",
                "b.example.net: 203.0.113.99:25"
            ]
        );
        assert_eq!(two.site.as_str(), "a.example.net,b.example.net");
        // Whatever their preference: the same servers.
        let same = route(&router, "same.example.net", None).await.unwrap();
        assert_eq!(same.site, two.site);
        let alias = route(&router, "alias.example.net", None).await.unwrap();
        assert_eq!(told(&alias), told(&two));
        let alias = route(&router, "mxalias.example.net", None).await.unwrap();
        assert_eq!(
            told(&alias),
            ["toa.example.net: [2001:db8:b:1::10]:25 203.0.113.10:25"]
        );
        let implicit = route(&router, "implicit.example.net", None).await.unwrap();
        assert_eq!(told(&implicit), ["implicit.example.net: 203.0.113.10:25"]);
        let idn = route(&router, "bücher.example.net", None).await.unwrap();
        assert_eq!(
            idn.hosts[0].name.as_ref().unwrap().as_str(),
            "a.example.net"
        );
        let literal = route(&router, "[203.0.113.10]", None).await.unwrap();
        assert_eq!(told(&literal), ["?: 203.0.113.10:25"]);
        let literal = route(&router, "[IPv6:2001:db8:b:1::10]", None)
            .await
            .unwrap();
        assert_eq!(told(&literal), ["?: [2001:db8:b:1::10]:25"]);
        // More than a datagram holds; the best are kept.
        let many = route(&router, "many.example.net", None).await.unwrap();
        assert_eq!(
            told(&many).last().unwrap(),
            "b.example.net: 203.0.113.99:25"
        );
        // Only what is better than ourselves.
        let ours = route(&router, "ours.example.net", None).await.unwrap();
        assert_eq!(ours.hosts.len(), 1);
        assert_eq!(
            ours.hosts[0].name.as_ref().unwrap().as_str(),
            "a.example.net"
        );
    });
}

#[test]
fn what_leads_nowhere_says_why_and_whether_for_ever() {
    scene("nowhere", "", async |router, resolver| {
        for (domain, expected) in [
            ("null.example.net", "5.1.10"),
            ("nothing.example.net", "5.1.2"),
            ("text.example.net", "5.4.4"),
            ("dead.example.net", "5.4.4"),
            ("local.example.net", "5.4.4"),
            ("onlyours.example.net", "5.4.6"),
            ("[127.0.0.1]", "5.1.2"),
            ("x.away.example", "4.4.3"),
        ] {
            let status = match route(&router, domain, None).await.unwrap_err() {
                RouteError::Never { status, .. } | RouteError::NotNow { status, .. } => status,
            };
            assert_eq!(status, expected, "{domain}");
        }
        resolver.pause();
        let error = route(&router, "other.example.net", None).await.unwrap_err();
        assert!(
            matches!(&error, RouteError::NotNow { status: "4.4.3", text } if text.contains("no resolver answers")),
            "{error}"
        );
        // What was said holds without it.
        let error = route(&router, "null.example.net", None).await.unwrap_err();
        assert!(matches!(
            error,
            RouteError::Never {
                status: "5.1.10",
                ..
            }
        ));
    });
}

#[test]
fn the_customers_choice_comes_first_and_bounces_only_by_the_domains_own_word() {
    scene("chosen", "", async |router, _resolver| {
        let chosen: SocketAddr = format!("{STRANGER}:25").parse().unwrap();
        let two = route(&router, "two.example.net", Some(chosen))
            .await
            .unwrap();
        assert_eq!(
            told(&two),
            [
                "b.example.net: 203.0.113.99:25",
                "a.example.net: [2001:db8:b:1::10]:25 203.0.113.10:25"
            ]
        );
        let implicit = route(&router, "implicit.example.net", Some(chosen))
            .await
            .unwrap();
        assert_eq!(
            told(&implicit),
            [
                "?: 203.0.113.99:25",
                "implicit.example.net: 203.0.113.10:25"
            ]
        );
        assert_eq!(implicit.site.as_str(), "203.0.113.99:25");
        let only = route(&router, "nothing.example.net", Some(chosen))
            .await
            .unwrap();
        assert_eq!(told(&only), ["?: 203.0.113.99:25"]);
        // RFC 7505: no server takes its mail, whoever chose one.
        let null = route(&router, "null.example.net", Some(chosen)).await;
        assert!(matches!(
            null.unwrap_err(),
            RouteError::Never {
                status: "5.1.10",
                ..
            }
        ));
        let error = route(&router, "x.away.example", Some(chosen))
            .await
            .unwrap_err();
        assert!(matches!(error, RouteError::NotNow { .. }));
    });
}

#[test]
fn the_operators_routes_come_before_all() {
    let tables = r#"
[[route]]
domain = "two.example.net"
to = ["b.example.net:587", "[2001:db8:b:1::10]:26"]
tls = "encrypt"
[[route]]
domain = "*"
to = ["a.example.net"]
tls = "verify"
[routing]
families = "ipv4-first"
"#;
    scene("fixed", tables, async |router, _resolver| {
        let chosen: SocketAddr = format!("{MX}:25").parse().unwrap();
        let two = route(&router, "two.example.net", Some(chosen))
            .await
            .unwrap();
        assert_eq!(
            told(&two),
            [
                "b.example.net: 203.0.113.99:587",
                "?: [2001:db8:b:1::10]:26"
            ]
        );
        assert!(
            two.hosts
                .iter()
                .all(|host| host.requirement.demand == Demand::Encrypted)
        );
        for domain in ["null.example.net", "elsewhere.example", "[203.0.113.99]"] {
            let all = route(&router, domain, None).await.unwrap();
            assert_eq!(
                told(&all),
                ["a.example.net: 203.0.113.10:25 [2001:db8:b:1::10]:25"]
            );
            let Demand::Certified {
                name,
                testing: false,
            } = &all.hosts[0].requirement.demand
            else {
                panic!("{all:?}");
            };
            assert_eq!(name.as_str(), "a.example.net");
        }
    });
}

#[test]
fn only_a_resolver_that_is_trusted_can_vouch_for_records() {
    namespace::inside("vouch", || {
        let _resolver = Resolver::start(SIGNED, "");
        block_on(async {
            for (dns, is_believed) in [
                ("servers = [\"127.0.0.1\"]", true),
                ("servers = [\"198.51.100.2\"]", false),
                (
                    "servers = [\"198.51.100.2\"]\ntrusted = [\"198.51.100.2\"]",
                    true,
                ),
                // Who is not believed is not asked where somebody is.
                ("servers = [\"198.51.100.77\", \"127.0.0.1:53\"]", true),
            ] {
                let gate = gate(&format!("[dns]\n{dns}\n"));
                let router = gate.relay.router();
                // Twice: what was kept says the same.
                for _ in 0..2 {
                    let found = route(router, "dane.example.net", None).await.unwrap();
                    let demand = &found.hosts[0].requirement.demand;
                    assert_eq!(
                        matches!(demand, Demand::Dane(_)),
                        is_believed,
                        "{dns}: {demand:?}"
                    );
                }
                if is_believed {
                    let tending = tokio::spawn(gate.relay.tend());
                    wait_until("the resolver's word for the root", || {
                        router.dns_validates()
                    });
                    tending.abort();
                }
            }
        });
    });
}

/// A domain of eighty exchangers with long names, whose best one has an address.
fn many() -> String {
    let one = |number: usize| {
        let name = format!("a-name-that-takes-its-room-in-the-answer-{number}");
        format!("many.example.net. MX {number} {name}.example.net.\n")
    };
    let rest: String = (1..80).map(one).collect();
    format!("many.example.net. MX 0 b.example.net.\n{rest}")
}

/// Runs `test` in a namespace with a resolver, and a relay that asks it.
#[track_caller]
fn scene(
    name: &str,
    tables: &'static str,
    test: impl AsyncFnOnce(Router, &mut Resolver) + Send + 'static,
) {
    namespace::inside(name, move || {
        let mut resolver = Resolver::start(&format!("{SIGNED}{}", many()), "");
        block_on(async {
            let servers = format!("servers = [\"{}\"]\ndeadline = \"3s\"", resolver.address());
            let gate = gate(&format!("[dns]\n{servers}\n{tables}"));
            test(gate.relay.router().clone(), &mut resolver).await;
        });
    });
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(test);
}

fn gate(tables: &str) -> Gate {
    let mut options = Options::to(SocketAddr::new(MX.parse().unwrap(), 25));
    options.more = tables.into();
    Gate::start(options)
}

async fn route(
    router: &Router,
    domain: &str,
    original_dst: Option<SocketAddr>,
) -> Result<Route, RouteError> {
    let path: ForwardPath = format!("<x@{domain}>").parse().unwrap();
    let domain: &Domain = path.mailbox().unwrap().domain();
    router.route(domain, original_dst).await
}

fn told(route: &Route) -> Vec<String> {
    let hosts = route.hosts.iter().map(|host| {
        let name = host.name.as_ref().map_or("?", |name| name.as_str());
        let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
        format!("{name}: {}", addresses.join(" "))
    });
    hosts.collect()
}
