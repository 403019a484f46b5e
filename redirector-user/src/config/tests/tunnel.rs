//! Tunnels to relays.

use super::*;

/// A pool of two relays, the first of them with this line.
fn with(via: &str, port: u16, line: &str) -> Result<Config, String> {
    parse(&format!(
        "operator = \"o\"\nhelp_url = \"https://o\"\ncustomer_prefixes = [\"192.0.2.0/24\"]\n[[pool]]\nname = \"p\"\nvia = \
         \"{via}\"\non_failure = \"closed\"\n[[pool.relay]]\nname = \"a\"\naddress = [\"198.51.100.2\"]\nport = {port}\n\
         {line}\n[[pool.relay]]\nname = \"b\"\naddress = [\"198.51.100.3\"]\nport = {port}\ntunnel = {{ local = \
         \"203.0.113.1\", remote = \"203.0.113.9\" }}\n"
    ))
}

fn tunnel(line: &str) -> Tunnel {
    let config = with("steer", 25, line).unwrap();
    let relays: Vec<_> = config.relays().map(|(_, relay)| relay.clone()).collect();
    relays[0].tunnel.unwrap()
}

#[test]
fn what_fits_in_follows_from_the_family_of_the_ends() {
    let four = tunnel("tunnel = { local = \"203.0.113.1\", remote = \"203.0.113.7\" }");
    assert_eq!(four.mtu, 1480);
    let six = tunnel("tunnel = { local = \"2001:db8::1\", remote = \"2001:db8::7\" }");
    assert_eq!(six.mtu, 1460);
    let own = tunnel("tunnel = { local = \"203.0.113.1\", remote = \"203.0.113.7\", mtu = 1400 }");
    assert_eq!(own.mtu, 1400);
}

#[test]
fn frames_go_towards_the_far_end_whatever_the_family_of_the_customer() {
    let line = "tunnel = { local = \"2001:db8::1\", remote = \"2001:db8::7\" }";
    let config = with("steer", 25, line).unwrap();
    let relays: Vec<_> = config.relays().map(|(_, relay)| relay.clone()).collect();
    let far: IpAddr = "2001:db8::7".parse().unwrap();
    let listener = relays[0].addresses().next().unwrap();
    assert_eq!(relays[0].towards(listener), far);
}

#[test]
fn what_is_no_tunnel_is_refused_with_what_to_do() {
    let cases = [
        (
            "rewrite",
            "local = \"203.0.113.1\", remote = \"203.0.113.7\"",
            "pool[0].relay[0].tunnel: 203.0.113.1 to 203.0.113.7: only a relay that is steered to needs one: what is \
             rewritten is routed to its `address`; remove it, or say via = \"steer\" in the pool",
        ),
        (
            "steer",
            "local = \"203.0.113.1\", remote = \"2001:db8::7\"",
            "pool[0].relay[0].tunnel.remote: 2001:db8::7: not of the family of local = \"203.0.113.1\"; both ends are of \
             one, and customers of both families go through",
        ),
        (
            "steer",
            "local = \"203.0.113.1\", remote = \"203.0.113.1\"",
            "pool[0].relay[0].tunnel.remote: 203.0.113.1: both ends are one address; local is the edge's, remote is the \
             relay's host's",
        ),
        (
            "steer",
            "local = \"127.0.0.1\", remote = \"203.0.113.7\"",
            "pool[0].relay[0].tunnel.local: 127.0.0.1: no end of a tunnel; give an address that the routers on the way know",
        ),
        (
            "steer",
            "local = \"fe80::1\", remote = \"2001:db8::7\"",
            "pool[0].relay[0].tunnel.local: fe80::1: no end of a tunnel; give an address that the routers on the way know",
        ),
        (
            "steer",
            "local = \"203.0.113.1\", remote = \"203.0.113.7\", mtu = 1279",
            "pool[0].relay[0].tunnel.mtu: 1279: out of range; allowed are 1280 to 65495",
        ),
        (
            "steer",
            "local = \"203.0.113.1\", remote = \"203.0.113.9\"",
            "pool[0].relay[1].tunnel.remote: 203.0.113.9: another relay's tunnel ends there; give each relay's host an \
             address of its own for it",
        ),
    ];
    for (via, ends, expected) in cases {
        let error = with(via, 25, &format!("tunnel = {{ {ends} }}")).unwrap_err();
        assert_eq!(error, format!("o.toml: {expected}"));
    }
}

#[test]
fn an_end_alone_is_none() {
    let error = with("steer", 25, "tunnel = { local = \"203.0.113.1\" }").unwrap_err();
    assert!(error.contains("remote"), "{error}");
}
