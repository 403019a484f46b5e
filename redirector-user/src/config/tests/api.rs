//! `[api]`: where the API listens, and who may do what.

use super::*;
use crate::policy::token::Scope;

/// What [`WHOLE`] has of `[api]`.
const NONE: &str = "listen = []\nunix_scopes = {}\n";

const API: &str = r#"listen = ["[::1]:8443", "192.0.2.1:8443"]
certificate = "/etc/outgate/api.pem"
key = "/etc/outgate/api.key"
client_ca = "/etc/outgate/clients.pem"
unix_scopes = { monitoring = "read" }

[[api.client]]
name = "billing.example.net"
scope = "flag"
"#;

#[test]
fn every_key_of_the_api_is_read() {
    assert_eq!(parse(WHOLE).unwrap().api, Api::default());
    let api = parse(&WHOLE.replace(NONE, API)).unwrap().api;
    let listen = ["[::1]:8443", "192.0.2.1:8443"].map(|text| text.parse().unwrap());
    assert_eq!(api.listen, listen);
    let files = TlsFiles {
        certificate: PathBuf::from("/etc/outgate/api.pem"),
        key: PathBuf::from("/etc/outgate/api.key"),
        client_ca: Some(PathBuf::from("/etc/outgate/clients.pem")),
    };
    assert_eq!(api.tls, Some(files));
    let client = ApiClient {
        name: String::from("billing.example.net"),
        scope: Scope::Flag,
    };
    assert_eq!(api.clients, [client]);
    let unix_scopes = [(String::from("monitoring"), Scope::Read)];
    assert_eq!(api.unix_scopes, unix_scopes.into());
}

#[test]
fn what_nobody_could_use_is_refused() {
    let half = "a certificate is of no use without its key, nor a key without its certificate; give both files";
    let cases = [
        (
            "\"[::1]:8443\", ",
            "\"[::1]\", ",
            "api.listen[0]: [::1]: not an address and a port, as \"[::1]:8443\" or \"192.0.2.1:8443\"",
        ),
        (
            "192.0.2.1:8443",
            "192.0.2.1:0",
            "api.listen[1]: 192.0.2.1:0: not an address and a port, as \"[::1]:8443\" or \"192.0.2.1:8443\"",
        ),
        (
            "192.0.2.1:8443",
            "[::1]:8443",
            "api.listen[1]: [::1]:8443: named twice; once is enough",
        ),
        (
            "key = \"/etc/outgate/api.key\"",
            "",
            &format!("api.key: missing: {half}"),
        ),
        (
            "certificate = \"/etc/outgate/api.pem\"\n",
            "",
            &format!("api.certificate: missing: {half}"),
        ),
        (
            "certificate = \"/etc/outgate/api.pem\"\nkey = \"/etc/outgate/api.key\"",
            "",
            "api.certificate: missing: the API speaks TLS alone over TCP; give certificate and key, as PEM files",
        ),
        (
            "/etc/outgate/api.key",
            "api.key",
            "api.key: api.key: a relative path depends on where outgated starts; give an absolute one",
        ),
        (
            "client_ca = \"/etc/outgate/clients.pem\"",
            "",
            "api.client_ca: missing: nobody vouches for clients' certificates; name the authority's file as client_ca",
        ),
        (
            "scope = \"flag\"",
            "scope = \"write\"",
            "api.client[0].scope: write: unknown; allowed are read, flag, admin, relay",
        ),
        (
            "monitoring = \"read\"",
            "monitoring = \"relay\"",
            "api.unix_scopes.monitoring: relay: over the socket a relay has no name; allowed are read, flag and admin",
        ),
    ];
    for (from, to, expected) in cases {
        assert!(API.contains(from), "{from}");
        let text = WHOLE.replace(NONE, &API.replacen(from, to, 1));
        assert_eq!(parse(&text).unwrap_err(), format!("o.toml: {expected}"));
    }
}
