//! `[acme]`: where a certificate comes from is said once.

use relay::config::Config;

use super::{EXAMPLE, left_out};

/// The example with its table `[acme]` switched on.
fn with_acme() -> String {
    format!("{EXAMPLE}\n{}", left_out("[acme]"))
}

#[test]
fn the_example_gets_a_certificate_when_it_is_switched_on() {
    let acme = Config::parse(&with_acme()).unwrap().acme.unwrap();
    let names: Vec<&str> = acme.domains.iter().map(|it| it.as_str()).collect();
    assert_eq!(names, ["relay-1.example.net", "relay-1.example.org"]);
    assert_eq!(acme.directory.host(), Some("acme-v02.api.letsencrypt.org"));
    assert_eq!(acme.listen.len(), 2);
    assert_eq!(acme.contact, ["mailto:hostmaster@example.net"]);
    assert_eq!(acme.external_account.unwrap().kid, "kid-1");
}

#[test]
fn a_certificate_comes_from_one_place() {
    let both = with_acme() + "[tls]\ncertificate = \"/c\"\nkey = \"/k\"\n";
    let error = Config::parse(&both).unwrap_err().to_string();
    let expected = "acme: present: cannot stand beside [tls]: remove this table";
    assert!(error.starts_with(expected), "{error}");
}
