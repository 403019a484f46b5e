//! Customers who ask for port 25: real names, a real list, real mail servers.

mod approval;
mod failures;
pub(crate) mod names;

use std::{fs, process::Command};

use serde_json::Value;

use self::names::Names;
use crate::{
    command::{ip, said},
    lab::Lab,
    postfix::Postfix,
};

/// A controller, a resolver that it asks, and the customers' addresses at the end of their wire.
struct Street {
    lab: Lab,
    _names: Names,
}

impl Street {
    fn new(records: &[String], names: &[(&str, &str)], precheck: &str) -> Self {
        let mut lab = Lab::new();
        let text = format!("{}\n[precheck]\n{precheck}\n", lab.text());
        fs::write(lab.config(), text).unwrap();
        let relay = lab.relay();
        ip(&["-n", &relay, "link", "set", "lo", "up"]);
        for address in FREE.into_iter().chain(OTHERS) {
            let length = if address.contains(':') { "128" } else { "32" };
            let address = format!("{address}/{length}");
            // What is not looked at for duplicates is there at once.
            let nodad: &[_] = if length == "128" { &["nodad"] } else { &[] };
            let add = ["-n", &relay, "address", "add", &address, "dev", "cust1"];
            ip(&[&add[..], nodad].concat());
        }
        let own = |arguments: &[&str]| {
            let done = said(lab.inside("ip").args(arguments));
            assert_eq!(done.code, 0, "{done:?}");
        };
        own(&["address", "add", "192.0.2.1/24", "dev", "cust0"]);
        own(&[
            "address",
            "add",
            "2001:db8:a::1/48",
            "dev",
            "cust0",
            "nodad",
        ]);
        ip(&["-n", &relay, "route", "add", "192.0.2.1", "dev", "cust1"]);
        ip(&[
            "-n",
            &relay,
            "route",
            "add",
            "2001:db8:a::1",
            "dev",
            "cust1",
        ]);
        let names = Names::start(&lab, records, names);
        lab.start();
        Self { lab, _names: names }
    }

    /// What is said of a customer, with this exit code.
    #[track_caller]
    fn precheck(&self, code: i32, arguments: &[&str]) -> Value {
        self.lab.json(code, &[&["precheck"], arguments].concat())
    }
}

/// The finding of a check about a subject.
#[track_caller]
fn finding<'view>(view: &'view Value, check: &str, subject: &str) -> &'view Value {
    let findings = view["findings"].as_array().unwrap();
    let found = findings
        .iter()
        .find(|it| it["check"] == check && it["subject"] == subject);
    found.unwrap_or_else(|| panic!("{check} {subject}: {view:#}"))
}

/// Of a check about a subject: verdict, what was seen, what can be pasted.
#[track_caller]
fn check(view: &Value, check: &str, subject: &str, verdict: &str, seen: &str, paste: Option<&str>) {
    let found = finding(view, check, subject);
    let text = found["seen"].as_str().unwrap();
    assert_eq!(found["verdict"], verdict, "{found:#}");
    assert!(text.contains(seen), "{seen}: {found:#}");
    match paste {
        Some(paste) => assert_eq!(found["paste"], paste, "{found:#}"),
        None => assert_eq!(found["paste"], Value::Null, "{found:#}"),
    }
}

/// A key's record, of so many bits.
fn key(bits: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", "openssl genrsa $0 2>/dev/null | openssl rsa -pubout -outform DER 2>/dev/null | base64 -w 0", bits])
        .output()
        .unwrap();
    let key = String::from_utf8(output.stdout).unwrap();
    assert!(key.len() > 100, "is openssl installed?");
    // Long texts are several strings.
    let mut parts = String::new();
    for part in key.trim().as_bytes().chunks(200) {
        parts.push_str(&format!(" \"{}\"", str::from_utf8(part).unwrap()));
    }
    format!("TXT \"v=DKIM1; k=rsa; p=\"{parts}")
}

/// A customer as one should be.
fn good() -> Vec<String> {
    let mut records = [
        "mail.good.example. A 192.0.2.10",
        "mail.good.example. AAAA 2001:db8:a:a::10",
        "good.example. MX 10 mail.good.example.",
        "good.example. TXT \"v=spf1 include:spf.good.example -all\"",
        "spf.good.example. TXT \"v=spf1 ip4:192.0.2.10 ip6:2001:db8:a:a::10 -all\"",
        "_dmarc.good.example. TXT \"v=DMARC1; p=reject; rua=mailto:dmarc@good.example\"",
    ]
    .map(String::from)
    .to_vec();
    records.push(format!("s1._domainkey.good.example. {}", key("2048")));
    records
}

const GOOD_NAMES: [(&str, &str); 2] = [
    ("192.0.2.10", "mail.good.example"),
    ("2001:db8:a:a::10", "mail.good.example"),
];

#[test]
fn a_good_neighbour_passes_by_either_family() {
    let street = Street::new(&good(), &GOOD_NAMES, ASKED);
    // Debian's own way: strangers are deferred with 454, not refused.
    let mut closed = Postfix::at(&["192.0.2.10:smtp", "[2001:db8:a:a::10]:smtp"], CLOSED);
    closed.start_outside(&street.lab);
    for address in FREE {
        let arguments = [address, "--domain", "good.example", "--selector", "s1"];
        let view = street.precheck(0, &arguments);
        assert_eq!(view["verdict"], "pass", "{view:#}");
        assert_eq!(
            (&view["flag"], &view["refused"]),
            (&Value::Null, &Value::Null)
        );
        let checks: Vec<_> = view["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["check"])
            .collect();
        assert_eq!(
            checks,
            [
                "ptr",
                "fcrdns",
                "ehlo",
                "spf",
                "dkim",
                "dmarc",
                "bounces",
                "open-relay",
                "listing"
            ],
            "{view:#}"
        );
        check(
            &view,
            "open-relay",
            address,
            "pass",
            "RCPT TO:<nobody@example.com>: 454 4.7.1",
            None,
        );
        check(
            &view,
            "listing",
            address,
            "pass",
            "ip.list.example does not name it",
            None,
        );
        check(
            &view,
            "dkim",
            "s1._domainkey.good.example",
            "pass",
            "RSA, 2048 bits",
            None,
        );
    }
    let said = street.lab.outgate(&[
        "precheck",
        FREE[0],
        "--domain",
        "good.example",
        "--selector",
        "s1",
    ]);
    assert!(
        said.out.contains("192.0.2.10/32 as good.example: pass"),
        "{said:?}"
    );
    // What was seen of it was only looked at: nothing was delivered to anybody.
    assert!(closed.mailbox().is_empty());
}

#[test]
fn who_cannot_be_heard_has_not_passed() {
    let mut records = good();
    records.retain(|record| !record.starts_with("_dmarc"));
    records.push(String::from(
        "wide.example. TXT \"v=spf1 include:broken.example -all\"",
    ));
    let street = Street::new(
        &records,
        &GOOD_NAMES,
        "resolvers = [\"127.0.0.1\"]\nlists = [\"ip.list.example\", \"dead.list.example\"]",
    );
    let view = street.precheck(
        3,
        &[
            "192.0.2.10",
            "--domain",
            "broken.example",
            "--selector",
            "s1",
        ],
    );
    for (what, subject) in [
        ("spf", "broken.example"),
        ("dkim", "s1._domainkey.broken.example"),
        ("dmarc", "broken.example"),
        ("bounces", "broken.example"),
    ] {
        check(&view, what, subject, "unknown", "no answer", None);
    }
    // A list that does not name 127.0.0.2 says nothing by its silence (RFC 5782 section 5).
    let lists = view["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["check"] == "listing");
    let lists: Vec<_> = lists.map(|it| it["verdict"].as_str().unwrap()).collect();
    assert_eq!(lists, ["pass", "unknown"], "{view:#}");
    // Without a selector nothing is known of DKIM; what SPF leads to may be broken as well.
    let view = street.precheck(3, &["192.0.2.10", "--domain", "wide.example"]);
    check(
        &view,
        "dkim",
        "wide.example",
        "unknown",
        "no selector is named",
        None,
    );
    check(
        &view,
        "spf",
        "192.0.2.10",
        "unknown",
        "says temperror",
        None,
    );
    assert_eq!(view["verdict"], "fail", "{view:#}");

    let opened = ["--approve", "--reason", "asked for", "--limit", "30/min"];
    let lacking = [&["192.0.2.10", "--domain", "broken.example"], &opened[..]].concat();
    assert_eq!(street.precheck(3, &lacking)["flag"], Value::Null);
    // The mail server's own silence is a warning: nothing of it is reached by others either.
    let view = street.precheck(
        3,
        &["192.0.2.99", "--domain", "good.example", "--selector", "s1"],
    );
    check(
        &view,
        "open-relay",
        "192.0.2.99",
        "warn",
        "port 25 does not answer from here",
        None,
    );
}

/// As Debian has it: strangers are deferred, and nobody is at home but the host itself.
const CLOSED: &str = "mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, defer_unauth_destination
";
const ASKED: &str = "resolvers = [\"127.0.0.1\"]\nlists = [\"ip.list.example\"]";
const FREE: [&str; 2] = ["192.0.2.10", "2001:db8:a:a::10"];
const OTHERS: [&str; 4] = ["192.0.2.20", "192.0.2.21", "192.0.2.30", "2001:db8:a:b::20"];
