//! Lists in the DNS, served by the real rbldnsd: what is asked, what its answers mean, and that nobody is asked unbidden.

use std::net::UdpSocket;
use std::process::Command;

use relay::metrics::Counter;
use serde_json::Value;

use crate::dialogue::Dialogue;
use crate::gate::{Gate, Options, config_text};
use crate::host::free_address;
use crate::sink::Sink;
use crate::swaks;

mod rbldnsd;

use rbldnsd::Rbldnsd;

/// Two meanings of one list of addresses.
const DNSBL: &str = "[[scanner]]\nkind = \"dnsbl\"\non_error = \"defer\"\nzones = [\n\
     { name = \"ip.list.example\", hits = \"127.0.0.2-127.0.0.9\", finds = \"spam\" },\n\
     { name = \"ip.list.example\", hits = \"127.0.0.10\", log_odds = 2.5 },\n]\n";
const URIBL: &str = "[[scanner]]\nkind = \"uribl\"\non_error = \"defer\"\nhosts_max = 5\nzones = [\n\
     { name = \"uri.list.example\", hits = \"127.0.1.2\", finds = \"spam\" },\n\
     { name = \"uri.list.example\", bits = 2, finds = \"malware\", addresses = true },\n\
     { name = \"uri.list.example\", hits = \"127.0.1.8\", log_odds = 3.0 },\n]\n";

/// What `outgate-relay scan` says of a message from a customer at `ip`.
fn scanned(scanners: &str, dns: &str, ip: &str, message: &str) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        scanners: scanners.to_owned(),
        more: dns.to_owned(),
        ..Options::to(free_address())
    };
    let config = directory.path().join("relay.toml");
    std::fs::write(&config, config_text(directory.path(), &options)).unwrap();
    let file = directory.path().join("message.eml");
    std::fs::write(&file, message).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_outgate-relay"))
        .args(["scan", "-j", "--ip", ip, "--config"])
        .args([&config, &file])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"))
}

#[test]
fn a_customers_address_is_judged_by_what_the_list_answers() {
    let rbldnsd = Rbldnsd::start();
    for (ip, finding, log_odds, verdict) in [
        ("192.0.2.10", "spam", None, "reject+keep"),
        ("2001:db8:bad::10", "spam", None, "reject+keep"),
        ("192.0.2.20", "clean", Some(2.5), "accept"),
        // It is listed, for something else.
        ("192.0.2.30", "clean", None, "accept"),
        ("192.0.2.11", "clean", None, "accept"),
        ("2001:db8:900d::10", "clean", None, "accept"),
        // These are no answers.
        ("192.0.2.254", "failed", None, "defer"),
        ("2001:db8:fee::1", "failed", None, "defer"),
    ] {
        let told = scanned(DNSBL, &rbldnsd.dns(), ip, "Subject: x\n\nx\n");
        let word = &told["scanners"][0];
        assert_eq!(word["name"], "dnsbl");
        assert_eq!(word["finding"], finding, "{ip}: {told}");
        assert_eq!(word["log_odds"].as_f64(), log_odds, "{ip}: {told}");
        assert_eq!(told["verdict"], verdict, "{ip}: {told}");
        if finding == "spam" {
            let reason = format!("{ip} is listed by ip.list.example");
            assert_eq!(told["reason"], reason);
        }
        if finding == "failed" {
            let reason = word["reasons"][0].as_str().unwrap();
            assert!(reason.contains("127.255.255.25"), "{told}");
        }
    }
    let asked = rbldnsd.asked();
    // One question for both meanings, in octets and nibbles.
    assert_eq!(asked.len(), 8, "{asked:?}");
    for name in [
        "10.2.0.192.ip.list.example".to_owned(),
        format!(
            "0.1.{}d.a.b.0.8.b.d.0.1.0.0.2.ip.list.example",
            "0.".repeat(18)
        ),
    ] {
        assert!(asked.contains(&name), "{name}: {asked:?}");
    }
}

#[test]
fn links_are_judged_by_where_they_lead() {
    let rbldnsd = Rbldnsd::start();
    let scan = |body: &str| {
        let message = format!("Subject: x\nContent-Type: text/html\n\n{body}\n");
        scanned(URIBL, &rbldnsd.dns(), "192.0.2.77", &message)
    };
    for (body, finding, log_odds, reason) in [
        ("http://www.bad.example/x", "spam", None, "bad.example"),
        (
            "<a href=\"https://shop.w&#111;rse.co.uk\">x</a>",
            "spam",
            None,
            "worse.co.uk",
        ),
        (
            "http://perhaps.example http://a.perhaps.example/",
            "clean",
            Some(3.0),
            "",
        ),
        ("http://192.0.2.10/", "malware", None, "192.0.2.10"),
        ("http://3221225994/", "malware", None, "192.0.2.10"),
        (
            "http://[2001:db8:bad::1]:8080/",
            "malware",
            None,
            "2001:db8:bad::1",
        ),
        (
            "http://good.example/ and mail a@bad.example",
            "clean",
            None,
            "",
        ),
        (
            "http://10.1.2.3/ http://printer.local/ http://localhost/",
            "clean",
            None,
            "",
        ),
        ("nothing", "clean", None, ""),
        ("http://refused.example/", "failed", None, ""),
        ("http://parked.example/", "failed", None, ""),
        // What one list cannot tell keeps nothing from what is found.
        (
            "http://refused.example/ http://bad.example/",
            "spam",
            None,
            "bad.example",
        ),
    ] {
        let told = scan(body);
        let word = &told["scanners"][0];
        assert_eq!(word["finding"], finding, "{body}: {told}");
        assert_eq!(word["log_odds"].as_f64(), log_odds, "{body}: {told}");
        if !reason.is_empty() {
            let expected =
                format!("the message links to {reason}, which is listed by uri.list.example");
            assert_eq!(told["reason"], expected, "{body}");
        }
    }
    let many: String = (0..6).map(|it| format!("http://d{it}.example/ ")).collect();
    let told = scan(&many);
    assert_eq!(told["scanners"][0]["finding"], "unscannable", "{told}");
    let told = scan(&format!("http://bad.example/ {many}"));
    assert_eq!(told["scanners"][0]["finding"], "spam", "{told}");
    // Addresses of one's own network, and what is no host of the public DNS, are told to nobody.
    let asked = rbldnsd.asked();
    assert!(
        asked.contains(&"worse.co.uk.uri.list.example".to_owned()),
        "{asked:?}"
    );
    let private = ["3.2.1.10", "printer", "localhost", "shop.", "www."];
    let leaks = |name: &&String| private.iter().any(|it| name.starts_with(it));
    assert_eq!(asked.iter().find(leaks), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_who_is_not_named_and_then_only_what_is_needed() {
    let rbldnsd = tokio::task::spawn_blocking(Rbldnsd::start).await.unwrap();
    let sink = Sink::start();
    let content = b"Subject: x\r\n\r\nSee http://www.some.example/ and http://192.0.2.10/.\r\n";
    let gate = |scanners: &str| {
        Gate::start(Options {
            scanners: format!(
                "[[scanner]]\nkind = \"builtin\"\n[[scanner]]\nkind = \"classifier\"\n{scanners}"
            ),
            more: rbldnsd.dns(),
            ..Options::to(sink.address)
        })
    };
    let without = gate("");
    swaks::send(without.address, content, &[])
        .await
        .assert_accepted();
    assert_eq!(rbldnsd.asked(), Vec::<String>::new());

    let with = gate(URIBL);
    let transcript = swaks::send(with.address, content, &[]).await;
    transcript.assert_heard(
        "550 5.7.1 the message links to 192.0.2.10, which is listed by uri.list.example",
    );
    let asked = rbldnsd.asked();
    let about = [
        "10.2.0.192.uri.list.example",
        "some.example.uri.list.example",
    ];
    assert!(
        asked.iter().all(|name| about.contains(&name.as_str())),
        "{asked:?}"
    );
    assert!(asked.contains(&about[0].to_owned()), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_customer_hears_it_before_its_content_comes() {
    let rbldnsd = tokio::task::spawn_blocking(Rbldnsd::start).await.unwrap();
    let sink = Sink::start();
    let gate = Gate::start(Options {
        scanners: DNSBL.into(),
        more: rbldnsd.dns(),
        ..Options::to(sink.address)
    });
    for _ in 0..3 {
        let mut customer = Dialogue::ehlo(gate.address).await;
        customer.envelope("b@mx.example").await;
        let refused = "550 5.7.1 127.0.0.1 is listed by ip.list.example";
        customer.expect("DATA\r\n", refused).await;
    }
    gate.wait_for_count(Counter::Rejected, 3).await;
    // What is known is not asked again.
    assert_eq!(rbldnsd.asked(), ["1.0.0.127.ip.list.example"]);
    let metrics = gate.relay.metrics().scanners().figures();
    assert_eq!(metrics[&("dnsbl", "spam")].reports, 3);
}

#[test]
fn a_list_that_is_away_follows_its_on_error() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let message = "Subject: x\n\nhttp://bad.example/\n";
    for server in [silent.local_addr().unwrap(), free_address()] {
        let dns = format!("[dns]\nservers = [\"{server}\"]\n");
        for (on_error, verdict) in [("open", "accept"), ("limit", "accept"), ("defer", "defer")] {
            let waits = format!("on_error = \"{on_error}\"\ndeadline = \"1s\"");
            let scanners = (DNSBL.to_owned() + URIBL).replace("on_error = \"defer\"", &waits);
            let told = scanned(&scanners, &dns, "192.0.2.10", message);
            assert_eq!(told["verdict"], verdict, "{told}");
            for word in told["scanners"].as_array().unwrap() {
                assert_eq!(word["finding"], "failed", "{told}");
                let reason = word["reasons"][0].as_str().unwrap();
                assert!(reason.contains(".list.example: no"), "{told}");
            }
        }
    }
}
