//! Which way a customer's mail takes.

use std::collections::HashSet;

use super::*;

const MX: &str = "203.0.113.10:25";
const MX_V6: &str = "[2001:db8:b::10]:25";
const CUSTOMER: &str = "192.0.2.10";

/// The ways of a relay whose configuration has these tables, and the directory of what it keeps.
fn ways(tables: &str) -> (Arc<Egresses>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (ways_in(directory.path(), tables), directory)
}

fn ways_in(directory: &std::path::Path, tables: &str) -> Arc<Egresses> {
    let text = format!(
        "name = \"relay-1\"\noperator = \"Example Hosting\"\nhostname = \"relay-1.example.net\"\n\
         help_url = \"https://help.example.net\"\nlisten = [\"127.0.0.1:0\"]\nstate_dir = \"{directory}\"\n\
         [controller]\nsocket = \"/run/s\"\ncache = \"/c\"\n[origin]\npin_dir = \"/p\"\n\
         [message]\nspill_dir = \"/tmp\"\n[[scanner]]\nkind = \"builtin\"\n{tables}",
        directory = directory.display()
    );
    Egresses::open(&Config::parse(&text).unwrap()).unwrap()
}

fn sought(destination: &str) -> Sought<'static> {
    Sought {
        egress: Egress::Pool,
        customer: customer(CUSTOMER),
        destination: destination.parse().unwrap(),
        message: None,
        besides: &[],
    }
}

fn customer(address: &str) -> CustomerAddr {
    CustomerAddr::new(address.parse().unwrap())
}

fn name(way: Result<Way, NoWay>) -> String {
    way.map_or_else(|no_way| no_way.status().to_owned(), |way| way.to_string())
}

const TWO_POOLS: &str = r#"
    [[egress]]
    name = "main"
    addresses = [{ address = "198.51.100.20" }, { address = "2001:db8:2::20", ehlo = "out-1.example.net" }]
    [[egress]]
    name = "bulk"
    for = ["192.0.2.128/25", "2001:db8:a::/48"]
    addresses = [{ address = "198.51.100.30" }, { address = "::" }]
    [[egress]]
    name = "one"
    for = ["192.0.2.200/32"]
    addresses = [{ address = "198.51.100.31" }]
"#;

#[test]
fn without_a_configuration_the_routing_table_chooses() {
    let (ways, _directory) = ways("");
    assert_eq!(name(ways.choose(&sought(MX))), "relay");
    let by_proxy = Sought {
        egress: Egress::Socks5,
        ..sought(MX)
    };
    assert_eq!(name(ways.choose(&by_proxy)), "4.3.5");
    assert!(ways.check_host().is_ok());
}

#[test]
fn a_pool_is_found_by_the_longest_prefix_and_an_address_by_family() {
    let (ways, _directory) = ways(TWO_POOLS);
    let cases = [
        (CUSTOMER, MX, "main/198.51.100.20"),
        (CUSTOMER, MX_V6, "main/2001:db8:2::20"),
        ("192.0.2.130", MX, "bulk/198.51.100.30"),
        ("192.0.2.130", MX_V6, "bulk/::"),
        ("2001:db8:a:a::10", MX, "bulk/198.51.100.30"),
        ("192.0.2.200", MX, "one/198.51.100.31"),
        // Nothing leaves by an address that nobody has named.
        ("192.0.2.200", MX_V6, "4.4.4"),
    ];
    for (from, destination, expected) in cases {
        let sought = Sought {
            customer: customer(from),
            ..sought(destination)
        };
        assert_eq!(name(ways.choose(&sought)), expected, "{from} {destination}");
    }
}

#[test]
fn a_customers_own_address_serves_its_own_family() {
    let (ways, _directory) = ways(TWO_POOLS);
    let own = |destination| Sought {
        egress: Egress::Customer,
        ..sought(destination)
    };
    assert_eq!(name(ways.choose(&own(MX))), "customer/192.0.2.10");
    assert_eq!(name(ways.choose(&own(MX_V6))), "4.4.4");
}

#[test]
fn an_address_that_is_not_this_hosts_is_named() {
    let (ways, _directory) = ways(TWO_POOLS);
    let wrong = ways.check_host().unwrap_err();
    assert_eq!(
        (&*wrong.key, &*wrong.value),
        ("egress.addresses.address", "198.51.100.20")
    );
    let (here, _directory) = self::ways(
        "[[egress]]\nname = \"here\"\naddresses = [{ address = \"127.0.0.1\" }, { address = \"::1\" }]",
    );
    assert!(here.check_host().is_ok());
}

const FOUR: &str = r#"
    [[egress]]
    name = "main"
    addresses = [{ address = "198.51.100.20" }, { address = "198.51.100.21" }, { address = "198.51.100.22" }]
"#;

#[tokio::test]
async fn a_way_that_fails_is_left_out_and_a_message_stays_where_it_was() {
    let (ways, _directory) = ways(FOUR);
    let first = ways.choose(&sought(MX)).unwrap();
    let besides = [first.clone()];
    let id = QueueId::from_number(77).unwrap();
    let again = Sought {
        message: Some(id),
        ..sought(MX)
    };
    let second = ways
        .choose(&Sought {
            besides: &besides,
            ..again
        })
        .unwrap();
    assert_ne!(first, second);
    // Its first choice works again, and still it goes where it was seen first.
    assert_eq!(ways.choose(&again).unwrap(), second);
    assert_eq!(ways.choose(&sought(MX)).unwrap(), first);
    // Unless that does not work now.
    let now = Instant::now();
    second.shared_endpoint().unwrap().health.fails(now);
    assert_eq!(ways.choose(&again).unwrap(), first);
    for endpoint in &ways.pools[0].group.endpoints {
        endpoint.health.fails(now);
    }
    assert_eq!(ways.choose(&again), Err(NoWay::Down));
    let down = ways.figures();
    assert_eq!((down[0].pool, down[0].down), ("main", 3));
}

#[tokio::test]
async fn a_used_up_address_hands_over_and_keeps_count_over_a_restart() {
    let today = today();
    let tables = format!(
        "[[egress]]\nname = \"main\"\naddresses = [\
         {{ address = \"198.51.100.20\", warm_up = {{ per_day = 2, growth = 1, since = \"{today}\" }} }},\
         {{ address = \"198.51.100.21\", warm_up = {{ per_day = 3, since = \"{today}\" }} }}]"
    );
    let directory = tempfile::tempdir().unwrap();
    let ways = ways_in(directory.path(), &tables);
    let mut taken = Vec::new();
    for _ in 0..4 {
        let way = ways.choose(&sought(MX)).unwrap();
        ways.claim(&way).await.unwrap().sent();
        taken.push(way);
    }
    let first = &taken[0];
    let distinct: HashSet<String> = taken.iter().map(Way::to_string).collect();
    assert_eq!(distinct.len(), 2, "{taken:?}");
    assert!(ways.claim(first).await.is_none());
    // A message that does not leave does not count.
    let last = ways.choose(&sought(MX)).unwrap();
    let claim = ways.claim(&last).await.unwrap();
    assert_eq!(ways.choose(&sought(MX)), Err(NoWay::WarmingUp));
    drop(claim);
    assert_eq!(ways.figures()[0].messages, 4);
    // The file was written for it, so a restart counts it all the same.
    let restarted = ways_in(directory.path(), &tables);
    assert_eq!(name(restarted.choose(&sought(MX))), "4.4.5");
}

#[tokio::test]
async fn what_leaves_from_an_address_leaves_from_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let destination = listener.local_addr().unwrap();
    let (ways, _directory) =
        ways("[[egress]]\nname = \"main\"\naddresses = [{ address = \"127.0.0.77\" }]\n");
    let way = ways
        .choose(&Sought {
            destination,
            ..sought(MX)
        })
        .unwrap();
    let _stream = ways.connect(&way, destination).await.unwrap();
    let (_accepted, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip().to_string(), "127.0.0.77");
    let (gone, _directory) = self::ways(TWO_POOLS);
    let way = gone.choose(&sought(MX)).unwrap();
    let error = gone.connect(&way, destination).await.unwrap_err();
    assert!(!error.blames_destination(), "{error}");
    // It is left out, and nothing else is there.
    assert_eq!(gone.choose(&sought(MX)), Err(NoWay::Down));
}
