//! `[[authorised]]`: what it needs beside it, and that it is open to nobody by mistake.

use relay::config::{Config, Destination};

use super::EXAMPLE;

/// The example with its authorised listener, changed; without the edge's listeners and the controller if
/// `alone`.
fn with_authorised(alone: bool, line: &str, other: &str) -> String {
    let begin = EXAMPLE.find("#[[authorised]]").expect("an example");
    let (above, below) = EXAMPLE.split_at_checked(begin).unwrap();
    let mut above = above.to_owned();
    if alone {
        let listen = above.find("listen = ").unwrap();
        let end = above.find("[message]").unwrap();
        above.replace_range(listen..end, "state_dir = \"/var/lib/outgate-relay\"\n");
    }
    let (below, _other_tables) = below.split_once("\n\n").expect("an empty line");
    let table: String = below
        .lines()
        .map(|line| line.strip_prefix('#').unwrap_or(line))
        .filter(|line| !line.starts_with(' ') && !line.starts_with("proxies"))
        .flat_map(|line| [line, "\n"])
        .collect();
    assert!(table.contains(line), "{line:?} is not in\n{table}");
    above + &table.replacen(line, other, 1)
}

#[test]
fn authorised_listeners_need_neither_the_edge_nor_a_controller() {
    let beside = Config::parse(&with_authorised(false, "", "")).unwrap();
    assert_eq!(beside.authorised.len(), 1);
    assert!(beside.rewritten.is_some() && beside.controller.is_some());
    let alone = Config::parse(&with_authorised(true, "", "")).unwrap();
    assert!(alone.rewritten.is_none() && alone.controller.is_none());
    assert!(matches!(
        alone.authorised[0].destination,
        Destination::SoOriginalDst
    ));

    let homeless = with_authorised(true, "", "").replace("state_dir = ", "# ");
    let error = Config::parse(&homeless).unwrap_err().to_string();
    assert!(
        error.starts_with("state_dir: absent: must be there without [controller]"),
        "{error}"
    );

    let without = EXAMPLE
        .replace("[controller]\n", "")
        .replace("\nsocket =", "\n# =");
    let error = Config::parse(&without.replace("\ncache =", "\n# ="))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("controller: absent: must be there beside listen"),
        "{error}"
    );
}

#[test]
fn an_authorised_listener_is_open_to_nobody_by_mistake() {
    let from = "from = [\"192.0.2.0/24\", \"2001:db8:a::/48\"]";
    let destination = "destination = \"so-original-dst\"";
    let to_cutthrough =
        "destination = \"so-original-dst\"\ntreatment = \"filter\"\ndelivery = \"cutthrough\"";
    for (line, wrong, expected) in [
        (from, "from = []", "from: []: must name the prefixes"),
        (from, "", "from: []: must name the prefixes"),
        (
            from,
            "from = [\"0.0.0.0/0\"]",
            "from: 0.0.0.0/0: is wider than /8: the relay would be open",
        ),
        (
            from,
            "from = [\"::/0\"]",
            "from: ::/0: is wider than /16: the relay would be open",
        ),
        (
            from,
            "from = [\"0.0.0.0/1\", \"128.0.0.0/1\"]",
            "from: 0.0.0.0/1: is wider",
        ),
        (
            from,
            "from = [\"customers\"]",
            "from: customers: must be a prefix",
        ),
        (
            destination,
            "",
            "destination: absent: must be \"proxy-v2\", \"so-original-dst\", \"local-address\", or \"mx\" where nothing",
        ),
        (
            destination,
            "destination = \"socks\"",
            "destination: socks: must be",
        ),
        (
            destination,
            "destination = \"mx\"",
            "delivery: cutthrough: must be \"queue\" beside destination = \"mx\"",
        ),
        (
            "delivery = \"cutthrough\"",
            "delivery = \"cutthrough+spool\"",
            "delivery: cutthrough+spool: needs [spool]",
        ),
        (
            to_cutthrough,
            "destination = \"mx\"\ndelivery = \"cutthrough+spool\"",
            "delivery: cutthrough+spool: must be \"queue\" beside",
        ),
        (
            to_cutthrough,
            "destination = \"mx\"\ntreatment = \"opaque\"\ndelivery = \"queue\"",
            "treatment: opaque: must be \"filter\" or \"walled\" beside destination = \"mx\"",
        ),
        (
            to_cutthrough,
            "destination = \"mx\"\ndelivery = \"queue\"",
            "delivery: queue: needs [spool]",
        ),
        (
            destination,
            "destination = \"mx\"\nproxies = [\"192.0.2.1\"]",
            "proxies: [...]: belongs to",
        ),
        (
            destination,
            "destination = \"proxy-v2\"",
            "proxies: []: must name the proxies",
        ),
        (
            destination,
            "destination = \"proxy-v2\"\nproxies = [\"::/0\"]",
            "proxies: ::/0: is wider",
        ),
        (
            destination,
            "destination = \"local-address\"\nproxies = [\"192.0.2.1\"]",
            "proxies: [...]: belongs to",
        ),
        (
            "treatment = \"filter\"",
            "treatment = \"none\"",
            "treatment: none: must be one of: filter, opaque, walled",
        ),
        (
            "delivery = \"cutthrough\"",
            "delivery = \"spool\"",
            "delivery: spool: must be one of: cutthrough, cutthrough+spool, queue",
        ),
        (
            "delivery = \"cutthrough\"",
            "delivery = \"queue\"",
            "delivery: queue: needs [spool]",
        ),
        (
            "treatment = \"filter\"\ndelivery = \"cutthrough\"",
            "treatment = \"walled\"\ndelivery = \"queue\"",
            "delivery: queue: treatment \"walled\" delivers nothing",
        ),
        (
            "reason = \"mail",
            "reason = \"\" # ",
            "reason: : must be 1 to 120 octets",
        ),
        (
            "listen = [",
            "listen = [] # ",
            "listen: []: must name at least one",
        ),
        (
            "listen = [",
            "listen = [\"198.51.100.2\"] # ",
            "listen: 198.51.100.2: must be ADDRESS:PORT",
        ),
    ] {
        let text = with_authorised(true, line, wrong);
        let error = Config::parse(&text).unwrap_err().to_string();
        let expected = format!("authorised.{expected}");
        assert!(
            error.starts_with(&expected),
            "{wrong}\nexpected: {expected}\n     got: {error}"
        );
    }
}

#[test]
fn what_goes_by_mx_needs_somebody_who_knows_the_way() {
    let by_mx = |terms: &str, more: &str| {
        let line =
            "destination = \"so-original-dst\"\ntreatment = \"filter\"\ndelivery = \"cutthrough\"";
        let mx = format!("destination = \"mx\"\n{terms}");
        Config::parse(&(with_authorised(true, line, &mx) + more))
    };
    let (queue, spool) = (
        "delivery = \"queue\"",
        "[spool]\ndir = \"/var/spool/outgate-relay\"\n",
    );
    let nobody = format!("{spool}[dns]\nservers = []\n");
    let smarthost = format!("{nobody}[[route]]\ndomain = \"*\"\nto = [\"192.0.2.1\"]\n");
    for more in [spool, &smarthost] {
        let config = by_mx(queue, more).unwrap();
        assert!(matches!(config.authorised[0].destination, Destination::Mx));
    }
    let error = by_mx(queue, &nobody).unwrap_err().to_string();
    assert!(
        error.starts_with("dns.servers: []: must name a resolver beside [[authorised]]"),
        "{error}"
    );
    // Nobody's mail goes anywhere from there.
    let walled = "treatment = \"walled\"";
    assert!(by_mx(walled, "[dns]\nservers = []\n").is_ok());
}
