//! What scanners find that the internet is scanned with.

use anyhow::{Context as _, Result};
use lab::{
    Family, Host, Lab,
    peers::{postfix::Postfix, scanner, swaks::exchanger},
    relay::Options,
};
use serde_json::Value;

use crate::{flag, lab_up, start};

#[test]
fn the_tls_of_the_relay_has_nothing_old_and_nothing_broken() -> Result<()> {
    let lab = lab_up("ogtsslyze")?;
    let _mx = Postfix::start(&lab, Host::Mx1)?;
    // It tries each suite by a connection of its own, as fast as it can.
    let options = Options {
        more: String::from("\n[behaviour.limits]\nconnections_per_minute = 0\n"),
        ..Options::default()
    };
    let (gate, _relay) = start(&lab, &options)?;
    for family in Family::ALL {
        // Or the relay would take sslyze, which shakes hands and goes, for a sender that verifies its destination.
        flag(&gate, family, &["--confirmed"])?;
        let found = scanner::sslyze(&lab, Host::CustomerA, exchanger(Host::Mx1, family))?;
        for old in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"] {
            assert_eq!(suites(&found, old)?, [""; 0], "{old}");
        }
        let tls12 = suites(&found, "tls_1_2")?;
        assert!(!tls12.is_empty());
        for suite in tls12 {
            // Forward secrecy, and authenticated encryption.
            let modern = suite.contains("_GCM_") || suite.contains("CHACHA20");
            assert!(suite.starts_with("TLS_ECDHE_") && modern, "{suite}");
        }
        assert!(!suites(&found, "tls_1_3")?.is_empty());
        for (scan, field, wanted) in FINDINGS {
            assert_eq!(found[scan]["result"][field], wanted, "{scan}.{field}");
        }
        // Without RSA key exchange there is nothing to ask an oracle.
        let robot = &found["robot"]["result"]["robot_result"];
        assert_eq!(robot, "NOT_VULNERABLE_RSA_NOT_SUPPORTED");
    }
    Ok(())
}

#[test]
fn nobody_relays_through_the_gate() -> Result<()> {
    let lab = lab_up("ogtopenrelay")?;
    let mx = Postfix::start(&lab, Host::Mx1)?;
    let options = Options::default();
    let (gate, _relay) = start(&lab, &options)?;
    for family in Family::ALL {
        // Customers hear nothing from the relay itself: its answers without an entry are dropped.
        let relay = (options.pool.address(family), options.pool.port()).into();
        let found = scanner::open_relay(&lab, Host::Mx2, relay)?;
        assert!(found.contains("the session was refused"), "{found}");
        // On the redirect the destination is asked, and it relays for nobody.
        flag(&gate, family, &[])?;
        let to = exchanger(Host::Mx1, family);
        assert_eq!(greeting(&lab, family)?, crate::RELAY);
        let found = scanner::open_relay(&lab, Host::CustomerA, to)?;
        let closed = "Server doesn't seem to be an open relay, all tests failed";
        assert_eq!(found, closed);
    }
    assert!(mx.mailbox()?.is_empty());
    Ok(())
}

fn greeting(lab: &Lab, family: Family) -> Result<String> {
    crate::greeter(lab, Host::CustomerA, Host::Mx1, family)
}

/// The suites of a version that the relay agreed to.
fn suites<'a>(found: &'a Value, version: &str) -> Result<Vec<&'a str>> {
    let accepted = &found[format!("{version}_cipher_suites")]["result"]["accepted_cipher_suites"];
    let accepted = accepted.as_array().context("no list of suites")?;
    let names = accepted
        .iter()
        .map(|suite| suite["cipher_suite"]["name"].as_str());
    names
        .collect::<Option<_>>()
        .context("a suite without a name")
}

/// What sslyze must say.
const FINDINGS: [(&str, &str, bool); 7] = [
    ("heartbleed", "is_vulnerable_to_heartbleed", false),
    (
        "openssl_ccs_injection",
        "is_vulnerable_to_ccs_injection",
        false,
    ),
    (
        "session_renegotiation",
        "supports_secure_renegotiation",
        true,
    ),
    (
        "session_renegotiation",
        "is_vulnerable_to_client_renegotiation_dos",
        false,
    ),
    ("tls_1_3_early_data", "supports_early_data", false),
    ("tls_compression", "supports_compression", false),
    ("tls_extended_master_secret", "supports_ems_extension", true),
];
