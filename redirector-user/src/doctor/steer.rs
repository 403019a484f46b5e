//! What pools with `via = "steer"` ask of this host, so that a relay can use customers' addresses.

use std::{fs, path::Path};

use redirector_common::abi::{Role, Via};

use super::{
    Finding,
    judge::{good, warning},
};
use crate::config::Config;

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let with_role = |role| {
        let interfaces = config.interfaces.iter();
        interfaces.filter(move |interface| interface.role == role)
    };
    if !config.pools.iter().any(|pool| pool.via == Via::Steer) {
        return Vec::new();
    }
    let mut findings: Vec<Finding> = with_role(Role::Relay)
        .filter_map(|interface| {
            let filter = path_filter(&interface.name)?.max(path_filter("all")?);
            Some(relay_side(&interface.name, filter))
        })
        .collect();
    findings.push(uplinks(with_role(Role::Uplink).count()));
    findings
}

/// `filter` is the interface's reverse path filter as it is in force (ip-sysctl: the larger of its own and
/// that of `all`).
fn relay_side(name: &str, filter: u32) -> Finding {
    if filter == STRICT {
        return warning(
            name,
            "its reverse path filter is strict: the kernel drops mail that a relay sends from a customer's address",
            &format!("sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.{name}.rp_filter=2"),
        );
    }
    good(name, "its reverse path filter lets customers' addresses in")
}

fn uplinks(configured: usize) -> Finding {
    if configured == 0 {
        return warning(
            "return steering",
            "no interface is an uplink: answers to mail from a customer's address would reach the customer",
            "add an [[interface]] with role = \"uplink\" for every way that answers may come in by",
        );
    }
    good(
        "return steering",
        format!("interfaces that give relays their answers: {configured}"),
    )
}

/// `None` = there is no such interface yet.
fn path_filter(name: &str) -> Option<u32> {
    let file = Path::new("/proc/sys/net/ipv4/conf")
        .join(name)
        .join("rp_filter");
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// A source must be reached by the interface that it came in by (RFC 3704 section 2.2).
const STRICT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    #[test]
    fn a_strict_filter_and_a_missing_uplink_are_named() {
        assert_eq!(relay_side("relay0", 1).level, Level::Warning);
        assert_eq!(relay_side("relay0", 0).level, Level::Good);
        assert_eq!(relay_side("relay0", 2).level, Level::Good);
        assert_eq!(uplinks(0).level, Level::Warning);
        assert_eq!(uplinks(2).level, Level::Good);
    }

    #[test]
    fn only_a_steered_pool_asks_anything() {
        let config = |via: &str| {
            let text = format!(
                "operator = \"o\"\nhelp_url = \"https://o\"\ncustomer_prefixes = [\"192.0.2.0/24\"]\n\
                 [[interface]]\nname = \"lo\"\nrole = \"relay\"\n\
                 [[pool]]\nname = \"p\"\nvia = \"{via}\"\non_failure = \"closed\"\n\
                 [[pool.relay]]\nname = \"r\"\naddress = [\"198.51.100.2\"]\nport = 25\n"
            );
            Config::parse(Path::new("o.toml"), &text).unwrap()
        };
        assert!(examine(&config("rewrite")).is_empty());
        let about: Vec<_> = examine(&config("steer"))
            .into_iter()
            .map(|finding| finding.about)
            .collect();
        assert_eq!(about, ["lo", "return steering"]);
    }
}
