//! Destinations that refuse, break or are not there.

use relay::metrics::Counter;

use crate::dialogue::Dialogue;
use crate::gate::Gate;
use crate::host::free_address;
use crate::sink::Sink;
use crate::swaks;

const MESSAGE: &[u8] = b"Subject: x\r\n\r\nx\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_destinations_own_refusals_are_what_the_customer_hears() {
    let soft = "450 4.2.1 mailbox of that user is full; ref#17 (soft)";
    let hard = "550 5.1.1 no such user; ref#18 (hard)";
    // Option, when the customer hears it, and swaks's exit code for that place.
    let cases = [
        (["-r", "RCPT"], soft, 24, Counter::RefusedByDestination, 0),
        (["-f", "RCPT"], hard, 24, Counter::RefusedByDestination, 0),
        // MAIL is answered here, so its refusal is told at RCPT.
        (["-r", "MAIL"], soft, 24, Counter::RefusedByDestination, 0),
        (["-f", "MAIL"], hard, 24, Counter::RefusedByDestination, 0),
        // DATA is answered here, so its refusal is told at the dot.
        (["-r", "DATA"], soft, 26, Counter::RefusedByDestination, 1),
        (["-f", "DATA"], hard, 26, Counter::RefusedByDestination, 1),
        (["-r", "."], soft, 26, Counter::RefusedByDestination, 1),
        (["-f", "."], hard, 26, Counter::RefusedByDestination, 1),
    ];
    for ([option, command], reply, exit, counter, counted) in cases {
        let sink = Sink::with(&["-b", soft, "-B", hard, option, command]);
        let gate = Gate::to(sink.address);
        let transcript = swaks::send(gate.address, MESSAGE, &[]).await;
        transcript.assert_heard(&format!("<** {reply}\n"));
        assert_eq!(transcript.exit, exit, "{command}\n{}", transcript.text);
        gate.wait_for_count(counter, counted).await;
        gate.assert_counted(Counter::Delivered, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_not_there_is_421_and_the_end() {
    for hello in ["EHLO client.example\r\n", "HELO client.example\r\n"] {
        let gate = Gate::to(free_address());
        let (mut customer, _) = Dialogue::open(gate.address).await;
        let reply = customer.expect(hello, "421 4.4.1 ").await;
        assert!(
            reply.contains("refused") && reply.contains("try your next MX"),
            "{reply}"
        );
        customer.expect_close().await;
        gate.assert_counted(Counter::Unreachable, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_not_there_any_more_is_421_at_rcpt() {
    let sink = Sink::start();
    let gate = Gate::to(sink.address);
    // What it offers is known from here on.
    let _first = Dialogue::ehlo(gate.address).await;
    drop(sink);
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer
        .expect("MAIL FROM:<a@customer.example>\r\n", "250")
        .await;
    let reply = customer
        .expect("RCPT TO:<b@mx.example>\r\n", "421 4.4.1 ")
        .await;
    assert!(reply.contains("refused"), "{reply}");
    customer.expect_close().await;
    gate.assert_counted(Counter::Unreachable, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_will_not_talk_is_421_whatever_it_says() {
    let refusal = "554 5.7.1 go away";
    for options in [
        ["-f", "CONNECT"],
        ["-r", "CONNECT"],
        ["-q", "CONNECT"],
        ["-Q", "CONNECT"],
    ] {
        let sink = Sink::spawn(&[
            "-b",
            "450 4.7.1 not now",
            "-B",
            refusal,
            options[0],
            options[1],
        ]);
        let gate = Gate::to(sink.address);
        let (mut customer, _) = Dialogue::open(gate.address).await;
        let reply = customer
            .expect("EHLO client.example\r\n", "421 4.4.1 ")
            .await;
        if options[0] == "-f" {
            assert!(reply.contains(refusal), "{reply}");
        }
        customer.expect_close().await;
        gate.assert_counted(Counter::Unreachable, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_lost_at_rcpt_is_421_and_the_end() {
    for option in ["-q", "-Q"] {
        let sink = Sink::with(&[option, "RCPT"]);
        let gate = Gate::to(sink.address);
        let mut customer = Dialogue::ehlo(gate.address).await;
        customer
            .expect("MAIL FROM:<a@customer.example>\r\n", "250")
            .await;
        customer.expect("RCPT TO:<b@mx.example>\r\n", "421 ").await;
        customer.expect_close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_lost_before_the_dot_is_tried_again_without_a_warning() {
    let sink = Sink::with(&["-q", "DATA"]);
    let gate = Gate::to(sink.address);
    let transcript = swaks::send(gate.address, MESSAGE, &[]).await;
    transcript.assert_heard("451 4.4.2 ");
    assert!(!transcript.text.contains("twice"), "{}", transcript.text);
    gate.wait_for_count(Counter::Lost, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_lost_after_the_dot_may_have_the_message() {
    let sink = Sink::with(&["-q", "."]);
    let gate = Gate::to(sink.address);
    let transcript = swaks::send(gate.address, MESSAGE, &[]).await;
    transcript.assert_heard("451 4.4.2 ");
    transcript.assert_heard("may arrive twice");
    gate.wait_for_count(Counter::LostAfterDot, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_in_mid_content_is_heard_although_nobody_reads_any_more() {
    // Refuses right after 354 and stops reading: more than any socket buffer has to be in the way.
    let sink = Sink::with(&["-A", "0", "-B", "550 5.3.4 too much"]);
    let gate = Gate::to(sink.address);
    let content = format!(
        "Subject: x\r\n\r\n{}",
        "0123456789abcdef\r\n".repeat(1_000_000)
    );
    let started = std::time::Instant::now();
    let transcript = swaks::send(gate.address, content.as_bytes(), &[]).await;
    assert_eq!(transcript.exit, 26, "{}", transcript.text.len());
    assert!(started.elapsed().as_secs() < 60, "waited for a time-out");
    gate.assert_counted(Counter::Delivered, 0);
    assert_eq!(sink.taken().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_has_gone_is_made_again() {
    // 421 and close as the answer to RSET, which opens the second transaction.
    let sink = Sink::with(&["-Q", "RSET"]);
    let gate = Gate::to(sink.address);
    let mut customer = Dialogue::ehlo(gate.address).await;
    customer.envelope("first@mx.example").await;
    customer.expect("RSET\r\n", "250").await;
    customer.envelope("second@mx.example").await;
    customer.expect("DATA\r\n", "354").await;
    customer
        .expect("Subject: x\r\n\r\nx\r\n.\r\n", "250 2.0.0 Ok")
        .await;
    assert_eq!(
        sink.dialogue().matches("EHLO relay-1.example.net").count(),
        2
    );
}
