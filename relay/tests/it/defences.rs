//! Clients that talk too early, are wrong too often while others wait, or write too long a line.

use relay::metrics::Counter;

use crate::dialogue::Dialogue;
use crate::gate::{Gate, Options};
use crate::sink::Sink;

/// A gate whose `[session]` has this line.
fn gate_with(sink: &Sink, setting: &str, connections: usize) -> Gate {
    Gate::start(Options {
        scanners: format!("[session]\n{setting}\n[[scanner]]\nkind = \"builtin\"\n"),
        connections,
        per_customer: connections,
        ..Options::to(sink.address)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_talks_before_the_greeting_is_refused_and_counted() {
    let sink = Sink::start();
    let gate = gate_with(&sink, "pause = \"30s\"\nearly_talk = \"refuse\"", 10);
    let mut early = Dialogue::connect(gate.address).await;
    early.say(b"EHLO spammer\r\n").await;
    early
        .expect_reply("554 5.7.1 you talked before the greeting")
        .await;
    early.expect_close().await;
    gate.wait_for_count(Counter::EarlyTalk, 1).await;

    let gate = gate_with(&sink, "pause = \"100ms\"", 10);
    let mut patient = Dialogue::ehlo(gate.address).await;
    patient.expect("QUIT\r\n", "221").await;
    gate.assert_counted(Counter::EarlyTalk, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_stress_two_errors_are_enough() {
    let sink = Sink::start();
    let gate = gate_with(&sink, "stressed_at = 100", 2);
    let mut first = Dialogue::ehlo(gate.address).await;
    for _ in 0..3 {
        first.expect("NONSENSE\r\n", "500 5.5.2").await;
    }
    // The last place is taken.
    let mut second = Dialogue::ehlo(gate.address).await;
    first.expect("NONSENSE\r\n", "421 4.7.0").await;
    first.expect_close().await;
    second.expect("QUIT\r\n", "221").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_over_the_bound_has_the_message_refused() {
    let sink = Sink::start();
    let gate = gate_with(&sink, "max_line_octets = 1000", 10);
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer.envelope("b@mx.example").await;
    customer.expect("DATA\r\n", "354").await;
    let long = "x".repeat(999);
    customer
        .expect(&format!("Subject: x\r\n\r\n{long}\r\n.\r\n"), "554 5.6.0")
        .await;
    assert!(!sink.dialogue().contains("DATA"), "{}", sink.dialogue());
}
