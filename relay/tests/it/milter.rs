//! Real mail filters of Sendmail's kind: rspamd, which speaks the protocol by itself, and clamav-milter and one in Python, which
//! have libmilter do it.

use relay::metrics::Counter;
use serde_json::Value;

use crate::clamd::{SIGNATURE, sample, with_attachment};
use crate::dialogue::Dialogue;
use crate::gate::{Gate, Options};
use crate::host::free_address;
use crate::scan;
use crate::sink::Sink;
use crate::swaks;

mod clamav;
mod python;
mod rspamd;

use clamav::ClamavMilter;
use python::PythonMilter;

/// A `[[scanner]]` at `way`.
fn scanner(way: &str) -> String {
    format!("[[scanner]]\nkind = \"milter\"\n{way}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verdict_of_libmilter_means_what_it_says() {
    let filter = tokio::task::spawn_blocking(PythonMilter::start);
    let filter = filter.await.unwrap();
    let sink = Sink::start();
    let gate = Gate::start(Options {
        scanners: scanner(&filter.way()),
        memory_octets: 2000,
        ..Options::to(sink.address)
    });
    let large = "x".repeat(70) + "\r\n";
    let mut taken = Vec::new();
    for (subject, body, expected) in [
        ("continue", "x\r\n".to_owned(), "250 2.0.0 Ok"),
        ("accept", "x\r\n".to_owned(), "250 2.0.0 Ok"),
        ("skip", large.repeat(5000), "250 2.0.0 Ok"),
        ("progress", "x\r\n".to_owned(), "250 2.0.0 Ok"),
        ("changes", "x\r\n".to_owned(), "250 2.0.0 Ok"),
        (
            "reject",
            "x\r\n".to_owned(),
            "550 5.7.1 the content filter refuses the message",
        ),
        (
            "discard",
            "x\r\n".to_owned(),
            "550 5.7.1 the content filter refuses the message",
        ),
        (
            "quarantine",
            "x\r\n".to_owned(),
            "550 5.7.1 the content filter refuses the message",
        ),
        (
            "tempfail",
            "x\r\n".to_owned(),
            "451 4.7.1 the content filter asks you to try again later",
        ),
        (
            "reply 550",
            "x\r\n".to_owned(),
            "550 5.7.1 not 100% wanted here",
        ),
        (
            "reply 450",
            "x\r\n".to_owned(),
            "451 4.7.1 not 100% wanted here id=",
        ),
    ] {
        let content = format!("Subject: {subject}\r\nX-Long:  a\r\n\tb\r\n\r\n{body}");
        let transcript = swaks::send(gate.address, content.as_bytes(), &[]).await;
        transcript.assert_heard(expected);
        if expected.starts_with("250") {
            taken.push(content);
        }
    }
    // Not one octet is another one, whatever was asked for.
    let arrived = sink.taken();
    let contents: Vec<&[u8]> = arrived.iter().map(|it| it.content()).collect();
    assert_eq!(
        contents,
        taken.iter().map(String::as_bytes).collect::<Vec<_>>()
    );
    gate.assert_counted(Counter::ScannerFailed, 0);
    // A field more, one less, one changed, a recipient more and one less, another sender, another body.
    gate.assert_counted(Counter::MilterChangesIgnored, 7);
    let figures = gate.relay.metrics().scanners().figures();
    assert_eq!(figures[&("milter", "spam")].reports, 4);
    assert_eq!(figures[&("milter", "defer")].reports, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_shown_the_session_and_the_message_as_they_were() {
    let filter = tokio::task::spawn_blocking(PythonMilter::start);
    let filter = filter.await.unwrap();
    let sink = Sink::start();
    let gate = Gate::start(Options {
        scanners: scanner(&filter.way()),
        ..Options::to(sink.address)
    });
    let mut customer = Dialogue::ehlo(gate.address).await;
    let mail = "MAIL FROM:<a@customer.example> BODY=8BITMIME\r\n";
    customer.expect(mail, "250").await;
    customer.expect("RCPT TO:<b@mx.example>\r\n", "250").await;
    customer.expect("RCPT TO:<c@mx.example>\r\n", "250").await;
    customer.expect("DATA\r\n", "354").await;
    let message = "Subject: continue\r\nX-Folded:  one\r\n\ttwo\r\nX-Empty:\r\n\r\n..a line\r\n\r\nend\r\n.\r\n";
    customer.expect(message, "250 ").await;
    let told = filter.told();
    let expected = [
        "connect [127.0.0.1] 127.0.0.1 j=relay-1.example.net client_addr=127.0.0.1",
        "mail <a@customer.example> BODY=8BITMIME mail_addr=a@customer.example",
        "rcpt <b@mx.example> rcpt_addr=b@mx.example",
        "rcpt <c@mx.example> rcpt_addr=c@mx.example",
        "data",
        "header Subject 'continue'",
        "header X-Folded ' one\\n\\ttwo'",
        "header X-Empty ''",
        "eoh",
        "body b'.a line\\r\\n\\r\\nend\\r\\n'",
        "eom i=True",
    ];
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    let (hello, others): (Vec<&str>, Vec<&str>) =
        told.iter().partition(|line| line.starts_with("hello "));
    assert_eq!(others, expected);
    assert_eq!(hello.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_that_is_refused_refuses_the_message() {
    let filter = tokio::task::spawn_blocking(PythonMilter::start);
    let filter = filter.await.unwrap();
    let sink = Sink::start();
    let gate = Gate::start(Options {
        scanners: scanner(&filter.way()),
        ..Options::to(sink.address)
    });
    for (recipient, expected) in [
        ("no@mx.example", "550 5.7.1 nobody of that name"),
        ("later@mx.example", "451 4.7.1 "),
    ] {
        let mut customer = Dialogue::ehlo(gate.address).await;
        customer.envelope("b@mx.example").await;
        let rcpt = format!("RCPT TO:<{recipient}>\r\n");
        customer.expect(&rcpt, "250").await;
        customer.expect("DATA\r\n", "354").await;
        customer
            .expect("Subject: continue\r\n\r\nx\r\n.\r\n", expected)
            .await;
    }
    assert_eq!(sink.taken().len(), 0);
}

#[test]
fn clamav_milter_finds_malware_over_every_way() {
    let filter = ClamavMilter::start();
    for way in filter.ways() {
        let scanner = scanner(&format!("{way}\nfinds = \"malware\""));
        for (name, verdict) in [("clam.zip", "reject+keep"), ("note.txt", "accept")] {
            let file = if name == "note.txt" {
                b"nothing".to_vec()
            } else {
                sample(name)
            };
            let message = with_attachment(name, &file).replace("\r\n", "\n");
            let told = scan::message(&scanner, &message);
            assert_eq!(told["verdict"], verdict, "{way}: {told}");
            if name == "clam.zip" {
                let reason = told["reason"].as_str().unwrap();
                assert!(reason.contains(SIGNATURE), "{told}");
                assert_eq!(told["scanners"][0]["finding"], "malware", "{told}");
            } else {
                // It wants to add fields that say that it has looked.
                assert_ignored(&told);
            }
        }
    }
}

#[test]
fn rspamd_is_asked_as_a_milter_too() {
    let (_rspamd, ways) = rspamd::start();
    for way in ways {
        for (subject, verdict) in [
            ("hello", "accept"),
            ("pretend-header", "accept"),
            ("pretend-spam", "reject+keep"),
            ("later", "defer"),
            ("discard", "reject+keep"),
        ] {
            let told = scan::message(
                &scanner(&way),
                &format!("Subject: {subject}\nFrom: a@customer.example\n\nx\n"),
            );
            assert_eq!(told["verdict"], verdict, "{way}: {told}");
            if subject == "pretend-header" {
                assert_ignored(&told);
            }
        }
    }
}

#[track_caller]
fn assert_ignored(told: &Value) {
    let reasons = &told["scanners"][0]["reasons"];
    let reason = reasons[0].as_str().unwrap_or_default();
    assert!(reason.starts_with("changes that were not made: "), "{told}");
}

#[test]
fn a_filter_that_is_away_or_silent_follows_its_on_error() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [silent.local_addr().unwrap(), free_address()] {
        for (lines, verdict) in [
            ("on_error = \"open\"", "accept"),
            ("on_error = \"limit\"", "accept"),
            ("on_error = \"defer\"", "defer"),
            ("finds = \"malware\"", "defer"),
        ] {
            let way = format!("address = \"{address}\"\ndeadline = \"300ms\"\n{lines}");
            let told = scan::message(&scanner(&way), "Subject: x\n\nx\n");
            assert_eq!(told["verdict"], verdict, "{lines}: {told}");
            assert_eq!(told["scanners"][0]["finding"], "failed", "{told}");
        }
    }
}
