//! A relay that gets its own certificate, and customers that look at it.
//!
//! Customers' connections are translated to the relay inside of the namespace; they are walled, because they need no
//! destination then.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::host::wait_until;
use crate::namespace::{CUSTOMER, RELAY, RELAY6};
use crate::openssl::handshake;
use crate::program::{Home, Program};

/// Where customers believe that they are going.
const MX: &str = "203.0.113.200:25";
/// The relay's name.
pub(super) const OWN: &str = "relay-1.example.net";

/// A relay that gets its certificate as these lines of `[acme]` say.
pub(super) fn home(acme: &str, more: &str) -> Home {
    translate();
    Home::authorised(
        false,
        &format!(
            "[[authorised]]\nlisten = [\"{RELAY}:2525\"]\nfrom = [\"{CUSTOMER}/32\"]\ndestination = \"so-original-dst\"\n\
             treatment = \"walled\"\n[metrics]\nlisten = \"127.0.0.1:9125\"\n{more}\n\
             [acme]\naccept_terms = true\nlisten = [\"{RELAY}:80\", \"[{RELAY6}]:80\"]\n{acme}"
        ),
    )
}

/// Customers' connections to [`MX`] become connections to the relay.
fn translate() {
    run("ip", &["route", "add", "203.0.113.200/32", "dev", "lo"]);
    let rules = format!(
        "table ip it {{ chain c {{ type nat hook output priority -100; ip saddr {CUSTOMER} ip daddr 203.0.113.200 \
         tcp dport 25 dnat to {RELAY}:2525;\n}}\n}}\n"
    );
    run("nft", &[&rules]);
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; is it installed?"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
}

pub(super) fn mx() -> SocketAddr {
    MX.parse().unwrap()
}

/// Options of `openssl s_client` for a customer.
pub(super) const FROM: &[&str] = &["-bind", "192.0.2.10:0"];

/// What openssl says of the certificate that customers are shown: issuer, serial number, names.
pub(super) fn shown() -> String {
    let said = handshake(mx(), FROM);
    let mut x509 = Command::new("openssl");
    x509.args([
        "x509",
        "-noout",
        "-serial",
        "-issuer",
        "-ext",
        "subjectAltName",
    ]);
    let mut x509 = x509
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let written = x509.stdin.take().unwrap().write_all(said.as_bytes());
    let output = x509.wait_with_output().unwrap();
    assert!(output.status.success() && written.is_ok(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether that is one of pebble's.
pub(super) fn is_pebbles(shown: &str) -> bool {
    shown.contains("issuer=CN = Pebble Intermediate CA")
}

/// Waits until customers are shown one of pebble's that is not this one.
#[track_caller]
pub(super) fn next_certificate(before: &str) -> String {
    let mut now = String::new();
    wait_until(&format!("another certificate than {before:?}"), || {
        now = shown();
        is_pebbles(&now) && now != before
    });
    now
}

/// What `outgate-relay acme status` says.
pub(super) fn status(home: &Home) -> Value {
    let output = home
        .command(&[])
        .args(["acme", "status", "--json"])
        .output();
    let output = output.unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Tells the relay that something has changed.
pub(super) fn hang_up(home: &Home, program: &Program) {
    let before = home.log().matches("configuration read again").count();
    program.hang_up();
    wait_until("the configuration to be read again", || {
        home.log().matches("configuration read again").count() > before
    });
}

pub(super) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {OWN}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A value of the metrics.
pub(super) fn metric(name: &str) -> u64 {
    let answer = get("127.0.0.1:9125", "/metrics");
    let name = format!("outgate_relay_{name} ");
    let line = answer.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("{name}: {answer}"))
        .parse()
        .unwrap()
}
