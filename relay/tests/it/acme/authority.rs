//! pebble, and the DNS that it asks (pebble-challtestsrv).
//!
//! It rejects one good nonce in twenty, as authorities may, and shows that a name is ours anew for each order.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::host::{Running, wait_until};
use crate::namespace::RELAY;
use crate::pki::Pki;

/// What the authority is like.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// How long its certificates live.
    pub(super) life_seconds: u64,
    /// Whether it wants to know an account from elsewhere.
    pub(super) external: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            life_seconds: 90 * 86_400,
            external: false,
        }
    }
}

/// The key of the account `kid-1`, as such authorities give it out.
pub(super) const EXTERNAL_KEY: &str =
    "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\n";

/// The authority; all of it ends with the test.
pub(super) struct Authority {
    directory: TempDir,
    pub(super) pki: Pki,
    pebble: Option<Running>,
    _dns: Running,
}

impl Authority {
    /// All but the authority itself. Every name leads to the relay by IPv4.
    pub(super) fn prepare(terms: Terms) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let pki = Pki::new();
        pki.write(&path("ca.pem"));
        let own = ["127.0.0.1", "acme.example.net"];
        pki.write_server(&own, &path("server.pem"), &path("server.key"));
        let config = json!({ "pebble": {
            "listenAddress": "0.0.0.0:14000",
            "managementListenAddress": "127.0.0.1:15000",
            "certificate": path("server.pem"),
            "privateKey": path("server.key"),
            "httpPort": 80,
            "tlsPort": 443,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": terms.external,
            "externalAccountMACKeys": { "kid-1": EXTERNAL_KEY.trim() },
            "certificateValidityPeriod": terms.life_seconds,
        }});
        fs::write(path("pebble.json"), config.to_string()).unwrap();
        let log = fs::File::create(path("dns.log")).unwrap();
        let mut dns = Command::new("pebble-challtestsrv");
        dns.args(["-dns01", "127.0.0.1:8053", "-management", "127.0.0.1:8055"]);
        dns.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        dns.args(["-defaultIPv4", RELAY, "-defaultIPv6", ""]);
        dns.stdout(log.try_clone().unwrap())
            .stderr(Stdio::from(log));
        let dns = Running::start(&mut dns);
        wait_until("the DNS of the authority", || {
            TcpStream::connect(DNS).is_ok()
        });
        Self {
            directory,
            pki,
            pebble: None,
            _dns: dns,
        }
    }

    /// It is there; it knows nothing of before.
    pub(super) fn start(&mut self) {
        let log = fs::File::create(self.path("pebble.log")).unwrap();
        let mut pebble = Command::new("pebble");
        pebble.arg("-config").arg(self.path("pebble.json"));
        pebble.args(["-dnsserver", "127.0.0.1:8053"]);
        pebble.env("PEBBLE_VA_NOSLEEP", "1");
        pebble.env("PEBBLE_VA_ALWAYS_VALID", "0");
        pebble.env("PEBBLE_WFE_NONCEREJECT", "5");
        pebble.env("PEBBLE_AUTHZREUSE", "0");
        pebble
            .stdout(log.try_clone().unwrap())
            .stderr(Stdio::from(log));
        self.pebble = Some(Running::start(&mut pebble));
        wait_until("the authority", || {
            TcpStream::connect("127.0.0.1:14000").is_ok()
        });
    }

    /// It is not there.
    pub(super) fn stop(&mut self) {
        self.pebble = None;
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Lines of `[acme]` that lead to it.
    pub(super) fn acme(&self) -> String {
        self.acme_at("127.0.0.1")
    }

    /// The same by its name.
    pub(super) fn acme_by_name(&self) -> String {
        self.acme_at("acme.example.net")
    }

    fn acme_at(&self, host: &str) -> String {
        let authorities = self.path("ca.pem");
        format!("directory = \"https://{host}:14000/dir\"\nauthorities = {authorities:?}\n")
    }

    /// Its own certificate, PEM, which changes with each start.
    pub(super) fn root(&self) -> String {
        let ca = self.path("ca.pem");
        let url = "https://127.0.0.1:15000/roots/0";
        let output = Command::new("curl")
            .args(["-sS", "--cacert"])
            .arg(&ca)
            .arg(url)
            .output();
        let output = output.expect("curl is not installed");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Every name leads there from now on.
    pub(super) fn lead(&self, address: &str) {
        order_dns("/set-default-ipv4", &json!({ "ip": address }).to_string());
    }

    /// Every name leads there by IPv6, and nowhere by IPv4.
    pub(super) fn lead6(&self, address: &str) {
        order_dns("/set-default-ipv6", &json!({ "ip": address }).to_string());
        order_dns("/set-default-ipv4", &json!({ "ip": "" }).to_string());
    }
}

fn order_dns(path: &str, body: &str) {
    let mut stream = TcpStream::connect(DNS).unwrap();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: dns\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 "),
        "{path} {body}: {answer}"
    );
}

const DNS: &str = "127.0.0.1:8055";
