//! What a scanner refuses is refused in-session, and the destination never sees it.

use contract::Tier;
use relay::metrics::Counter;

use crate::dialogue::Dialogue;
use crate::gate::{Gate, Options, snapshot};
use crate::host::free_address;
use crate::sink::Sink;
use crate::swaks;

pub(crate) const GTUBE: &str =
    "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

#[tokio::test(flavor = "multi_thread")]
async fn gtube_is_refused_with_the_reason_and_never_reaches_the_destination() {
    let sink = Sink::start();
    let gate = Gate::to(sink.address);
    let content = format!("Subject: x\r\n\r\n{GTUBE}\r\n");
    let transcript = swaks::send(gate.address, content.as_bytes(), &[]).await;
    assert_eq!(transcript.exit, 26, "{}", transcript.text);
    for part in [
        "550 5.7.1 ",
        "GTUBE",
        "mail from 127.0.0.1 is filtered: complaint 4711",
        " id=",
        "see https://abuse.example.net/smtp",
    ] {
        transcript.assert_heard(part);
    }
    assert_eq!(sink.taken().len(), 0);
    let dialogue = sink.dialogue();
    assert!(
        !dialogue.contains("GTUBE") && !dialogue.contains("DATA"),
        "{dialogue}"
    );
    assert!(dialogue.contains("RSET"), "{dialogue}");
    gate.wait_for_count(Counter::Rejected, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_after_a_refusal() {
    let sink = Sink::start();
    let gate = Gate::to(sink.address);
    let mut customer = Dialogue::ehlo(gate.address).await;
    for (body, expected) in [
        ("fine", "250 2.0.0 Ok"),
        (GTUBE, "550 5.7.1"),
        ("fine", "250 2.0.0 Ok"),
    ] {
        customer.envelope("b@mx.example").await;
        customer.expect("DATA\r\n", "354").await;
        customer
            .expect(&format!("Subject: x\r\n\r\n{body}\r\n.\r\n"), expected)
            .await;
    }
    assert_eq!(sink.taken().len(), 2);
    assert_eq!(
        sink.dialogue().matches("EHLO relay-1.example.net").count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_that_cannot_look_follows_its_on_error() {
    let nobody = free_address();
    for (on_error, expected, counter) in [
        ("open", "250 2.0.0 Ok", Counter::Delivered),
        ("defer", "451 4.7.1", Counter::Deferred),
    ] {
        let sink = Sink::start();
        let scanners = format!(
            "[[scanner]]\nkind = \"rspamd\"\nurl = \"http://{nobody}/checkv2\"\non_error = \"{on_error}\"\n"
        );
        let gate = Gate::start(Options {
            scanners,
            ..Options::to(sink.address)
        });
        let transcript = swaks::send(gate.address, b"Subject: x\r\n\r\nx\r\n", &[]).await;
        transcript.assert_heard(expected);
        gate.wait_for_count(counter, 1).await;
        gate.assert_counted(Counter::ScannerFailed, 1);
        assert_eq!(sink.taken().len(), usize::from(on_error == "open"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_for_an_answer_is_a_scanner_that_could_not_look() {
    // smtp-sink speaks no HTTP.
    let (sink, nonsense) = (Sink::start(), Sink::start());
    let scanners = format!(
        "[[scanner]]\nkind = \"rspamd\"\nurl = \"http://{}/checkv2\"\ndeadline = \"2s\"\non_error = \"defer\"\n",
        nonsense.address
    );
    let gate = Gate::start(Options {
        scanners,
        ..Options::to(sink.address)
    });
    let transcript = swaks::send(gate.address, b"Subject: x\r\n\r\nx\r\n", &[]).await;
    transcript.assert_heard("451 4.7.1");
    assert_eq!(sink.taken().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_messages_pass_a_scanner_that_is_away_and_no_more() {
    let sink = Sink::start();
    let nobody = free_address();
    let scanners = format!(
        "[verdict]\nunscanned_per_hour = 2\n[[scanner]]\nkind = \"rspamd\"\nurl = \"http://{nobody}/checkv2\"\non_error = \"limit\"\n"
    );
    let gate = Gate::start(Options {
        scanners,
        ..Options::to(sink.address)
    });
    let mut customer = Dialogue::ehlo(gate.address).await;
    for expected in ["250 2.0.0 Ok", "250 2.0.0 Ok", "451 4.7.1", "451 4.7.1"] {
        customer.envelope("b@mx.example").await;
        customer.expect("DATA\r\n", "354").await;
        let reply = customer
            .expect("Subject: x\r\n\r\nx\r\n.\r\n", expected)
            .await;
        let named = reply.contains("127.0.0.1 has sent more than 2 messages in an hour without it");
        assert_eq!(named, expected.starts_with('4'), "{reply}");
    }
    assert_eq!(sink.taken().len(), 2);
    gate.wait_for_count(Counter::UnscannedLimited, 2).await;
    gate.assert_counted(Counter::PassedUnscanned, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_policy_does_not_show_is_not_scanned() {
    // The relay's own word, the customer's policy, and whether the body was looked at.
    let cases = [
        ("body", None, true),
        ("headers", None, false),
        ("headers", Some(Tier::Body), true),
        ("body", Some(Tier::None), false),
    ];
    for (configured, own, looked) in cases {
        let sink = Sink::start();
        let mut snapshot = snapshot();
        snapshot.customers[0].tier = own;
        let gate = Gate::start(Options {
            scanners: format!(
                "[verdict]\ntier = \"{configured}\"\n[[scanner]]\nkind = \"builtin\"\n"
            ),
            snapshot: Some(snapshot),
            ..Options::to(sink.address)
        });
        let content = format!("Subject: x\r\n\r\n{GTUBE}\r\n");
        let transcript = swaks::send(gate.address, content.as_bytes(), &[]).await;
        let expected = if looked { "550 5.7.1" } else { "250 2.0.0 Ok" };
        transcript.assert_heard(expected);
        let figures = gate.relay.metrics().scanners().figures();
        assert_eq!(figures.contains_key(&("builtin", "spam")), looked);
    }
}
