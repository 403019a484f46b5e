//! Each failure, with the line that mends it.

use super::*;

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
