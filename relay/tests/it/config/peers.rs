//! `[peers]` as the example shows it.

use relay::config::Config;

use super::{EXAMPLE, left_out};

/// The example with a spool and its peers, without the lines that begin like this.
fn with_peers(hide: &str) -> String {
    let peers = left_out("[peers]") + &left_out("[[peers.relay]]");
    let lines = peers.lines().filter(|line| !line.starts_with(hide));
    let peers: String = lines.flat_map(|line| [line, "\n"]).collect();
    format!("{EXAMPLE}\n[spool]\ndir = \"/var/spool/outgate-relay\"\n{peers}")
}

#[test]
fn the_examples_peers_are_understood() {
    let config = Config::parse(&with_peers("nothing")).unwrap();
    let peers = config.peers.unwrap();
    assert_eq!(peers.listen.len(), 2);
    let relay = peers.hand_over_on_drain.unwrap();
    assert_eq!((relay.name.as_str(), relay.addresses.len()), ("relay-2", 2));
    for (hidden, expected) in [
        (
            "address",
            "peers.hand_over_on_drain: relay-2: must be the name",
        ),
        ("fingerprint", "missing field `fingerprint`"),
        ("key", "missing field `key`"),
    ] {
        let error = Config::parse(&with_peers(hidden)).unwrap_err().to_string();
        assert!(error.contains(expected), "{hidden}: {error}");
    }
}
