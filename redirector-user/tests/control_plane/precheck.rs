//! Customers who ask for port 25: real names, a real list, real mail servers.

mod names;

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
fn each_failure_is_told_with_the_line_that_mends_it() {
    let mut records = [
        // Its name leads elsewhere, and nobody is let send.
        "mail.bad.example. A 192.0.2.99",
        "bad.example. MX 0 .",
        "bad.example. TXT \"v=spf1 a:mail.bad.example ~all\"",
        "_dmarc.bad.example. TXT \"v=DMARC1; rua=mailto:x@bad.example\"",
        "gone._domainkey.bad.example. TXT \"v=DKIM1; p=\"",
        "cut._domainkey.bad.example. TXT \"v=DKIM1; k=rsa; p=MIIBIjAN\"",
        // Eleven look-ups.
        "many.example. TXT \"v=spf1 a a:1.many.example a:2.many.example a:3.many.example mx include:more.many.example -all\"",
        "more.many.example. TXT \"v=spf1 a a:5.many.example exists:6.many.example ptr mx -all\"",
        "two.example. TXT \"v=spf1 ip4:192.0.2.20 -all\"",
        "two.example. TXT \"v=spf1 mx -all\"",
        "two.example. MX 10 nowhere.two.example.",
        "odd.example. TXT \"v=spf1 ipv4:192.0.2.20 -all\"",
        "lost.example. TXT \"v=spf1 include:absent.example ip4:192.0.2.20 -all\"",
    ]
    .map(String::from)
    .to_vec();
    records.push(format!("weak._domainkey.bad.example. {}", key("1024")));
    let names = [
        ("192.0.2.20", "mail.bad.example"),
        ("2001:db8:a:b::20", "mail.bad.example"),
    ];
    let street = Street::new(&records, &names, ASKED);
    let listeners = ["192.0.2.20:smtp", "[2001:db8:a:b::20]:smtp"];
    let mut open = Postfix::at(
        &listeners,
        "mynetworks = 0.0.0.0/0 [::]/0
",
    );
    open.start_outside(&street.lab);
    let selectors = ["gone", "cut", "weak", "none"]
        .map(|name| ["--selector", name])
        .concat();
    let bad = |address| [&[address, "--domain", "bad.example"], &selectors[..]].concat();

    let four = street.precheck(3, &bad("192.0.2.20"));
    let fcrdns = "mail.bad.example. IN A 192.0.2.20";
    check(
        &four,
        "ptr",
        "192.0.2.20",
        "pass",
        "20.2.0.192.in-addr.arpa. IN PTR mail.bad.example.",
        None,
    );
    check(
        &four,
        "fcrdns",
        "192.0.2.20",
        "fail",
        "mail.bad.example. IN A 192.0.2.99",
        Some(fcrdns),
    );
    check(
        &four,
        "ehlo",
        "192.0.2.20",
        "fail",
        "EHLO mail.bad.example",
        Some(fcrdns),
    );
    let spf = "bad.example. IN TXT \"v=spf1 ip4:192.0.2.20 a:mail.bad.example ~all\"";
    check(
        &four,
        "spf",
        "192.0.2.20",
        "fail",
        "~all\" says softfail",
        Some(spf),
    );
    let dmarc =
        "_dmarc.bad.example. IN TXT \"v=DMARC1; p=none; rua=mailto:postmaster@bad.example\"";
    check(
        &four,
        "dmarc",
        "bad.example",
        "fail",
        "has no p=",
        Some(dmarc),
    );
    let mx = "bad.example. IN MX 10 mail.bad.example.";
    check(
        &four,
        "bounces",
        "bad.example",
        "fail",
        "IN MX 0 . says that it takes no mail",
        Some(mx),
    );
    let closed = "smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination";
    check(
        &four,
        "open-relay",
        "192.0.2.20",
        "fail",
        "MAIL FROM:<>, RCPT TO:<nobody@example.com>: 250",
        Some(closed),
    );
    let code =
        "20.2.0.192.ip.list.example. IN A 127.0.0.2 \"listed, see https://list.example/why\"";
    check(&four, "listing", "192.0.2.20", "fail", code, None);
    for (selector, verdict, seen) in [
        (
            "gone",
            "fail",
            "the key is revoked (RFC 6376 section 3.6.1)",
        ),
        ("cut", "fail", "p= cannot be read as a key"),
        ("weak", "warn", "RSA, 1024 bits"),
        ("none", "fail", "has no TXT record"),
    ] {
        let name = format!("{selector}._domainkey.bad.example");
        let found = finding(&four, "dkim", &name);
        assert_eq!(found["verdict"], verdict, "{found:#}");
        assert!(found["seen"].as_str().unwrap().contains(seen), "{found:#}");
        let paste = found["paste"].as_str().unwrap();
        assert!(
            paste.starts_with(&format!("openssl genrsa -out {selector}.key 2048 && ")),
            "{found:#}"
        );
        if selector == "none" {
            the_command_makes_a_record(paste);
        }
    }

    let six = street.precheck(3, &bad("2001:db8:a:b::20"));
    let fcrdns = "mail.bad.example. IN AAAA 2001:db8:a:b::20";
    check(
        &six,
        "fcrdns",
        "2001:db8:a:b::20",
        "fail",
        "mail.bad.example has no AAAA record",
        Some(fcrdns),
    );
    let spf = "bad.example. IN TXT \"v=spf1 ip6:2001:db8:a:b::20 a:mail.bad.example ~all\"";
    check(
        &six,
        "spf",
        "2001:db8:a:b::20",
        "fail",
        "softfail",
        Some(spf),
    );
    check(
        &six,
        "open-relay",
        "2001:db8:a:b::20",
        "fail",
        "RCPT TO:<nobody@example.com>: 250",
        Some(closed),
    );
    check(
        &six,
        "listing",
        "2001:db8:a:b::20",
        "fail",
        "ip.list.example. IN A 127.0.0.2",
        None,
    );

    // An address without a name, and domains whose SPF record is none.
    let bare = |domain: &'static str| {
        street.precheck(3, &["192.0.2.30", "--domain", domain, "--selector", "s1"])
    };
    let many = bare("many.example");
    let ptr = "30.2.0.192.in-addr.arpa. IN PTR mail.many.example.";
    check(
        &many,
        "ptr",
        "192.0.2.30",
        "fail",
        "no PTR record",
        Some(ptr),
    );
    check(
        &many,
        "ehlo",
        "192.0.2.30",
        "fail",
        "no name to say",
        Some("myhostname = mail.many.example"),
    );
    let fewer = "many.example. IN TXT \"v=spf1 ip4:192.0.2.30 include:more.many.example -all\"";
    let count = "takes 11 look-ups, 10 are allowed (RFC 7208 section 4.6.4)";
    check(&many, "spf", "many.example", "fail", count, Some(fewer));
    check(
        &many,
        "spf",
        "many.example",
        "fail",
        "include:more.many.example takes 6",
        Some(fewer),
    );
    check(
        &many,
        "bounces",
        "many.example",
        "fail",
        "neither MX nor A nor AAAA",
        Some("many.example. IN MX 10 mail.many.example."),
    );
    check(
        &many,
        "open-relay",
        "192.0.2.30",
        "pass",
        "nobody listens on port 25",
        None,
    );
    check(
        &many,
        "listing",
        "192.0.2.30",
        "unknown",
        "IN A 127.255.255.254",
        None,
    );
    let dmarc =
        "_dmarc.many.example. IN TXT \"v=DMARC1; p=none; rua=mailto:postmaster@many.example\"";
    check(
        &many,
        "dmarc",
        "many.example",
        "fail",
        "has no DMARC record",
        Some(dmarc),
    );
    let two = bare("two.example");
    let one = "two.example. IN TXT \"v=spf1 ip4:192.0.2.20 mx -all\"";
    check(
        &two,
        "spf",
        "two.example",
        "fail",
        "2 SPF records",
        Some(one),
    );
    let address = "nowhere.two.example. IN A 192.0.2.30";
    check(
        &two,
        "bounces",
        "two.example",
        "fail",
        "which has no address",
        Some(address),
    );
    let odd = bare("odd.example");
    check(
        &odd,
        "spf",
        "odd.example",
        "fail",
        "\"ipv4:192.0.2.20\" cannot be read",
        Some("odd.example. IN TXT \"v=spf1 -all\""),
    );
    let lost = bare("lost.example");
    let kept = "lost.example. IN TXT \"v=spf1 ip4:192.0.2.20 -all\"";
    check(
        &lost,
        "spf",
        "lost.example",
        "fail",
        "absent.example has no SPF record to include",
        Some(kept),
    );
    let none = bare("none.example");
    let first = "none.example. IN TXT \"v=spf1 ip4:192.0.2.30 -all\"";
    check(
        &none,
        "spf",
        "none.example",
        "fail",
        "has no SPF record",
        Some(first),
    );

    // A prefix: one record for all of it, and the exact line on a terminal.
    let said = street
        .lab
        .outgate(&["precheck", "192.0.2.20/31", "--domain", "none.example"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(
        said.out
            .contains("\nnone.example. IN TXT \"v=spf1 ip4:192.0.2.20/31 -all\"\n"),
        "{said:?}"
    );
    assert!(said.out.contains("FAIL"), "{said:?}");
}

/// What is pasted into a shell prints a zone's line with a key that we would take.
#[track_caller]
fn the_command_makes_a_record(command: &str) {
    let directory = tempfile::tempdir().unwrap();
    let made = said(
        Command::new("sh")
            .args(["-c", command])
            .current_dir(directory.path()),
    );
    assert_eq!(made.code, 0, "{made:?}");
    let line = made.out.replace('\n', " ");
    assert!(
        line.starts_with("none._domainkey.bad.example. IN TXT ( \"v=DKIM1; k=rsa; p=\" \"MIIBIjAN"),
        "{line}"
    );
    assert!(line.trim_end().ends_with(')'), "{line}");
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

#[test]
fn an_approval_lets_out_within_a_limit_until_somebody_looks_again() {
    let street = Street::new(&good(), &GOOD_NAMES, ASKED);
    let lab = &street.lab;
    for range in ["192.0.2.0/24", "2001:db8:a::/48"] {
        let refuse = [
            "--action",
            "refuse",
            "--reason",
            "port 25 is closed; ask us",
        ];
        lab.json(0, &[&["range", "add", range], &refuse[..]].concat());
    }
    let opened = [
        "--approve",
        "--reason",
        "asked for, ticket 4713",
        "--limit",
        "30/min",
        "--review",
        "30d",
    ];
    for address in FREE {
        assert_eq!(lab.json(0, &["why", address])["action"], "refuse");
        let asked = [address, "--domain", "good.example", "--selector", "s1"];
        let view = street.precheck(0, &[&asked[..], &opened].concat());
        let flag = &view["flag"];
        assert_eq!(
            (
                &flag["action"],
                &flag["rate"],
                &flag["approval"],
                &flag["state"]
            ),
            (
                &"limit".into(),
                &"30/min".into(),
                &"pending".into(),
                &"active".into()
            ),
            "{view:#}"
        );
        assert_eq!(lab.json(0, &["why", address])["action"], "limit");
        let approve = [
            "flag", "approve", address, "--reason", "agreed", "--actor", "berta",
        ];
        let approved = lab.json(0, &approve);
        assert_eq!(approved["approval"], "approved", "{approved:#}");
        assert!(approved["review_at"].is_string(), "{approved:#}");
        let shown = lab.json(0, &["flag", "show", address]).to_string();
        assert!(
            shown.contains("prechecked") && shown.contains("good.example"),
            "{shown}"
        );
    }
    // The neighbour in the same range stays where it was.
    assert_eq!(lab.json(0, &["why", "192.0.2.11"])["action"], "refuse");

    // Who has failed stays closed, unless somebody says why it does not matter; which stands in the trail.
    let bad = ["192.0.2.20", "--domain", "bad.example"];
    let view = street.precheck(3, &[&bad[..], &opened].concat());
    assert_eq!(view["flag"], Value::Null);
    assert!(
        view["refused"]
            .as_str()
            .unwrap()
            .starts_with("not opened: "),
        "{view:#}"
    );
    assert_eq!(lab.json(0, &["why", bad[0]])["action"], "refuse");
    let view = street.precheck(
        0,
        &[&bad[..], &opened, &["--override", "moves on Friday"]].concat(),
    );
    assert_eq!(
        (&view["verdict"], &view["refused"]),
        (&"fail".into(), &Value::Null)
    );
    assert_eq!(lab.json(0, &["why", bad[0]])["action"], "limit");
    let subject = format!("flag:{}", view["flag"]["id"]);
    let trail = lab
        .json(0, &["audit", "ls", "--subject", &subject])
        .to_string();
    for words in [
        "prechecked",
        "moves on Friday",
        "fail ptr 192.0.2.20: no PTR record",
        "tester",
    ] {
        assert!(trail.contains(words), "{words}: {trail}");
    }
    assert_eq!(lab.outgate(&["audit", "verify"]).code, 0);
}

#[test]
fn what_cannot_be_asked_is_refused_before_anybody_is() {
    let street = Street::new(&good(), &GOOD_NAMES, ASKED);
    let opened = |limit: &'static str, review: &'static str| {
        [
            "192.0.2.10",
            "--approve",
            "--reason",
            "r",
            "--limit",
            limit,
            "--review",
            review,
        ]
    };
    for (code, arguments, words) in [
        (
            1,
            &["2001:db8:a:a::/64"][..],
            "has more than 256 addresses; name those that send (--address",
        ),
        (
            1,
            &["192.0.2.0/28", "--address", "192.0.2.16"],
            "is not in 192.0.2.0/28",
        ),
        (3, &["203.0.113.10"], "is not a customer"),
        (
            3,
            &["192.0.0.0/16", "--address", "192.0.2.1"],
            "wider than the customer prefix",
        ),
        (
            1,
            &["192.0.2.10", "--selector", "a b"],
            "not one; it is what s= says",
        ),
        (1, &opened("many", "30d"), "many"),
        (3, &opened("30/min", "1000d"), "366d"),
        (1, &["192.0.2.10", "--approve"], "--reason"),
    ] {
        let said = street
            .lab
            .outgate(&[&["precheck", "--domain", "good.example"], arguments].concat());
        assert_eq!(said.code, code, "{said:?}");
        assert!(said.err.contains(words), "{words}: {said:?}");
    }
    let said = street
        .lab
        .outgate(&["precheck", "192.0.2.10", "--domain", "localhost"]);
    assert!(
        said.code == 1 && said.err.contains("not the full name"),
        "{said:?}"
    );
    let asked = [
        "2001:db8:a:a::/64",
        "--address",
        FREE[1],
        "--domain",
        "good.example",
        "--selector",
        "s1",
    ];
    assert_eq!(street.precheck(0, &asked)["verdict"], "pass");
}

/// As Debian has it: strangers are deferred, and nobody is at home but the host itself.
const CLOSED: &str = "mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, defer_unauth_destination
";
const ASKED: &str = "resolvers = [\"127.0.0.1\"]\nlists = [\"ip.list.example\"]";
const FREE: [&str; 2] = ["192.0.2.10", "2001:db8:a:a::10"];
const OTHERS: [&str; 4] = ["192.0.2.20", "192.0.2.21", "192.0.2.30", "2001:db8:a:b::20"];
